"""What somebody else wrote into the registry: it is refused in one line, and none of it runs."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import mlflow
import pytest

from sentiflow.commands.adopt import adopt
from sentiflow.commands.attest import attest, format_attested
from sentiflow.commands.context import ReleaseContext, open_release_context
from sentiflow.commands.predict import predict_texts
from sentiflow.commands.promote import promote
from sentiflow.commands.rollback import roll_back
from sentiflow.errors import ArtifactError, NoModelError, ReleaseForbidden, UnknownFiles, UsageError
from sentiflow.night.refusals import refuse_unknown_champion
from sentiflow.release.explained import ChampionReader
from sentiflow.release.known_files import FILES_KEY, KnownFiles, check_files, look_up_known_files
from sentiflow.release.ledger import Ledger
from sentiflow.release.registry import CHAMPION, Version
from sentiflow.release.state import NewEvent
from sentiflow.serving.champion import ChampionFollower

LINEAGE = "abc"


@pytest.fixture
def at(released_home: Path, monkeypatch: pytest.MonkeyPatch) -> ReleaseContext:
    """Versions 1 to 4 in a home of its own; 3 is champion, and the ledger knows all files."""
    # A copy: what a command prepares must not be there for other tests.
    monkeypatch.setattr(os, "environ", os.environ.copy())
    for name in ("SENTIFLOW_LEDGER_URL", "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        os.environ.pop(name, None)
    return open_release_context(None, [], released_home)


def find_artifact(at: ReleaseContext, number: int) -> Path:
    version = at.registry.look_up_version(at.model, number)
    assert version is not None
    (folder,) = (at.home / "mlartifacts").rglob(version.model_id)
    return folder / "artifacts"


def plant(at: ReleaseContext, number: int, *, in_bundle: bool) -> Path:
    """Put code into an artifact that leaves a mark where it runs; return the mark's path."""
    mark = at.home / "ran"
    folder = find_artifact(at, number)
    hostile = f"\nimport pathlib\npathlib.Path({str(mark)!r}).touch()\n"
    changed = list(folder.rglob("*.py"))
    assert changed, "an artifact holds code"
    for path in changed:
        path.write_text(hostile)
    if in_bundle:
        (bundle,) = folder.rglob("bundle.json")
        (bundle.parent / "model.keras").write_bytes(b"PK somebody else's")
        (bundle.parent / "extra.py").write_text(hostile)
    return mark


def predict(at: ReleaseContext, which: str = "champion") -> int:
    return int(predict_texts(at, ["good food"], which)["model_version"])


def make_follower(at: ReleaseContext) -> ChampionFollower:
    reader = ChampionReader(at.ledger, at.model)
    return ChampionFollower(at.registry, reader, at.model, at.home / "serving", 1.0, 2)


def follow(at: ReleaseContext) -> ChampionFollower:
    follower = make_follower(at)
    follower.poll()
    return follower


def test_planted_files_are_refused_before_one_of_them_is_read(at: ReleaseContext) -> None:
    mark = plant(at, 3, in_bundle=True)
    with pytest.raises(UnknownFiles, match=r"Received: 1 changed, 1 added\. They are not loaded"):
        predict(at)
    follower = follow(at)
    assert follower.get_served() is None
    assert follower.state.failure is not None
    assert "UnknownFiles" in follower.state.failure.reason
    with pytest.raises(UsageError, match="attested once"):
        attest(at, [3], "I want it")
    assert not mark.exists()
    assert predict(at, "2") == 2, "the others answer"


def test_code_beside_the_bundle_is_never_run(at: ReleaseContext) -> None:
    mark = plant(at, 3, in_bundle=False)
    assert predict(at) == 3
    served = follow(at).get_served()
    assert served is not None
    assert served.version.number == 3
    assert not mark.exists()
    mlflow.set_tracking_uri(at.registry.uri)
    with suppress(Exception):
        mlflow.pyfunc.load_model("models:/sentiflow/3")
    assert mark.exists(), "MLflow would run it"


def test_a_local_copy_that_somebody_changed_is_not_served_but_fetched_anew(
    at: ReleaseContext,
) -> None:
    assert follow(at).get_served() is not None
    (bundle,) = (at.home / "serving").rglob("bundle")
    (bundle / "extra.py").write_text("it loads all the same")
    follower = make_follower(at)
    follower.restore()
    assert follower.get_served() is None
    follower.poll()
    served = follower.get_served()
    assert served is not None
    assert served.loaded_from == "registry"
    assert not (bundle / "extra.py").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("warm_children")
def test_a_version_that_was_planted_cannot_be_rolled_back_to_or_promoted(
    at: ReleaseContext,
) -> None:
    mark = plant(at, 2, in_bundle=True)
    plant(at, 4, in_bundle=True)
    with pytest.raises(ReleaseForbidden, match="1 changed, 1 added"):
        roll_back(at, "worse", None)
    with pytest.raises(ReleaseForbidden, match="1 changed, 1 added"):
        promote(at, 4, "better", True, lambda _: None)
    assert at.reconcile().champion == 3
    assert not mark.exists()


@pytest.fixture
def register_by_hand(at: ReleaseContext) -> Callable[[], int]:
    """Register what no night did, from an artifact whose code leaves a mark, as champion."""

    def register() -> int:
        plant(at, 4, in_bundle=False)
        theirs = at.registry._client.create_model_version(
            at.model, str(find_artifact(at, 4).as_uri())
        )
        at.registry.point(at.model, CHAMPION, int(theirs.version))
        return int(theirs.version)

    return register


def test_an_alias_moved_to_what_no_night_registered_is_followed_by_nobody(
    at: ReleaseContext, register_by_hand: Callable[[], int]
) -> None:
    number = register_by_hand()
    assert predict(at) == 3, "the ledger's champion"
    follower = follow(at)
    served = follower.get_served()
    assert served is not None
    assert served.version.number == 3
    assert f"points at version {number}" in follower.state.list_warnings()[0]
    for refused in (lambda: predict(at, str(number)), lambda: adopt(at, "Grace moved it")):
        with pytest.raises(UnknownFiles, match=rf"sentiflow attest {number} --reason"):
            refused()
    assert not (at.home / "ran").exists()


def test_a_person_may_vouch_for_a_version_once_and_its_code_still_does_not_run(
    at: ReleaseContext, register_by_hand: Callable[[], int]
) -> None:
    number = register_by_hand()
    with pytest.raises(UsageError, match="needs a reason"):
        attest(at, [number], " ")
    attested = attest(at, [number], "made by Grace on her machine")
    assert f"The files of version {number} of sentiflow are in the ledger" in format_attested(
        attested
    )
    event = at.ledger.read(at.model)[-1]
    assert (event.kind, event.to_version) == ("attested", number)
    assert event.reason == "made by Grace on her machine"
    assert set(event.details[FILES_KEY]) == {"model.keras", "bundle.json", "trained_on.npy"}
    assert predict(at, str(number)) == number
    assert not (at.home / "ran").exists()
    with pytest.raises(UsageError, match="attested once"):
        attest(at, [number], "again")


def forget_digests(at: ReleaseContext) -> ReleaseContext:
    """Return it over a ledger as an earlier sentiflow wrote it: no event holds a digest."""
    events = at.ledger.read(at.model)
    at.ledger.close()
    (at.home / "ledger.db").unlink()
    old = Ledger(f"sqlite:///{at.home / 'ledger.db'}")
    for event in events:
        values = {name: getattr(event, name) for name in NewEvent.__dataclass_fields__}
        old.append(at.model, event.sequence - 1, [NewEvent(**{**values, "details": {}})])
    return open_release_context(None, [], at.home)


def test_after_an_upgrade_a_night_says_at_once_what_is_to_be_attested_and_then_goes_on(
    at: ReleaseContext,
) -> None:
    old = forget_digests(at)

    def begin_night(lineage: str = LINEAGE) -> None:
        refuse_unknown_champion(old.registry, old.model, lineage, old.ledger.read(old.model))

    with pytest.raises(UnknownFiles, match=r"sentiflow attest 1 2 3 --reason"):
        begin_night()
    begin_night("another lineage, which is not compared")
    with pytest.raises(UnknownFiles, match="sentiflow attest 3 --reason"):
        predict(old)
    attest(old, [3, 2, 1], "registered before the upgrade")
    begin_night()
    assert predict(old) == 3


def test_what_differs_from_the_copy_that_predictions_keep_is_not_attested(
    at: ReleaseContext,
) -> None:
    folder = at.home / "serving" / at.model
    reader = ChampionReader(at.ledger, at.model)
    ChampionFollower(at.registry, reader, at.model, folder, 1.0, 2).poll()
    old = forget_digests(at)
    same = shutil.copytree(find_artifact(old, 3), at.home / "aside")
    plant(old, 3, in_bundle=True)
    with pytest.raises(UnknownFiles, match="differ from the copy"):
        attest(old, [3], "registered before the upgrade")
    shutil.rmtree(find_artifact(old, 3))
    shutil.copytree(same, find_artifact(old, 3))
    (entry,) = attest(old, [3], "registered before the upgrade")["versions"]
    assert entry["equals_local_copy"] is True


def test_a_champion_without_an_event_is_adopted_first(at: ReleaseContext) -> None:
    at.ledger.close()
    (at.home / "ledger.db").unlink()
    with pytest.raises(NoModelError, match="sentiflow adopt --reason"):
        predict(open_release_context(None, [], at.home))
    assert not (at.home / "ledger.db").exists(), "asking makes no ledger"


@pytest.mark.slow
def test_the_command_attests_and_the_history_shows_it(at: ReleaseContext, warm_python: str) -> None:
    forget_digests(at)
    command = [warm_python, "-m", "sentiflow"]

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "SENTIFLOW_HOME": str(at.home)}
        return subprocess.run(
            [*command, *arguments], env=environment, capture_output=True, text=True, check=False
        )

    refused = run("predict", "good food")
    assert refused.returncode == 4
    assert refused.stderr.strip().splitlines()[-1].endswith("sentiflow attest 3 --reason …")
    assert "Traceback" not in refused.stderr
    attested = run("attest", "3", "--reason", "looked at")
    assert attested.returncode == 0, attested.stderr
    assert run("predict", "good food").returncode == 0
    assert "attested" in run("history").stdout


def test_something_that_is_no_file_is_no_bundle(tmp_path: Path) -> None:
    from sentiflow.release.known_files import digest_bundle

    (tmp_path / "bundle.json").symlink_to("/etc/hostname")
    with pytest.raises(ArtifactError, match="files and folders alone"):
        digest_bundle(tmp_path)
    (tmp_path / "bundle.json").unlink()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ArtifactError, match="files and folders alone"):
        digest_bundle(tmp_path)


@pytest.mark.parametrize(
    ("files", "run", "received"),
    [
        ({"a": "1"}, "mine", "1 missing"),
        ({"a": "1", "b": "other", "c": "3"}, "mine", "1 changed, 1 added"),
        ({"a": "1", "b": "2"}, "another", "another run's"),
    ],
)
def test_files_are_known_only_as_a_whole_and_of_the_run_that_made_them(
    files: dict[str, str], run: str, received: str
) -> None:
    known = KnownFiles("mine", {"a": "1", "b": "2"})
    check_files(Version("sentiflow", 3, "mine", {}), known.files, known)
    with pytest.raises(UnknownFiles, match=rf"Received: {received}\. They are not loaded"):
        check_files(Version("sentiflow", 3, run, {}), files, known)


def test_what_the_ledger_knows_is_known_of_the_run_and_not_of_its_number(
    at: ReleaseContext,
) -> None:
    events = at.ledger.read(at.model)
    version = at.registry.resolve(at.model, "3")
    assert look_up_known_files(events, version) is not None
    assert look_up_known_files(events, replace(version, run_id="of another model")) is None
