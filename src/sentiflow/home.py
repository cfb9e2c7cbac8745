"""Find what lies under the home, and remove it so that nothing is ever seen in parts."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from sentiflow.errors import SettingsError
from sentiflow.files import TEMPORARY_PREFIX, make_temporary_prefix, parse_owner
from sentiflow.processes import may_live_here, name_this_process

# Where token ids, features, answers and weights lie that were made of a snapshot's texts, and
# the rows of source files.
DERIVED: Final = ("steps", "checkpoints", "scoring", "scratch", "ingest")
# MLflow's own files, Prefect's and Keras': nothing of ours is unfinished there, and there are many.
_FOREIGN: Final = ("mlartifacts", "prefect", "keras", "logs")
_FORBIDS: Final = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_FINGERPRINT: Final = re.compile(r"[0-9a-f]{64}")


def check_writable(home: Path) -> None:
    """Refuse a home in which nothing can be made: its disk is read-only, or it is somebody else's.

    Raises:
        SettingsError: so it is.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=make_temporary_prefix(), dir=home):
            return
    except OSError as error:
        if error.errno not in _FORBIDS:
            # A full disk is told as that.
            return
        raise SettingsError(
            "SENTIFLOW_HOME must be a folder that this user can write to. Received: "
            f"{home}: {error.strerror}. Mount it for writing or give it to this user, or name "
            "another; predict, status and history answer from it as it is."
        ) from None


def choose_scratch(home: Path) -> Path:
    """Return where copies are made that are gone again at once: in the home if it takes them."""
    try:
        check_writable(home)
    except SettingsError:
        return Path(tempfile.gettempdir())
    return home / "scratch"


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
    """Return what killed runs left unfinished, if it was last changed so long ago.

    What may be another living process's of this machine is no leftover, however old it is.
    """
    until = time.time() - age_seconds
    return [
        path for path in list_unfinished_files(home)
        if read_last_change(path) <= until and not _is_owned(path)
    ]  # fmt: skip


def _is_owned(path: Path) -> bool:
    owner = parse_owner(path)
    return owner is not None and owner != name_this_process() and may_live_here(owner)


def list_unfinished_files(home: Path) -> list[Path]:
    """Return all unfinished files and folders of ours below the home, sorted.

    Others may write and remove beside this walk.
    """
    found = []
    for folder, subfolders, files in os.walk(home):
        if Path(folder) == home:
            subfolders[:] = [name for name in subfolders if name not in _FOREIGN]
        unfinished = [name for name in subfolders if name.startswith(TEMPORARY_PREFIX)]
        # What lies inside one goes with it.
        subfolders[:] = [name for name in subfolders if name not in unfinished]
        unfinished += [name for name in files if name.startswith(TEMPORARY_PREFIX)]
        found += [Path(folder) / name for name in unfinished]
    return sorted(found)


def read_last_change(path: Path) -> float:
    """Return when a file, or the newest file in a folder, was changed; seconds since 1970.

    What is gone counts as changed at the beginning of time.
    """
    inside = [
        Path(folder) / name
        for folder, subfolders, files in os.walk(path)
        for name in (*subfolders, *files)
    ]
    return max(_read_change(entry) for entry in (path, *inside))


def _read_change(path: Path) -> float:
    try:
        return os.lstat(path).st_mtime
    except FileNotFoundError:
        return 0.0


def remove_whole(path: Path) -> None:
    """Remove a file or a folder so that it is never seen in parts; nothing if it is gone.

    Two processes may do so at once: one of them moves the folder aside first, under its own name.
    """
    if not path.is_dir() or path.is_symlink():
        path.unlink(missing_ok=True)
        return
    doomed = path.with_name(f"{make_temporary_prefix()}{uuid.uuid4().hex[:8]}")
    try:
        os.replace(path, doomed)
    except FileNotFoundError:
        return
    shutil.rmtree(doomed)


def remove_all(home: Path, doomed: Sequence[Path]) -> list[str]:
    """Remove files and folders; return their names, relative to the home."""
    for path in doomed:
        remove_whole(path)
    return [path.relative_to(home).as_posix() for path in doomed]
