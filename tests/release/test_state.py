"""The fold of the ledger's events: golden histories, and what holds for any history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentiflow.errors import GateNotEvaluated, UsageError
from sentiflow.release.state import (
    KINDS,
    MAKES_CHAMPION,
    Event,
    Kind,
    ReleaseState,
    count_looks,
    explain_block,
    fold_events,
    fold_events_until,
)

START = datetime(2026, 1, 1, 3, 0, tzinfo=UTC)


def make_events(*steps: tuple[Kind, int | None]) -> tuple[Event, ...]:
    """One event a day from 2026-01-01, as (kind, version)."""
    return tuple(
        Event(
            model="m", sequence=number, time=START + timedelta(days=number - 1), kind=kind,
            actor="anna@host", reason=f"because of {number}", to_version=version,
            decision=f"digest-{number}" if kind == "promoted" else None,
        )
        for number, (kind, version) in enumerate(steps, start=1)
    )  # fmt: skip


def test_before_the_first_event_there_is_no_champion() -> None:
    assert fold_events([]) == ReleaseState()
    assert ReleaseState().sequence == 0
    assert ReleaseState().champion is None
    assert ReleaseState().previous_champion is None
    assert ReleaseState().champion_decision is None


@pytest.mark.parametrize(
    ("steps", "champions"),
    [
        ([("promoted", 1)], (1,)),
        ([("promoted", 1), ("promoted", 2), ("promoted", 3)], (1, 2, 3)),
        ([("promoted", 1), ("promoted", 1)], (1,)),
        ([("promoted", 1), ("superseded", 2), ("adopted", 3)], (1, 2, 3)),
        ([("promoted", 1), ("promoted", 2), ("promoted", 1)], (1, 2, 1)),
        ([("promoted", 1), ("promoted", 2), ("promoted", 3), ("rolled_back", 2)], (1, 2)),
        (
            [
                ("promoted", 1), ("promoted", 2), ("promoted", 3),
                ("rolled_back", 2), ("rolled_back", 1),
            ],
            (1,),
        ),
        ([("promoted", 1), ("promoted", 2), ("promoted", 3), ("rolled_back", 1)], (1,)),
        ([("promoted", 1), ("promoted", 2), ("rolled_back", 7)], (1, 7)),
        ([("promoted", 1), ("rolled_back", 7)], (7,)),
        ([("promoted", 1), ("promoted", 2), ("promoted", 1), ("rolled_back", 2)], (1, 2)),
        ([("promoted", 1), ("rolled_back", 1)], (1,)),
        ([("promoted", 1), ("promoted", 2), ("rolled_back", 1), ("promoted", 3)], (1, 3)),
        ([("registered", 1), ("rejected", 1), ("kept", 2), ("not_evaluated", 3)], ()),
        ([("promoted", 1), ("moved_outside", 9), ("hold", 1), ("waiting", 9)], (1,)),
    ],
)  # fmt: skip
def test_the_champions_a_rollback_can_reach(
    steps: list[tuple[Kind, int | None]], champions: tuple[int, ...]
) -> None:
    state = fold_events(make_events(*steps))
    assert state.champions == champions
    assert state.champion == (champions[-1] if champions else None)
    assert state.previous_champion == (champions[-2] if len(champions) > 1 else None)
    assert state.sequence == len(steps)


def test_a_champion_promoted_again_serves_since_its_first_promotion() -> None:
    events = make_events(("promoted", 1), ("promoted", 2), ("promoted", 2))
    state = fold_events(events)
    assert state.champion_event == events[1]
    assert state.champion_decision == "digest-2"


def test_after_a_rollback_it_serves_since_the_rollback_by_its_old_decision() -> None:
    events = make_events(("promoted", 1), ("promoted", 2), ("rolled_back", 1))
    state = fold_events(events)
    assert state.champion_event == events[2]
    assert state.champion_decision == "digest-1"


def test_a_hold_lasts_until_it_is_released() -> None:
    events = make_events(("promoted", 1), ("hold", 1), ("kept", 2), ("promoted", 2), ("hold", 2))
    assert fold_events(events[:4]).hold == events[1], "a promotion by hand does not end a hold"
    assert fold_events(events).hold == events[4]
    assert fold_events((*events, *make_events(("released", None)))).hold is None


@pytest.mark.parametrize(
    ("step", "still_waits"),
    [
        (("promoted", 5), False), (("promoted", 6), False), (("promoted", 4), True),
        (("superseded", 6), False), (("rolled_back", 1), True), (("rejected", 5), True),
        (("kept", 6), True), (("adopted", 5), False),
    ],
)  # fmt: skip
def test_a_challenger_waits_until_it_or_a_newer_one_is_champion(
    step: tuple[Kind, int], still_waits: bool
) -> None:
    events = make_events(("promoted", 1), ("promoted", 2), ("waiting", 5), step)
    assert (fold_events(events).waiting is not None) == still_waits


def test_a_champion_made_champion_again_leaves_the_newer_one_waiting() -> None:
    state = fold_events(make_events(("promoted", 1), ("waiting", 2), ("promoted", 1)))
    assert state.waiting is not None
    assert state.waiting.to_version == 2
    older = fold_events(make_events(("promoted", 2), ("waiting", 1), ("promoted", 2)))
    assert older.waiting is None


def test_the_newest_waiting_challenger_replaces_the_older() -> None:
    waiting = fold_events(make_events(("waiting", 5), ("waiting", 6))).waiting
    assert waiting is not None
    assert waiting.to_version == 6


@pytest.mark.parametrize("kind", KINDS)
def test_a_move_outside_is_open_until_a_person_settles_it(kind: Kind) -> None:
    settles = {"adopted", "reverted", "promoted", "rolled_back", "superseded"}
    events = make_events(("promoted", 1), ("moved_outside", 9), (kind, 9))
    moved = fold_events(events).moved
    if kind == "moved_outside":
        assert moved == events[2]
    else:
        assert moved == (None if kind in settles else events[1])


def test_an_adopted_champion_that_is_champion_already_settles_the_move() -> None:
    state = fold_events(make_events(("promoted", 1), ("moved_outside", 9), ("promoted", 1)))
    assert state.moved is None
    assert state.champions == (1,)


@pytest.mark.parametrize("kind", sorted(MAKES_CHAMPION))
def test_a_champion_without_a_version_is_no_answer(kind: Kind) -> None:
    with pytest.raises(GateNotEvaluated, match="sequence=1"):
        fold_events(make_events((kind, None)))


def test_what_was_live_then_counts_the_event_of_that_moment() -> None:
    events = make_events(("promoted", 1), ("promoted", 2), ("rolled_back", 1))
    assert fold_events_until(events, START - timedelta(microseconds=1)).champion is None
    assert fold_events_until(events, START).champion == 1
    assert fold_events_until(events, START + timedelta(days=1, hours=5)).champion == 2
    assert fold_events_until(events, START + timedelta(days=2)).champion == 1


def test_a_moment_without_a_time_zone_is_refused() -> None:
    with pytest.raises(UsageError, match="time zone"):
        fold_events_until([], datetime(2026, 1, 10))


def test_a_hold_or_an_open_move_blocks_with_its_reason() -> None:
    assert explain_block(fold_events(make_events(("promoted", 1), ("waiting", 2)))) is None
    held = explain_block(fold_events(make_events(("promoted", 1), ("hold", 1))))
    assert held == (
        "A hold is in force since 2026-01-02 03:00 UTC, placed by anna@host: because of 2. "
        "End it with sentiflow release-hold --reason …"
    )
    (hold,) = make_events(("hold", 1))
    written = explain_block(fold_events([replace(hold, reason="..dots and X..")]))
    assert written is not None
    assert "host: ..dots and X. End it with" in written
    moved = explain_block(fold_events(make_events(("promoted", 1), ("moved_outside", 9))))
    assert moved == (
        "The champion alias was moved to version 9 outside sentiflow (noticed 2026-01-02 03:00 "
        "UTC) and that is neither adopted nor reverted."
    )
    removed = explain_block(fold_events(make_events(("hold", 1), ("moved_outside", None))))
    assert removed is not None
    assert "because of 1" in removed
    assert "--reason … The champion alias was moved away outside" in removed


def make_look(kind: Kind, night: str, lineage: str = "abc", **details: Any) -> Event:
    return Event(
        model="m", sequence=1, time=START, kind=kind, actor="a", lineage=lineage, to_version=1,
        details={"night": night, "paired": True, **details},
    )  # fmt: skip


def test_looks_are_counted_within_the_nights_up_to_this_one() -> None:
    night = date(2026, 1, 30)
    nights = [(night - timedelta(days=back)).isoformat() for back in range(-1, 32)]
    events = [make_look("kept", when) for when in nights]
    assert count_looks(events, "abc", night, 30) == 30
    assert count_looks(events, "abc", night, 1) == 1
    assert count_looks([*events, make_look("promoted", "2026-01-30")], "abc", night, 1) == 2


@pytest.mark.parametrize(
    ("event", "looks"),
    [
        (make_look("kept", "2026-01-30"), 1),
        (make_look("promoted", "2026-01-30"), 1),
        (make_look("waiting", "2026-01-30"), 1),
        (make_look("rejected", "2026-01-30"), 0),
        (make_look("not_evaluated", "2026-01-30"), 0),
        (make_look("kept", "2026-01-30", paired=False), 0),
        (make_look("kept", "2026-01-30", lineage="other"), 0),
        (make_events(("kept", 1))[0], 0),
    ],
)
def test_only_paired_decisions_of_the_lineage_are_looks(event: Event, looks: int) -> None:
    assert count_looks([event], "abc", date(2026, 1, 30), 30) == looks


histories = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(1, 6)), max_size=25)


def list_champions(steps: Sequence[tuple[Kind, int]]) -> list[int]:
    """The same stack, the slow way: by mutation of a list."""
    stack: list[int] = []
    for kind, version in steps:
        if kind == "rolled_back" and version in stack:
            while stack[-1] != version:
                stack.pop()
        elif kind == "rolled_back":
            stack = [*stack[:-1], version]
        elif kind in MAKES_CHAMPION and stack[-1:] != [version]:
            stack.append(version)
    return stack


@settings(deadline=None)
@given(histories)
def test_any_history_leaves_the_champions_that_a_plain_stack_leaves(
    steps: list[tuple[Kind, int]],
) -> None:
    events = make_events(*steps)
    state = fold_events(events)
    assert list(state.champions) == list_champions(steps)
    made = {event.to_version for event in events if event.kind in MAKES_CHAMPION}
    assert set(state.champions) <= made
    if state.champion is not None:
        assert state.champion_event is not None
        assert state.champion_event.to_version == state.champion
    assert all(a != b for a, b in zip(state.champions, state.champions[1:], strict=False))


@settings(deadline=None)
@given(histories)
def test_any_history_seen_from_its_end_is_the_history(steps: list[tuple[Kind, int]]) -> None:
    events = make_events(*steps)
    assert fold_events_until(events, START + timedelta(days=999)) == fold_events(events)
    for number, event in enumerate(events, start=1):
        assert fold_events_until(events, event.time) == fold_events(events[:number])


@settings(deadline=None)
@given(histories)
def test_each_rollback_goes_one_further_back_until_none_is_left(
    steps: list[tuple[Kind, int]],
) -> None:
    path = list(steps)
    state = fold_events(make_events(*path))
    expected = state.champions
    while state.previous_champion is not None:
        path.append(("rolled_back", state.previous_champion))
        state = fold_events(make_events(*path))
        expected = expected[: len(expected) - 1]
        # A version that was champion twice is met at its higher place.
        assert state.champion == expected[-1]
        assert state.champions == expected
