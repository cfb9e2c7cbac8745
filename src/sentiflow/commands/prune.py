"""Remove what no version that counts needs any more: versions, runs, snapshots, leftovers.

What may go is planned first, from what is there; a dry run returns the plan, and the real run
removes exactly it. A version always stays that is among the newest of its model, that
`protected` names (champion, previous champion, what waits), or that an alias points at; of
the rest of the home everything stays that was used within `min_age_hours`, which is longer
than a night may take. So a night that runs meanwhile loses nothing.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sentiflow.commands.forget import read_replacements
from sentiflow.data.ingest.manifest import list_needed
from sentiflow.errors import UsageError
from sentiflow.files import read_json
from sentiflow.home import (
    list_ingest,
    list_leftovers,
    list_quarantine,
    list_snapshots,
    read_last_change,
    remove_all,
    remove_whole,
)

if TYPE_CHECKING:
    from sentiflow.release.registry import Registry, Version

logger = logging.getLogger(__name__)

_ALIASES: Final = ("champion", "challenger")
_RUN_ID: Final = re.compile(r"[0-9a-f]{32}")
_LOGGED_MODEL_ID: Final = re.compile(r"m-[0-9a-f]{32}")


@dataclass(frozen=True)
class Pruned:
    """What was removed, or would be; paths are relative to the home.

    Attributes:
        versions: as model/number.
        runs: MLflow's ids of the runs that made them.
        artifacts: folders of those runs' and versions' files, where they lie in the home.
        snapshots: snapshots that no remaining version was made of.
        quarantine: quarantine files of those snapshots.
        checkpoints: of trainings that were killed and not gone on with.
        steps: step results that are not, or not surely, of the newest versions.
        scoring: scorings that were killed and not gone on with.
        ingest: what is remembered of sources that no night reads any more, and their rows.
        leftovers: unfinished files and folders that killed runs left behind.
        bytes: the size of all these files.
        remains: what this cannot remove, one sentence each.
    """

    versions: tuple[str, ...]
    runs: tuple[str, ...]
    artifacts: tuple[str, ...]
    snapshots: tuple[str, ...]
    quarantine: tuple[str, ...]
    checkpoints: tuple[str, ...]
    steps: tuple[str, ...]
    scoring: tuple[str, ...]
    ingest: tuple[str, ...]
    leftovers: tuple[str, ...]
    bytes: int
    remains: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON value."""
        return asdict(self)


def prune(
    registry: Registry,
    protected: Mapping[str, frozenset[int]],
    home: Path,
    keep: int,
    dry_run: bool,
    min_age_hours: float = 24.0,
) -> Pruned:
    """Remove old versions with their runs, and what only they needed.

    The rules, beside those in the module's docstring: a snapshot goes when no remaining
    version was made of it (or of the one it replaced, see forgetting.py); its quarantine file
    goes with it where a night's record tells which it is, the records stay; a step result goes
    when it is older than the snapshots of the newest `keep` versions of every model, or may
    be of a snapshot that goes: what it was made of is not stored. A model that `protected`
    has no entry for keeps all its versions: what must stay has not been said.

    Args:
        registry: where the versions are.
        protected: for each model, the versions that must stay, as the ledger has them.
        home: SENTIFLOW_HOME.
        keep: how many of the newest versions of each model stay, at least 1.
        dry_run: only say what would be removed.
        min_age_hours: what was used since is never removed, artifacts of removed versions
            excepted.

    Raises:
        UsageError: keep is less than 1, or the age is negative.
        RegistryUnreachable: the registry did not answer.
    """
    if keep < 1 or min_age_hours < 0:
        raise UsageError(
            "At least 1 version must be kept, and an age must not be negative. "
            f"Received: keep={keep}, min_age_hours={min_age_hours:g}."
        )
    removed, remaining, newest = _part_versions(registry, protected, keep)
    age = min_age_hours * 3_600
    artifacts = [path for version in removed for path in _list_artifacts(version, home)]
    snapshots, of_newest = _list_snapshots(home, remaining, newest, age)
    leftovers = list_leftovers(home, age)
    plan = {
        "artifacts": artifacts,
        "snapshots": snapshots,
        "quarantine": _list_quarantine(home, snapshots, age),
        "checkpoints": _list_unused(home / "checkpoints", age),
        "steps": _list_old_steps(home, of_newest, snapshots, age),
        "scoring": _list_unused(home / "scoring", age),
        "ingest": _list_old_ingest(home, age),
        "leftovers": leftovers,
    }
    every = [path for paths in plan.values() for path in paths]
    pruned = Pruned(
        versions=tuple(f"{version.name}/{version.number}" for version in removed),
        runs=tuple(version.run_id for version in removed),
        bytes=sum(map(_measure_bytes, every)),
        remains=_say_what_remains(removed, artifacts),
        **{
            kind: tuple(path.relative_to(home).as_posix() for path in paths)
            for kind, paths in plan.items()
        },
    )
    if not dry_run:
        for version in removed:
            # Files first: when this is cut short, the version is there to be pruned again.
            for path in _list_artifacts(version, home):
                remove_whole(path)
            registry.delete_version(version)
            logger.info("prune: removed version %d of %s", version.number, version.name)
        remove_all(home, [path for path in every if path not in artifacts])
    return pruned


def _part_versions(
    registry: Registry, protected: Mapping[str, frozenset[int]], keep: int
) -> tuple[list[Version], list[Version], list[Version]]:
    """Return the versions that go, those that remain, and of these the newest of each model."""
    removed: list[Version] = []
    remaining: list[Version] = []
    newest: list[Version] = []
    for name in registry.list_models():
        versions = registry.query_versions(name, {})
        if name not in protected:
            remaining += versions
            newest += versions
            continue
        aliased = (registry.look_up_alias(name, alias) for alias in _ALIASES)
        stay = protected[name] | {version.number for version in aliased if version is not None}
        newest += versions[:keep]
        remaining += versions[:keep]
        for version in versions[keep:]:
            (remaining if version.number in stay else removed).append(version)
    runs_in_use = {version.run_id for version in remaining}
    # Deleting a version deletes its run, so a version that shares one with another stays.
    shared = [version for version in removed if version.run_id in runs_in_use]
    return [version for version in removed if version not in shared], remaining + shared, newest


def _list_artifacts(version: Version, home: Path) -> list[Path]:
    """Return the folders of a version's files, where MLflow keeps them in the home.

    Nothing is ever built of an id that does not look like one: an empty one would name the
    folder of all artifacts.
    """
    root = home / "mlartifacts"
    paths = []
    if _RUN_ID.fullmatch(version.run_id):
        paths.append(root / version.run_id)
    if _LOGGED_MODEL_ID.fullmatch(version.model_id):
        paths.append(root / "models" / version.model_id)
    return [path for path in paths if path.is_dir()]


def _list_snapshots(
    home: Path, remaining: Iterable[Version], newest: Iterable[Version], age: float
) -> tuple[list[Path], list[Path]]:
    """Return the snapshots that may go, and those of the newest versions."""
    replaced = read_replacements(home)
    needed = {name for version in remaining for name in _name_snapshots(version, replaced)}
    worked_on = {name for version in newest for name in _name_snapshots(version, replaced)}
    snapshots = list_snapshots(home)
    unused = [path for path in snapshots if path.name not in needed and _is_unused(path, age)]
    return unused, [path for path in snapshots if path.name in worked_on]


def _name_snapshots(version: Version, replaced: Mapping[str, str]) -> list[str]:
    """Return the fingerprint of a version's snapshot, and of those that took its place.

    The first is named too: its rows can have been read again after they were forgotten.
    """
    names: list[str] = []
    name: str | None = version.tags.get("sentiflow.fingerprint")
    while name is not None and name not in names:
        names.append(name)
        name = replaced.get(name)
    return names


def _list_quarantine(home: Path, snapshots: Iterable[Path], age: float) -> list[Path]:
    """Return the quarantine files that only nights of these snapshots refer to."""
    gone = {path.name for path in snapshots}
    of_gone: set[str] = set()
    of_others: set[str] = set()
    for path in sorted((home / "nights").glob("*.json")):
        record = read_json(path)
        if record.get("quarantine"):
            file = Path(record["quarantine"]).name
            (of_gone if record.get("fingerprint") in gone else of_others).add(file)
    return [
        path
        for path in list_quarantine(home)
        if path.name in of_gone - of_others and _is_unused(path, age)
    ]


def _list_old_steps(
    home: Path, of_newest: Iterable[Path], removed: Iterable[Path], age: float
) -> list[Path]:
    """Return the step results that the newest versions' nights cannot have made alone.

    Those from before the first of these nights go. So do those from after a snapshot that
    was written since and goes now (of a rejected night, say): forgetting a person looks into
    snapshots, so token ids must not outlive the snapshot they were made of.
    """
    first = min(map(_read_making, of_newest), default=float("inf"))
    since = min((made for made in map(_read_making, removed) if made >= first), default=None)
    return [
        path
        for path in _list_unused(home / "steps", age)
        if (made := read_last_change(path)) < first or (since is not None and made >= since)
    ]


def _list_old_ingest(home: Path, age: float) -> list[Path]:
    """Return the catalogs that no night used of late, and the pieces that no other one needs."""
    catalogs = [path for path in list_ingest(home) if path.suffix == ".json"]
    unused = [path for path in catalogs if _is_unused(path, age)]
    needed = set(list_needed([path for path in catalogs if path not in unused]))
    segments = _list_unused(home / "ingest" / "pieces", age)
    return [*unused, *(path for path in segments if path.name not in needed)]


def _read_making(snapshot: Path) -> float:
    """Return when a snapshot was made, by its manifest; the folder has the last use's time."""
    manifest = snapshot / "manifest.json"
    return read_last_change(manifest if manifest.exists() else snapshot)


def _list_unused(folder: Path, age: float) -> list[Path]:
    entries = sorted(path for path in folder.glob("*") if not path.name.startswith("."))
    return [path for path in entries if _is_unused(path, age)]


def _is_unused(path: Path, age: float) -> bool:
    return read_last_change(path) <= time.time() - age


def _measure_bytes(path: Path) -> int:
    inside = path.rglob("*") if path.is_dir() and not path.is_symlink() else ()
    return sum(entry.lstat().st_size for entry in (path, *inside) if not entry.is_dir())


def _say_what_remains(removed: Iterable[Version], artifacts: Iterable[Path]) -> tuple[str, ...]:
    if not removed:
        return ()
    sentences = [
        "MLflow keeps the names and numbers of deleted runs; mlflow gc removes them for good."
    ]
    if not artifacts:
        sentences.append(
            "The artifacts do not lie in the home: mlflow gc on MLflow's own machine removes them."
        )
    return tuple(sentences)
