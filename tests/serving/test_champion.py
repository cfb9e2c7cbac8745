from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from sentiflow.errors import ArtifactError, RegistryUnreachable
from sentiflow.release.alias import reconcile
from sentiflow.release.explained import ChampionReader
from sentiflow.release.known_files import KnownFiles, digest_bundle
from sentiflow.release.ledger import Ledger
from sentiflow.release.registry import CHAMPION, Registry, Version
from sentiflow.release.state import NewEvent
from sentiflow.serving import champion
from sentiflow.serving.batching import Model
from sentiflow.serving.champion import ChampionFollower
from sentiflow.serving.copies import Copy

Follow = Callable[..., ChampionFollower]
Caplog = pytest.LogCaptureFixture


class ShelfRegistry(Registry):
    """Bundles in folders and an alias in a variable: MLflow's answers without its seconds.

    The slow tests below follow a real registry.
    """

    def __init__(self, ledger: Path) -> None:
        super().__init__("sqlite://")
        self.ledger_file = ledger
        self.ledger = Ledger(f"sqlite:///{ledger}")
        self.bundles: dict[int, Path] = {}
        self.pointed: int | None = None
        self.is_down = False
        self.artifacts_are_down = False
        self.tags: dict[str, str] = {}
        self.fetched: list[int] = []

    def look_up_alias(self, name: str, alias: str) -> Version | None:
        assert (name, alias) == ("model", CHAMPION)
        if self.is_down:
            raise RegistryUnreachable("The model registry must answer.")
        return self.look_up_version(name, self.pointed) if self.pointed is not None else None

    def look_up_version(self, name: str, number: int) -> Version | None:
        return Version(name, number, f"run-{number}", self.tags)

    def point(self, name: str, alias: str, number: int) -> None:
        self.pointed = number

    def promote(self, number: int) -> None:
        """Make a version champion as a night does: in the real ledger, then the alias follows."""
        promote(self, self.ledger, number, self.bundles[number])

    def fetch_bundle(self, version: Version, folder: Path) -> Path:
        self.fetched.append(version.number)
        if self.artifacts_are_down:
            raise ArtifactError("The artifact must be there.")
        return Path(shutil.copytree(self.bundles[version.number], folder / "model" / "bundle"))


def promote(registry: Registry, ledger: Ledger, number: int, bundle: Path) -> None:
    version = registry.look_up_version("model", number)
    assert version is not None
    known = KnownFiles(version.run_id, digest_bundle(bundle))
    event = NewEvent(
        kind="promoted", actor="night", to_version=number, details=known.as_details()
    )  # fmt: skip
    ledger.append("model", ledger.read_head("model")[0], [event])
    assert reconcile(registry, ledger, "model", "night").moved is None


class QuickFollower(ChampionFollower):
    """Takes a number in a file for a model, so that loading costs no half second a time.

    The slow tests load real bundles.
    """

    def _load(self, folder: Path) -> Model:
        text = (folder / "answer").read_text()
        if text == "broken":
            raise ArtifactError("A bundle must answer its probe texts as when it was made.")
        return self.make_model(float(text))

    def make_model(self, probability: float) -> Model:
        class Constant:
            """Answers every text alike."""

            def predict(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
                return np.full(len(texts), probability, np.float32)

        return Constant()


@pytest.fixture
def make_bundle(tmp_path: Path) -> Callable[[str], Path]:
    """Make what QuickFollower takes for a bundle."""

    def make(answer: str) -> Path:
        folder = tmp_path / f"bundle-{answer}"
        folder.mkdir()
        (folder / "answer").write_text(answer)
        return folder

    return make


@pytest.fixture
def registry(make_bundle: Callable[[str], Path], tmp_path: Path) -> ShelfRegistry:
    shelf = ShelfRegistry(tmp_path / "ledger.db")
    shelf.bundles = {1: make_bundle("0.2"), 2: make_bundle("0.7")}
    shelf.promote(1)
    return shelf


@pytest.fixture
def broken(make_bundle: Callable[[str], Path]) -> Path:
    return make_bundle("broken")


@pytest.fixture
def follow(tmp_path: Path) -> Follow:
    def make(
        registry: Registry, poll_seconds: float = 0.05, kind: type[ChampionFollower] = QuickFollower
    ) -> ChampionFollower:
        reader = ChampionReader(Ledger(f"sqlite:///{tmp_path / 'ledger.db'}"), "model")
        return kind(registry, reader, "model", tmp_path / "serving", poll_seconds, 4)

    return make


@pytest.fixture
def follower(registry: ShelfRegistry, follow: Follow) -> ChampionFollower:
    """Has looked once, and serves version 1."""
    made = follow(registry)
    made.poll()
    assert answer_of(made) == (1, 0.2)
    return made


def answer_of(follower: ChampionFollower) -> tuple[int, float]:
    served = follower.get_served()
    assert served is not None
    return served.version.number, round(float(served.predict(["some text"])[0]), 4)


def list_kept(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "serving").iterdir() if path.name != ".lock")


def test_the_champion_is_served_and_followed(
    registry: ShelfRegistry, follow: Follow, tmp_path: Path
) -> None:
    follower = follow(registry)
    assert follower.get_served() is None
    follower.poll()
    assert answer_of(follower) == (1, 0.2)
    first = follower.get_served()
    follower.poll()
    assert registry.fetched == [1], "the same version is not fetched again"
    registry.promote(2)
    follower.poll()
    assert answer_of(follower) == (2, 0.7)
    assert list_kept(tmp_path) == ["2"]
    assert first is not None
    assert float(first.predict(["text"])[0]) == pytest.approx(0.2), "who holds it may go on"
    registry.promote(1)
    follower.poll()
    assert answer_of(follower) == (1, 0.2), "a rollback is followed too"


def test_tags_set_after_the_alias_moved_are_seen(
    registry: ShelfRegistry, follower: ChampionFollower
) -> None:
    served = follower.get_served()
    assert served is not None
    registry.tags = {"sentiflow.outcome": "promoted"}
    follower.poll()
    again = follower.get_served()
    assert again is not None
    assert again.version.tags == {"sentiflow.outcome": "promoted"}
    assert (again.model, again.since) == (served.model, served.since)


def test_a_champion_that_does_not_load_leaves_the_old_one_and_is_tried_less_and_less(
    registry: ShelfRegistry,
    follow: Follow,
    broken: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: Caplog,
) -> None:
    class Clock:
        """Time that passes when the test says so."""

        now = 1_000.0

        @classmethod
        def monotonic(cls) -> float:
            return cls.now

    monkeypatch.setattr(champion, "time", Clock)
    follower = follow(registry, poll_seconds=5.0)
    follower.poll()
    registry.bundles[2] = broken
    registry.promote(2)
    tried_at = []
    for _ in range(200):
        before = len(registry.fetched)
        follower.poll()
        if len(registry.fetched) > before:
            tried_at.append(Clock.now - 1_000.0)
        Clock.now += 5.0
    assert tried_at[:5] == [0.0, 5.0, 15.0, 35.0, 75.0]
    assert answer_of(follower) == (1, 0.2)
    failure = follower.state.failure
    assert failure is not None
    assert failure.version.number == 2
    assert failure.attempts == follower.state.failed_loads == len(tried_at)
    assert "ArtifactError" in failure.reason
    assert "Version 2 of model does not load, version 1 goes on" in caplog.text
    assert list_kept(tmp_path) == ["1"], "the last good one is kept, the broken one is not"
    registry.promote(1)
    follower.poll()
    assert follower.state.failure is None, "what is wanted is served"


def test_a_mended_champion_is_served_at_the_next_try(
    registry: ShelfRegistry, follow: Follow, broken: Path, make_bundle: Callable[[str], Path]
) -> None:
    follower = follow(registry, poll_seconds=0.001)
    registry.bundles[1] = broken
    registry.promote(1)
    follower.poll()
    assert follower.get_served() is None
    assert follower.state.failure is not None
    registry.bundles[1] = make_bundle("0.3")
    registry.promote(1)
    time.sleep(0.01)
    follower.poll()
    assert answer_of(follower) == (1, 0.3)
    assert follower.state.failure is None


def test_a_silent_registry_is_noticed_and_what_is_loaded_goes_on(
    registry: ShelfRegistry, follower: ChampionFollower
) -> None:
    answered = follower.state.last_answer
    registry.is_down = True
    follower.poll()
    since = follower.state.unreachable_since
    assert since is not None
    follower.poll()
    assert follower.state.unreachable_since == since
    assert follower.state.last_answer == answered
    assert answer_of(follower) == (1, 0.2)
    registry.is_down = False
    follower.poll()
    assert follower.state.unreachable_since is None


def test_a_champion_taken_away_leaves_the_last_one_serving(
    registry: ShelfRegistry, follower: ChampionFollower
) -> None:
    registry.pointed = None
    follower.poll()
    assert answer_of(follower) == (1, 0.2)
    assert not follower.state.has_champion


def test_a_start_without_a_registry_serves_the_local_copy(
    registry: ShelfRegistry, follower: ChampionFollower, follow: Follow
) -> None:
    registry.is_down = True
    again = follow(registry)
    again.start()
    wait_until(lambda: again.get_served() is not None)
    assert answer_of(again) == (1, 0.2)
    served = again.get_served()
    assert served is not None
    assert served.loaded_from == "local copy"
    registry.is_down = False
    registry.promote(2)
    wait_until(lambda: answer_of(again) == (2, 0.7))
    again.stop()


def test_a_start_over_a_registry_that_hangs_serves_the_local_copy(
    registry: ShelfRegistry,
    follower: ChampionFollower,
    follow: Follow,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(champion, "FIRST_LOOK_SECONDS", 0.05)
    answers = threading.Event()

    class Hanging(ShelfRegistry):
        """Answers when the test lets it, as MLflow does that tries for minutes."""

        def look_up_alias(self, name: str, alias: str) -> Version | None:
            assert answers.wait(30)
            return super().look_up_alias(name, alias)

    hanging = Hanging(registry.ledger_file)
    again = follow(hanging)
    again.start()
    wait_until(lambda: again.get_served() is not None)
    assert answer_of(again) == (1, 0.2)
    assert again.state.last_answer is None
    again.stop()
    answers.set()


def test_a_start_does_not_fetch_what_is_kept(
    registry: ShelfRegistry, follower: ChampionFollower, follow: Follow
) -> None:
    again = follow(registry)
    again.poll()
    assert answer_of(again) == (1, 0.2)
    assert registry.fetched == [1]


def test_a_damaged_local_copy_is_not_served_but_fetched_anew(
    registry: ShelfRegistry, follower: ChampionFollower, follow: Follow, tmp_path: Path
) -> None:
    (tmp_path / "serving" / "1" / "bundle" / "answer").write_text("broken")
    registry.is_down = True
    without = follow(registry)
    without.restore()
    assert without.get_served() is None
    registry.is_down = False
    again = follow(registry)
    again.poll()
    assert answer_of(again) == (1, 0.2)
    assert registry.fetched == [1, 1]


def test_the_local_copy_serves_while_the_champions_artifact_is_not_to_be_had(
    registry: ShelfRegistry, follower: ChampionFollower, follow: Follow
) -> None:
    registry.promote(2)
    registry.artifacts_are_down = True
    again = follow(registry)
    again.start()
    wait_until(lambda: again.get_served() is not None)
    assert answer_of(again) == (1, 0.2)
    assert again.state.failure is not None
    again.stop()


def test_a_disk_that_takes_nothing_leaves_the_old_one_serving(
    registry: ShelfRegistry, follower: ChampionFollower, tmp_path: Path
) -> None:

    def fail(version: Version, folder: Path) -> Path:
        raise OSError(28, "No space left on device")

    registry.promote(2)
    registry.fetch_bundle = fail  # type: ignore[method-assign]
    follower.poll()
    assert answer_of(follower) == (1, 0.2)
    assert follower.state.failure is not None
    assert "No space left" in follower.state.failure.reason
    assert list_kept(tmp_path) == ["1"]


def wait_until(claim: Callable[[], bool], seconds: float = 20.0) -> None:
    ends = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < ends, "it must come true in time"
        time.sleep(0.01)


def test_nothing_is_served_before_there_is_a_champion(
    follow: Follow, registry: ShelfRegistry, tmp_path: Path
) -> None:
    registry.ledger_file.unlink()
    registry.pointed = None
    follower = follow(registry)
    follower.poll()
    follower.restore()
    assert follower.get_served() is None
    assert follower.state.last_answer is not None
    assert registry.fetched == []


def test_the_state_is_replaced_as_a_whole(registry: ShelfRegistry, follow: Follow) -> None:
    follower: Any = follow(registry)
    before = follower.state
    follower.poll()
    assert before.served is None, "who read the state before sees what was"
    assert follower.state.served is not None


# ---- Only what the ledger explains ------------------------------------------------------------


def test_an_alias_moved_by_hand_is_told_once_and_not_followed_until_it_is_adopted(
    registry: ShelfRegistry, follower: ChampionFollower, caplog: Caplog
) -> None:
    registry.pointed = 2
    for _ in range(3):
        follower.poll()
    assert answer_of(follower) == (1, 0.2)
    assert (registry.fetched, follower.state.failure) == ([1], None), "it is not even tried"
    (warning,) = follower.state.list_warnings()
    assert "points at version 2, and no event of the ledger put it there" in warning
    assert caplog.text.count(warning) == 1
    # Noted by maintenance or a night it still is not explained.
    assert reconcile(registry, registry.ledger, "model", "maintenance").moved is not None
    follower.poll()
    assert follower.state.list_warnings() == [warning]
    registry.promote(2)
    follower.poll()
    assert answer_of(follower) == (2, 0.7)
    assert follower.state.list_warnings() == []


def test_an_alias_that_only_lags_behind_a_release_is_no_move(
    registry: ShelfRegistry, follower: ChampionFollower, caplog: Caplog
) -> None:
    known = KnownFiles("run-2", digest_bundle(registry.bundles[2]))
    event = NewEvent(kind="promoted", actor="night", to_version=2, details=known.as_details())
    registry.ledger.append("model", 1, [event])
    follower.poll()
    assert answer_of(follower) == (2, 0.7), "the commit is in the ledger, not in the alias"
    assert follower.state.list_warnings() == []
    reconcile(registry, registry.ledger, "model", "night")
    follower.poll()
    assert "no event" not in caplog.text


def test_a_release_between_the_look_at_the_alias_and_that_at_the_ledger_is_no_move(
    registry: ShelfRegistry, follower: ChampionFollower, caplog: Caplog
) -> None:
    looks = []

    class Between(ShelfRegistry):
        """Promotes right after it was asked for the alias, once."""

        def look_up_alias(self, name: str, alias: str) -> Version | None:
            found = super().look_up_alias(name, alias)
            if not looks:
                looks.append(found)
                registry.promote(2)
                self.pointed = 2
            return found

    between = Between(registry.ledger_file)
    between.bundles, between.pointed = registry.bundles, 1
    follower._registry = between
    follower.poll()
    assert answer_of(follower) == (2, 0.7)
    assert "no event" not in caplog.text


def test_while_the_ledger_is_away_nothing_is_followed_and_what_it_explained_goes_on(
    registry: ShelfRegistry, follower: ChampionFollower, follow: Follow
) -> None:
    aside = registry.ledger_file.rename(registry.ledger_file.with_name("aside"))
    registry.ledger_file.mkdir()
    registry.pointed = 2
    follower.poll()
    follower.poll()
    assert answer_of(follower) == (1, 0.2)
    assert "The ledger does not answer since" in follower.state.list_warnings()[0]
    again = follow(registry)
    again.start()
    wait_until(lambda: again.get_served() is not None)
    assert answer_of(again) == (1, 0.2), "a start without it serves the copy that is kept"
    again.stop()
    registry.ledger_file.rmdir()
    aside.rename(registry.ledger_file)
    registry.pointed = 1
    registry.promote(2)
    follower.poll()
    assert answer_of(follower) == (2, 0.7)
    assert follower.state.list_warnings() == []


def test_files_that_are_not_those_the_ledger_knows_are_not_loaded(
    registry: ShelfRegistry, follower: ChampionFollower, tmp_path: Path
) -> None:
    registry.promote(2)
    (registry.bundles[2] / "answer").write_text("0.9")
    follower.poll()
    assert answer_of(follower) == (1, 0.2)
    assert follower.state.failure is not None
    assert "UnknownFiles" in follower.state.failure.reason
    assert "1 changed" in follower.state.failure.reason
    assert list_kept(tmp_path) == ["1"]


def test_a_champion_whose_files_the_ledger_does_not_know_goes_on_from_its_copy_alone(
    registry: ShelfRegistry, follower: ChampionFollower, follow: Follow, tmp_path: Path
) -> None:
    # As a home was left by a sentiflow that kept no digests: neither has them.
    registry.ledger_file.unlink()
    old = NewEvent(kind="promoted", actor="night", to_version=1)
    Ledger(f"sqlite:///{registry.ledger_file}").append("model", 0, [old])
    description = tmp_path / "serving" / "1" / "version.json"
    kept = json.loads(description.read_text())
    del kept["sha256"]
    description.write_text(json.dumps(kept))
    again = follow(registry)
    again.poll()
    assert answer_of(again) == (1, 0.2)
    assert any("sentiflow attest 1" in warning for warning in again.state.list_warnings())
    shutil.rmtree(description.parent)
    without = follow(registry)
    without.poll()
    assert without.get_served() is None
    assert without.state.failure is not None
    assert "sentiflow attest 1" in without.state.failure.reason
    assert registry.fetched == [1], "never from the registry"
    known = KnownFiles("run-1", digest_bundle(registry.bundles[1]))
    attested = NewEvent(
        kind="attested", actor="ada", reason="looked at", to_version=1, details=known.as_details()
    )
    registry.ledger.append("model", 1, [attested])
    without.poll()
    again.poll()
    assert answer_of(without) == answer_of(again) == (1, 0.2)
    assert again.state.list_warnings() == []


def test_the_number_of_another_model_is_not_the_champions(
    registry: ShelfRegistry, follower: ChampionFollower
) -> None:

    class Anew(ShelfRegistry):
        """Its versions were made by other runs."""

        def look_up_version(self, name: str, number: int) -> Version | None:
            return Version(name, number, "another-run", {})

    anew = Anew(registry.ledger_file)
    anew.bundles, anew.pointed = registry.bundles, 1
    follower._registry = anew
    follower.poll()
    assert answer_of(follower) == (1, 0.2)
    assert "another model by now" in follower.state.list_warnings()[0]
    assert anew.fetched == []


def test_a_process_without_descriptors_goes_on_following(
    registry: ShelfRegistry, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower = follow(registry)
    registry.is_down = True
    tried = []

    def fail() -> list[Copy]:
        tried.append(1)
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(follower._copies, "list_copies", fail)
    follower.start()
    wait_until(lambda: len(tried) > 2)
    registry.is_down = False
    monkeypatch.undo()
    wait_until(lambda: follower.get_served() is not None)
    follower.stop()


# ---- The real registry and a real service from here on -------------------------------------

SERVE = """
import logging, sys
from pathlib import Path
logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
logging.getLogger("sentiflow.serving.app").setLevel(logging.INFO)
logging.getLogger("sentiflow.serving.champion").setLevel(logging.INFO)
from sentiflow.settings import prepare_environment
home = Path(sys.argv[1])
prepare_environment(home)
from sentiflow.release.open_home import open_home
from sentiflow.serving.app import serve
serve(open_home(None, [
    "model.name=model", "serving.port=0", "serving.poll_seconds=0.2", f"tracking.uri={sys.argv[2]}",
], home))
"""

# Steady load from a process of its own: every answer is written down, a failure with its reason.
ASK = """
import http.client, json, sys, threading, time
port, out, stop = int(sys.argv[1]), sys.argv[2], sys.argv[3]
import pathlib
answers, failed, lock = [], [], threading.Lock()
def ask(many):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    body = json.dumps({"texts": ["good food", "bad !", "", "the"][:many]})
    while not pathlib.Path(stop).exists():
        try:
            connection.request("POST", "/v1/predict", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            content = json.loads(answer.read())
            with lock:
                if answer.status == 200:
                    answers.append([content["model_version"],
                                    [row["probability"] for row in content["predictions"]]])
                else:
                    failed.append(content)
        except Exception as error:
            with lock:
                failed.append(repr(error))
            connection.close()
        time.sleep(0.01)
threads = [threading.Thread(target=ask, args=(n % 4 + 1,)) for n in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
json.dump({"answers": answers, "failed": failed}, open(out, "w"))
"""


Published = tuple[Registry, dict[int, float], dict[int, Path], int]


@pytest.fixture(scope="module")
def published(
    tmp_path_factory: pytest.TempPathFactory, constant_bundle: Callable[[float], Path]
) -> Published:
    """Three sound versions in a real registry, what each answers, all bundles, a broken version."""
    from sentiflow.tracking import track_run

    folder = tmp_path_factory.mktemp("registry")
    registry = Registry(f"sqlite:///{folder / 'mlflow.db'}")
    answers: dict[int, float] = {}
    bundles: dict[int, Path] = {}
    broken = 0
    for turn, probability in enumerate((0.1, 0.4, 0.8, 0.9)):
        bundle = constant_bundle(probability)
        if turn == 3:
            bundle = Path(shutil.copytree(bundle, folder / "broken"))
            file = bundle / "model.keras"
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        with track_run(registry.uri, "test", folder / "artifacts", "run", {}) as run:
            version = registry.register("model", run.id, bundle, {}, {}, "a version")
        bundles[version.number] = bundle
        if turn == 3:
            broken = version.number
        else:
            answers[version.number] = probability
    return registry, answers, bundles, broken


@pytest.mark.slow
def test_no_request_fails_and_every_answer_fits_its_version_while_the_champion_moves(
    published: Published, tmp_path: Path, warm_python: str
) -> None:
    registry, expected, bundles, broken = published
    registry.unpoint("model", CHAMPION)
    numbers = sorted(expected)
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")

    def release(number: int) -> None:
        promote(registry, ledger, number, bundles[number])

    release(numbers[0])
    log, out, stop = tmp_path / "log", tmp_path / "answers.json", tmp_path / "stop"
    with log.open("wb") as output:
        service = subprocess.Popen(
            [warm_python, "-c", SERVE, str(tmp_path), registry.uri], stderr=output
        )
    try:
        wait_until(lambda: "on http://127.0.0.1:" in log.read_text(), 60)
        port = log.read_text().split("on http://127.0.0.1:")[1].split()[0]
        wait_until(lambda: f"Serving version {numbers[0]} " in log.read_text(), 60)
        load = subprocess.Popen([sys.executable, "-c", ASK, port, str(out), str(stop)])
        moved = 0
        for turn in range(1, 11):
            if turn == 6:
                release(broken)
                wait_until(lambda: f"Version {broken} of model does not load" in log.read_text())
            number = numbers[turn % 3]
            release(number)
            line = f"Serving version {number} of model."
            wait_until(lambda line=line, before=turn // 3: log.read_text().count(line) > before)
            moved += 1
            time.sleep(0.2)
        stop.touch()
        assert load.wait(30) == 0
    finally:
        stop.touch()
        service.terminate()
        assert service.wait(30) == 0
    seen = json.loads(out.read_text())
    assert moved == 10
    assert seen["failed"] == []
    assert len(seen["answers"]) > 500
    assert {version for version, _ in seen["answers"]} == set(expected), "every version answered"
    for version, probabilities in seen["answers"]:
        np.testing.assert_allclose(probabilities, expected[version], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["cut", "other"])
def test_a_real_bundle_that_is_damaged_on_disk_is_not_served(
    follow: Follow, tmp_path: Path, constant_bundle: Callable[[float], Path], damage: str
) -> None:
    shelf = ShelfRegistry(tmp_path / "ledger.db")
    shelf.bundles = {1: constant_bundle(0.1)}
    shelf.promote(1)
    follower = follow(shelf, kind=ChampionFollower)
    follower.poll()
    assert answer_of(follower) == (1, 0.1)
    kept = tmp_path / "serving" / "1" / "bundle" / "model.keras"
    if damage == "cut":
        kept.write_bytes(kept.read_bytes()[:-100])
    else:
        # A sound model, but another one: only the probes tell.
        shutil.copy(constant_bundle(0.8) / "model.keras", kept)
    again = follow(shelf, kind=ChampionFollower)
    again.restore()
    assert again.get_served() is None
    again.poll()
    assert answer_of(again) == (1, 0.1)
    assert shelf.fetched == [1, 1]


@pytest.mark.slow
def test_the_real_registrys_champion_is_kept_and_served_after_the_registry_is_gone(
    published: Published, follow: Follow, tmp_path: Path
) -> None:
    registry, expected, bundles, _ = published
    number = max(expected)
    registry.unpoint("model", CHAMPION)
    promote(registry, Ledger(f"sqlite:///{tmp_path / 'ledger.db'}"), number, bundles[number])
    follower = follow(registry, kind=ChampionFollower)
    follower.poll()
    assert answer_of(follower) == (number, pytest.approx(expected[number], abs=1e-4))
    assert list_kept(tmp_path) == [str(number)]
    again = follow(Registry("http://127.0.0.1:9"), kind=ChampionFollower)
    again.poll()
    assert again.state.unreachable_since is not None
    again.restore()
    assert answer_of(again) == (number, pytest.approx(expected[number], abs=1e-4))


def test_what_the_registry_answers_while_a_local_copy_loads_is_not_displaced_by_it(
    registry: ShelfRegistry,
    follower: ChampionFollower,
    follow: Follow,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry.promote(2)
    again = follow(registry)
    load, polls = again._load, iter([again.poll])

    def answer_meanwhile(folder: Path) -> Model:
        model = load(folder)
        for poll in polls:
            poll()
        return model

    monkeypatch.setattr(again, "_load", answer_meanwhile)
    again.restore()
    assert answer_of(again) == (2, 0.7)
