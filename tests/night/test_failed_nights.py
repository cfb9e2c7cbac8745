"""A night that fails is in the ledger, whichever way it ends; MLflow is the real one on SQLite."""

from __future__ import annotations

from pathlib import Path

import pytest

from sentiflow.errors import (
    RegistryUnreachable,
    SentiflowError,
    SettingsError,
    TrainingDiverged,
)
from sentiflow.night.opening import open_night
from sentiflow.night.request import NightRequest
from sentiflow.release.ledger import Ledger
from sentiflow.release.state import Event
from sentiflow.reporting.record import NightRecord, explain_no_champion
from sentiflow.reporting.summary import format_markdown, write_text

pytestmark = [pytest.mark.usefixtures("shared_mlflow")]

REQUEST = NightRequest()


def read_events(home: Path) -> tuple[Event, ...]:
    return Ledger(f"sqlite:///{home / 'ledger.db'}").read("sentiflow-sample")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TrainingDiverged("The loss became NaN."), "The loss became NaN."),
        (RuntimeError("nobody foresaw it"), "RuntimeError"),
        (KeyboardInterrupt(), "ended from outside (KeyboardInterrupt)"),
    ],
)
def test_a_night_that_fails_is_in_the_ledger(home: Path, error: BaseException, words: str) -> None:
    told: list[NightRecord] = []
    with pytest.raises(type(error)), open_night(REQUEST, home, "flow-1", told.append) as night:
        raise error
    (event,) = read_events(home)
    assert (event.kind, event.to_version) == ("failed", None)
    assert words in event.reason
    assert event.details["run_id"] == night.run.id
    assert event.details["flow_run_id"] == "flow-1"
    (record,) = told
    assert "has no champion yet" in str(record.no_champion)


def test_a_night_that_ruled_before_it_failed_is_in_the_ledger_as_what_it_ruled(
    home: Path,
) -> None:
    with open_night(REQUEST, home, None) as night:
        night.tell_ledger(0, "kept", "Worse.", to_version=1)
        raise SentiflowError("MLflow went away after it.")
    # It went on here: the flow ends as the night did.
    assert night.record.outcome == "kept"
    assert [event.kind for event in read_events(home)] == ["kept"]


def test_a_night_that_never_opened_is_in_the_ledger(home: Path) -> None:
    away = NightRequest(
        overrides=("tracking.uri=http://127.0.0.1:9", "tracking.patience_seconds=0")
    )
    with pytest.raises(RegistryUnreachable), open_night(away, home, "flow-1"):
        pass
    (event,) = read_events(home)
    assert event.kind == "failed"
    assert "MLflow must answer" in event.reason


def test_a_mistake_in_the_call_is_no_night(home: Path) -> None:
    wrong = NightRequest(overrides=("gate.alpha=7",))
    with pytest.raises(SettingsError), open_night(wrong, home, "flow-1"):
        pass
    assert read_events(home) == ()


def make_record(**changes: object) -> NightRecord:
    known: dict[str, object] = {
        "night": "2026-01-02", "model": "m", "outcome": "kept", "mlflow_run_id": "r", "version": 1,
        "seconds": {"total": 1.0},
    }  # fmt: skip
    record = NightRecord.model_validate({**known, **changes})
    return record.model_copy(update={"no_champion": explain_no_champion(record)})


def test_a_first_night_that_leaves_no_champion_says_so_with_the_ways_out() -> None:
    record = make_record()
    for part in ("m has no champion yet", "run again", "promote 1 --override --reason"):
        assert part in str(record.no_champion)
    assert str(record.no_champion) in write_text(record)
    assert str(record.no_champion) in format_markdown(record)
    assert "promote 1 --reason" in str(make_record(outcome="waiting").no_champion)
    assert "promote" not in str(make_record(version=None, outcome="failed").no_champion)


@pytest.mark.parametrize("changes", [{"champion_version": 1}, {"mlflow_run_id": None}])
def test_with_a_champion_or_where_it_is_not_known_nothing_is_said(
    changes: dict[str, object],
) -> None:
    assert make_record(**changes).no_champion is None
