"""Leases on real databases: SQLite always, PostgreSQL where it is installed (slow)."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from release.dying import DETAILS, take_and_die

from sentiflow.errors import NightRefused
from sentiflow.processes import ProcessName, name_this_machine, name_this_process
from sentiflow.release.heartbeats import suspect_death
from sentiflow.release.leases import (
    UPKEEP,
    Lease,
    Leases,
    name_night,
    select_conflict,
)
from sentiflow.release.ledger import Ledger
from sentiflow.release.state import NewEvent

NOW = datetime(2026, 1, 2, 3, 30, tzinfo=UTC)
ELSEWHERE = ProcessName("0" * 12, 1, 0)


def make_lease(name: str = "night:m", process: ProcessName = ELSEWHERE, silent: float = 0) -> Lease:
    beaten = NOW - timedelta(seconds=silent)
    return Lease(name=name, holder="h", actor="ada", process=process, taken=beaten, beaten=beaten)


def test_a_lease_is_taken_shown_and_given_back(url: str) -> None:
    leases = Leases(url)
    lease, dead = leases.take("night:m", "ada", 90, {"night": "2026-01-02"})
    assert dead == []
    assert leases.beat(lease, {"night": "2026-01-02", "run_id": "r"})
    (seen,) = leases.list_living(90)
    assert (seen.name, seen.actor, seen.process) == ("night:m", "ada", name_this_process())
    assert seen.details == {"night": "2026-01-02", "run_id": "r"}
    assert seen.beaten > seen.taken
    leases.release(lease)
    assert leases.list_living(90) == []
    assert not leases.beat(lease, {})


def test_a_second_night_of_a_model_is_refused_and_another_model_is_not(url: str) -> None:
    leases = Leases(url)
    leases.take(name_night("m"), "ada", 90, {"run_id": "r1"})
    with pytest.raises(NightRefused, match=r"a night of m by ada runs since .*MLflow run r1"):
        leases.take(name_night("m"), "bob", 90, {})
    leases.take(name_night("other"), "bob", 90, {})
    assert len(leases.list_living(90)) == 2


def test_upkeep_and_nights_keep_each_other_away(url: str) -> None:
    leases = Leases(url)
    lease, _ = leases.take(name_night("m"), "ada", 90, {})
    with pytest.raises(NightRefused, match="a night of m"):
        leases.take(UPKEEP, "bob", 90, {})
    leases.release(lease)
    leases.take(UPKEEP, "bob", 90, {})
    with pytest.raises(NightRefused, match="upkeep"):
        leases.take(name_night("m"), "ada", 90, {})


def test_the_lease_of_a_dead_process_is_taken_over_at_once(url: str) -> None:
    take_and_die(url, "night:m")
    leases = Leases(url)
    lease, dead = leases.take("night:m", "ada", 1e9, {})
    ((old, death),) = dead
    assert old.actor == "dead"
    assert old.details == DETAILS
    assert death == f"process {old.process.pid} has ended"
    assert [seen.holder for seen in leases.list_living(1e9)] == [lease.holder]
    assert leases.remove_dead(1e9) == []


def test_dead_leases_of_others_are_left_for_the_sweep_that_tells_of_them(url: str) -> None:
    take_and_die(url, "night:m")
    leases = Leases(url)
    _, dead = leases.take(UPKEEP, "ada", 90, {})
    assert dead == []
    assert [lease.name for lease, _ in leases.remove_dead(90)] == ["night:m"]


def test_a_sweep_removes_dead_leases_and_leaves_the_living(url: str) -> None:
    leases = Leases(url)
    leases.take("night:other", "ada", 90, {})
    take_and_die(url, "night:m")
    assert [lease.name for lease, _ in leases.remove_dead(90)] == ["night:m"]
    assert [lease.name for lease in leases.list_living(90)] == ["night:other"]


def test_one_that_was_taken_over_neither_beats_nor_gives_back_the_new_one(url: str) -> None:
    leases = Leases(url)
    lease, _ = leases.take("night:m", "ada", 90, {})
    other = replace(lease, holder="another")
    assert not leases.beat(other, {})
    leases.release(other)
    assert [seen.holder for seen in leases.list_living(90)] == [lease.holder]


def test_of_many_that_take_a_lease_at_once_one_gets_it(url: str) -> None:
    got: list[str] = []

    def take(number: int) -> None:
        try:
            Leases(url).take("night:m", f"actor {number}", 90, {})
        except NightRefused:
            return
        got.append(f"actor {number}")

    threads = [threading.Thread(target=take, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1
    assert [lease.actor for lease in Leases(url).list_living(90)] == got


def test_a_ledger_from_before_leases_gets_their_table_and_keeps_its_events(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    Ledger(url).append("m", 0, [NewEvent(kind="registered", actor="ada", to_version=1)])
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        connection.execute("DROP TABLE leases")
    Leases(url).take("night:m", "ada", 90, {})
    assert [event.to_version for event in Ledger(url).read("m")] == [1]


@pytest.mark.parametrize(
    ("silent", "reason"),
    [
        (0, None),
        (90, None),
        (91, "no heartbeat for 91 s"),
        # The clock was ahead and was put right: such a lease must not stay for as long.
        (-90, None),
        (-91, "a heartbeat of the future"),
    ],
)
def test_of_another_machine_only_the_beats_are_known(silent: float, reason: str | None) -> None:
    suspicion = suspect_death(make_lease(silent=silent), NOW, 90)
    if reason is None:
        assert suspicion is None
    else:
        assert suspicion is not None
        assert reason in suspicion.reason
        assert suspicion.watch_seconds == 45


def test_a_living_process_of_this_machine_is_not_dead_however_silent() -> None:
    assert suspect_death(make_lease(process=name_this_process(), silent=1e6), NOW, 90) is None


@pytest.mark.parametrize(("silent", "watch"), [(-5, 45), (0, 45), (44, 45), (45, 0)])
def test_an_ended_process_is_certain_only_with_a_silent_heart(silent: float, watch: float) -> None:
    own = name_this_process()
    gone = ProcessName(own.machine, own.pid, own.started - 1)
    suspicion = suspect_death(make_lease(process=gone, silent=silent), NOW, 90)
    assert suspicion is not None
    assert suspicion.reason == f"process {own.pid} has ended"
    assert suspicion.watch_seconds == watch


@contextmanager
def beat_on(leases: Leases, lease: Lease) -> Iterator[None]:
    """Keep a heart beating, whatever anybody says of its process."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(0.2):
            leases.beat(lease, lease.details)

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@pytest.mark.parametrize(
    ("machine", "beaten"),
    [
        # Its process is said to have ended.
        (name_this_machine(), None),
        # The database's clock went forward, or back.
        ("0" * 12, "2001-01-01 00:00:00"),
        ("0" * 12, "2101-01-01 00:00:00"),
    ],
)
def test_neither_a_look_up_nor_a_clock_outvotes_a_beating_heart(
    tmp_path: Path, machine: str, beaten: str | None
) -> None:
    leases = Leases(f"sqlite:///{tmp_path / 'ledger.db'}")

    def write(**values: object) -> None:
        with sqlite3.connect(tmp_path / "ledger.db") as connection:
            for name, value in values.items():
                if value is not None:
                    connection.execute(f"UPDATE leases SET {name} = ?", (value,))

    lease, _ = leases.take("night:m", "ada", 90, {"beat_seconds": 20})
    write(machine=machine, pid=2**22 + 1, beaten=beaten)
    with beat_on(leases, lease):
        assert leases.remove_dead(90) == []
    write(beaten=beaten)
    with beat_on(leases, lease), pytest.raises(NightRefused):
        leases.take("night:m", "bob", 90, {})
    write(beaten=beaten)
    assert [seen.holder for seen in leases.list_living(90)] == [lease.holder]
    # Once it is silent, it is dead.
    write(details='{"beat_seconds": 0.1}')
    _, ((dead, _),) = leases.take("night:m", "bob", 90, {})
    assert dead.holder == lease.holder


def test_what_conflicts_with_what() -> None:
    night, upkeep = make_lease("night:m"), make_lease(UPKEEP)
    assert select_conflict("night:m", [night]) is night
    assert select_conflict("night:n", [night]) is None
    assert select_conflict("night:n", [upkeep]) is upkeep
    assert select_conflict(UPKEEP, [night]) is night
    assert select_conflict(UPKEEP, []) is None
