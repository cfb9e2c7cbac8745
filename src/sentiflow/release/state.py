"""Say who is champion, since when, and what stands in the way, from the ledger's events alone.

This module touches no service: events in, a release state out. The same events always give the
same state, so "what was live then?" is the same question about fewer events.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import reduce
from typing import Any, Final, Literal, get_args

from sentiflow.errors import GateNotEvaluated, UsageError
from sentiflow.release.identity import is_about, name_runs, read_run

Kind = Literal[
    "registered",
    "attested",
    "promoted",
    "rejected",
    "kept",
    "not_evaluated",
    "refused",
    "failed",
    "waiting",
    "rolled_back",
    "superseded",
    "hold",
    "released",
    "moved_outside",
    "adopted",
    "reverted",
]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
MAKES_CHAMPION: Final[frozenset[Kind]] = frozenset(
    {"promoted", "superseded", "adopted", "rolled_back"}
)
_LOOKS: Final[frozenset[Kind]] = frozenset({"promoted", "kept", "waiting"})


@dataclass(frozen=True, kw_only=True)
class NewEvent:
    """What is to be written down; the ledger adds model, sequence and time.

    Attributes:
        kind: what happened.
        actor: who did it.
        reason: why, in words.
        lineage: the lineage's digest, for the reader; None when it has none.
        from_version: the champion before.
        to_version: the version the event is about.
        decision: digest of the decision's JSON; None when no decision led to it.
        details: small JSON values; `night` (ISO date) and `paired` count looks, `version_run_id`
            says which model the number of `to_version` stands for.
    """

    kind: Kind
    actor: str
    reason: str = ""
    lineage: str | None = None
    from_version: int | None = None
    to_version: int | None = None
    decision: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Event(NewEvent):
    """What is written down.

    Attributes:
        model: the registered model's name.
        sequence: 1, 2, 3, … within the model, without a gap.
        time: when, UTC; never before the time of the event before it.
    """

    model: str
    sequence: int
    time: datetime


@dataclass(frozen=True)
class ReleaseState:
    """Where a model stands after some events; `ReleaseState()` is before the first.

    Attributes:
        sequence: the last event's sequence; 0 before the first.
        promotions: for each champion that a rollback can reach, oldest first, the event that
            put it there; the last one is the champion's.
        champion_event: the event since which the champion serves: its promotion, or the
            rollback to it.
        hold: the hold in force.
        waiting: the challenger that waits for a person.
        moved: the move outside the ledger that nobody has adopted or reverted yet.
        runs: by number, the MLflow run that made the version registered last under it.
    """

    sequence: int = 0
    promotions: tuple[Event, ...] = ()
    champion_event: Event | None = None
    hold: Event | None = None
    waiting: Event | None = None
    moved: Event | None = None
    runs: Mapping[int, str] = field(default_factory=dict)

    @property
    def champions(self) -> tuple[int, ...]:
        """The versions a rollback can reach and the champion, oldest first."""
        return tuple(_read_version(event) for event in self.promotions)

    @property
    def champion(self) -> int | None:
        """The version that serves, by the ledger; None before the first promotion."""
        return self.champions[-1] if self.promotions else None

    @property
    def champion_run(self) -> str | None:
        """The MLflow run that made the champion; None where the ledger does not say."""
        return read_run(self.promotions[-1]) if self.promotions else None

    def is_champion(self, number: int | None, run_id: str | None) -> bool:
        """Say whether this is the champion's version: its number may stand for another model."""
        if number is None or not self.promotions:
            return number is None and not self.promotions
        return is_about(self.promotions[-1], number, run_id)

    @property
    def previous_champion(self) -> int | None:
        """The version that a rollback goes back to; None when there is none."""
        return self.champions[-2] if len(self.promotions) > 1 else None

    @property
    def champion_decision(self) -> str | None:
        """Digest of the decision that promoted the champion, also after a rollback to it."""
        return self.promotions[-1].decision if self.promotions else None


def fold_events(events: Iterable[Event]) -> ReleaseState:
    """Return where a model stands after these events.

    - promoted, superseded and adopted put their version on top of the champions; one that is
      champion already stays, since when it was.
    - rolled_back to a version below takes away those above it; to one that never was champion
      (or was rolled back from) it replaces the champion.
    - waiting ends when that version, or a newer one, becomes champion, and when numbers that
      were given out already are given to other models.
    - moved_outside ends when it is adopted or reverted, or when any version is made champion.
    - registered, attested, rejected, kept, not_evaluated, refused and failed change nothing.

    Args:
        events: one model's events, by sequence.

    Raises:
        GateNotEvaluated: an event that makes a champion names no version.
    """
    return reduce(apply_event, name_runs(events), ReleaseState())


def fold_events_until(events: Iterable[Event], when: datetime) -> ReleaseState:
    """Return where a model stood at a moment: which version was live then, and why.

    Args:
        events: one model's events, by sequence.
        when: the moment, with a time zone; what happened at that very moment counts.

    Raises:
        UsageError: the moment has no time zone.
    """
    if when.tzinfo is None:
        raise UsageError(
            f"A moment in the history must have a time zone. Received: {when.isoformat()}."
        )
    return fold_events(event for event in events if event.time <= when)


def explain_block(state: ReleaseState) -> str | None:
    """Return why no version may be promoted without a person now, or None when one may."""
    sentences = []
    if (hold := state.hold) is not None:
        sentences.append(
            f"A hold is in force since {_format_time(hold.time)}, placed by {hold.actor}: "
            f"{hold.reason.rstrip('.')}. End it with sentiflow release-hold --reason …"
        )
    if (moved := state.moved) is not None:
        where = f"to version {moved.to_version}" if moved.to_version is not None else "away"
        sentences.append(
            f"The champion alias was moved {where} outside sentiflow (noticed "
            f"{_format_time(moved.time)}) and that is neither adopted nor reverted."
        )
    return " ".join(sentences) or None


def count_looks(events: Iterable[Event], lineage: str, night: date, nights: int) -> int:
    """Return how often a lineage's challengers were compared with its champion of late.

    Alpha is spent per look, so a night that is decided twice on new content counts twice.

    Args:
        events: one model's events.
        lineage: the lineage's digest.
        night: the last night that counts.
        nights: how many nights count, `night` included.

    Returns:
        Number of promoted, kept and waiting events whose details say `paired: true` and a
        `night` in (night − nights, night].
    """
    after = night - timedelta(days=nights)
    return sum(
        event.kind in _LOOKS
        and event.lineage == lineage
        and event.details.get("paired") is True
        and after < date.fromisoformat(event.details["night"]) <= night
        for event in events
    )


def list_crowned(events: Iterable[Event]) -> set[tuple[int, str | None]]:
    """Return number and run of every version that ever was champion; None: no run is known."""
    return {
        (event.to_version, read_run(event))
        for event in name_runs(events)
        if event.kind in MAKES_CHAMPION and event.to_version is not None
    }


def apply_event(state: ReleaseState, event: Event) -> ReleaseState:
    """Return where a model stands after one more event, whose run is named."""
    state = replace(state, sequence=event.sequence)
    match event.kind:
        case "promoted" | "superseded" | "adopted":
            return _make_champion(state, event, (*state.promotions, event))
        case "rolled_back":
            return _make_champion(state, event, _roll_back(state, event))
        case "hold":
            return replace(state, hold=event)
        case "released":
            return replace(state, hold=None)
        case "waiting":
            return replace(state, waiting=event)
        case "registered":
            return _register(state, event)
        case "moved_outside":
            return replace(state, moved=event)
        case "reverted":
            return replace(state, moved=None)
        case _:
            return state


def _make_champion(
    state: ReleaseState, event: Event, promotions: tuple[Event, ...]
) -> ReleaseState:
    version = _read_version(event)
    waiting = state.waiting
    if waiting is not None and version >= _read_version(waiting):
        waiting = None
    if state.is_champion(version, read_run(event) or state.champion_run):
        return replace(state, waiting=waiting, moved=None)
    return replace(state, promotions=promotions, champion_event=event, waiting=waiting, moved=None)


def _register(state: ReleaseState, event: Event) -> ReleaseState:
    """Note which run made the version; a number given out again means that all were deleted."""
    number, run = event.to_version, read_run(event)
    if number is None or run is None:
        return state
    waiting = state.waiting
    is_anew = state.runs.get(number, run) != run
    if is_anew and waiting is not None and number <= _read_version(waiting):
        waiting = None
    return replace(state, runs={**state.runs, number: run}, waiting=waiting)


def _roll_back(state: ReleaseState, event: Event) -> tuple[Event, ...]:
    version, run = _read_version(event), read_run(event)
    for height in range(len(state.promotions), 0, -1):
        if is_about(state.promotions[height - 1], version, run):
            return state.promotions[:height]
    return (*state.promotions[:-1], event)


def _read_version(event: Event) -> int:
    if event.to_version is None:
        raise GateNotEvaluated(
            f"An event that is {event.kind} must name a version. Received: sequence="
            f"{event.sequence} of {event.model} without one. Was the ledger edited by hand?"
        )
    return event.to_version


def _format_time(time: datetime) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC")
