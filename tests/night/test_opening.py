"""That a night which cannot be opened, or recorded, is told all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from sentiflow.errors import LedgerUnreachable
from sentiflow.night.opening import open_night
from sentiflow.night.request import NightRequest
from sentiflow.reporting.record import NightRecord

AWAY = NightRequest(overrides=("ledger.url=postgresql://127.0.0.1:9/ledger",))


@pytest.mark.parametrize(("blocked", "kind"), [("tmp", FileExistsError), ("nights", None)])
def test_a_home_that_cannot_be_written_keeps_nobody_from_hearing_of_it(
    home: Path, blocked: str, kind: type[Exception] | None
) -> None:
    """A file where a folder must be made; test_full_disk.py fills a real disk."""
    (home / blocked).write_text("")
    told: list[NightRecord] = []
    with pytest.raises(kind or LedgerUnreachable), open_night(AWAY, home, "flow-1", told.append):
        pass
    (record,) = told
    assert (record.outcome, record.model) == ("failed", "sentiflow-sample")
    assert record.reasons


def test_settings_that_are_wrong_are_told_too(home: Path) -> None:
    told: list[NightRecord] = []
    wrong = NightRequest(overrides=("gate.alpha=7",))
    with pytest.raises(Exception, match="alpha"), open_night(wrong, home, "flow-1", told.append):
        pass
    assert [record.outcome for record in told] == ["failed"]
