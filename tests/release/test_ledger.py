"""The ledger on real databases: SQLite always, PostgreSQL where it is installed (slow)."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from threading import Thread

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from sentiflow.errors import (
    GateNotEvaluated,
    LedgerConflict,
    LedgerUnreachable,
    SettingsError,
    UsageError,
)
from sentiflow.release.ledger import Ledger, Watermark
from sentiflow.release.state import Event, Kind, NewEvent


def make_event(kind: Kind = "promoted", **changes: object) -> NewEvent:
    values = {"kind": kind, "actor": "anna@host", "reason": "better", "to_version": 1} | changes
    return NewEvent(**values)  # type: ignore[arg-type]


def test_what_is_written_is_read_back_in_order(url: str) -> None:
    ledger = Ledger(url)
    assert ledger.read("m") == ()
    assert ledger.list_models() == []
    before = datetime.now(UTC)
    promotion = make_event(
        lineage="abc", from_version=1, to_version=2, decision="d" * 64,
        reason="besser\nals vorher ☂ ' \" %s :x", details={"night": "2026-01-02", "paired": True},
    )  # fmt: skip
    written = ledger.append("m", 0, [make_event("registered", reason=""), promotion])
    written += ledger.append("m", 2, [make_event("kept")])
    assert ledger.append("a", 0, [make_event()])[0].sequence == 1
    events = Ledger(url).read("m")
    assert events == written
    assert [event.sequence for event in events] == [1, 2, 3]
    assert {name: getattr(events[1], name) for name in vars(promotion)} == vars(promotion)
    assert all(before <= event.time <= datetime.now(UTC) for event in events)
    assert all(event.time.utcoffset() == timedelta(0) for event in events)
    assert ledger.list_models() == ["a", "m"]
    ledger.close()


@pytest.mark.parametrize("head", [0, 2, 3, -1])
def test_an_event_decided_on_another_head_is_not_written(url: str, head: int) -> None:
    ledger = Ledger(url)
    events = ledger.append("m", 0, [make_event()])
    with pytest.raises(LedgerConflict, match=rf"sequence {head}, .*Received: sequence=1"):
        ledger.append("m", head, [make_event(to_version=2)])
    assert ledger.read("m") == events


def test_of_two_writers_on_one_head_one_is_refused(url: str) -> None:
    Ledger(url).append("m", 0, [make_event()])
    outcomes: list[str] = []

    def promote(version: int) -> None:
        try:
            Ledger(url).append("m", 1, [make_event(to_version=version), make_event("hold")])
            outcomes.append("written")
        except LedgerConflict:
            outcomes.append("refused")

    threads = [Thread(target=promote, args=(version,)) for version in range(2, 8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["refused"] * 5 + ["written"]
    kinds = [event.kind for event in Ledger(url).read("m")]
    assert kinds == ["promoted", "promoted", "hold"]


def test_events_are_written_together_or_not_at_all(url: str) -> None:
    ledger = Ledger(url)
    with pytest.raises(UsageError):
        ledger.append("m", 0, [make_event("rolled_back"), make_event("hold", reason=" ")])
    assert ledger.read("m") == ()


_COPY = (
    "INTO events SELECT model, {}, lineage, kind, time, 'nobody', reason, from_version,"
    " to_version, decision, details FROM events WHERE sequence = 1"
)
_FORGERIES = {
    "both": [
        "UPDATE events SET actor = 'nobody'",
        "DELETE FROM events",
        "DELETE FROM events WHERE sequence = 2",
        "INSERT " + _COPY.format(2),
        "INSERT " + _COPY.format(4),
        "INSERT " + _COPY.format(0),
    ],
    "sqlite": ["INSERT OR REPLACE " + _COPY.format(2)],
    "postgresql": ["TRUNCATE events"],
}


def test_the_database_itself_refuses_to_change_history(url: str) -> None:
    events = Ledger(url).append("m", 0, [make_event(), make_event("hold")])
    engine = create_engine(url)
    for statement in _FORGERIES["both"] + _FORGERIES[engine.dialect.name]:
        forged = pytest.raises(DBAPIError, match=r"append-only|next sequence")
        with forged, engine.begin() as connection:
            connection.execute(text(statement))
    engine.dispose()
    assert Ledger(url).read("m") == events


def test_the_history_never_runs_backwards_when_a_clock_does(url: str) -> None:
    now = datetime(2026, 1, 10, 12, tzinfo=UTC)
    east = timezone(timedelta(hours=9))
    Ledger(url, lambda: now.astimezone(east)).append("m", 0, [make_event()])
    Ledger(url, lambda: now - timedelta(hours=1)).append("m", 1, [make_event()])
    Ledger(url, lambda: now + timedelta(microseconds=1)).append("m", 2, [make_event()])
    times = [event.time for event in Ledger(url).read("m")]
    assert times == [now, now, now + timedelta(microseconds=1)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reason": "x" * 2_001}, "reason must have at most 2,000 characters"),
        ({"actor": "x" * 201}, "actor must have at most 200"),
        ({"actor": " "}, "must have its actor"),
        ({"lineage": "x" * 65}, "lineage must have at most 64"),
        ({"decision": "x" * 65}, "decision must have at most 64"),
        ({"details": {"note": "x" * 20_001}}, "details must have at most 20,000"),
        ({"details": {"auc": float("nan")}}, "details must be JSON"),
        ({"details": {"when": datetime(2026, 1, 1)}}, "details must be JSON"),
        ({"reason": "a\x00b"}, "reason must be text"),
        ({"reason": "a\ud800b"}, "reason must be text"),
        ({"to_version": None}, "must name a version"),
        ({"kind": "waiting", "to_version": None}, "must name a version"),
        *[
            ({"kind": kind, "reason": blank}, "must have its reason")
            for kind in ("rolled_back", "hold", "released", "adopted", "reverted", "superseded")
            for blank in ("", " \n")
        ],
    ],
)
def test_what_cannot_be_stored_is_a_usage_error(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    with pytest.raises(UsageError, match=message):
        ledger.append("m", 0, [make_event(**{"kind": "promoted", **changes})])  # type: ignore[arg-type]
    assert ledger.read("m") == ()


def test_the_longest_reason_is_kept_whole(url: str) -> None:
    Ledger(url).append("m", 0, [make_event(reason="☂" * 2_000, details={"note": "x" * 19_000})])
    assert Ledger(url).read("m")[0].reason == "☂" * 2_000


def test_a_kind_of_a_newer_sentiflow_is_no_history_to_decide_on(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger = Ledger(f"sqlite:///{path}")
    ledger.append("m", 0, [make_event()])
    with sqlite3.connect(path) as connection:
        connection.execute(
            "INSERT INTO events SELECT model, 2, lineage, 'crowned', time, actor, reason,"
            " from_version, to_version, decision, details FROM events"
        )
    connection.close()
    with pytest.raises(GateNotEvaluated, match="kind='crowned'"):
        ledger.read("m")


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    Ledger(f"sqlite:///{path}").read("m")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_ledger_that_does_not_answer_is_never_read_as_an_empty_one(tmp_path: Path) -> None:
    broken = tmp_path / "ledger.db"
    broken.write_bytes(b"this is no database" * 1_000)
    for url in (f"sqlite:///{broken}", f"sqlite:///{tmp_path / 'nowhere' / 'ledger.db'}"):
        with pytest.raises(LedgerUnreachable, match="must answer"):
            Ledger(url).read("m")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://anna:s3cret@127.0.0.1:1/ledger",
        "postgresql://anna@127.0.0.1:1/ledger?password=s3cret",
        "postgresql://anna:s3cret@127.0.0.1:1/ledger?no_option=s3cret",
    ],
)
def test_no_error_shows_the_password(url: str) -> None:
    with pytest.raises(LedgerUnreachable, match="must answer") as caught:
        Ledger(url).append("m", 0, [make_event()])
    assert "127.0.0.1" in str(caught.value)
    shown = str(caught.value).replace("no_option=s3cret", "")
    assert "s3cret" not in shown


@pytest.mark.parametrize(
    "url",
    [
        "", "ledger.db", "s3cret", "mysql://u:s3cret@host/db", "postgres://u:s3cret@host/db",
        "sqlite://", "sqlite:///:memory:", "sqlite:///file:ledger.db?uri=true",
        "postgresql://u:s3cret@host:port/db", "postgresql+asyncpg://u:s3cret@host/db",
        "postgresql://u:pass@s3cret@host/db", "postgresql://a/b:s3cret@host/db",
        "mysql://u:pass@s3cret@host/db", "mysql://host/db?sslpassword=s3cret",
    ],
)  # fmt: skip
def test_an_address_that_is_none_is_a_settings_error(url: str) -> None:
    with pytest.raises(SettingsError, match=r"ledger\.url must") as caught:
        Ledger(url)
    assert "s3cret" not in str(caught.value)


def test_a_database_of_something_else_is_left_alone(url: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE events (id INTEGER)"))
    with pytest.raises(SettingsError, match=r"of the ledger's own\. Received: .*events"):
        Ledger(url).append("m", 0, [make_event()])
    with engine.begin() as connection:
        assert connection.execute(text("SELECT * FROM events")).all() == []
    engine.dispose()


_APPEND_FIRST = """
import sys, time
from pathlib import Path
from sentiflow.errors import LedgerConflict
from sentiflow.release.ledger import Ledger
from sentiflow.release.state import NewEvent
url, ready, start, version = sys.argv[1:]
ledger = Ledger(url)
Path(ready).touch()
while not Path(start).exists():
    time.sleep(0.001)
try:
    event = NewEvent(kind="promoted", actor="ada", to_version=int(version))
    ledger.append("m", 0, [event])
except LedgerConflict:
    pass
"""


def test_processes_may_be_first_at_once(url: str, tmp_path: Path) -> None:
    start = tmp_path / "start"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _APPEND_FIRST, url, tmp_path / f"ready-{version}", start,
             str(version)],
            stderr=subprocess.PIPE, text=True,
        )
        for version in range(1, 5)
    ]  # fmt: skip
    ends = time.monotonic() + 60
    while len(list(tmp_path.glob("ready-*"))) < 4 and time.monotonic() < ends:
        time.sleep(0.01)
    start.touch()
    assert [process.communicate(timeout=60)[1] for process in processes] == [""] * 4
    assert [process.returncode for process in processes] == [0, 0, 0, 0]
    assert len(Ledger(url).read("m")) == 1


def _write_twice_on_one_head(ledger: Ledger) -> None:
    with ledger.lock_alias("m") as locked:
        locked.set_watermark(Watermark(2, 9))
        locked.append([make_event("moved_outside", to_version=9)])
        locked.append([make_event("moved_outside", to_version=9)])


def test_a_locked_projection_reads_appends_and_marks_in_one_transaction(url: str) -> None:
    ledger = Ledger(url)
    ledger.append("m", 0, [make_event()])
    assert ledger.read_watermark("m") == Watermark(0, None)
    with pytest.raises(LedgerConflict):
        _write_twice_on_one_head(ledger)
    assert len(ledger.read("m")) == 1
    assert ledger.read_watermark("m") == Watermark(0, None)
    with ledger.lock_alias("m") as locked:
        assert locked.events == ledger.read("m")
        assert locked.watermark == Watermark(0, None)
        locked.append([make_event("moved_outside", to_version=9)])
        locked.set_watermark(Watermark(2, 9))
    assert [event.kind for event in ledger.read("m")] == ["promoted", "moved_outside"]
    assert ledger.read_watermark("m") == Watermark(2, 9)
    assert ledger.read_watermark("another") == Watermark(0, None)


def test_a_second_projector_waits_and_then_sees_what_the_first_did(url: str) -> None:
    ledger = Ledger(url)
    ledger.append("m", 0, [make_event()])
    with ledger.lock_alias("m"):
        pass  # the row is there from now on: it is the lock that keeps the second one waiting
    seen: list[Watermark] = []

    def look() -> None:
        with Ledger(url).lock_alias("m") as locked:
            seen.append(locked.watermark)

    with ledger.lock_alias("m") as locked:
        second = Thread(target=look)
        second.start()
        second.join(0.3)
        assert seen == [], "the lock keeps it waiting"
        assert len(Ledger(url).read("m")) == 1, "readers do not wait"
        locked.set_watermark(Watermark(1, 1))
    second.join(30)
    assert seen == [Watermark(1, 1)]


def test_what_others_wrote_meanwhile_is_decided_on_anew_ten_times(url: str) -> None:
    ledger = Ledger(url)
    rivals = 3

    def choose(events: tuple[Event, ...]) -> list[NewEvent]:
        nonlocal rivals
        if rivals > 0:
            rivals -= 1
            Ledger(url).append("m", len(events), [make_event("kept")])
        return [make_event("promoted", to_version=len(events))]

    (written,) = ledger.append_decided("m", choose)
    assert (written.sequence, written.to_version) == (4, 3)
    rivals = 99
    with pytest.raises(LedgerConflict, match="10 events of others in a row"):
        ledger.append_decided("m", choose)
    assert len(ledger.read("m")) == 14
    assert ledger.append_decided("m", lambda _: []) == ()
    assert len(ledger.read("m")) == 14
