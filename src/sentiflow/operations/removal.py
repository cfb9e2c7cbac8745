"""Find what lies under the home, and remove it so that nothing is ever seen in parts."""

from __future__ import annotations

import os
import re
import shutil
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from sentiflow.files import TEMPORARY_PREFIX

# Where token ids, features, answers and weights lie that were made of a snapshot's texts, and
# the rows of source files.
DERIVED: Final = ("steps", "checkpoints", "scoring", "scratch", "ingest")
_FINGERPRINT: Final = re.compile(r"[0-9a-f]{64}")


def list_snapshots(home: Path) -> list[Path]:
    """Return the folders of all snapshots, sorted by fingerprint."""
    folders = (home / "snapshots").glob("*")
    return sorted(path for path in folders if _FINGERPRINT.fullmatch(path.name) and path.is_dir())


def list_quarantine(home: Path) -> list[Path]:
    """Return all quarantine files, sorted."""
    return sorted((home / "snapshots" / "quarantine").glob("*.jsonl"))


def list_ingest(home: Path) -> list[Path]:
    """Return what is remembered of source files, their rows included, sorted."""
    return sorted(path for path in (home / "ingest").glob("*") if not path.name.startswith("."))


def list_leftovers(home: Path, age_seconds: float) -> list[Path]:
    """Return what killed runs left unfinished, if it was last changed so long ago."""
    places = [home / "snapshots", home / "snapshots" / "quarantine", home / "forgotten"]
    places += [home / name for name in DERIVED]
    until = time.time() - age_seconds
    found = [path for place in places for path in place.glob(f"{TEMPORARY_PREFIX}*")]
    return sorted(path for path in found if find_last_change(path) <= until)


def find_last_change(path: Path) -> float:
    """Return when a file, or the newest file in a folder, was changed; seconds since 1970."""
    inside = path.rglob("*") if path.is_dir() and not path.is_symlink() else ()
    times: list[float] = [entry.lstat().st_mtime for entry in (path, *inside)]
    return max(times)


def remove_whole(path: Path) -> None:
    """Remove a file or a folder so that it is never seen in parts; nothing if it is gone."""
    if path.is_dir() and not path.is_symlink():
        doomed = path
        if not path.name.startswith(TEMPORARY_PREFIX):
            doomed = path.with_name(f"{TEMPORARY_PREFIX}{uuid.uuid4().hex[:8]}-{path.name}")
            os.replace(path, doomed)
        shutil.rmtree(doomed)
    else:
        path.unlink(missing_ok=True)


def remove_all(home: Path, doomed: Sequence[Path]) -> list[str]:
    """Remove files and folders; return their names, relative to the home."""
    for path in doomed:
        remove_whole(path)
    return [path.relative_to(home).as_posix() for path in doomed]
