"""Keep the servers of one machine: start them, say where they are, end them together."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from sentiflow.errors import SentiflowError, UsageError
from sentiflow.files import use_scratch
from sentiflow.night.night import check_request, describe_request_lineage, read_settings
from sentiflow.night.request import NightRequest
from sentiflow.processes import name_this_process
from sentiflow.servers.addresses import Addresses, Credentials, choose_addresses, read_credentials
from sentiflow.servers.databases import Databases, make_databases, name_databases
from sentiflow.servers.programs import plan_programs
from sentiflow.servers.supervisor import Supervisor
from sentiflow.settings import (
    RunningServers,
    Settings,
    forget_running_servers,
    resolve_ledger_url,
    save_running_servers,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class UpRequest:
    """What `sentiflow up` is asked for.

    Attributes:
        request: what every night does.
        first_night: start one at once if the model has had none.
        database: PostgreSQL's address, or None for SQLite in the home.
    """

    request: NightRequest
    first_night: bool = False
    database: str | None = None


def keep_servers(
    requested: UpRequest, home: Path, announce: Callable[[RunningServers], None], stop: Event
) -> None:
    """Run Prefect, MLflow, a worker and the prediction service until told to stop.

    Args:
        requested: what is asked for.
        home: SENTIFLOW_HOME.
        announce: called once, when everything is healthy.
        stop: ends it when it is set.

    Raises:
        UsageError: it cannot be met: settings, sources, a port, a second `up`.
        ProgramFailed: a server did not start. None is left.
        LedgerUnreachable: the ledger's file is none.
        SentiflowError: the machine does not let it: no room on the disk, no memory, no rights.
    """
    settings = _check(requested)
    with _explain_machine(home), _claim(home), use_scratch(home):
        if not requested.database:
            _read_ledger(settings, home)
        credentials = read_credentials(home)
        addresses = choose_addresses(settings, credentials)
        databases = name_databases(requested.database) if requested.database else None
        if databases is not None:
            make_databases(databases)
        programs = plan_programs(
            settings,
            requested.request,
            requested.first_night,
            home,
            addresses,
            credentials,
            databases,
        )
        with Supervisor(programs, home / "logs") as supervisor:
            if not supervisor.start(settings.servers.start_seconds, stop):
                return
            took = ", ".join(f"{name} {took:.0f} s" for name, took in supervisor.seconds.items())
            logger.info("healthy: %s", took)
            servers = _describe(addresses, credentials, databases)
            save_running_servers(home, servers)
            try:
                announce(servers)
                supervisor.watch(stop)
            finally:
                forget_running_servers(home)


def _check(requested: UpRequest) -> Settings:
    """Return the settings, with the name of the model that nights make and predictions serve."""
    check_request(requested.request)
    settings = read_settings(requested.request)
    if settings.tracking.uri:
        raise UsageError(
            "sentiflow up runs an MLflow of its own. Received: tracking.uri. Leave it out, or run "
            "a worker beside the servers you have: see docs/operations.md."
        )
    if requested.database and settings.ledger.url:
        raise UsageError(
            "The ledger can be in one database only. Received: --database and ledger.url. "
            "Leave one out."
        )
    name = describe_request_lineage(requested.request, settings).name
    return settings.model_copy(update={"model": settings.model.model_copy(update={"name": name})})


def _read_ledger(settings: Settings, home: Path) -> None:
    """Make sure that the ledger has an address, and that one in a file can be read.

    One behind a server may only be away, and is waited for by whoever asks it.
    """
    from sentiflow.release.ledger import Ledger

    url = resolve_ledger_url(settings.ledger, home)
    ledger = Ledger(url, may_create=False)
    if url.startswith("sqlite"):
        ledger.list_models()


@contextmanager
def _explain_machine(home: Path) -> Iterator[None]:
    """Turn an OSError (disk, memory, rights) into one line that says what `up` needs."""
    try:
        yield
    except OSError as error:
        raise SentiflowError(
            f"sentiflow up must be able to write below {home} and to start programs. Received: "
            f"{error}. Mend that (room, memory, rights) and start again."
        ) from error


@contextmanager
def _claim(home: Path) -> Iterator[None]:
    """Hold the home for this process; the claim ends with it, however it ends.

    Raises:
        UsageError: another process holds it.
    """
    handle = os.open(home / "up.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(handle, 100).decode("ascii", "replace").strip()
        os.close(handle)
        raise UsageError(
            f"A home has one sentiflow up at a time. Received: process {holder} runs one on "
            f"{home}. Stop it, or set SENTIFLOW_HOME to another."
        ) from None
    try:
        os.truncate(handle, 0)
        os.write(handle, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(handle)


def _describe(
    addresses: Addresses, credentials: Credentials, databases: Databases | None
) -> RunningServers:
    return RunningServers(
        prefect_url=addresses.prefect,
        prefect_api_url=f"{addresses.prefect}/api",
        mlflow_url=addresses.mlflow,
        predictions_url=addresses.predictions,
        ledger_url=databases.shown_ledger if databases else None,
        process=name_this_process(),
        prefect_is_given=credentials.prefect_is_given,
        mlflow_is_given=credentials.mlflow_is_given,
    )
