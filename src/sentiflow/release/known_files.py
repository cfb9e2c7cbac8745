"""Know a version's files before any of them is read: by the digests that the ledger holds.

Whoever may write into the registry or its storage can put other files in the place of a version's.
The ledger can only grow and is written by nights and people, so what it says of a version holds:
the SHA-256 of every file of the bundle, from the moment it was registered, or from the moment a
person attested it. A copy is compared with that before it is loaded from, and no file beside the
bundle is ever looked at.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from sentiflow.errors import ArtifactError, UnknownFiles
from sentiflow.files import digest_file
from sentiflow.release.identity import RUN_KEY, read_run
from sentiflow.release.state import Event
from sentiflow.settings import ModelSettings

# Of an event's details: file → SHA-256.
FILES_KEY: Final = "bundle_sha256"


class NamedVersion(Protocol):
    """What is asked of a version here; `release.registry.Version` is one."""

    @property
    def name(self) -> str:
        """The registered model's name."""

    @property
    def number(self) -> int:
        """MLflow's version number."""

    @property
    def run_id(self) -> str:
        """The run that made it."""


@dataclass(frozen=True)
class KnownFiles:
    """What the ledger knows of one version's bundle.

    Attributes:
        run_id: the run that made the version; numbers begin anew where a model was deleted.
        files: SHA-256, as hexadecimal, by the file's path below the bundle.
    """

    run_id: str
    files: Mapping[str, str]

    def as_details(self) -> dict[str, Any]:
        """Return what an event's details hold of it."""
        return {RUN_KEY: self.run_id, FILES_KEY: dict(self.files)}


def digest_bundle(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file of a bundle, by its path below the folder.

    Raises:
        ArtifactError: something in it is neither a file nor a folder.
    """
    digests: dict[str, str] = {}
    for parent, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(parent, name)
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise ArtifactError(
                    "A bundle must hold files and folders alone. Received: something else in "
                    f"{folder}. Train a new model."
                )
        digests |= {
            Path(parent, name).relative_to(folder).as_posix(): digest_file(Path(parent, name))
            for name in names
        }
    return digests


def check_files(version: NamedVersion, files: Mapping[str, str], known: KnownFiles) -> None:
    """Make sure that a version's files are those that the ledger knows.

    Args:
        version: the version.
        files: what `digest_bundle` found in the copy that is to be loaded.
        known: what the ledger says.

    Raises:
        UnknownFiles: they differ, or the version is another one of the same number.
    """
    shared = files.keys() & known.files.keys()
    changed = sum(files[name] != known.files[name] for name in shared)
    missing, added = len(known.files) - len(shared), len(files) - len(shared)
    # Never by name: who put a file there chose it.
    differences = [
        f"{count} {word}"
        for count, word in ((changed, "changed"), (missing, "missing"), (added, "added"))
        if count
    ]
    if version.run_id != known.run_id:
        differences.insert(0, "another run's")
    if differences:
        raise UnknownFiles(
            f"The files of version {version.number} of {version.name} must be those that the "
            f"ledger knows since it was registered. Received: {', '.join(differences)}. They are "
            "not loaded: restore them, go back with sentiflow rollback --to N --reason …, or train "
            "a new model."
        )


def look_up_known_files(events: Iterable[Event], version: NamedVersion) -> KnownFiles | None:
    """Return what the ledger said last of a version's files, or None.

    Args:
        events: the model's events, by sequence.
        version: the version; another run's of the same number is another one.
    """
    known = None
    for event in events:
        is_about = event.to_version == version.number and read_run(event) == version.run_id
        if is_about and FILES_KEY in event.details:
            known = KnownFiles(version.run_id, dict(event.details[FILES_KEY]))
    return known


def require_known(events: Iterable[Event], version: NamedVersion) -> KnownFiles:
    """Return what the ledger knows of a version's files.

    Raises:
        UnknownFiles: it knows nothing.
    """
    known = look_up_known_files(events, version)
    if known is None:
        raise explain_unknown(version.name, [version.number])
    return known


def explain_unknown(name: str, numbers: Iterable[int]) -> UnknownFiles:
    """Return the error that says how versions that the ledger does not know become known."""
    listed = sorted(numbers)
    named = "" if name == ModelSettings().name else f" --set model.name={name}"
    return UnknownFiles(
        f"The ledger must know the files of version {', '.join(map(str, listed))} of {name} before "
        "they are loaded. Received: no digests. If sentiflow registered it before it kept them, "
        f"enter it once: sentiflow attest {' '.join(map(str, listed))} --reason …{named}"
    )
