"""Say which day it is: nights, their ages and the future are counted from it."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from sentiflow.errors import UsageError

if TYPE_CHECKING:
    from sentiflow.settings import ScheduleSettings


def read_today(schedule: ScheduleSettings) -> date:
    """Return today's date in schedule.timezone, wherever the machine stands."""
    return datetime.now(ZoneInfo(schedule.timezone)).date()


def check_past(day: date, schedule: ScheduleSettings, name: str) -> None:
    """Refuse a day that is still to come.

    Args:
        day: what was asked for.
        schedule: says which day it is.
        name: the option that named it.

    Raises:
        UsageError: the day is later than today.
    """
    today = read_today(schedule)
    if day > today:
        raise UsageError(
            f"{name} must not be later than today, {today.isoformat()} in "
            f"schedule.timezone={schedule.timezone}. Received: {day.isoformat()}."
        )
