"""Leases on real databases: SQLite always, PostgreSQL where it is installed (slow)."""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from release.dying import take_and_die

from sentiflow.errors import NightRefused
from sentiflow.processes import ProcessName, name_this_process
from sentiflow.release.leases import (
    UPKEEP,
    Lease,
    Leases,
    explain_death,
    find_conflict,
    name_night,
)
from sentiflow.release.ledger import Ledger
from sentiflow.release.standing import NewEvent

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
    assert old.details == {"run_id": "r", "flow_run_id": "f"}
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


@pytest.mark.parametrize(("silent", "is_dead"), [(0, False), (90, False), (91, True)])
def test_of_another_machine_only_the_beats_are_known(silent: float, is_dead: bool) -> None:
    death = explain_death(make_lease(silent=silent), NOW, 90)
    assert (death is not None) == is_dead
    assert death is None or "no heartbeat for 91 s" in death


def test_a_living_process_of_this_machine_is_not_dead_however_silent() -> None:
    assert explain_death(make_lease(process=name_this_process(), silent=1e6), NOW, 90) is None


def test_an_ended_process_of_this_machine_is_dead_however_young_its_beat() -> None:
    own = name_this_process()
    gone = ProcessName(own.machine, own.pid, own.started - 60)
    assert explain_death(make_lease(process=gone), NOW, 90) == f"process {own.pid} has ended"


def test_what_conflicts_with_what() -> None:
    night, upkeep = make_lease("night:m"), make_lease(UPKEEP)
    assert find_conflict("night:m", [night]) is night
    assert find_conflict("night:n", [night]) is None
    assert find_conflict("night:n", [upkeep]) is upkeep
    assert find_conflict(UPKEEP, [night]) is night
    assert find_conflict(UPKEEP, []) is None
