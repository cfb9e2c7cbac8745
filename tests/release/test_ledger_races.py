"""Two processes promote at the same moment, again and again, and some are killed on the way.

Everything is real: operating-system processes, SIGKILL, MLflow's registry on SQLite, the ledger
on SQLite and on PostgreSQL. The parent never opens MLflow's database, so that no process
inherits an open connection by its fork.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import Any

import pytest

from sentiflow.errors import LedgerConflict
from sentiflow.release.alias import reconcile
from sentiflow.release.ledger import Ledger, Watermark
from sentiflow.release.registry import CHAMPION, Registry
from sentiflow.release.state import Event, NewEvent, fold_events

pytestmark = [pytest.mark.slow]

MODEL = "m"
ROUNDS = 50
KILLED_ROUNDS = 10
LONGEST_DELAY = 0.03  # seconds; as long as a few writes take, so that every order occurs
LONGEST_PROMOTION = 0.15  # seconds from the start to the answer, most of the time
FORK = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Place:
    """Where everything is.

    Attributes:
        ledger_url: the ledger.
        registry_uri: MLflow's database.
        reports: file of the events that a process was told are written, one JSON per line.
        points: file of the versions the alias was pointed at, in order.
    """

    ledger_url: str
    registry_uri: str
    reports: Path
    points: Path


class WatchedRegistry(Registry):
    """MLflow's registry, which takes its time and leaves a line for each move of the alias."""

    def __init__(self, place: Place, random: Random) -> None:
        super().__init__(place.registry_uri)
        self._points = place.points
        self._random = random

    def point(self, name: str, alias: str, number: int) -> None:
        # Long enough that a projector without a lock would be overtaken here.
        time.sleep(self._random.uniform(0, 3 * LONGEST_DELAY))
        write_line(self._points, str(number))
        super().point(name, alias, number)


def write_line(path: Path, line: str) -> None:
    """Append in one system call, so that a kill leaves a whole line or none."""
    file = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)
    os.write(file, f"{line}\n".encode())
    os.close(file)


def describe(event: Event) -> list[Any]:
    return [event.sequence, event.kind, event.to_version, event.actor, event.time.isoformat()]


class Contender:
    """What a child process does with the parent's orders."""

    def __init__(self, place: Place, seed: int) -> None:
        self.place = place
        self.random = Random(seed)
        self.registry = WatchedRegistry(place, self.random)
        self.ledger = Ledger(place.ledger_url)
        self.actor = f"process-{os.getpid()}"

    def make_versions(self, versions: int) -> None:
        client = self.registry._client
        client.create_registered_model(MODEL)
        for _ in range(versions):
            client.create_model_version(MODEL, source="file:///nowhere/model")

    def promote(self, version: int, start: float) -> int:
        """Promote as a night does; return how many conflicts were met on the way."""
        time.sleep(max(0.0, start - time.monotonic()))
        reconcile(self.registry, self.ledger, MODEL, self.actor)
        conflicts = 0
        keeps_when_beaten = self.random.random() < 0.5
        while True:
            state = fold_events(self.ledger.read(MODEL))
            self.pause()
            is_beaten = conflicts > 0 and keeps_when_beaten
            event = NewEvent(
                kind="kept" if is_beaten else "promoted",
                actor=self.actor,
                from_version=state.champion,
                to_version=version,
            )
            try:
                written = self.ledger.append(MODEL, state.sequence, [event])
            except LedgerConflict:
                conflicts += 1
                continue
            write_line(self.place.reports, json.dumps(describe(written[0])))
            self.pause()
            reconcile(self.registry, self.ledger, MODEL, self.actor)
            return conflicts

    def watch(self, end: float) -> None:
        """Settle over and over, as `sentiflow status` in a loop would."""
        while time.monotonic() < end:
            reconcile(self.registry, self.ledger, MODEL, self.actor)
            self.pause()

    def look_up_alias(self) -> int | None:
        reconcile(self.registry, self.ledger, MODEL, self.actor)
        found = self.registry.look_up_alias(MODEL, CHAMPION)
        return found.number if found is not None else None

    def pause(self) -> None:
        time.sleep(self.random.uniform(0, LONGEST_DELAY))


def serve_orders(orders: Connection, place: Place, seed: int) -> None:
    contender = Contender(place, seed)
    contender.registry.look_up_alias(MODEL, CHAMPION)
    orders.send("ready")
    while True:
        name, arguments = orders.recv()
        orders.send(getattr(contender, name)(*arguments))


class Child:
    """A process that follows orders until it is ended."""

    def __init__(self, place: Place, seed: int) -> None:
        self._orders, theirs = FORK.Pipe()
        self._process = FORK.Process(target=serve_orders, args=(theirs, place, seed), daemon=True)
        self._process.start()
        theirs.close()

    def wait(self) -> Any:
        """Return the answer; EOFError when the process died."""
        assert self._orders.poll(60), "no answer within a minute"
        return self._orders.recv()

    def order(self, name: str, *arguments: Any) -> None:
        self._orders.send((name, arguments))

    def kill(self) -> bool:
        """End it on the spot; return whether it was still at work."""
        assert self._process.pid is not None
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.join(30)
        assert self._process.exitcode == -signal.SIGKILL
        try:
            is_done = self._orders.poll() and self._orders.recv() is not None
        except EOFError:
            is_done = False
        self._orders.close()
        return not is_done


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'ledger.db'}"
    else:
        make_url: Callable[[], str] = request.getfixturevalue("make_postgresql_url")
        url = make_url()
    return Place(
        url, f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path / "reports", tmp_path / "points"
    )


@pytest.fixture
def make_child(place: Place) -> Iterator[Callable[[int], Child]]:
    children: list[Child] = []

    def make(seed: int) -> Child:
        children.append(Child(place, seed))
        return children[-1]

    yield make
    for child in children:
        if child._process.is_alive():
            child.kill()


def read_lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def test_of_two_promotions_at_one_moment_none_is_lost_and_none_goes_unexplained(
    place: Place, make_child: Callable[[int], Child]
) -> None:
    random = Random(20261125)
    killed_rounds = set(random.sample(range(ROUNDS), KILLED_ROUNDS))
    ledger = Ledger(place.ledger_url)
    referee = make_child(0)
    assert referee.wait() == "ready"
    referee.order("make_versions", 2 * ROUNDS)
    referee.wait()
    contenders = [make_child(1), make_child(2)]
    assert [child.wait() for child in contenders] == ["ready", "ready"]
    conflicts = 0
    killed_at_work = 0

    for number in range(ROUNDS):
        start = time.monotonic() + 0.02
        referee.order("watch", start + random.uniform(0, 0.2))
        for place_in_pair, child in enumerate(contenders, start=1):
            child.order("promote", 2 * number + place_in_pair, start)
        victim = random.randrange(2) if number in killed_rounds else None
        if victim is not None:
            time.sleep(max(0.0, start - time.monotonic()) + random.uniform(0, LONGEST_PROMOTION))
            killed_at_work += contenders[victim].kill()
        conflicts += sum(child.wait() for which, child in enumerate(contenders) if which != victim)
        referee.wait()
        referee.order("look_up_alias")
        alias = referee.wait()

        events = ledger.read(MODEL)
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        assert {event.kind for event in events} <= {"promoted", "kept"}, "nobody moved it outside"
        written = [describe(event) for event in events]
        reported = [json.loads(line) for line in read_lines(place.reports)]
        assert all(report in written for report in reported), "an event was lost"
        assert alias == fold_events(events).champion
        assert ledger.read_watermark(MODEL) == Watermark(len(events), alias)
        for event in events:
            assert event.from_version == fold_events(events[: event.sequence - 1]).champion, (
                "an event was decided on another champion than it was written over"
            )
        if victim is not None:
            contenders[victim] = make_child(100 + number)
            assert contenders[victim].wait() == "ready"

    promoted = {event.to_version: event.sequence for event in events if event.kind == "promoted"}
    pointed = [promoted[int(line)] for line in read_lines(place.points)]
    assert pointed == sorted(pointed), "a stale champion was put over a newer one"
    assert len(events) >= 2 * ROUNDS - KILLED_ROUNDS, "who lives always writes its decision down"
    assert conflicts >= ROUNDS // 5, "the two hardly ever met: this proved nothing"
    assert killed_at_work >= KILLED_ROUNDS // 2, "the kills came too late: this proved nothing"
    print(f"{conflicts} conflicts, {killed_at_work} killed at work, "
          f"{len(events)} events, {len(reported)} reported, "
          f"{len(promoted)} promoted, {len(pointed)} moves of the alias")  # fmt: skip
