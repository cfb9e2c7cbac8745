"""Pruning, on homes laid out as nights lay them out; once with a real MLflow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sentiflow.commands.prune import Pruned, prune
from sentiflow.data.ingest.manifest import KnownFile, Manifest
from sentiflow.data.ingest.segments import Segment
from sentiflow.errors import UsageError
from sentiflow.release.registry import Registry, Version
from sentiflow.settings import DataSettings

HOUR = 3_600
NOTHING = {"sentiflow": frozenset[int]()}


class ListedVersions:
    """A registry held in a list: a real MLflow takes seconds to set up its database.

    The one test with the real one shows that they agree.
    """

    def __init__(self, versions: list[Version], aliases: dict[str, int]) -> None:
        self.versions = versions
        self.aliases = aliases

    def list_models(self) -> list[str]:
        return sorted({version.name for version in self.versions})

    def query_versions(self, name: str, tags: dict[str, str]) -> list[Version]:
        found = [version for version in self.versions if version.name == name]
        return sorted(found, key=lambda version: -version.number)

    def look_up_alias(self, name: str, alias: str) -> Version | None:
        number = self.aliases.get(f"{name}/{alias}")
        return next((v for v in self.query_versions(name, {}) if v.number == number), None)

    def delete_version(self, version: Version) -> None:
        self.versions.remove(version)


def name_fingerprint(number: int) -> str:
    return f"{number:064x}"


def write_aged(path: Path, hours: float, text: str = "content") -> Path:
    """Write a file and make it, and the folders it is in, as old as this."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    then = time.time() - hours * HOUR
    os.utime(path, (then, then))
    os.utime(path.parent, (then, then))
    return path


def make_version(home: Path, number: int, hours: float, name: str = "sentiflow") -> Version:
    """A version of a night that many hours ago, with all that the night left in the home."""
    fingerprint = name_fingerprint(number)
    run, logged = f"{number:032x}", f"m-{number:032x}"
    write_aged(home / "snapshots" / fingerprint / "manifest.json", hours)
    quarantine = write_aged(home / "snapshots" / "quarantine" / f"{number}.jsonl", hours)
    write_aged(home / "steps" / f"train-{number:032x}" / "result.json", hours - 0.1)
    write_aged(home / "mlartifacts" / run / "artifacts" / "night.json", hours, "1234")
    write_aged(home / "mlartifacts" / "models" / logged / "artifacts" / "model", hours, "123456")
    record = {"fingerprint": fingerprint, "quarantine": str(quarantine), "model": name}
    write_aged(home / "nights" / f"{number}.json", hours, json.dumps(record))
    return Version(name, number, run, {"sentiflow.fingerprint": fingerprint}, logged)


@pytest.fixture
def registry(home: Path) -> ListedVersions:
    """Ten nights: version 10 of yesterday night, version 1 of ten nights ago."""
    versions = [make_version(home, number, 25 + 24 * (10 - number)) for number in range(1, 11)]
    return ListedVersions(versions, {"sentiflow/champion": 4, "sentiflow/challenger": 10})


def list_files(home: Path) -> dict[str, int]:
    return {
        path.relative_to(home).as_posix(): path.stat().st_size
        for path in home.rglob("*")
        if path.is_file()
    }


def numbers(pruned: Pruned) -> list[int]:
    return sorted(int(version.rpartition("/")[2]) for version in pruned.versions)


def test_old_versions_go_with_all_that_only_they_needed(
    home: Path, registry: ListedVersions
) -> None:
    protected = {"sentiflow": frozenset({4, 6})}
    before = list_files(home)
    pruned = prune(registry, protected, home, keep=3, dry_run=False)
    gone = [1, 2, 3, 5, 7]
    assert numbers(pruned) == gone
    assert sorted(version.number for version in registry.versions) == [4, 6, 8, 9, 10]
    assert pruned.runs == tuple(f"{n:032x}" for n in reversed(gone))
    assert pruned.snapshots == tuple(f"snapshots/{name_fingerprint(n)}" for n in gone)
    assert pruned.quarantine == tuple(f"snapshots/quarantine/{n}.jsonl" for n in gone)
    # Steps are of use to the newest only: those from before their snapshots go.
    assert pruned.steps == tuple(f"steps/train-{n:032x}" for n in range(1, 8))
    after = list_files(home)
    assert pruned.bytes == sum(before.values()) - sum(after.values()) > 0
    stay = [4, 6, 8, 9, 10]
    assert set(after) == {
        *(f"nights/{n}.json" for n in range(1, 11)),
        *(f"snapshots/{name_fingerprint(n)}/manifest.json" for n in stay),
        *(f"snapshots/quarantine/{n}.jsonl" for n in stay),
        *(f"mlartifacts/{n:032x}/artifacts/night.json" for n in stay),
        *(f"mlartifacts/models/m-{n:032x}/artifacts/model" for n in stay),
        *(f"steps/train-{n:032x}/result.json" for n in (8, 9, 10)),
    }


def test_a_dry_run_lists_exactly_what_the_real_run_removes_and_removes_nothing(
    home: Path, registry: ListedVersions
) -> None:
    write_aged(home / "checkpoints" / "abc" / "weights", 30)
    write_aged(home / "scoring" / "abc" / "part-000000.parquet", 30)
    write_aged(home / "snapshots" / ".unfinished-abc" / "00.parquet", 30)
    before = list_files(home)
    planned = prune(registry, NOTHING, home, keep=2, dry_run=True)
    assert list_files(home) == before
    assert len(registry.versions) == 10
    assert prune(registry, NOTHING, home, keep=2, dry_run=False) == planned
    named = [
        *planned.artifacts, *planned.snapshots, *planned.quarantine, *planned.checkpoints,
        *planned.steps, *planned.scoring, *planned.leftovers,
    ]  # fmt: skip
    removed = set(before) - set(list_files(home))
    assert {
        any(file == one or file.startswith(one + "/") for one in named) for file in removed
    } == {True}
    assert not any((home / one).exists() for one in named)
    assert planned.checkpoints == ("checkpoints/abc",)
    assert planned.scoring == ("scoring/abc",)
    assert planned.leftovers == ("snapshots/.unfinished-abc",)
    assert planned.bytes == sum(before[file] for file in removed)
    again = prune(registry, NOTHING, home, keep=2, dry_run=False)
    assert (again.versions, again.bytes) == ((), 0)


def test_token_ids_do_not_outlive_the_snapshot_of_a_night_without_a_version(
    home: Path, registry: ListedVersions
) -> None:
    write_aged(home / "snapshots" / name_fingerprint(99) / "manifest.json", 40)
    write_aged(home / "steps" / "tokenize-99" / "result.json", 39)
    pruned = prune(registry, NOTHING, home, keep=3, dry_run=False)
    assert f"snapshots/{name_fingerprint(99)}" in pruned.snapshots
    assert not (home / "steps" / "tokenize-99").exists()
    # From before that night, and so not of it.
    assert (home / "steps" / f"train-{9:032x}").exists()


def test_what_an_alias_points_at_stays_whatever_the_ledger_says(
    home: Path, registry: ListedVersions
) -> None:
    registry.aliases["sentiflow/challenger"] = 2
    prune(registry, NOTHING, home, keep=1, dry_run=False)
    assert sorted(version.number for version in registry.versions) == [2, 4, 10]


@pytest.mark.parametrize("keep", [1, 2, 5, 10, 50])
def test_the_newest_versions_of_each_model_stay(
    home: Path, registry: ListedVersions, keep: int
) -> None:
    registry.aliases = {}
    registry.versions += [make_version(home, 20 + n, 400, "other") for n in range(3)]
    both = {**NOTHING, "other": frozenset[int]()}
    prune(registry, both, home, keep=keep, dry_run=False)
    left = {name: [v.number for v in registry.query_versions(name, {})] for name in both}
    assert left == {
        "sentiflow": list(range(10, max(10 - keep, 0), -1)),
        "other": list(range(22, max(22 - keep, 19), -1)),
    }


def test_a_model_of_which_it_is_not_said_what_must_stay_keeps_everything(
    home: Path, registry: ListedVersions
) -> None:
    registry.versions += [make_version(home, 20 + n, 400, "other") for n in range(3)]
    pruned = prune(registry, NOTHING, home, keep=1, dry_run=False)
    assert len(registry.query_versions("other", {})) == 3
    assert not any(name_fingerprint(20 + n) in one for n in range(3) for one in pruned.snapshots)


def test_a_running_night_loses_nothing(home: Path, registry: ListedVersions) -> None:
    mine = [
        write_aged(home / "snapshots" / name_fingerprint(99) / "manifest.json", 20),
        write_aged(home / "snapshots" / ".unfinished-night" / "00.parquet", 0),
        write_aged(home / "steps" / "tokenize-99" / "result.json", 23),
        write_aged(home / "checkpoints" / "99" / "weights", 23.9),
        write_aged(home / "scoring" / "99" / "part-000000.parquet", 1),
    ]
    # An old snapshot that tonight's rows are equal to is used, which is its folder's time.
    reused = home / "snapshots" / name_fingerprint(1)
    os.utime(reused)
    pruned = prune(registry, NOTHING, home, keep=1, dry_run=False)
    assert all(path.exists() for path in mine)
    assert reused.exists()
    assert 1 in numbers(pruned)
    later = prune(registry, NOTHING, home, keep=1, dry_run=False, min_age_hours=0)
    assert f"snapshots/{name_fingerprint(1)}" in later.snapshots
    assert not any(path.exists() for path in mine if "steps" not in str(path))


def test_a_snapshot_shared_with_a_version_that_stays_is_kept_and_so_is_its_quarantine(
    home: Path, registry: ListedVersions
) -> None:
    twin = Version("sentiflow", 11, f"{11:032x}", {"sentiflow.fingerprint": name_fingerprint(2)})
    registry.versions.append(twin)
    pruned = prune(registry, NOTHING, home, keep=1, dry_run=False)
    assert 2 in numbers(pruned)
    assert (home / "snapshots" / name_fingerprint(2)).exists()
    assert (home / "snapshots" / "quarantine" / "2.jsonl").exists()


def test_the_snapshot_that_took_the_place_of_a_versions_is_kept(
    home: Path, registry: ListedVersions
) -> None:
    for before, after in [(4, 204), (204, 304), (5, 205)]:
        entry = {"snapshots": [{"before": name_fingerprint(before),
                                "after": name_fingerprint(after), "rows": 1}]}  # fmt: skip
        write_aged(home / "forgotten" / f"{after}.json", 30, json.dumps(entry))
    for number in (304, 205):
        write_aged(home / "snapshots" / name_fingerprint(number) / "manifest.json", 30)
    pruned = prune(registry, NOTHING, home, keep=1, dry_run=False)
    assert (home / "snapshots" / name_fingerprint(304)).exists()
    assert f"snapshots/{name_fingerprint(205)}" in pruned.snapshots


def test_a_version_whose_run_another_uses_stays(home: Path, registry: ListedVersions) -> None:
    tags = {"sentiflow.fingerprint": name_fingerprint(10)}
    registry.versions.append(Version("sentiflow", 11, f"{1:032x}", tags))
    assert 1 not in numbers(prune(registry, NOTHING, home, keep=1, dry_run=False))
    assert (home / "mlartifacts" / f"{1:032x}").exists()


@pytest.mark.parametrize("run_id", ["", ".", "..", "../snapshots", "models"])
def test_no_id_of_another_shape_ever_names_a_folder_to_remove(
    home: Path, registry: ListedVersions, run_id: str
) -> None:
    registry.versions.append(Version("sentiflow", 0, run_id, {}, run_id))
    pruned = prune(registry, {"sentiflow": frozenset(range(1, 11))}, home, 1, dry_run=False)
    assert numbers(pruned) == [0]
    assert pruned.artifacts == ()
    assert (home / "mlartifacts" / f"{10:032x}").exists()


def test_artifacts_that_lie_elsewhere_are_said_to_remain(
    home: Path, registry: ListedVersions
) -> None:
    here = prune(registry, NOTHING, home, keep=1, dry_run=True)
    assert not any("own machine" in sentence for sentence in here.remains)
    (home / "mlartifacts").rename(home / "elsewhere")
    away = prune(registry, NOTHING, home, keep=1, dry_run=True)
    assert any("own machine" in sentence for sentence in away.remains)
    assert prune(registry, NOTHING, home, keep=10, dry_run=True).remains == ()


def test_a_link_is_removed_and_not_followed(home: Path, tmp_path: Path) -> None:
    outside = write_aged(tmp_path / "outside" / "file", 100)
    (home / "checkpoints").mkdir()
    (home / "checkpoints" / "abc").symlink_to(outside.parent)
    os.utime(home / "checkpoints" / "abc", (0, 0), follow_symlinks=False)
    prune(ListedVersions([], {}), {}, home, keep=1, dry_run=False)
    assert outside.exists()
    assert not (home / "checkpoints" / "abc").is_symlink()


@pytest.mark.parametrize(("keep", "hours"), [(0, 24), (-1, 24), (1, -1)])
def test_keeping_nothing_is_refused(
    home: Path, registry: ListedVersions, keep: int, hours: float
) -> None:
    with pytest.raises(UsageError, match="Received"):
        prune(registry, NOTHING, home, keep, dry_run=True, min_age_hours=hours)


def test_an_empty_home_has_nothing_to_remove(home: Path) -> None:
    pruned = prune(ListedVersions([], {}), {}, home, keep=1, dry_run=False)
    assert pruned.bytes == 0
    json.dumps(pruned.as_dict())


@pytest.mark.slow
def test_with_a_real_mlflow_versions_runs_and_their_files_are_gone(home: Path) -> None:
    import mlflow
    from mlflow import MlflowClient

    from sentiflow.tracking import track_run

    uri = f"sqlite:///{home / 'mlflow.db'}"
    mlflow.set_tracking_uri(uri)
    client = MlflowClient(uri, uri)
    client.create_registered_model("sentiflow", tags={"sentiflow.lineage": "abc"})
    client.create_registered_model("someone-elses")
    ids = []
    for number in range(1, 5):
        with track_run(uri, "test", home / "mlartifacts", "run", {}) as run:
            run.log_json({"night": number}, "night.json")
            logged = client.create_logged_model(run.experiment_id, "model", run.id)
            write_aged(home / "model.keras", 0)
            client.log_model_artifact(logged.model_id, str(home / "model.keras"))
            client.finalize_logged_model(logged.model_id, "READY")
            client.create_model_version(
                "sentiflow",
                source=logged.model_uri,
                run_id=run.id,
                tags={"sentiflow.fingerprint": name_fingerprint(number)},
                model_id=logged.model_id,
            )
            ids.append((run.id, logged.model_id))
        write_aged(home / "snapshots" / name_fingerprint(number) / "manifest.json", 30)
    registry = Registry(uri)
    registry.point("sentiflow", "champion", 1)
    planned = prune(registry, NOTHING, home, keep=1, dry_run=True)
    assert numbers(planned) == [2, 3]
    assert len(planned.artifacts) == 4
    assert prune(registry, NOTHING, home, keep=1, dry_run=False) == planned

    assert [version.number for version in registry.query_versions("sentiflow", {})] == [4, 1]
    for number, (run_id, model_id) in enumerate(ids, start=1):
        stays = number in (1, 4)
        assert (client.get_run(run_id).info.lifecycle_stage == "active") == stays
        assert bool(list((home / "mlartifacts").rglob(f"*{run_id}*"))) == stays
        assert bool(list((home / "mlartifacts").rglob(f"*{model_id}*"))) == stays
        assert (home / "snapshots" / name_fingerprint(number)).exists() == stays
    # MLflow's own collector still gets along with what is left.
    collected = subprocess.run(
        [sys.executable, "-m", "mlflow", "gc", "--backend-store-uri", uri],
        env={**os.environ, "MLFLOW_TRACKING_URI": uri},
        capture_output=True,
        text=True,
        check=False,
    )
    assert collected.returncode == 0, collected.stderr
    assert ids[1][0] in collected.stdout
    assert registry.look_up_version("sentiflow", 4) is not None


def test_what_is_remembered_of_sources_goes_once_no_night_reads_them(home: Path) -> None:
    def remember(source: str, hours: float, *digits: str) -> Path:
        manifest = Manifest.load(home, (source,), DataSettings(), "code")
        for digit in digits:
            segment = Segment(digit * 64, None)
            write_aged(home / "ingest" / "pieces" / f"{segment.rows}.arrow", 100)
            manifest.files[digit] = KnownFile(None, 1, "", (segment,), None)
        manifest.save()
        return write_aged(manifest.path, hours, manifest.path.read_text())

    old = remember("old", 30, "a", "b")
    remember("new", 2, "b", "c")
    # A killed night's: no catalog names them.
    write_aged(home / "ingest" / "pieces" / f"{'d' * 64}.arrow", 30)
    write_aged(home / "ingest" / "pieces" / f"{'e' * 64}.arrow", 2)
    pruned = prune(ListedVersions([], {}), {}, home, keep=1, dry_run=False)
    gone = [f"ingest/{old.name}", *(f"ingest/pieces/{digit * 64}.arrow" for digit in "ad")]
    assert list(pruned.ingest) == gone
    stay = sorted(path.name[0] for path in (home / "ingest" / "pieces").iterdir())
    assert stay == ["b", "c", "e"]
