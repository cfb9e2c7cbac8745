"""What comes from the environment: places, addresses and secrets; the only reader of it."""

from __future__ import annotations

import getpass
import logging
import os
import re
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from sentiflow.errors import SettingsError
from sentiflow.files import make_sqlite_url
from sentiflow.settings.access import load_access
from sentiflow.settings.clients import list_foreign, list_missing_files, make_defaults
from sentiflow.settings.discovery import RunningServers, read_running_servers
from sentiflow.settings.groups import LedgerSettings, TrackingSettings
from sentiflow.settings.moved_home import follow_move
from sentiflow.settings.proxies import plan_proxies
from sentiflow.settings.tracking_address import check_tracking_address, check_web_address

logger = logging.getLogger(__name__)

# What Prefect's, MLflow's and S3's own clients read, from the environment and nowhere else.
_CLIENT_SECRETS: Final = (
    "PREFECT_API_AUTH_STRING", "PREFECT_API_KEY", "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
)  # fmt: skip
# Somebody else's addresses and keys. Where none is given, Compose and Kubernetes lay out an empty
# file. An empty file of what guards a door is refused: it would leave the door open.
_MAY_BE_EMPTY: Final = frozenset(
    {
        "SENTIFLOW_WEBHOOK_URL", "SENTIFLOW_PING_URL", "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
    }
)  # fmt: skip
# Set by a command that runs a Prefect server of its own.
OWN_PREFECT: Final = "SENTIFLOW_OWN_PREFECT"
# Control characters, and bytes of a name that are no UTF-8.
_UNWRITABLE: Final = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
# The environment is one for all threads.
_BORROWED: Final = threading.RLock()


def read_home(given: str | os.PathLike[str] | None = None) -> Path:
    """Return the home as an absolute path: the given, SENTIFLOW_HOME's, or .sentiflow/ here.

    Raises:
        SettingsError: it begins with the `~` of a user who does not exist, or leads in a circle.
    """
    named = os.fspath(given) if given else os.environ.get("SENTIFLOW_HOME") or ".sentiflow"
    try:
        home = Path(named).expanduser().resolve()
    except (RuntimeError, OSError) as error:
        raise _refuse_home(named, str(error).rstrip(".")) from None
    if _UNWRITABLE.search(str(home)):
        # Several programs keep its path in lines of text.
        raise _refuse_home(repr(str(home)), "a character that cannot stand in a line")
    return home


def resolve_tracking_uri(tracking: TrackingSettings, home: Path) -> str:
    """Return MLflow's address: the setting's, the environment's, or SQLite under the home.

    Raises:
        SettingsError: MLflow cannot be there.
    """
    named = tracking.uri or os.environ.get("MLFLOW_TRACKING_URI", "").strip()
    return check_tracking_address(named) if named else make_sqlite_url(home / "mlflow.db")


def check_prefect_address() -> None:
    """Refuse a PREFECT_API_URL that is no address.

    Raises:
        SettingsError: so it is.
    """
    if named := os.environ.get("PREFECT_API_URL"):
        check_web_address("PREFECT_API_URL", named)


def resolve_ledger_url(ledger: LedgerSettings, home: Path) -> str:
    """Return the ledger's database: the setting's, the environment's, or SQLite in the home.

    Raises:
        SettingsError: as `read_secret`.
    """
    named = ledger.url or read_secret("SENTIFLOW_LEDGER_URL")
    return named or make_sqlite_url(home / "ledger.db")


def read_actor() -> str:
    """Return who acts, for the ledger: SENTIFLOW_ACTOR, or user@machine."""
    if named := os.environ.get("SENTIFLOW_ACTOR"):
        return named[:200]
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        # A container's user id need not have a name.
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"[:200]


def read_api_key() -> str | None:
    """Return the prediction service's key, or None.

    Raises:
        SettingsError: as `read_secret`.
    """
    return read_secret("SENTIFLOW_API_KEY")


def read_prefect_api() -> tuple[str, str | None] | None:
    """Return the address of Prefect's API and its `user:password`; None where none is named."""
    address = os.environ.get("PREFECT_API_URL", "").strip()
    return (address, os.environ.get("PREFECT_API_AUTH_STRING")) if address else None


def read_webhook_url() -> str | None:
    """Return the address that notices are posted to, or None.

    Raises:
        SettingsError: as `read_secret`.
    """
    return read_secret("SENTIFLOW_WEBHOOK_URL")


def read_ping_url() -> str | None:
    """Return the address that is called after every good night of today or yesterday, or None.

    Raises:
        SettingsError: as `read_secret`.
    """
    return read_secret("SENTIFLOW_PING_URL")


def read_secret(name: str) -> str | None:
    """Return a secret: the content of the file that NAME_FILE names, or the variable NAME.

    Args:
        name: the variable, for example SENTIFLOW_API_KEY.

    Raises:
        SettingsError: the file cannot be read, or the secret is empty and must not be.
    """
    secret = os.environ.get(name)
    if path := os.environ.get(f"{name}_FILE"):
        try:
            secret = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(
                f"{name}_FILE must be a readable text file. Received: {path}: {error}."
            ) from None
        if not secret and name in _MAY_BE_EMPTY:
            return None
    if secret is not None and not secret:
        raise SettingsError(f"A secret must not be empty. Unset {name} or fill it.")
    return secret


def _export_client_secrets() -> None:
    """Put what NAME_FILE names into NAME, for clients that know of no files."""
    for name in _CLIENT_SECRETS:
        if os.environ.get(f"{name}_FILE"):
            secret = read_secret(name)
            # What this process starts may be given another value; a file would win over it.
            del os.environ[f"{name}_FILE"]
            if secret is not None:
                os.environ[name] = secret


def _refuse_home(named: str, reason: str) -> SettingsError:
    return SettingsError(
        "SENTIFLOW_HOME must be a folder, or a place where one can be made. Received: "
        f"{named}: {reason}. Name another, or make it with rights for this user."
    )


def copy_environment() -> dict[str, str]:
    """Return the environment, to start a program with."""
    return dict(os.environ)


def prepare_environment(home: Path, *, may_make: bool = True) -> None:
    """Point Prefect, MLflow, TensorFlow and Great Expectations at the home, quietly.

    An entry point calls this before any of them is imported, and what it starts inherits it.
    Servers that the environment names are used, with what belongs to them. Next come the servers
    that `sentiflow up` runs for this home, then files under it. What the environment says to these
    tools besides is another project's, and is removed. Secrets that `NAME_FILE` names are put
    where those clients look for them. Telemetry is off.

    Args:
        home: SENTIFLOW_HOME.
        may_make: make the home where there is none.

    Raises:
        SettingsError: the home is no folder and cannot be made one, or a secret cannot be read.
    """
    _export_client_secrets()
    try:
        if may_make or home.exists():
            home.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        is_file = isinstance(error, FileExistsError)
        reason = "it is a file" if is_file else str(error.strerror)
        raise _refuse_home(str(home), reason) from None
    if home.exists() and not os.access(home, os.R_OK | os.X_OK):
        # Else all that is there would look as if it were not.
        raise _refuse_home(str(home), "this user may not look into it")
    follow_move(home)
    servers = read_running_servers(home)
    found = _describe_servers(home, servers) if servers is not None else {}
    _change_environment(dict.fromkeys(_list_foreign(servers, found), None))
    _change_environment(found)
    defaults = make_defaults(home, has_server=bool(os.environ.get("PREFECT_API_URL")))
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    _set_proxies()


@contextmanager
def use_home(given: str | os.PathLike[str] | None = None) -> Iterator[Path]:
    """Prepare the environment for a block, and leave it as it was: it is somebody else's process.

    One block at a time; others wait.

    Args:
        given: the home; None: as `read_home`.

    Yields:
        The home.

    Raises:
        SettingsError: as `read_home` and `prepare_environment`.
    """
    with _BORROWED:
        home, before = read_home(given), dict(os.environ)
        try:
            prepare_environment(home)
            yield home
        finally:
            # Only what differs: other threads may be reading.
            for name in os.environ.keys() - before.keys():
                del os.environ[name]
            for name, value in before.items():
                if os.environ.get(name) != value:
                    os.environ[name] = value


def is_own_prefect() -> bool:
    """Return whether Prefect's server is this command's own, with the home's runs in it only."""
    return OWN_PREFECT in os.environ


def _describe_servers(home: Path, servers: RunningServers) -> dict[str, str]:
    """Return where the servers of a home are and what they ask; the environment's names win.

    A secret goes to the server it belongs to: where the environment names another server, it
    names its credentials too.
    """
    found: dict[str, str] = {}
    if "PREFECT_API_URL" not in os.environ:
        found["PREFECT_API_URL"] = servers.prefect_api_url
        if not servers.prefect_is_given:
            found["PREFECT_API_AUTH_STRING"] = load_access(home).prefect
    if "MLFLOW_TRACKING_URI" not in os.environ:
        found["MLFLOW_TRACKING_URI"] = servers.mlflow_url
        if not servers.mlflow_is_given:
            access = load_access(home)
            found["MLFLOW_TRACKING_USERNAME"] = access.mlflow_user
            found["MLFLOW_TRACKING_PASSWORD"] = access.mlflow_password
    if servers.ledger_url is not None and "SENTIFLOW_LEDGER_URL" not in os.environ:
        found["SENTIFLOW_LEDGER_URL"] = servers.ledger_url
    return found


def _list_foreign(servers: RunningServers | None, found: Mapping[str, str]) -> list[str]:
    """Return what the environment says to the same tools for others."""
    missing = list_missing_files(os.environ)
    for name in missing:
        logger.warning("%s must name what is there. Received: nothing there; it is left out.", name)
    own = set()
    if os.environ.get("PREFECT_API_URL") or (servers is not None and servers.prefect_is_given):
        own.add("PREFECT_API_URL")
    if "MLFLOW_TRACKING_URI" not in found or (servers is not None and servers.mlflow_is_given):
        own.add("MLFLOW_TRACKING_URI")
    # Prefect reads its settings once, and in a process that it started they are its own already.
    spares = ("PREFECT_",) if "prefect" in sys.modules else ()
    return [*missing, *list_foreign(os.environ, own, spares=spares)]


def _set_proxies() -> None:
    """Let no proxy stand between programs of this machine, whatever the environment names."""
    changes, problems = plan_proxies(
        os.environ,
        [os.environ.get(name, "") for name in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI")],
        # What Prefect's and our client need for it; MLflow's has PySocks beside it.
        has_socks=find_spec("socksio") is not None,
    )
    for problem in problems:
        logger.warning(problem)
    _change_environment(changes)


def _change_environment(changes: Mapping[str, str | None]) -> None:
    """Set variables of this process; None removes one."""
    for name, value in changes.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
