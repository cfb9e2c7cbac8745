from datetime import UTC, datetime, timedelta
from typing import Any

from sentiflow.commands.upkeep import format_forgotten, format_pruned, select_protected
from sentiflow.release.state import Event

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def tell(*happened: tuple[str, int | None, int]) -> list[Event]:
    """Events of (kind, version, days ago)."""
    return [
        Event(
            kind=kind, actor="ada", reason="r", to_version=version, model="sentiflow",
            sequence=number, time=NOW - timedelta(days=days),
        )
        for number, (kind, version, days) in enumerate(happened, start=1)
    ]  # fmt: skip


def test_champion_previous_champion_and_what_waits_are_protected() -> None:
    events = tell(
        ("promoted", 1, 900), ("promoted", 2, 800), ("promoted", 3, 700), ("registered", 4, 600),
        ("kept", 4, 600), ("waiting", 5, 10),
    )  # fmt: skip
    assert select_protected(events, NOW) == {2, 3, 5}


def test_a_champion_of_the_last_year_is_protected_by_when_it_ended() -> None:
    events = tell(("promoted", 1, 900), ("promoted", 2, 800), ("promoted", 3, 364),
                  ("promoted", 4, 5))  # fmt: skip
    # Version 2 served until 364 days ago; version 1 only until 800.
    assert select_protected(events, NOW) == {2, 3, 4}


def test_a_version_the_alias_was_moved_to_outside_is_protected() -> None:
    assert select_protected(tell(("promoted", 2, 3), ("moved_outside", 1, 1)), NOW) == {1, 2}
    assert select_protected(tell(("moved_outside", None, 1)), NOW) == frozenset()


def test_a_dry_run_says_would() -> None:
    nothing: dict[str, Any] = dict.fromkeys(
        ("versions", "runs", "artifacts", "snapshots", "quarantine", "checkpoints", "steps",
         "scoring", "ingest", "leftovers", "remains"), (),
    )  # fmt: skip
    pruned = {**nothing, "versions": ("sentiflow/1",), "bytes": 2_500_000, "dry_run": True}
    assert format_pruned(pruned).splitlines() == [
        "Would remove 2.5 MB", "  versions       1  1",
    ]  # fmt: skip
    assert format_pruned({**pruned, "dry_run": False}).startswith("Removed 2.5 MB")


def test_forgetting_nothing_is_said_and_so_is_what_cannot_be_reached() -> None:
    forgotten = {"record": None, "finished": (), "rows": 0, "quarantined": 0, "snapshots": (),
                 "derived": (), "remains": ("The sources.",)}  # fmt: skip
    assert format_forgotten(forgotten).splitlines() == [
        "No row has one of these ids.", "What this cannot reach:", "  The sources.",
    ]  # fmt: skip
    assert "1 earlier" in format_forgotten({**forgotten, "finished": ("a",)})
    done = {**forgotten, "record": "r.json", "rows": 3, "quarantined": 1,
            "snapshots": ({"before": "a" * 64, "after": "b" * 64},)}  # fmt: skip
    assert "snapshot aaaaaaaaaaaa is bbbbbbbbbbbb now" in format_forgotten(done)
