"""Say which nights are late, and why: from values that Prefect's runs gave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

# A place is taken before the run starts; a container may have to be fetched between.
_MOST_STARTING: Final = timedelta(minutes=30)


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


def select_late(
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
            f"Night {run.name} should have started at {_format_time(run.expected)}, "
            f"{minutes:.0f} minutes ago. {why}"
        )
        late.append(LateRun(run, minutes, reason))
    return tuple(late)


def select_displaced(
    runs: Sequence[DisplacedRun], holding: Sequence[HoldingRun], now: datetime
) -> tuple[LateRun, ...]:
    """Return the nights that were cancelled for want of a place and that no run made up for.

    A night is caught up for by a run of the schedule that started after it was due: of several
    that were missed the first takes the place, and the others are nothing to be told of.

    Args:
        runs: nights that were cancelled because their deployment's place was taken.
        holding: the runs that may have had it.
        now: the time, with a zone.
    """
    late = []
    for one in sorted(runs, key=lambda one: one.run.expected):
        holder = _select_holder(one, holding)
        if holder and holder.is_scheduled and holder.since >= one.run.expected:
            continue
        if holder is None:
            why = "another run of the deployment held its place. Is that one still at work?"
        elif holder.until is None:
            why = (
                f"run {holder.name} has held its place since {_format_time(holder.since)}. Is it "
                "still at work? If it hangs, cancel it in Prefect; then start the night by hand."
            )
        else:
            why = (
                f"run {holder.name} held its place from {_format_time(holder.since)} to "
                f"{_format_time(holder.until)}. Start the night by hand."
            )
        reason = f"Night {one.run.name} of {_format_time(one.run.expected)} did not start: {why}"
        late.append(LateRun(one.run, (now - one.run.expected).total_seconds() / 60, reason))
    return tuple(late)


def _select_holder(run: DisplacedRun, holding: Sequence[HoldingRun]) -> HoldingRun | None:
    fitting = [
        holder
        for holder in holding
        if holder.deployment == run.deployment
        and holder.since <= run.cancelled + _MOST_STARTING
        and (holder.until is None or holder.until >= run.cancelled)
    ]
    return min(fitting, key=lambda holder: holder.since, default=None)


def _format_time(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
