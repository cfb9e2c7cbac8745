"""Which nights are late or displaced, and why, from values alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sentiflow.notices.lateness import (
    DisplacedRun,
    HoldingRun,
    WaitingRun,
    select_displaced,
    select_late,
)

NOW = datetime(2026, 1, 2, 4, 0, tzinfo=UTC)


def wait_since(minutes: float, state: str = "Late") -> WaitingRun:
    return WaitingRun("id", "brave-owl", state, NOW - timedelta(minutes=minutes))


@pytest.mark.parametrize(
    ("minutes", "is_late"), [(-60, False), (0, False), (30, False), (30.1, True), (5_000, True)]
)
def test_a_night_is_late_after_the_minutes_of_the_settings(minutes: float, is_late: bool) -> None:
    assert bool(select_late([wait_since(minutes)], NOW, 30)) is is_late


@pytest.mark.parametrize(
    ("state", "why"),
    [
        ("Late", "No worker took it"), ("Scheduled", "No worker took it"),
        ("Pending", "see the worker's log"), ("AwaitingConcurrencySlot", "waits for another run"),
    ],
)  # fmt: skip
def test_a_late_night_says_since_when_and_what_may_keep_it(state: str, why: str) -> None:
    (late,) = select_late([wait_since(45, state)], NOW, 30)
    assert late.minutes == pytest.approx(45)
    assert "brave-owl should have started at 2026-01-02 03:15 UTC, 45 minutes ago" in late.reason
    assert why in late.reason


def test_late_nights_come_in_the_order_in_which_they_were_due() -> None:
    late = select_late([wait_since(40), wait_since(90), wait_since(10)], NOW, 30)
    assert [round(found.minutes) for found in late] == [90, 40]


def displace(expected: float = 60, cancelled: float = 59) -> DisplacedRun:
    return DisplacedRun(wait_since(expected), "nightly", NOW - timedelta(minutes=cancelled))


def hold(
    since: float, until: float | None = None, is_scheduled: bool = False, where: str = "nightly"
) -> HoldingRun:
    ended = None if until is None else NOW - timedelta(minutes=until)
    return HoldingRun("lazy-cat", where, NOW - timedelta(minutes=since), ended, is_scheduled)


@pytest.mark.parametrize(
    ("holding", "why"),
    [
        ([hold(24 * 60, is_scheduled=True)], "lazy-cat has held its place since 2026-01-01 04:00"),
        ([hold(61)], "lazy-cat has held its place since 2026-01-02 02:59 UTC. Is it still at"),
        ([hold(59.5)], "lazy-cat has held its place since"),
        ([hold(55)], "lazy-cat has held its place since"),
        ([hold(300, 30)], "from 2026-01-01 23:00 UTC to 2026-01-02 03:30 UTC. Start the night"),
        ([hold(300, 200)], "another run of the deployment held its place. Is that one still"),
        ([hold(5)], "another run of the deployment"),
        ([hold(300, where="other")], "another run of the deployment"),
        ([], "another run of the deployment"),
    ],
)
def test_a_cancelled_night_says_who_held_its_place(holding: list[HoldingRun], why: str) -> None:
    (late,) = select_displaced([displace()], holding, NOW)
    assert late.reason.startswith("Night brave-owl of 2026-01-02 03:00 UTC did not start: ")
    assert why in late.reason
    assert late.minutes == pytest.approx(60)


def test_a_night_that_another_one_of_the_schedule_catches_up_for_is_not_told() -> None:
    missed = [displace(3 * 24 * 60, 59), displace(24 * 60, 58), displace(60, 57)]
    assert select_displaced(missed, [hold(56, is_scheduled=True)], NOW) == ()
    assert select_displaced(missed, [hold(56, 10, is_scheduled=True)], NOW) == ()
    # What a person started may do the work of any other day.
    assert len(select_displaced(missed, [hold(56)], NOW)) == 3
    # The one that hung before is to blame, not the one that came after it.
    later = [hold(56, is_scheduled=True), hold(5 * 24 * 60, 50)]
    assert len(select_displaced(missed, later, NOW)) == 3
