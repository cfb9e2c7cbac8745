"""Open a night step by step; closing.py says what it became."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from sentiflow.errors import NightRefused
from sentiflow.files import use_scratch
from sentiflow.night.closing import OnClose, attempt, close_night, close_unopened, end_by_error
from sentiflow.night.crashes import TellCrash, record_crash
from sentiflow.night.interrupts import HeldInterrupts
from sentiflow.night.lease import HeldLease, hold_lease
from sentiflow.night.night import (
    Night,
    choose_date,
    describe_request_lineage,
    read_settings,
    shorten_reason,
)
from sentiflow.night.orphans import CloseFlowRuns, sweep
from sentiflow.night.refusals import refuse_incomparable
from sentiflow.night.request import NightRequest
from sentiflow.release.lineage import Lineage
from sentiflow.release.state import NewEvent, ReleaseState
from sentiflow.retries import RetryPolicy
from sentiflow.settings import (
    Settings,
    describe_settings,
    flatten_settings,
    prepare_environment,
    read_actor,
    resolve_ledger_url,
    resolve_tracking_uri,
)

if TYPE_CHECKING:
    from sentiflow.release.alias import Reconciled
    from sentiflow.release.ledger import Ledger
    from sentiflow.release.registry import Registry
    from sentiflow.tracking import Run

logger = logging.getLogger(__name__)


@contextmanager
def open_night(
    request: NightRequest,
    home: Path,
    flow_run_id: str | None,
    on_close: OnClose | None = None,
    close_flow_runs: CloseFlowRuns | None = None,
    tell_crash: TellCrash | None = None,
    check_asked: Callable[[], object] | None = None,
    actor: str | None = None,
) -> Iterator[Night]:
    """Open a night under its lease, with its MLflow run; close all when the block ends.

    What dead nights left is swept up first.

    Args:
        request: what is asked for.
        home: SENTIFLOW_HOME.
        flow_run_id: Prefect's id of the flow run; names the night's record.
        on_close: called with the finished record, whatever the night became.
        close_flow_runs: ends flow runs whose processes are gone; see `sweep`.
        tell_crash: told the record of each night that crashed before.
        check_asked: raises what forbids the request, before anything is done for it.
        actor: who started it, for the ledger; None: whoever runs this process.

    Yields:
        The night. An error ends it as rejected (DataRejected) or failed, with its record
        written, and is raised again.

    Raises:
        UsageError: the settings are wrong or differ from the lineage's.
        NightRefused: another night of the model is running.
        LedgerUnreachable, RegistryUnreachable: no lease, or no run, can be had.
    """
    with HeldInterrupts() as interrupts, ExitStack() as parts:
        try:
            prepare_environment(home)
            parts.enter_context(use_scratch(home))
            if check_asked:
                check_asked()
            asked = _read_request(request, home, flow_run_id, actor)
            lease = _take_lease(asked, parts)
            # Before anything else is asked: it may be what is away.
            record_crash(home, asked.ledger, lease.dead, tell_crash)
            # What a crash left between ledger and alias is mended before anything is compared.
            reconciled = _reconcile(asked)
            # MLflow is loaded once the environment is prepared.
            from sentiflow.tracking_server import check_artifacts, check_server

            check_server(asked.uri, asked.patience)
            refuse_incomparable(asked.request, asked.lineage, asked.registry, reconciled.events)
            # After the registry was waited for: a sweep asks MLflow once.
            swept = sweep(home, asked.settings, close_flow_runs, lease, tell_crash)
            run = parts.enter_context(_track_run(asked))
            lease.note(run_id=run.id, run_path=run.path)
            check_artifacts(run, describe_settings(asked.settings))
            night = _begin(asked, run, lease, reconciled.state, swept)
        except Exception as error:
            close_unopened(request, home, flow_run_id, on_close, error, actor or read_actor())
            raise
        try:
            yield night
        except BaseException as error:
            if not end_by_error(night, error):
                raise
        finally:
            interrupts.hold()
            close_night(night, on_close)


@dataclass(frozen=True)
class _Asked:
    """What is asked of a night, read once, and where it finds releases.

    Attributes:
        request: with its date set: midnight may come while the night waits for MLflow.
        date: the night's date.
        home: SENTIFLOW_HOME.
        flow_run_id: Prefect's id of the flow run.
        actor: who started it.
        settings: all settings.
        lineage: what its model may be compared with.
        uri: MLflow's address.
        patience: how long MLflow is waited for; one for all that the night asks.
        registry: the model registry.
        ledger: the release ledger.
    """

    request: NightRequest
    date: date
    home: Path
    flow_run_id: str | None
    actor: str
    settings: Settings
    lineage: Lineage
    uri: str
    patience: RetryPolicy
    registry: Registry
    ledger: Ledger


def _read_request(
    request: NightRequest, home: Path, flow_run_id: str | None, actor: str | None
) -> _Asked:
    from sentiflow.release.ledger import Ledger
    from sentiflow.release.registry import Registry

    settings = read_settings(request)
    night_date = choose_date(request, settings)
    uri = resolve_tracking_uri(settings.tracking, home)
    patience = RetryPolicy(settings.tracking.patience_seconds)
    return _Asked(
        request=request.model_copy(update={"as_of": night_date}),
        date=night_date,
        home=home,
        flow_run_id=flow_run_id,
        actor=actor or read_actor(),
        settings=settings,
        lineage=describe_request_lineage(request, settings),
        uri=uri,
        patience=patience,
        registry=Registry(uri, patience),
        ledger=Ledger(resolve_ledger_url(settings.ledger, home)),
    )


def _take_lease(asked: _Asked, parts: ExitStack) -> HeldLease:
    """Take the model's lease until `parts` end; that it is refused is in the ledger."""
    from sentiflow.release.leases import name_night

    settings, model = asked.settings, asked.lineage.name
    details = {"night": asked.date.isoformat(), "flow_run_id": asked.flow_run_id}
    url = resolve_ledger_url(settings.ledger, asked.home)
    try:
        return parts.enter_context(
            hold_lease(url, name_night(model), read_actor(), settings.lease, details)
        )
    except NightRefused as error:
        refused = NewEvent(
            kind="refused",
            actor=asked.actor,
            reason=shorten_reason(str(error)),
            lineage=asked.lineage.digest,
            details={"night": asked.date.isoformat()},
        )
        attempt(
            "The refusal is not in the ledger",
            lambda: asked.ledger.append_decided(model, lambda _: [refused]),
        )
        raise


def _reconcile(asked: _Asked) -> Reconciled:
    from sentiflow.release.alias import reconcile

    return reconcile(
        asked.registry,
        asked.ledger,
        asked.lineage.name,
        read_actor(),
        may_begin_anew=asked.request.supersede,
    )


def _track_run(asked: _Asked) -> AbstractContextManager[Run]:
    from sentiflow.tracking import track_run

    lineage = asked.lineage
    return track_run(
        asked.uri,
        asked.settings.tracking.experiment,
        asked.home / "mlartifacts" if asked.uri.startswith("sqlite") else None,
        f"{lineage.name} {asked.date}",
        {
            **lineage.as_tags(),
            "sentiflow.model": lineage.name,
            "sentiflow.night": asked.date.isoformat(),
            "sentiflow.prefect_flow_run_id": asked.flow_run_id or "",
        },
        asked.patience,
    )


def _begin(
    asked: _Asked, run: Run, lease: HeldLease, state: ReleaseState, swept: list[str]
) -> Night:
    """Return the night, its record begun with what was found."""
    night = Night(
        asked.request, asked.settings, asked.lineage, asked.date, asked.home, run,
        asked.registry, asked.ledger, lease, asked.actor,
    )  # fmt: skip
    # As it stands, not as it was noticed: every night says so until it is settled.
    night.note_state(state)
    night.note(
        mlflow_run_id=run.id,
        mlflow_run_path=run.path,
        prefect_flow_run_id=asked.flow_run_id,
        swept=swept,
    )
    logger.info("night %s of %s, MLflow run %s", night.date, night.lineage.name, run.id)
    run.log_parameters(flatten_settings(describe_settings(asked.settings)))
    return night
