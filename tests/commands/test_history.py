"""What was live at a moment, from a real ledger: also where the alias stood elsewhere."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sentiflow.commands.context import ReleaseContext
from sentiflow.commands.history import describe_live, format_live
from sentiflow.errors import UsageError
from sentiflow.release.ledger import Ledger
from sentiflow.release.state import Kind, NewEvent
from sentiflow.settings import load_settings

Happened = tuple[int, Kind, int | None, int | None]

PROMOTED: Happened = (1, "promoted", None, 1)
MOVED: Happened = (5, "moved_outside", 1, 2)
TAKEN_AWAY: Happened = (5, "moved_outside", 1, None)
REVERTED: Happened = (12, "reverted", 2, 1)


def open_release_context(folder: Path, *happened: Happened) -> ReleaseContext:
    """A context whose ledger holds (day of January, kind, from, to); no registry is asked."""
    days = iter(day for day, *_ in happened)
    ledger = Ledger(
        f"sqlite:///{folder / 'ledger.db'}", lambda: datetime(2026, 1, next(days), 10, tzinfo=UTC)
    )
    for sequence, (_, kind, before, after) in enumerate(happened):
        event = NewEvent(
            kind=kind, actor="ada", reason="a reason", from_version=before, to_version=after
        )
        ledger.append("sentiflow", sequence, [event])
    return ReleaseContext(load_settings(None, []), folder, "ada")


def test_a_moment_while_the_alias_stood_elsewhere_says_where(
    tmp_path: Path,
) -> None:
    live = describe_live(open_release_context(tmp_path, PROMOTED, MOVED, REVERTED), "2026-01-10")
    assert live["version"] == 1, "by the ledger"
    assert live["moved_outside"] == {"version": 2, "noticed": "2026-01-05T10:00:00+00:00"}
    assert live["changes"] == []
    assert format_live(live).splitlines() == [
        "sentiflow: version 1 was champion by the ledger at 2026-01-10 23:59 UTC, since "
        "2026-01-01 10:00, by ada.",
        "  a reason",
        "  But the alias stood at version 2 from 2026-01-05 10:00 UTC (when that was noticed).",
    ]


@pytest.mark.parametrize("day", ["2026-01-04", "2026-01-12"])
def test_before_a_move_and_after_it_was_reverted_the_champion_was_live(
    tmp_path: Path, day: str
) -> None:
    live = describe_live(open_release_context(tmp_path, PROMOTED, MOVED, REVERTED), day)
    assert (live["version"], live["moved_outside"]) == (1, None)
    assert "version 1 was live" in format_live(live)


@pytest.mark.parametrize(
    ("day", "kind", "line"),
    [
        ("2026-01-05", "moved_outside", "    10:00  moved outside 1 → 2"),
        ("2026-01-12", "reverted", "    10:00  reverted 2 → 1"),
    ],
)
def test_a_move_is_among_the_changes_of_its_day(
    tmp_path: Path, day: str, kind: str, line: str
) -> None:
    live = describe_live(open_release_context(tmp_path, PROMOTED, MOVED, REVERTED), day)
    assert [change["kind"] for change in live["changes"]] == [kind]
    assert format_live(live).splitlines()[-2:] == ["  It changed once that day:", line]


def test_an_alias_that_was_gone_is_said_to_be_gone(tmp_path: Path) -> None:
    live = describe_live(open_release_context(tmp_path, PROMOTED, TAKEN_AWAY), "2026-01-10")
    assert live["moved_outside"] == {"version": None, "noticed": "2026-01-05T10:00:00+00:00"}
    assert "the alias was gone from 2026-01-05" in format_live(live)


def test_an_alias_that_stood_before_the_ledger_began_is_named(tmp_path: Path) -> None:
    live = describe_live(
        open_release_context(tmp_path, (5, "moved_outside", None, 7)), "2026-01-10"
    )
    assert live["version"] is None
    first, second = format_live(live).splitlines()
    assert first == "sentiflow: nothing was champion by the ledger at 2026-01-10 23:59 UTC."
    assert "stood at version 7" in second


def test_one_promotion_on_a_day_needs_no_list_of_changes(tmp_path: Path) -> None:
    live = describe_live(open_release_context(tmp_path, PROMOTED), "2026-01-01")
    assert "changed" not in format_live(live)


@pytest.mark.parametrize("at", ["9999-12-31", "0001-01-01T00:00+05:00", "10.1.2026", "", "²"])
def test_a_moment_outside_of_the_calendar_is_a_mistake_in_words(tmp_path: Path, at: str) -> None:
    with pytest.raises(UsageError, match=r"--at must be a date.*Received"):
        describe_live(open_release_context(tmp_path), at)


def test_the_end_of_today_is_now_and_a_day_to_come_is_refused(tmp_path: Path) -> None:
    context = open_release_context(tmp_path, PROMOTED)
    today = datetime.now(UTC).date()
    live: dict[str, Any] = describe_live(context, today.isoformat())
    assert live["version"] == 1
    assert datetime.fromisoformat(live["at"]) <= datetime.now(UTC)
    for at in ("9999-12-30", f"{today + timedelta(days=1)}T00:00"):
        with pytest.raises(UsageError, match="--at must not be later than today"):
            describe_live(context, at)
