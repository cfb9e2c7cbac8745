"""Say how each program of `sentiflow up` is started, after what, and when it is healthy."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sentiflow.files import make_sqlite_url
from sentiflow.night.request import NightRequest
from sentiflow.processes import make_module_command
from sentiflow.servers.addresses import Addresses, Credentials, name_host
from sentiflow.servers.databases import Databases
from sentiflow.servers.options import ServerOptions, make_command
from sentiflow.servers.supervisor import Program
from sentiflow.settings import Settings, copy_environment

if TYPE_CHECKING:
    import httpx

POOL: Final = "sentiflow"
WORKER: Final = "sentiflow-up"
_ANSWER_SECONDS: Final = 1.0


def plan_programs(
    settings: Settings,
    request: NightRequest,
    first_night: bool,
    home: Path,
    places: Addresses,
    credentials: Credentials,
    databases: Databases | None,
) -> list[Program]:
    """Return the programs of `sentiflow up`: what is started, with what, after what.

    Args:
        settings: where MLflow keeps artifacts is below the home; the model is the request's.
        request: what every night does.
        first_night: whether one is started at once.
        home: SENTIFLOW_HOME.
        places: where the servers listen.
        credentials: what they ask for.
        databases: PostgreSQL's, or None for SQLite in the home.
    """
    common = make_environment(home, places, credentials, databases)
    more = settings.servers.allowed_hosts
    here = name_host(places.host)
    prefect = ServerOptions(
        "prefect", places.host, places.prefect_port, (f"{here}:{places.prefect_port}", *more),
        # Who was given credentials knows the password that Prefect's own page asks for.
        asks=not credentials.prefect_is_given, links=True,
    )  # fmt: skip
    mlflow = ServerOptions(
        "mlflow", places.host, places.mlflow_port,
        (f"{here}:{places.mlflow_port}", *more, *_list_mlflow_names(common)),
        asks=not credentials.mlflow_is_given, links=True, users=credentials.mlflow_is_given,
    )  # fmt: skip
    worker = ["prefect", "worker", "start", "--pool", POOL, "--name", WORKER]
    asked = _list_arguments(request)
    named = ["--set", f"model.name={settings.model.name}"]
    served = ["serve", "--port", str(places.predictions_port), *_list_settings(request), *named]
    first = ["--first-night"] if first_night else []
    return [
        Program(
            "prefect",
            _run(*make_command(prefect)),
            common,
            _answers(f"{places.prefect}/api/health"),
            # Prefect and MLflow read settings of whatever project is in the folder they work in.
            folder=home,
        ),
        Program(
            "mlflow",
            _run(*make_command(mlflow)),
            make_mlflow_environment(common, home, credentials, databases),
            _answers(f"{places.mlflow}/health"),
            folder=home,
        ),
        Program("deploy", _run("sentiflow", "deploy", *asked, *first), common, None, ("prefect",)),
        Program(
            "worker",
            _run(*worker),
            common,
            _has_worker(places, credentials),
            ("deploy", "mlflow"),
            # A night that runs goes on; its own heartbeats say so.
            spares_children=True,
            # When everything stops it is ended first, while Prefect can still record that.
            ends_children_first=True,
            folder=home,
        ),
        Program(
            "predictions",
            _run("sentiflow", *served),
            common,
            _answers(f"{places.predictions}/health"),
            ("mlflow",),
        ),
    ]


def make_environment(
    home: Path, places: Addresses, credentials: Credentials, databases: Databases | None
) -> dict[str, str]:
    """Return the environment of every program: where the servers are, and how to get in."""
    environment = {
        **copy_environment(),
        "SENTIFLOW_HOME": str(home),
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_API_URL": f"{places.prefect}/api",
        # Prefect writes its pages anew at every start, by default beside its code.
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(home / "prefect" / "ui"),
        # SQLite lets one write at a time; a busy machine makes the others wait.
        "PREFECT_SERVER_DATABASE_TIMEOUT": "60",
        # In memory, a restart of the server would forget who holds a deployment's one slot, and
        # nobody could give it back.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": (
            "prefect.server.concurrency.lease_storage.filesystem"
        ),
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        "PREFECT_WORKER_QUERY_SECONDS": "5",
        "PREFECT_LOGGING_COLORS": "false",
        "MLFLOW_TRACKING_URI": places.mlflow,
        "NO_COLOR": "1",
    }
    # What a first terminal inherited from a second must not name another server.
    for name in ("PREFECT_UI_URL", "PREFECT_SERVER_UI_API_URL", "MLFLOW_REGISTRY_URI"):
        environment.pop(name, None)
    if databases is not None:
        environment["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = databases.prefect
        environment["SENTIFLOW_LEDGER_URL"] = databases.ledger
        # A file would win over the variable.
        environment.pop("SENTIFLOW_LEDGER_URL_FILE", None)
    environment["PREFECT_SERVER_API_AUTH_STRING"] = credentials.prefect
    environment["PREFECT_API_AUTH_STRING"] = credentials.prefect
    environment["MLFLOW_TRACKING_USERNAME"] = credentials.mlflow_user
    environment["MLFLOW_TRACKING_PASSWORD"] = credentials.mlflow_password
    return environment


def make_mlflow_environment(
    common: Mapping[str, str],
    home: Path,
    credentials: Credentials,
    databases: Databases | None,
) -> dict[str, str]:
    """Return MLflow's own environment; addresses with passwords are not on command lines."""
    store = databases.mlflow if databases else make_sqlite_url(home / "mlflow.db")
    environment = {
        **common,
        "MLFLOW_BACKEND_STORE_URI": store,
        # Where runs without a server keep theirs, so that both find what the other recorded.
        "MLFLOW_DEFAULT_ARTIFACT_ROOT": (home / "mlartifacts").as_uri(),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    # The server itself must not take itself for a client.
    environment.pop("MLFLOW_TRACKING_URI")
    if credentials.mlflow_is_given:
        environment["MLFLOW_AUTH_CONFIG_PATH"] = str(_write_auth_config(home))
        environment["MLFLOW_AUTH_ADMIN_USERNAME"] = credentials.mlflow_user
        environment["MLFLOW_AUTH_ADMIN_PASSWORD"] = credentials.mlflow_password
        # Signs forms; a new one with every start only asks a person to load a page again.
        environment["MLFLOW_FLASK_SERVER_SECRET_KEY"] = secrets.token_hex(32)
    return environment


def _list_mlflow_names(common: Mapping[str, str]) -> list[str]:
    """Return the names that MLflow's own variable adds; this program takes them over."""
    return [name for name in common.get("MLFLOW_SERVER_ALLOWED_HOSTS", "").split(",") if name]


def _write_auth_config(home: Path) -> Path:
    """Write what MLflow wants in a file; name and password stay in the environment."""
    path = home / "mlflow-auth.ini"
    # It is read by configparser, to which a single % is the beginning of a name.
    database = make_sqlite_url(home / "mlflow-auth.db").replace("%", "%%")
    path.write_text(
        f"[mlflow]\ndefault_permission = READ\ndatabase_uri = {database}\n",
        encoding="utf-8",
    )
    return path


def _run(program: str, *arguments: str) -> tuple[str, ...]:
    return tuple(make_module_command(program, *arguments))


def _list_arguments(request: NightRequest) -> list[str]:
    sources = [part for source in request.data for part in ("--data", source)]
    businesses = ["--businesses", request.businesses] if request.businesses else []
    return [*sources, *businesses, *_list_settings(request)]


def _list_settings(request: NightRequest) -> list[str]:
    config = ["--config", request.config] if request.config else []
    return [*config, *(part for override in request.overrides for part in ("--set", override))]


def _answers(url: str) -> Callable[[], bool]:
    def ask() -> bool:
        import httpx

        try:
            return _open_client().get(url).is_success
        except httpx.HTTPError:
            return False

    return ask


def _has_worker(places: Addresses, credentials: Credentials) -> Callable[[], bool]:
    """Return what asks Prefect whether our worker has come since now."""
    began = datetime.fromtimestamp(time.time(), UTC)
    url = f"{places.prefect}/api/work_pools/{POOL}/workers/filter"
    user, _, password = credentials.prefect.partition(":")

    def ask() -> bool:
        import httpx

        try:
            answer = _open_client().post(url, json={}, auth=(user, password)).raise_for_status()
            return any(
                worker["name"] == WORKER
                and datetime.fromisoformat(worker["last_heartbeat_time"]) > began
                for worker in answer.json()
            )
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            return False

    return ask


@cache
def _open_client() -> httpx.Client:
    """Return what asks the servers of this machine: by no proxy, and by a new connection each."""
    import httpx

    return httpx.Client(
        timeout=_ANSWER_SECONDS,
        trust_env=False,
        limits=httpx.Limits(max_keepalive_connections=0),
    )
