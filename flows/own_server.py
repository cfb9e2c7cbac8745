"""Run a Prefect server for one command that has none: on loopback, for this command alone.

Prefect would start one itself, without a secret, in the terminal's process group: Ctrl-C ends it
before the night can say what becomes of it.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Final

import httpx
import prefect.context
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import get_current_settings

from sentiflow.errors import SentiflowError
from sentiflow.files import hide_secrets
from sentiflow.processes import make_module_command
from sentiflow.servers.logs import open_log, read_last_lines
from sentiflow.servers.options import ServerOptions, make_command
from sentiflow.settings import OWN_PREFECT, copy_environment, load_access

_LOG: Final = "command.log"
_START_SECONDS: Final = 120.0
_ANSWER_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.1
_GIVEN_SECONDS: Final = 20.0
_DRAIN_SECONDS: Final = 1.0
# Its database keeps what was answered, also if it must be killed.
_STOP_SECONDS: Final = 2.0


@contextmanager
def run_own_server(home: Path) -> Iterator[Callable[[], None]]:
    """Run a server while the block runs, unless Prefect's settings name one.

    It starts while the block goes on; whoever wants to call it waits first.

    Args:
        home: SENTIFLOW_HOME; its Prefect database is used, its secret asked for.

    Yields:
        What waits until the server answers. It raises SentiflowError if it does not.
    """
    if (given := get_current_settings().api.url) is not None:
        yield lambda: _check_given(given)
        return
    secret = load_access(home).prefect
    (home / "logs").mkdir(mode=0o700, exist_ok=True)
    log = home / "logs" / _LOG
    # It listens from now on, so that no other program can take the port in between.
    with socket.create_server(("127.0.0.1", 0)) as listening, open_log(log) as stream:
        start, port = stream.tell(), listening.getsockname()[1]
        options = ServerOptions("prefect", port=port, socket=listening.fileno(), asks=True)
        process = subprocess.Popen(
            make_module_command(*make_command(options)),
            env=_make_environment(secret), pass_fds=[listening.fileno()], cwd=home,
            stdin=subprocess.DEVNULL, stdout=stream, stderr=stream,
            # Ctrl-C in a terminal reaches the command only, which ends it when it is done.
            start_new_session=True,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}/api"
    os.environ.update(
        {"PREFECT_API_URL": url, "PREFECT_API_AUTH_STRING": secret, OWN_PREFECT: "true"}
    )
    with chdir(home):
        # Not what a prefect.toml, a pyproject.toml or an .env in the folder of who calls says.
        prefect.context.refresh_global_settings_context()
    try:
        yield lambda: _wait_until_it_answers(process, url, log, start)
    finally:
        # Send what is left while the server is still there.
        for worker in (EventsWorker, APILogWorker):
            worker.drain_all(timeout=_DRAIN_SECONDS)
        _end(process)


def _check_given(url: str) -> None:
    """Refuse a server that does not answer, does not let us in, or is of another major release.

    Raises:
        SentiflowError: so it is. One that answers otherwise is Prefect's own client's to judge.
    """
    api = get_current_settings().api
    user, _, password = (api.auth_string.get_secret_value() if api.auth_string else "").partition(
        ":"
    )
    headers = {"Authorization": f"Bearer {api.key.get_secret_value()}"} if api.key else {}
    try:
        with httpx.Client(timeout=_GIVEN_SECONDS, headers=headers) as client:
            answer = client.get(
                f"{url.rstrip('/')}/admin/version", auth=(user, password) if user else None
            )
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        received = f"no answer ({type(error).__name__})"
    else:
        version = answer.text.strip().strip('"')
        if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            received = f"status {answer.status_code}; PREFECT_API_AUTH_STRING is missing or wrong"
        elif answer.is_success and re.match(r"[012]\.\d", version):
            received = f"version {version[:20]}; 3 or later is needed"
        else:
            return
    raise SentiflowError(
        f"Prefect must run the night. Received: PREFECT_API_URL={hide_secrets(url)}: {received}. "
        "Mend that, or unset it: then the command runs a Prefect of its own."
    )


def _make_environment(secret: str) -> dict[str, str]:
    return {
        **copy_environment(),
        "PREFECT_SERVER_API_AUTH_STRING": secret,
        "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
        # Without pages, and without the services that only deployments need.
        "PREFECT_SERVER_UI_ENABLED": "false",
        "PREFECT__SERVER_EPHEMERAL": "1",
    }


def _wait_until_it_answers(
    process: subprocess.Popen[bytes], url: str, log: Path, log_start: int
) -> None:
    deadline = time.monotonic() + _START_SECONDS
    received = f"no answer within {_START_SECONDS:g} s"
    # No proxy: it is on this machine.
    with httpx.Client(trust_env=False, timeout=_ANSWER_SECONDS) as client:
        while time.monotonic() < deadline:
            if process.poll() is not None:
                received = f"exit code {process.returncode}"
                break
            try:
                if client.get(f"{url}/health").status_code == httpx.codes.OK:
                    return
            except httpx.HTTPError:
                # It is still being imported, or makes its database.
                pass
            time.sleep(_LOOK_SECONDS)
    shown = "".join(f"\n  {line}" for line in read_last_lines(log, log_start)) or " empty."
    raise SentiflowError(
        f"The Prefect server of this command must start. Received: {received}. Its log {log} "
        f"ends with:{shown}"
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
