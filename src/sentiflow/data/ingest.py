"""Read every source once: check each chunk, quarantine what fails, keep the rest.

The one place where the counts of a night come from, so that what was read can be
accounted for to the row.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from sentiflow.data.businesses import is_in_category, join_categories, read_categories
from sentiflow.data.profile import Profile
from sentiflow.data.reviews import Rejection, label_reviews, type_reviews
from sentiflow.data.snapshot import Snapshot, SnapshotWriter
from sentiflow.data.sources import find_files, read
from sentiflow.data.splitting import SPLITS, assign_buckets, name_splits
from sentiflow.data.validation import RowChecker
from sentiflow.files import make_temporary_prefix
from sentiflow.progress import report_progress
from sentiflow.settings import Settings


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

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON value."""
        return {
            "snapshot": self.snapshot.as_dict(),
            "profile": asdict(self.profile),
            "quarantine": self.quarantine,
        }

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Ingested:
        """Return what `as_dict` described."""
        return cls(
            snapshot=Snapshot.from_dict(value["snapshot"]),
            profile=Profile(**value["profile"]),
            quarantine=value["quarantine"],
        )


class QuarantineWriter:
    """Write rejected rows as JSON lines, to a file named by its content.

    Use as a context manager; without `finish` nothing is left.
    """

    def __init__(self, home: Path) -> None:
        """Write under `home`/snapshots, beside the snapshot."""
        self._root = home / "snapshots" / "quarantine"
        self._digest = hashlib.sha256()
        self.by_rule: Counter[str] = Counter()

    def __enter__(self) -> QuarantineWriter:
        """Open a temporary file."""
        self._root.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=make_temporary_prefix(), dir=self._root)
        self._path = Path(name)
        self._stream = os.fdopen(handle, "wb")
        return self

    def __exit__(self, *_: object) -> None:
        """Close, and remove the temporary file if it was not finished."""
        self._stream.close()
        self._path.unlink(missing_ok=True)

    def add(self, rejections: Iterable[Rejection]) -> None:
        """Append rejected rows."""
        for rejection in rejections:
            self.by_rule[rejection.rule] += 1
            line = json.dumps(asdict(rejection)).encode() + b"\n"
            self._digest.update(line)
            self._stream.write(line)

    def finish(self) -> Path:
        """Give the file its final name and return it."""
        self._stream.close()
        final = self._root / f"{self._digest.hexdigest()[:16]}.jsonl"
        os.replace(self._path, final)
        return final


@dataclass
class _Tally:
    """Counts over the prepared partitions of a snapshot."""

    neutral: int = 0
    category: int = 0
    distinct: int = 0
    rows: int = 0
    unique_ids: int = 0
    positive: int = 0
    words: int = 0
    shortest: int | None = None
    longest: int = 0
    missing: Counter[str] = field(default_factory=Counter)
    earliest: pd.Timestamp | None = None
    latest: pd.Timestamp | None = None
    split_rows: Counter[str] = field(default_factory=Counter)
    split_positive: Counter[str] = field(default_factory=Counter)

    def add(self, reviews: pd.DataFrame, settings: Settings) -> None:
        """Count one partition of labelled reviews."""
        if reviews.empty:
            return
        self.rows += len(reviews)
        # Rows with one id share a partition, so the partitions' counts add up.
        self.unique_ids += reviews["review_id"].nunique()
        self.positive += int(reviews["label"].sum())
        texts = pa.array(reviews["text"], type=pa.large_string())
        self.words += pc.sum(pc.list_value_length(pc.utf8_split_whitespace(texts))).as_py()
        lengths = pc.min_max(pc.utf8_length(texts))
        shortest = lengths["min"].as_py()
        self.shortest = shortest if self.shortest is None else min(self.shortest, shortest)
        self.longest = max(self.longest, lengths["max"].as_py())
        for column in ("date", "user_id", "business_id"):
            self.missing[column] += int(reviews[column].isna().sum())
        dates = reviews["date"].dropna()
        if not dates.empty:
            first, last = dates.min(), dates.max()
            self.earliest = first if self.earliest is None else min(self.earliest, first)
            self.latest = last if self.latest is None else max(self.latest, last)
        buckets = assign_buckets(reviews["text_digest"].to_numpy(dtype=np.uint64))
        sides = name_splits(buckets, settings.split)
        labels = reviews["label"].to_numpy()
        for index, side in enumerate(SPLITS):
            here = sides == index
            self.split_rows[side] += int(here.sum())
            self.split_positive[side] += int(labels[here].sum())


def read_sources(
    paths: Sequence[str], businesses: str | None, settings: Settings, night: date, home: Path
) -> Ingested:
    """Read the sources into a snapshot and a quarantine file.

    Args:
        paths: files, globs, folders or fsspec URLs.
        businesses: a businesses file, or None.
        settings: all settings; data, split and validation are used.
        night: rows dated after the end of this day are left out.
        home: SENTIFLOW_HOME.

    Returns:
        The snapshot, the night's profile and the quarantine file.

    Raises:
        SourceError: a source cannot be read at all.
    """
    data = settings.data
    files = find_files(paths, data)
    categories = read_categories(businesses, data) if businesses else None
    checker = RowChecker(data)
    tally = _Tally()
    night_ends = pd.Timestamp(night) + pd.Timedelta(days=1)
    rows_read = after_night = joined = 0

    with SnapshotWriter(home) as writer, QuarantineWriter(home) as quarantine:
        for chunk in read(files, data):
            rows_read += len(chunk.raw_reviews) + len(chunk.rejections)
            quarantine.add(chunk.rejections)
            reviews, rejections = checker.check(type_reviews(chunk.raw_reviews, data))
            quarantine.add(rejections)
            is_future = (reviews["date"] >= night_ends).to_numpy()
            after_night += int(is_future.sum())
            reviews = reviews.loc[~is_future].reset_index(drop=True)
            if categories is not None:
                reviews["categories"] = join_categories(reviews, categories)
                joined += int(reviews["categories"].notna().sum())
            writer.add(reviews)
            report_progress(
                "ingest",
                chunk.bytes_read,
                chunk.bytes_total,
                f"{rows_read:,} rows read, {sum(quarantine.by_rule.values()):,} quarantined",
            )

        def prepare(reviews: pd.DataFrame) -> pd.DataFrame:
            tally.distinct += len(reviews)
            reviews, neutral = label_reviews(reviews, data)
            tally.neutral += neutral
            if data.category is not None:
                keep = is_in_category(reviews["categories"], data.category)
                tally.category += int((~keep).sum())
                reviews = reviews.loc[keep].reset_index(drop=True)
            tally.add(reviews, settings)
            return reviews

        scheme = {"positive_above": data.positive_above, "neutral": data.neutral}
        snapshot = writer.finish(prepare, scheme)
        quarantined = dict(sorted(quarantine.by_rule.items()))
        quarantine_file = quarantine.finish()

    profile = Profile(
        rows_read=rows_read,
        quarantined=sum(quarantined.values()),
        superseded=writer.staged_rows - tally.distinct,
        left_out_after_night=after_night,
        left_out_neutral=tally.neutral,
        left_out_category=tally.category,
        rows=tally.rows,
        unique_ids=tally.unique_ids,
        positive_rows=tally.positive,
        total_words=tally.words,
        shortest_characters=tally.shortest or 0,
        longest_characters=tally.longest,
        missing_dates=tally.missing["date"],
        missing_user_ids=tally.missing["user_id"],
        missing_business_ids=tally.missing["business_id"],
        earliest_date=None if tally.earliest is None else str(tally.earliest.date()),
        latest_date=None if tally.latest is None else str(tally.latest.date()),
        train_rows=tally.split_rows["train"],
        train_positive_rows=tally.split_positive["train"],
        validation_rows=tally.split_rows["validation"],
        validation_positive_rows=tally.split_positive["validation"],
        test_rows=tally.split_rows["test"],
        test_positive_rows=tally.split_positive["test"],
        truncated_files=quarantined.get("truncated_file", 0),
        undecodable=quarantined.get("not_decodable", 0),
        rejected_by_rule=quarantined,
        join_coverage=None if categories is None else joined / max(writer.staged_rows, 1),
    )
    return Ingested(snapshot=snapshot, profile=profile, quarantine=str(quarantine_file))
