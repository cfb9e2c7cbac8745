"""What is said of a night whose process was killed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sentiflow.night.crashes import describe_crash, record_crash
from sentiflow.processes import ProcessName
from sentiflow.release.leases import UPKEEP, Lease
from sentiflow.release.ledger import Ledger
from sentiflow.release.state import Event, Kind, NewEvent
from sentiflow.reporting.record import NightRecord, read_record, save_record

NOW = datetime(2026, 1, 2, 3, 30, tzinfo=UTC)
DEATH = "process 12 has ended"
DETAILS = {"night": "2026-01-02", "run_id": "r1", "run_path": "/#/runs/r1", "flow_run_id": "f1"}


def make_event(kind: Kind, run_id: str = "r1", version: int | None = 3) -> Event:
    return Event(
        kind=kind, actor="ada", reason="Better.", lineage="l1", to_version=version,
        details={"night": "2026-01-02", "run_id": run_id}, model="m", sequence=1, time=NOW,
    )  # fmt: skip


def make_lease(name: str = "night:m", details: Mapping[str, Any] = DETAILS) -> Lease:
    return Lease(
        name=name, holder="h", actor="ada", process=ProcessName("0" * 12, 12, 0),
        taken=NOW, beaten=NOW, details=details,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kinds", "outcome"),
    [
        (("registered", "promoted"), "promoted"),
        (("registered", "superseded"), "promoted"),
        (("registered", "waiting"), "waiting"),
        (("registered", "kept"), "kept"),
        (("registered", "not_evaluated"), "failed"),
        (("rejected",), "rejected"),
    ],
)
def test_what_the_ledger_has_of_the_night_stands(kinds: tuple[Kind, ...], outcome: str) -> None:
    events = [make_event("promoted", "another"), *(make_event(kind) for kind in kinds)]
    record = describe_crash("m", DETAILS, DEATH, events)
    assert record.outcome == outcome
    assert (record.model, record.lineage, record.version) == ("m", "l1", 3)
    assert record.reasons == [
        f"The night crashed: {DEATH}. Its {kinds[-1]} is in the ledger.", "Better.",
    ]  # fmt: skip
    assert (record.mlflow_run_path, record.prefect_flow_run_id) == ("/#/runs/r1", "f1")
    assert record.exit_code == 1


@pytest.mark.parametrize(
    ("events", "version", "said"),
    [
        ([], None, f"{DEATH}. The champion stays."),
        ([make_event("promoted", "another")], None, f"{DEATH}. The champion stays."),
        ([make_event("registered")], 3, f"{DEATH}. It had registered version 3."),
    ],
)
def test_a_night_that_had_come_to_nothing_failed_and_says_how_to_go_on(
    events: list[Event], version: int | None, said: str
) -> None:
    record = describe_crash("m", DETAILS, DEATH, events)
    assert (record.outcome, record.version) == ("failed", version)
    (reason,) = record.reasons
    assert said in reason
    assert "--as-of 2026-01-02" in reason


def test_a_night_without_a_run_has_no_event_of_others() -> None:
    event = Event(kind="promoted", actor="ada", model="m", sequence=1, time=NOW, to_version=1)
    record = describe_crash("m", {"night": "2026-01-02"}, DEATH, [event])
    assert (record.outcome, record.version) == ("failed", None)


def test_the_record_is_written_and_told(tmp_path: Path) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    details = {"night": "2026-01-02", "run_id": "r1"}
    ledger.append("m", 0, [NewEvent(kind="rejected", actor="ada", details=details)])
    told: list[NightRecord] = []
    dead = [(make_lease(UPKEEP, {}), DEATH), (make_lease(), DEATH)]
    record_crash(tmp_path, ledger, dead, told.append)
    (record,) = told
    assert record.outcome == "rejected"
    assert read_record(tmp_path, "f1") == record
    record_crash(tmp_path, ledger, [(make_lease(details=details), DEATH)], None)
    by_run = read_record(tmp_path, "r1")
    assert by_run is not None
    assert by_run.outcome == "rejected"


def test_a_night_that_had_its_record_is_told_again_and_the_record_stays(tmp_path: Path) -> None:
    known = NightRecord(night="2026-01-02", model="m", outcome="promoted", reasons=["Better."])
    save_record(tmp_path, "f1", known)
    told: list[NightRecord] = []
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    record_crash(tmp_path, ledger, [(make_lease(), DEATH)], told.append)
    assert read_record(tmp_path, "f1") == known
    (again,) = told
    assert again.outcome == "promoted"
    assert again.reasons == [f"Perhaps told before: the night was over when {DEATH}.", "Better."]


def test_a_disk_that_is_full_keeps_nobody_from_hearing_of_it(tmp_path: Path) -> None:
    (tmp_path / "nights").write_text("a file where a folder must be made")
    told: list[NightRecord] = []
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    record_crash(tmp_path, ledger, [(make_lease(), DEATH)], told.append)
    assert [record.outcome for record in told] == ["failed"]


def test_a_ledger_that_is_away_keeps_nobody_from_hearing_of_it(tmp_path: Path) -> None:
    told: list[NightRecord] = []
    ledger = Ledger("postgresql://127.0.0.1:9/ledger")
    record_crash(tmp_path, ledger, [(make_lease(details={}), DEATH)], told.append)
    (record,) = told
    assert (record.outcome, record.night) == ("failed", "unknown")
    assert not (tmp_path / "nights").exists()


def test_a_night_that_was_cut_off_is_in_the_ledger_once(tmp_path: Path) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    for details in (DETAILS, DETAILS, {"night": "2026-01-03", "flow_run_id": "f2"}):
        for _ in range(2):
            record_crash(tmp_path, ledger, [(make_lease(details=details), DEATH)], None)
    events = ledger.read("m")
    assert [(event.kind, event.details["night"]) for event in events] == [
        ("failed", "2026-01-02"), ("failed", "2026-01-03"),
    ]  # fmt: skip
    assert DEATH in events[0].reason


def test_a_night_that_had_come_to_its_end_is_not_called_failed(tmp_path: Path) -> None:
    """Skipped nights are in no ledger; the record says what they came to."""
    save_record(tmp_path, "f1", NightRecord(night="2026-01-02", model="m", outcome="skipped"))
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    record_crash(tmp_path, ledger, [(make_lease(), DEATH)], None)
    assert ledger.read("m") == ()


def test_a_record_of_an_earlier_try_is_not_told_of_the_one_that_was_cut_off(
    tmp_path: Path,
) -> None:
    """A run that somebody starts again in Prefect keeps its id; its MLflow run is another."""
    earlier = NightRecord(night="2026-01-02", model="m", mlflow_run_id="r0", outcome="failed")
    save_record(tmp_path, "f1", earlier)
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    failed = NewEvent(
        kind="failed", actor="ada", details={"run_id": "r0", "flow_run_id": "f1"}
    )  # fmt: skip
    ledger.append("m", 0, [failed])
    told: list[NightRecord] = []
    record_crash(tmp_path, ledger, [(make_lease(), DEATH)], told.append)
    (record,) = told
    assert "crashed" in record.reasons[0]
    assert read_record(tmp_path, "f1") == record
    assert [event.details["run_id"] for event in ledger.read("m")] == ["r0", "r1"]


@pytest.mark.parametrize("run_id", [None, "r1"])
def test_a_ruling_in_the_ledger_outvotes_a_record_that_says_failed(
    tmp_path: Path, run_id: str | None
) -> None:
    broken = NightRecord(night="2026-01-02", model="m", mlflow_run_id=run_id, outcome="failed")
    save_record(tmp_path, "f1", broken)
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    promoted = NewEvent(kind="promoted", actor="ada", to_version=3, details=DETAILS)
    ledger.append("m", 0, [promoted])
    told: list[NightRecord] = []
    record_crash(tmp_path, ledger, [(make_lease(), DEATH)], told.append)
    assert [(record.outcome, record.version) for record in told] == [("promoted", 3)]
    assert [event.kind for event in ledger.read("m")] == ["promoted"]
