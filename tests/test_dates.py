"""Today is one day for all, in schedule.timezone, and none later is a night's."""

from __future__ import annotations

import time
from datetime import date, timedelta
from pathlib import Path

import pytest

from sentiflow.dates import check_past, read_today
from sentiflow.errors import UsageError
from sentiflow.night.night import check_request, choose_date, read_settings
from sentiflow.night.opening import open_night
from sentiflow.night.request import NightRequest
from sentiflow.reporting.record import NightRecord
from sentiflow.settings import ScheduleSettings

# 26 hours lie between the two: it is never the same day in both.
EARLIEST, LATEST = "Pacific/Kiritimati", "Etc/GMT+12"


def ask(timezone: str, as_of: date | None) -> NightRequest:
    return NightRequest(as_of=as_of, overrides=(f"schedule.timezone={timezone}",))


def decide(request: NightRequest) -> date:
    return choose_date(request, read_settings(request))


@pytest.mark.parametrize("machine", [EARLIEST, LATEST])
def test_the_night_is_the_schedules_day_wherever_the_worker_stands(
    machine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", machine)
    time.tzset()
    try:
        ahead, behind = decide(ask(EARLIEST, None)), decide(ask(LATEST, None))
    finally:
        monkeypatch.undo()
        time.tzset()
    assert ahead > behind
    assert ahead == read_today(ScheduleSettings(timezone=EARLIEST))


def test_a_day_that_has_begun_somewhere_else_is_still_to_come_here() -> None:
    today = read_today(ScheduleSettings(timezone=EARLIEST))
    assert decide(ask(EARLIEST, today)) == today
    with pytest.raises(
        UsageError, match=r"later than today, .* in schedule\.timezone=Etc/GMT\+12\."
    ):
        check_request(ask(LATEST, today))
    with pytest.raises(UsageError, match=r"^--at must not be later"):
        check_past(today, ScheduleSettings(timezone=LATEST), "--at")


def test_a_night_of_the_future_is_told_and_leaves_nothing_behind(home: Path) -> None:
    tomorrow = read_today(ScheduleSettings()) + timedelta(days=1)
    told: list[NightRecord] = []
    request = NightRequest(as_of=tomorrow)
    with pytest.raises(UsageError), open_night(request, home, "flow-1", told.append):
        pass
    (record,) = told
    assert (record.outcome, record.exit_code, record.night) == ("failed", 2, tomorrow.isoformat())
    assert "must not be later than today" in record.reasons[0]
    assert sorted(path.name for path in home.iterdir() if path.is_file()) == []
