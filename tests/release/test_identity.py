"""A number is no name: events are about the version that their run made, also when 1 is new."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sentiflow.release.alias import plan_step
from sentiflow.release.identity import list_registered, name_runs, read_run, select_events
from sentiflow.release.ledger import Watermark
from sentiflow.release.state import Event, Kind, fold_events

START = datetime(2026, 1, 1, 3, tzinfo=UTC)
Told = tuple[Kind, int | None, str | None]


def tell(*happened: Told) -> tuple[Event, ...]:
    """Events as nights write them: a night's own run in `run_id`, the version's run not named."""
    return tuple(
        Event(
            model="m", sequence=number, time=START + timedelta(days=number), kind=kind, actor="a",
            reason="r", to_version=version, details={"run_id": run} if run else {},
        )
        for number, (kind, version, run) in enumerate(happened, start=1)
    )  # fmt: skip


FIRST: tuple[Told, ...] = (("registered", 1, "A"), ("promoted", 1, "A"))
ANEW: tuple[Told, ...] = (*FIRST, ("moved_outside", None, None), ("registered", 1, "B"))


def test_an_event_is_about_the_version_that_was_registered_last_before_it() -> None:
    events = name_runs(tell(*ANEW, ("kept", 1, "a night that went on")))
    assert [read_run(event) for event in events] == ["A", "A", None, "B", "B"]
    assert list_registered(events) == ((1, "B"), (1, "A"))
    assert [event.kind for event in select_events(events, 1, "A")] == ["registered", "promoted"]
    assert [event.kind for event in select_events(events, 1, "B")] == ["registered", "kept"]


def test_an_event_that_names_its_version_itself_needs_no_registration() -> None:
    (event,) = tell(("promoted", 3, None))
    (named,) = name_runs([Event(**{**vars(event), "details": {"version_run_id": "C"}})])
    assert read_run(named) == "C"
    assert select_events([named], 3, "C") == (named,)
    assert select_events([named], 3, "D") == ()


def test_an_event_that_holds_a_bundles_digests_names_its_version_too() -> None:
    """A night that was killed in between left a registration under the next night's run."""
    (event,) = tell(("attested", 1, None))
    attested = Event(**{**vars(event), "details": {"bundle": {"run_id": "A", "sha256": {}}}})
    events = (*tell(("registered", 1, "B"), ("promoted", 1, "B")), attested)
    assert [read_run(event) for event in name_runs(events)] == ["B", "B", "A"]
    assert select_events(events, 1, "A") == name_runs(events)[2:]


def test_without_any_registration_the_number_has_to_do() -> None:
    events = tell(("promoted", 1, None))
    assert select_events(events, 1, "whatever") == events
    assert list_registered(events) == ()


@pytest.mark.parametrize(("run", "is_champion"), [("A", True), ("B", False)])
def test_the_champion_is_a_run_and_not_a_number(run: str, is_champion: bool) -> None:
    state = fold_events(tell(*ANEW))
    assert state.champion == 1
    assert state.champion_run == "A"
    assert state.is_champion(1, run) is is_champion
    assert state.is_champion(None, None) is False, "no alias, though there is a champion"
    assert fold_events([]).is_champion(None, None) is True


def test_a_promotion_of_the_same_number_is_another_champion() -> None:
    state = fold_events(tell(*ANEW, ("promoted", 1, "B")))
    assert state.champions == (1, 1)
    assert state.champion_run == "B"
    assert state.moved is None
    assert fold_events(tell(*FIRST, ("promoted", 1, "A"))).champions == (1,)


def test_a_rollback_goes_to_the_model_and_not_to_its_number() -> None:
    events = tell(*ANEW, ("promoted", 1, "B"), ("registered", 2, "C"), ("promoted", 2, "C"))
    state = fold_events((*events, *tell(*[("kept", 9, None)] * 7, ("rolled_back", 1, None))[7:]))
    assert state.champions == (1, 1)
    assert state.champion_run == "B"


@pytest.mark.parametrize(
    ("run", "champions", "champion_run"),
    [("A", (1,), "A"), ("B", (1, 1), "B"), ("unknown", (1, 1), "unknown")],
)
def test_a_rollback_goes_to_the_run_that_it_names(
    run: str, champions: tuple[int, ...], champion_run: str
) -> None:
    events = tell(*ANEW, ("promoted", 1, "B"), ("rolled_back", 1, None))
    back = replace(events[-1], details={"version_run_id": run})
    state = fold_events((*events[:-1], back))
    assert (state.champions, state.champion_run) == (champions, champion_run)


@pytest.mark.parametrize(
    ("registered", "waits"),
    [
        ((2, "D"), None),  # its own number is given out anew
        ((1, "D"), None),  # one below it is
        ((1, "A"), 2),  # a night that was resumed writes what it had registered
        ((3, "D"), 2),
    ],
)
def test_what_waits_is_gone_when_numbers_begin_anew(
    registered: tuple[int, str], waits: int | None
) -> None:
    number, run = registered
    told: list[Told] = [*FIRST, ("registered", 2, "B"), ("waiting", 2, "B")]
    state = fold_events(tell(*told, ("registered", number, run)))
    assert (state.waiting and state.waiting.to_version) == waits


def test_a_registration_that_named_no_run_does_not_make_the_next_one_a_beginning() -> None:
    told: list[Told] = [("registered", 2, None), ("waiting", 2, None), ("registered", 2, "D")]
    assert fold_events(tell(*told)).waiting is not None


def plan(alias: int | None, run: str | None, *happened: Told, mark: int = 2) -> Any:
    return plan_step(tell(*happened), Watermark(mark, 1), alias, run)


def test_an_alias_on_another_model_of_the_same_number_was_moved_outside() -> None:
    assert plan(1, "A", *FIRST) == "rest"
    assert plan(1, "B", *FIRST) == "record_move"
    moved = (*ANEW, ("moved_outside", 1, None))
    assert plan(1, "B", *moved, mark=5) != "record_return", "it does not stand where it stood"


def test_the_alias_follows_a_promotion_of_the_same_number() -> None:
    assert plan(None, None, *ANEW, ("promoted", 1, "B"), mark=3) == "point"
    assert plan(1, "B", *ANEW, ("promoted", 1, "B"), mark=3) == "mark"
