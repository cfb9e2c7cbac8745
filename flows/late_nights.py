"""Tell of nights that did not start: they leave no record, so nobody else would."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, StateType

from flows.notices import find_prefect_url, send
from flows.runs import read_runs
from sentiflow.notices.messages import compose_late
from sentiflow.settings import Settings

# A tag on the run itself, so that whichever machine looks next knows it.
TOLD_TAG: Final = "told-late"
# Prefect has two such messages: at a night's start, and when its place was lost meanwhile.
_DISPLACED: Final = "Deployment concurrency "
_REMEMBERED: Final = timedelta(days=1)
# A place is taken before the run starts; a container may have to be fetched between.
_MOST_STARTING: Final = timedelta(minutes=30)
_AT_WORK: Final = (StateType.PENDING, StateType.RUNNING, StateType.CANCELLING)
_FINAL: Final = (StateType.COMPLETED, StateType.FAILED, StateType.CRASHED, StateType.CANCELLED)


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
class DisplacedRun:
    """A run of the schedule that was cancelled because another held the deployment's one place.

    Attributes:
        run: the run.
        deployment: Prefect's id of its deployment.
        cancelled: when.
    """

    run: WaitingRun
    deployment: str
    cancelled: datetime


@dataclass(frozen=True)
class HoldingRun:
    """A run that holds its deployment's one place, or did.

    Attributes:
        name: its name.
        deployment: Prefect's id of its deployment.
        since: its start.
        until: its end; None while it is at work.
        is_scheduled: whether the schedule made it, not a person.
    """

    name: str
    deployment: str
    since: datetime
    until: datetime | None
    is_scheduled: bool


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


def tell_late(settings: Settings) -> list[str]:
    """Send a notice for every night that did not start in time, once; return the reasons."""
    now = datetime.now(UTC)
    with get_client(sync_client=True) as client:
        waiting = [
            run
            for run in read_runs(client, "retrain", [StateType.SCHEDULED, StateType.PENDING])
            if run.start_time is None and TOLD_TAG not in run.tags
        ]
        ended = read_runs(client, "retrain", _FINAL, ended_after=now - _REMEMBERED)
        displaced = [
            run
            for run in ended
            if _is_displaced(run) and run.auto_scheduled and TOLD_TAG not in run.tags
        ]
        at_work = read_runs(client, "retrain", _AT_WORK) if displaced else []
        late = (
            *find_late([_describe(run) for run in waiting], now, settings.schedule.late_minutes),
            *find_displaced(
                [_describe_displaced(run) for run in displaced],
                [_describe_holding(run) for run in (*ended, *at_work) if _held_place(run)],
                now,
            ),
        )
        if not late:
            return []
        server = find_prefect_url()
        notices = [compose_late(found.reason, found.run.id, settings, server) for found in late]
        if send(notices, settings.notices):
            # What did not go out is told again next time.
            return [found.reason for found in late]
        tags = {str(run.id): run.tags for run in (*waiting, *displaced)}
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
            f"Night {run.name} should have started at {_write_time(run.expected)}, "
            f"{minutes:.0f} minutes ago. {why}"
        )
        late.append(LateRun(run, minutes, reason))
    return tuple(late)


def find_displaced(
    runs: Sequence[DisplacedRun], holding: Sequence[HoldingRun], now: datetime
) -> tuple[LateRun, ...]:
    """Return the cancelled nights whose work nobody did, with who held their place.

    A night is caught up for by a run of the schedule that started after it was due: of several
    that were missed the first takes the place, and the others are nothing to be told of.

    Args:
        runs: nights that were cancelled because their deployment's place was taken.
        holding: the runs that may have had it.
        now: the time, with a zone.
    """
    late = []
    for one in sorted(runs, key=lambda one: one.run.expected):
        holder = _find_holder(one, holding)
        if holder and holder.is_scheduled and holder.since >= one.run.expected:
            continue
        if holder is None:
            why = "another run of the deployment held its place. Is that one still at work?"
        elif holder.until is None:
            why = (
                f"run {holder.name} has held its place since {_write_time(holder.since)}. Is it "
                "still at work? If it hangs, cancel it in Prefect; then start the night by hand."
            )
        else:
            why = (
                f"run {holder.name} held its place from {_write_time(holder.since)} to "
                f"{_write_time(holder.until)}. Start the night by hand."
            )
        reason = f"Night {one.run.name} of {_write_time(one.run.expected)} did not start: {why}"
        late.append(LateRun(one.run, (now - one.run.expected).total_seconds() / 60, reason))
    return tuple(late)


def _find_holder(run: DisplacedRun, holding: Sequence[HoldingRun]) -> HoldingRun | None:
    fitting = [
        holder
        for holder in holding
        if holder.deployment == run.deployment
        and holder.since <= run.cancelled + _MOST_STARTING
        and (holder.until is None or holder.until >= run.cancelled)
    ]
    return min(fitting, key=lambda holder: holder.since, default=None)


def _describe(run: FlowRun) -> WaitingRun:
    state = run.state.name if run.state is not None and run.state.name else "Scheduled"
    expected = run.expected_start_time or run.created or datetime.now(UTC)
    return WaitingRun(str(run.id), run.name, state, expected)


def _is_displaced(run: FlowRun) -> bool:
    state = run.state
    if state is None or state.type != StateType.CANCELLED:
        return False
    return (state.message or "").startswith(_DISPLACED)


def _describe_displaced(run: FlowRun) -> DisplacedRun:
    cancelled = run.end_time or datetime.now(UTC)
    return DisplacedRun(_describe(run), str(run.deployment_id), cancelled)


def _held_place(run: FlowRun) -> bool:
    # Prefect writes the end as the start too of a run that ended before it started.
    return run.start_time is None or run.start_time != run.end_time


def _describe_holding(run: FlowRun) -> HoldingRun:
    since = run.start_time or (run.state.timestamp if run.state else datetime.now(UTC))
    return HoldingRun(run.name, str(run.deployment_id), since, run.end_time, run.auto_scheduled)


def _write_time(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
