"""What an operator's Prefect needs: end dead runs, collapse missed nights, tell of late ones."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID

import httpx
from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowFilter, FlowRunFilter
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound, PrefectException
from prefect.settings import get_current_settings
from prefect.states import Cancelled, Crashed
from pydantic import Field

from flows.notices import find_prefect_url, send, tell_cut_off
from sentiflow.operations.notices import compose_late
from sentiflow.operations.request import NightRequest
from sentiflow.operations.sweep import sweep
from sentiflow.settings import Settings, find_home, load_settings, prepare_environment

logger = logging.getLogger(__name__)

# A tag on the run itself, so that whichever machine looks next knows it.
TOLD_TAG: Final = "told-late"
_PAGE: Final = 200
# Between a night's start and its lease lie the imports and one question to Prefect: seconds.
_MOST_OPENING: Final = timedelta(minutes=5)
_SILENT: Final = (httpx.HTTPError, PrefectException, OSError, RuntimeError)


@dataclass(frozen=True)
class WaitingRun:
    """A run of Prefect that has not started.

    Attributes:
        id: Prefect's id of the flow run.
        name: its name.
        state: the name of its state: Scheduled, Late, Pending, …
        expected: when it should start.
    """

    id: str
    name: str
    state: str
    expected: datetime


@dataclass(frozen=True)
class LateRun:
    """A run that should have started long ago, and why it may not have.

    Attributes:
        run: the run.
        minutes: how late it is.
        reason: one sentence.
    """

    run: WaitingRun
    minutes: float
    reason: str


@flow(name="maintenance", log_prints=False)
def maintenance(
    config: str | None = Field(None, description="A preset's name or a TOML file."),
    overrides: tuple[str, ...] = Field((), description="group.key=value, later ones win."),
) -> list[str]:
    """Tell of nights that did not start, and close what dead ones left; say what was done."""
    home = find_home()
    prepare_environment(home)
    settings = load_settings(config, overrides)
    # First, because the sweep needs MLflow and the ledger, which may be what is down.
    done = tell_late(settings)
    tell = partial(tell_cut_off, NightRequest(config=config, overrides=overrides))
    done += sweep(home, settings, close_flow_runs, tell_cut_off=tell)
    create_markdown_artifact(
        key="maintenance",
        markdown="\n".join(f"- {sentence}" for sentence in done) or "Nothing was to be done.",
        description=f"{len(done)} things done",
    )
    return done


def tell_late(settings: Settings) -> list[str]:
    """Send a notice for every night that did not start in time, once; return the reasons."""
    with get_client(sync_client=True) as client:
        waiting = [
            run
            for run in _read_runs(client, "retrain", [StateType.SCHEDULED, StateType.PENDING])
            if run.start_time is None and TOLD_TAG not in run.tags
        ]
        late = find_late(
            [_describe(run) for run in waiting], datetime.now(UTC), settings.schedule.late_minutes
        )
        if not late:
            return []
        server = find_prefect_url()
        notices = [compose_late(found.reason, found.run.id, settings, server) for found in late]
        if send(notices, settings.notices):
            # What did not go out is told again next time.
            return [found.reason for found in late]
        tags = {str(run.id): run.tags for run in waiting}
        for found in late:
            client.update_flow_run(UUID(found.run.id), tags=[*tags[found.run.id], TOLD_TAG])
    return [found.reason for found in late]


def find_late(
    runs: Sequence[WaitingRun], now: datetime, late_minutes: float
) -> tuple[LateRun, ...]:
    """Return the runs that should have started more than `late_minutes` ago, with a reason each.

    Args:
        runs: runs that have not started.
        now: the time, with a zone.
        late_minutes: schedule.late_minutes.
    """
    late = []
    for run in sorted(runs, key=lambda run: run.expected):
        waited = now - run.expected
        if waited <= timedelta(minutes=late_minutes):
            continue
        minutes = waited.total_seconds() / 60
        if run.state == "Pending":
            why = "A worker took it, but it did not start: see the worker's log."
        elif run.state == "AwaitingConcurrencySlot":
            why = "It waits for another run to end."
        else:
            why = "No worker took it: is one running for its work pool?"
        reason = (
            f"Night {run.name} should have started at "
            f"{run.expected.astimezone(UTC):%Y-%m-%d %H:%M} UTC, {minutes:.0f} minutes ago. {why}"
        )
        late.append(LateRun(run, minutes, reason))
    return tuple(late)


def close_flow_runs(ids: Sequence[str], living: Sequence[str] = ()) -> list[str]:
    """End runs of dead processes as Crashed, and return the ids of those that were ended.

    A run that is unknown, or final already, is left alone. An API that does not answer ends
    nothing and raises nothing: whoever sweeps next tries again.

    Args:
        ids: runs that are known to be dead.
        living: runs of nights that live. Without a server of its own Prefect's database is the
            home's, and so are all nights in it: those that neither live nor have just begun
            are dead too. On a server they may be other people's; there heartbeats tell.
    """
    closed: list[str] = []
    with _forgiving("close runs"), get_client(sync_client=True) as client:
        dead = [*ids]
        if get_current_settings().api.url is None:
            nights = _read_runs(client, "retrain", [StateType.RUNNING])
            started = [(str(run.id), run.start_time) for run in nights]
            dead += find_lost(started, living, datetime.now(UTC))
        for id_ in dead:
            run = _find_run(client, id_)
            if run is None or (run.state is not None and run.state.is_final()):
                continue
            ending: Any = Crashed(message="Its process is gone; sentiflow closed it.")
            client.set_flow_run_state(run.id, ending, force=True)
            closed.append(id_)
    return closed


def find_lost(
    running: Sequence[tuple[str, datetime | None]], living: Sequence[str], now: datetime
) -> list[str]:
    """Return the running nights that hold no lease, though they had the time to take one.

    Args:
        running: id and start of each.
        living: ids of those that hold a lease.
        now: the time, with a zone.
    """
    return [
        id_
        for id_, started in running
        if id_ not in living and started is not None and now - started > _MOST_OPENING
    ]


def list_unfinished(flow_name: str) -> list[str]:
    """Return the ids of the runs of a flow that run now, or should already."""
    states = [StateType.RUNNING, StateType.PENDING, StateType.SCHEDULED]
    now = datetime.now(UTC)
    with get_client(sync_client=True) as client:
        return [
            str(run.id)
            for run in _read_runs(client, flow_name, states)
            if run.expected_start_time is None or run.expected_start_time <= now
        ]


def collapse_missed(flow_run_id: str | None) -> list[str]:
    """Cancel what the schedule of this run's deployment still has waiting from the past.

    Nights that were missed while nothing ran become one: the one that runs now. Runs that a
    person asked for, and those of the future, are left alone; so is everything when the run
    belongs to no deployment or the API does not answer.

    Returns:
        The ids of the runs that were cancelled.
    """
    cancelled: list[str] = []
    if flow_run_id is None:
        return cancelled
    with _forgiving("collapse missed nights"), get_client(sync_client=True) as client:
        this = _find_run(client, flow_run_id)
        if this is None or this.deployment_id is None:
            return cancelled
        now = datetime.now(UTC)
        for run in _read_runs(client, None, [StateType.SCHEDULED], this.deployment_id):
            is_missed = run.expected_start_time is not None and run.expected_start_time <= now
            if run.id != this.id and run.auto_scheduled and run.start_time is None and is_missed:
                ending: Any = Cancelled(message=f"Missed; run {this.name} catches up for it.")
                client.set_flow_run_state(run.id, ending)
                cancelled.append(str(run.id))
    return cancelled


def _read_runs(
    client: SyncPrefectClient,
    flow_name: str | None,
    states: Sequence[StateType],
    deployment_id: UUID | None = None,
) -> list[FlowRun]:
    chosen: dict[str, Any] = {"state": {"type": {"any_": list(states)}}}
    if deployment_id is not None:
        chosen["deployment_id"] = {"any_": [deployment_id]}
    flows = FlowFilter.model_validate({"name": {"any_": [flow_name]}}) if flow_name else None
    found: list[FlowRun] = []
    while True:
        page = client.read_flow_runs(
            flow_filter=flows,
            flow_run_filter=FlowRunFilter.model_validate(chosen),
            sort=FlowRunSort.EXPECTED_START_TIME_ASC,
            limit=_PAGE,
            offset=len(found),
        )
        found += page
        if len(page) < _PAGE:
            # All pages first: what is done to a run must not move the next page.
            return found


def _find_run(client: SyncPrefectClient, id_: str) -> FlowRun | None:
    try:
        return client.read_flow_run(UUID(id_))
    except (ObjectNotFound, ValueError):
        return None


def _describe(run: FlowRun) -> WaitingRun:
    state = run.state.name if run.state is not None and run.state.name else "Scheduled"
    expected = run.expected_start_time or run.created or datetime.now(UTC)
    return WaitingRun(str(run.id), run.name, state, expected)


@contextmanager
def _forgiving(what: str) -> Iterator[None]:
    try:
        yield
    except _SILENT as error:
        logger.warning("Prefect did not answer, so it could not %s: %s", what, type(error).__name__)
