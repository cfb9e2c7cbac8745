"""Find the servers that `sentiflow up` keeps running for a home, from another terminal."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from sentiflow.files import write_text
from sentiflow.processes import ProcessName, is_gone, name_this_machine

_FILE = "servers.json"


@dataclass(frozen=True)
class RunningServers:
    """Where the servers of a home are.

    Attributes:
        prefect_url: where people open Prefect.
        prefect_api_url: where programs talk to it.
        mlflow_url: MLflow, for both.
        predictions_url: the prediction service.
        ledger_url: the ledger's database without a password; None: SQLite in the home.
        process: the supervisor; when it is gone, so are the servers.
        prefect_is_given: Prefect's credentials were in the environment of `sentiflow up`, and must
            be in a caller's; else it takes the home's own.
        mlflow_is_given: the same of MLflow's.
    """

    prefect_url: str
    prefect_api_url: str
    mlflow_url: str
    predictions_url: str
    ledger_url: str | None
    process: ProcessName
    prefect_is_given: bool = False
    mlflow_is_given: bool = False


def read_running_servers(home: Path) -> RunningServers | None:
    """Return the servers of a home while their supervisor lives, else None."""
    try:
        values = json.loads((home / _FILE).read_text(encoding="utf-8"))
        if values.pop("home", str(home)) != str(home):
            # Of a home that was copied while its servers ran: they are the other one's.
            return None
        process = ProcessName(**values.pop("process"))
        servers = RunningServers(**values, process=process)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        # No file, or one of another version: as if there were no servers.
        return None
    # Of a machine before its restart, `is_gone` would not be certain.
    is_here = process.machine == name_this_machine()
    return servers if is_here and not is_gone(process) else None


def save_running_servers(home: Path, servers: RunningServers) -> None:
    """Write where the servers are, for their owner alone."""
    values = {**asdict(servers), "home": str(home)}
    write_text(home / _FILE, json.dumps(values, indent=2) + "\n")


def forget_running_servers(home: Path) -> None:
    """Remove what `save_running_servers` wrote."""
    (home / _FILE).unlink(missing_ok=True)
