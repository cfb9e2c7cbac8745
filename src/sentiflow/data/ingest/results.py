"""Find the result of an earlier ingest where reading again could give no other.

A result is keyed on what it was made of: the segments of all files, the settings, the content
of the businesses file. Where one of these cannot be told, there is no key. Of the night only the
date counts, and that only where a row is dated between two nights: one of them leaves it out and
the other does not.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from sentiflow.data.ingest.assembly import Assembled
from sentiflow.data.ingest.file_state import digest_beginnings, read_file_state
from sentiflow.data.ingest.segments import Segment
from sentiflow.data.profile import Profile
from sentiflow.data.reading.businesses import BUSINESS_COLUMNS
from sentiflow.data.reading.listing import list_source_files
from sentiflow.data.snapshot import Snapshot, check_snapshot, open_snapshot
from sentiflow.errors import ArtifactError
from sentiflow.files import digest_file, digest_json
from sentiflow.settings import Settings

# How long to wait for sources, and which are allowed: no row depends on it.
_NOT_COUNTED: Final = {"stall_seconds", "allowed_roots", "output_roots"}


@dataclass(frozen=True)
class Ingested:
    """What one reading of the sources gave.

    Attributes:
        snapshot: the reviews that are used.
        profile: the counts of the night.
        quarantine: path of the JSON-lines file of rejected rows.
    """

    snapshot: Snapshot
    profile: Profile
    quarantine: str


def name_result(segments: Sequence[Sequence[Segment]], businesses: str, settings: Settings) -> str:
    """Return the key of what an ingest gives.

    Args:
        segments: of each file, in the files' order.
        businesses: from `digest_businesses`.
        settings: the groups data and split count.
    """
    of_files = [[asdict(segment) for segment in of_file] for of_file in segments]
    data = settings.data.model_dump(mode="json", exclude=_NOT_COUNTED)
    groups = [data, settings.split.model_dump(mode="json")]
    return digest_json([of_files, businesses, groups])


def digest_businesses(path: str | None, settings: Settings) -> str | None:
    """Return a digest of the content of the businesses; None where that cannot be told.

    No businesses at all are a content too. What lies behind a URL would have to be fetched
    once more to be told.

    Args:
        path: the businesses file, or None.
        settings: the group data counts.

    Raises:
        SourceError: the path names nothing that can be read.
    """
    digests = []
    for file in list_source_files([path], settings.data, wanted=BUSINESS_COLUMNS) if path else ():
        file_state = read_file_state(file)
        if file_state is None:
            return None
        digests.append([file.name, *digest_beginnings(file, (file_state.size,))])
    return digest_json(digests)


def describe_result(assembled: Assembled) -> dict[str, Any]:
    """Return a result as a JSON value for the manifest; where the home is plays no part."""
    latest, left_out = assembled.latest, assembled.earliest_left_out
    return {
        "fingerprint": assembled.snapshot.fingerprint,
        "profile": asdict(assembled.profile),
        "quarantine": assembled.quarantine.name,
        "latest": None if latest is None else latest.isoformat(),
        "earliest_left_out": None if left_out is None else left_out.isoformat(),
    }


def read_result(
    stored: dict[str, Any] | None, night_ends: pd.Timestamp, home: Path
) -> Ingested | None:
    """Return the stored result, if it is whole and true tonight.

    Args:
        stored: from the manifest; None where there is none.
        night_ends: the first moment that is no longer the night's.
        home: SENTIFLOW_HOME.
    """
    if stored is None or not _is_true_at(stored, night_ends):
        return None
    folder = home / "snapshots" / stored["fingerprint"]
    quarantine = home / "snapshots" / "quarantine" / stored["quarantine"]
    try:
        snapshot = open_snapshot(folder)
        check_snapshot(snapshot)
        # Its name is the digest it had; what a person's rows were taken from has another.
        if digest_file(quarantine)[: len(quarantine.stem)] != quarantine.stem:
            return None
    except (ArtifactError, OSError):
        return None
    for used in (folder, quarantine):
        # Pruning goes by the last use.
        os.utime(used)
    return Ingested(snapshot, Profile(**stored["profile"]), str(quarantine))


def _is_true_at(stored: dict[str, Any], night_ends: pd.Timestamp) -> bool:
    """Say whether a night that ends then leaves out the same rows."""
    latest, left_out = stored["latest"], stored["earliest_left_out"]
    return (latest is None or pd.Timestamp(latest) < night_ends) and (
        left_out is None or pd.Timestamp(left_out) >= night_ends
    )
