"""What the gate may compare with tonight is what prune spares, in every time zone."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from sentiflow.release.year import begin_year, is_of_year

# The first and the last places of the world to begin a day, and one that changes its clocks.
ZONES = ("Etc/GMT-14", "UTC", "Europe/Berlin", "Etc/GMT+12")


def test_a_year_has_365_nights_before_tonight() -> None:
    assert begin_year(date(2026, 11, 30)) == date(2025, 11, 30)


@pytest.mark.parametrize("zone", ZONES)
def test_no_champion_that_the_gate_may_ask_is_pruned(zone: str) -> None:
    start = datetime(2026, 11, 29, tzinfo=UTC)
    for hour in range(48):
        now = start + timedelta(hours=hour)
        first = begin_year(now.astimezone(ZoneInfo(zone)).date())
        # It was made and replaced within the first moments of the first night that counts.
        replaced = datetime(first.year, first.month, first.day, tzinfo=ZoneInfo(zone))
        assert is_of_year(replaced.astimezone(UTC), now), f"{zone}, {now}"


def test_one_that_ended_days_before_the_year_is_not_spared() -> None:
    now = datetime(2026, 11, 30, 12, tzinfo=UTC)
    assert not is_of_year(now - timedelta(days=368), now)
