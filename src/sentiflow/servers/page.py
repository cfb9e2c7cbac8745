"""Show what a home recorded in MLflow's page, with no other server."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from sentiflow.errors import UsageError
from sentiflow.processes import make_module_command
from sentiflow.servers.addresses import read_credentials
from sentiflow.servers.links import make_mlflow_link
from sentiflow.servers.options import ServerOptions, make_command
from sentiflow.servers.programs import make_mlflow_environment
from sentiflow.settings import copy_environment, read_running_servers


def show_page(
    home: Path,
    port: int,
    announce: Callable[[str], None],
) -> None:
    """Run MLflow's server on what lies in the home, until it is ended; this process becomes it.

    Args:
        home: SENTIFLOW_HOME.
        port: where it listens, on loopback.
        announce: told the link that opens the page.

    Raises:
        UsageError: `sentiflow up` runs for this home and shows the page already.
    """
    if read_running_servers(home) is not None:
        raise UsageError(
            "sentiflow up shows MLflow's page already. Received: one that runs for "
            f"{home}. Open it by a link of sentiflow links."
        )
    credentials = read_credentials(home)
    options = ServerOptions(
        "mlflow", port=port, asks=not credentials.mlflow_is_given, links=True,
        users=credentials.mlflow_is_given,
    )  # fmt: skip
    environment = make_mlflow_environment(copy_environment(), home, credentials, None)
    environment["SENTIFLOW_HOME"] = str(home)
    environment["MLFLOW_TRACKING_USERNAME"] = credentials.mlflow_user
    environment["MLFLOW_TRACKING_PASSWORD"] = credentials.mlflow_password
    announce(make_mlflow_link(home, f"http://127.0.0.1:{port}"))
    command = make_module_command(*make_command(options))
    os.execve(sys.executable, command, environment)
