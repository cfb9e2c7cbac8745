"""Keep the last good bundle of a model on local disk, to start from when the registry is down."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from sentiflow.errors import ArtifactError
from sentiflow.files import new_folder, read_json, write_json
from sentiflow.release.known_files import digest_bundle
from sentiflow.release.registry import Version

_DESCRIPTION: Final = "version.json"
_BUNDLE: Final = "bundle"
_LOCK: Final = ".lock"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Copy:
    """A version's bundle on local disk.

    Attributes:
        version: what it is a copy of.
        bundle: the bundle's folder.
        kept_at: when it was fetched, ISO time in UTC.
        files: SHA-256 by file as they were then; None in a copy of an earlier sentiflow.
    """

    version: Version
    bundle: Path
    kept_at: str
    files: Mapping[str, str] | None = None


class LocalCopies:
    """The copies of one registered model's versions, one folder each."""

    def __init__(self, folder: Path) -> None:
        """Remember the folder; nothing is made yet."""
        self.folder = folder

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other services over the same home away while copies are made and removed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def find(self, version: Version) -> Copy | None:
        """Return the copy of this very version, or None."""
        for copy in self.list_copies():
            if is_same(copy.version, version):
                return copy
        return None

    def list_copies(self) -> list[Copy]:
        """Return all copies that can be read, the one fetched last first."""
        copies = []
        for description in self.folder.glob(f"[0-9]*/{_DESCRIPTION}"):
            try:
                kept = read_json(description)
                version, bundle = Version(**kept["version"]), description.parent / _BUNDLE
                copies.append(Copy(version, bundle, kept["kept_at"], kept.get("sha256")))
            except (ArtifactError, KeyError, TypeError) as error:
                logger.warning("A local copy is left alone: %s", error)
        return sorted(copies, key=lambda copy: copy.kept_at, reverse=True)

    @contextmanager
    def make(self, version: Version, fetch: Callable[[Path], Path]) -> Iterator[Path]:
        """Fetch a version's bundle and give its folder; it is kept when the block ends well.

        Args:
            version: what is fetched.
            fetch: copies the bundle below a folder and returns the bundle's own folder.
        """
        with new_folder(self.folder / str(version.number)) as temporary:
            # The artifact holds code and requirements too, which the service has already.
            bundle = (temporary / _BUNDLE).absolute()
            (temporary / "fetched").mkdir()
            shutil.move(fetch(temporary / "fetched"), bundle)
            shutil.rmtree(temporary / "fetched")
            kept_at = datetime.now(UTC).isoformat()
            write_json(
                temporary / _DESCRIPTION,
                {
                    "version": {**asdict(version), "tags": dict(version.tags)},
                    "kept_at": kept_at,
                    "sha256": digest_bundle(bundle),
                },
            )
            yield bundle

    def remove_others(self, version: Version) -> None:
        """Remove every copy but one version's, and what an interrupted fetch left behind."""
        for path in self.folder.iterdir():
            if path.name not in (str(version.number), _LOCK):
                shutil.rmtree(path, ignore_errors=True)


def is_same(one: Version, other: Version) -> bool:
    """Tell whether two descriptions mean one version; numbers alone start anew with a model."""
    return (one.name, one.number, one.run_id) == (other.name, other.number, other.run_id)
