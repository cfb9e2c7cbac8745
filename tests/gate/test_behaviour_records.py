"""What champions of the year passed is required of their successors, on values."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from gate.forging import make_behaviour

from sentiflow.gate.behaviour_records import hold_against_champions, note_behaviours
from sentiflow.gate.behaviours import BehaviourResult
from sentiflow.release.state import Event, Kind

NIGHT = date(2026, 6, 30)
TONIGHT = (make_behaviour(passed=30, pass_rate=0.75, floor=0.6), make_behaviour(name="praise"))


def rule_on(
    number: int, passed: int, *, kind: Kind = "promoted", ago: int = 10, questions: str = "q",
    lineage: str = "abc", run: str | None = None,
) -> Event:  # fmt: skip
    """The ruling on a version that passed so many of 40 negations."""
    night = NIGHT - timedelta(days=ago)
    noted = note_behaviours(questions, [make_behaviour(passed=passed, pass_rate=passed / 40)])
    details: dict[str, Any] = {"night": night.isoformat(), **noted}
    if run is not None:
        details["version_run_id"] = run
    return Event(
        kind=kind, actor="ada", reason="why", to_version=number, model="sentiflow",
        sequence=number, time=datetime(2026, 1, 1, tzinfo=UTC), lineage=lineage, details=details,
    )  # fmt: skip


def hold(*events: Event) -> BehaviourResult:
    held, praise = hold_against_champions(TONIGHT, "q", events, "abc", NIGHT)
    assert praise == TONIGHT[1], "what no champion was asked has its floor alone"
    return held


def test_without_a_champions_record_only_the_floor_holds() -> None:
    assert hold() == TONIGHT[0]
    bare = replace(rule_on(3, 40), details={"night": NIGHT.isoformat()})
    assert hold(bare) == TONIGHT[0], "a ruling of an earlier release"


@pytest.mark.parametrize(
    ("passed", "limit"), [(40, 0.95), (32, 0.75), (26, 0.6), (25, 0.6), (1, 0.6)]
)
def test_required_is_the_floor_or_five_points_less_than_the_best(passed: int, limit: float) -> None:
    held = hold(rule_on(3, passed))
    assert (held.limit, held.best_version, held.best_rate) == (limit, 3, passed / 40)
    assert held.floor == 0.6


def test_the_best_of_several_counts_and_among_equals_the_older() -> None:
    held = hold(rule_on(3, 30), rule_on(4, 36), rule_on(5, 36), rule_on(6, 31))
    assert (held.best_version, held.best_rate, held.limit) == (4, 0.9, 0.85)


@pytest.mark.parametrize(
    "other",
    [
        rule_on(3, 40, kind="kept"),
        rule_on(3, 40, kind="waiting"),
        rule_on(3, 40, ago=366),
        rule_on(3, 40, ago=-1),
        rule_on(3, 40, questions="others"),
        rule_on(3, 40, lineage="another"),
    ],
)
def test_no_champion_of_the_year_on_the_same_questions_sets_no_limit(other: Event) -> None:
    assert hold(other) == TONIGHT[0]
    assert hold(other, rule_on(4, 32)).best_version == 4


def test_the_first_and_the_last_night_of_the_year_count() -> None:
    assert hold(rule_on(3, 40, ago=365)).best_version == 3
    assert hold(rule_on(3, 40, ago=0)).best_version == 3


def test_whoever_made_it_champion_its_own_ruling_tells_what_it_passed() -> None:
    waiting = rule_on(3, 36, kind="waiting")
    by_a_person = replace(waiting, kind="adopted", details={}, sequence=4, lineage=None)
    assert hold(waiting, by_a_person).best_version == 3


def test_a_number_that_begins_anew_is_another_model() -> None:
    crowned = rule_on(3, 30, run="run-a")
    anew = rule_on(3, 40, kind="kept", run="run-b")
    assert hold(crowned, anew).best_rate == 0.75


def test_five_points_below_is_what_people_reckon_not_what_floats_do() -> None:
    mild = (replace(TONIGHT[0], floor=0.4),)
    (held,) = hold_against_champions(mild, "q", [rule_on(3, 21)], "abc", NIGHT)
    assert held.limit == 0.475 < 0.525 - 0.05
