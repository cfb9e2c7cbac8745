"""Ingest the sources of a night, reading only what is new of them.

Every file is read into segments of checked rows (gathering.py), or its segments are known from
an earlier night (manifest.py). The snapshot is made of the segments (assembly.py) in one way,
whenever they were read: so what comes out is the same. Where no file has changed, the whole
result is reused (results.py).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import chain
from pathlib import Path

import pandas as pd

from sentiflow.data.ingest.assembly import Assembled, assemble
from sentiflow.data.ingest.gathering import gather
from sentiflow.data.ingest.manifest import Manifest, Plan, check_segments, plan_reading
from sentiflow.data.ingest.results import (
    Ingested,
    describe_result,
    digest_businesses,
    name_result,
    read_result,
)
from sentiflow.data.ingest.segments import Segment, SegmentGone, SegmentStore
from sentiflow.data.reading.businesses import read_categories
from sentiflow.data.reading.listing import list_source_files
from sentiflow.data.reading.streams import SourceFile
from sentiflow.settings import Settings

logger = logging.getLogger(__name__)


def read_sources(
    paths: Sequence[str],
    businesses: str | None,
    settings: Settings,
    night: date,
    home: Path,
    code: str | None = None,
    *,
    trust_stored: bool = True,
    warn: Callable[[str], object] | None = None,
) -> Ingested:
    """Read the sources into a snapshot and a quarantine file.

    Args:
        paths: files, globs, folders or fsspec URLs.
        businesses: a businesses file, or None.
        settings: all settings; data, split and validation are used.
        night: rows dated after the end of this day are left out.
        home: SENTIFLOW_HOME.
        code: the identity of the code, to remember under what is read and to believe what
            the same code read before; None remembers and believes nothing.
        trust_stored: whether a file that looks the same is taken for the same, and a whole
            result is reused; otherwise the bytes of every file are compared.
        warn: told in a sentence what of the sources is passed over; the log, if not given.

    Returns:
        The snapshot, the night's profile and the quarantine file: the same, whether files
        were read now or before.

    Raises:
        SourceError: a source cannot be read at all.
    """
    reading = _Reading(
        files=list_source_files(paths, settings.data, warn),
        businesses=businesses,
        settings=settings,
        night_ends=pd.Timestamp(night) + pd.Timedelta(days=1),
        home=home,
    )
    if code is not None:
        manifest = Manifest.load(home, paths, settings.data, code)
        try:
            return reading.read_what_is_new(manifest, trust_stored)
        except SegmentGone as error:
            # Removed by hand, or in an ingest of more than half a day. What is read now is
            # this night's own, so that it cannot happen again.
            logger.warning("ingest: stored rows went while they were used, reading all: %s", error)
    return reading.read_everything()


@dataclass(frozen=True)
class _Reading:
    """One night's sources, and the two ways to read them."""

    files: Sequence[SourceFile]
    businesses: str | None
    settings: Settings
    night_ends: pd.Timestamp
    home: Path

    def read_everything(self) -> Ingested:
        """Read every file from its beginning, and keep nothing of it."""
        with SegmentStore(self.home, keep=False) as store:
            plans = [Plan(file) for file in self.files]
            gathered = gather(plans, store, self.settings.data)
            return _describe(self._assemble(gathered.segments, store))

    def read_what_is_new(self, manifest: Manifest, trust_stored: bool) -> Ingested:
        """Read what the manifest does not know, and bring it up to date.

        Raises:
            SegmentGone: somebody removed what this counted on.
        """
        settings = self.settings
        of_businesses = digest_businesses(self.businesses, settings)
        plans = plan_reading(self.files, manifest.files, trust_stored)
        known = [plan.known.segments for plan in plans if plan.known and plan.is_unchanged]
        if trust_stored and of_businesses is not None and len(known) == len(plans):
            stored = manifest.results.get(name_result(known, of_businesses, settings))
            found = read_result(stored, self.night_ends, self.home)
            if found is not None:
                logger.info("ingest: %s of %s files unchanged, nothing read", *[len(plans)] * 2)
                manifest.keep(plans)
                manifest.save()
                return found

        with SegmentStore(self.home, keep=True) as store:
            gathered = gather(check_segments(plans, store), store, settings.data)
            manifest.replace(gathered.known)
            # Before the rest is done: whatever happens there, what was read need not be again.
            manifest.save()
            assembled = self._assemble(gathered.segments, store)
            if (
                len(gathered.known) == len(self.files)
                and of_businesses is not None
                and of_businesses == digest_businesses(self.businesses, settings)
            ):
                key = name_result(gathered.segments, of_businesses, settings)
                manifest.results[key] = describe_result(assembled)
                manifest.save()
            manifest.clean(store)
        return _describe(assembled)

    def _assemble(self, segments: Sequence[Sequence[Segment]], store: SegmentStore) -> Assembled:
        data = self.settings.data
        categories = read_categories(self.businesses, data) if self.businesses else None
        every = list(chain.from_iterable(segments))
        return assemble(every, store, categories, self.settings, self.night_ends, self.home)


def _describe(assembled: Assembled) -> Ingested:
    return Ingested(assembled.snapshot, assembled.profile, str(assembled.quarantine))
