"""Let the ledger know a version's files, as the night that registers it does."""

from __future__ import annotations

from pathlib import Path

from sentiflow.release.known_files import KnownFiles, digest_bundle
from sentiflow.release.ledger import Ledger
from sentiflow.release.registry import Version
from sentiflow.release.state import NewEvent


def know(version: Version, bundle: Path) -> KnownFiles:
    return KnownFiles(version.run_id, digest_bundle(bundle))


def crown(home: Path, version: Version, bundle: Path) -> None:
    """Write a version into the home's ledger as champion, with its files; move no alias."""
    ledger = Ledger(f"sqlite:///{home / 'ledger.db'}")
    event = NewEvent(
        kind="promoted", actor="night", to_version=version.number,
        details=know(version, bundle).as_details(),
    )  # fmt: skip
    ledger.append(version.name, ledger.read_head(version.name)[0], [event])
