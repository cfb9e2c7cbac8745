"""Ask MLflow, before anything is trained, whether it can keep what a night will make.

An older server takes runs and metrics and fails at the model; artifacts may go to a place that only
the server's machine, or only somebody with other keys, can reach.
"""

from __future__ import annotations

import os
import re
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request

from sentiflow.errors import SentiflowError, UsageError
from sentiflow.files import hide_secrets
from sentiflow.retries import RetryPolicy, ask_mlflow, shorten_error
from sentiflow.tracking import Run

# Models are logged as things of their own since then.
_OLDEST: Final = 3
_VERSION: Final = re.compile(r"(\d+)(\.\w+)+")


def check_server(uri: str, retry_policy: RetryPolicy) -> None:
    """Refuse a server that is too old for what nights log. One that does not say is let pass.

    Args:
        uri: MLflow's address.
        retry_policy: how long a server that does not answer is asked again.

    Raises:
        UsageError: it is.
        RegistryUnreachable: it does not answer.
    """
    if not uri.startswith(("http://", "https://")):
        return
    answer = ask_mlflow(retry_policy, uri, lambda: _ask_server(uri, "/version", {}))
    version = str(answer.text).strip() if answer.status_code == HTTPStatus.OK else ""
    found = _VERSION.fullmatch(version)
    if found is not None and int(found[1]) < _OLDEST:
        raise UsageError(
            f"The MLflow server must be of version {_OLDEST} or later. Received: version {version} "
            f"at {hide_secrets(uri)}. Upgrade it (pip install -U mlflow; mlflow db upgrade), or "
            "name another by MLFLOW_TRACKING_URI or tracking.uri. Nothing was read or trained."
        )


def check_artifacts(run: Run, asked: Any) -> None:
    """Keep what is asked of a night with its run, as the first of its artifacts.

    Where that fails, or a server does not find it, the model would fail hours later.

    Args:
        run: the night's run.
        asked: a JSON value: the settings.

    Raises:
        UsageError: artifacts cannot be kept, or the server cannot see them.
        RegistryUnreachable: MLflow does not answer.
        OSError: the home's own disk does not take them.
    """
    place = run.read_artifact_uri()
    folder = _read_folder(place)
    has_server = run.uri.startswith(("http://", "https://"))
    # Where a server keeps them below a folder, it is the server's machine that has it.
    if has_server and folder is not None and not _is_near(folder):
        raise _refuse(place, "a folder of the server's machine that is not here")
    try:
        run.log_json(asked, _NAME)
    except Exception as error:
        # Each kind of storage has errors of its own: no key, no package, no right, no room.
        if isinstance(error, SentiflowError) or not has_server:
            raise
        raise _refuse(place, f"{type(error).__name__}: {shorten_error(error)}") from error
    if has_server and folder is not None and not _does_server_see(run):
        raise _refuse(place, "a folder of this machine that its server does not see")


_NAME: Final = "settings.json"


def _read_folder(place: str) -> Path | None:
    """Return the folder of artifacts that lie in a file system of whoever asks for them."""
    parts = urlsplit(place)
    if parts.scheme not in ("", "file"):
        return None
    return Path(unquote(parts.path) if parts.scheme else place)


def _is_near(folder: Path) -> bool:
    """Say whether a run's folder, ROOT/EXPERIMENT/RUN/artifacts, can be meant here.

    So it can where ROOT is here, or what it lies in.
    """
    return any(os.path.isdir(parent) for parent in folder.parents[:4] if parent != parent.parent)


def _does_server_see(run: Run) -> bool:
    answer = _ask_server(run.uri, "/api/2.0/mlflow/artifacts/list", {"run_id": run.id})
    return answer.status_code != HTTPStatus.OK or _NAME in str(answer.text)


def _ask_server(uri: str, path: str, parameters: dict[str, str]) -> Any:
    creds = get_default_host_creds(uri)  # type: ignore[no-untyped-call]
    return http_request(  # type: ignore[no-untyped-call]
        creds, path, "GET", raise_on_status=False, params=parameters
    )


def _refuse(place: str, received: str) -> UsageError:
    return UsageError(
        "The artifacts of MLflow's runs must be kept where this machine and its server reach them. "
        f"Received: {hide_secrets(place)}: {received}. Start the server with "
        "--artifacts-destination, so that it passes artifacts through; or give this machine what "
        "that place needs (its keys, the package, the folder). Nothing was trained."
    )
