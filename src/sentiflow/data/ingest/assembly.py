"""Make a snapshot, a profile and a quarantine file of checked rows, and count every row.

The one place where the counts of a night come from, so that what was read can be accounted
for to the row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from sentiflow.data.ingest.segments import Segment, SegmentStore
from sentiflow.data.profile import Profile
from sentiflow.data.quarantine import QuarantineWriter
from sentiflow.data.reading.businesses import is_in_category, join_categories
from sentiflow.data.reading.sources import MAX_CHUNK_BYTES
from sentiflow.data.reviews import label_reviews
from sentiflow.data.row_digests import digest_rows
from sentiflow.data.snapshot import Snapshot, SnapshotWriter
from sentiflow.data.splitting import SPLITS, assign_buckets, name_splits
from sentiflow.progress import report_progress
from sentiflow.settings import Settings


@dataclass(frozen=True)
class Assembled:
    """What checked rows came to.

    Attributes:
        snapshot: the reviews that are used.
        profile: the counts of the night.
        quarantine: the JSON-lines file of rejected rows.
        latest: the newest date among the rows taken, outdated ones included; None where no
            row has one.
        earliest_left_out: the oldest date among the rows left out as later than the night.
    """

    snapshot: Snapshot
    profile: Profile
    quarantine: Path
    latest: pd.Timestamp | None
    earliest_left_out: pd.Timestamp | None


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

    def describe(
        self,
        *,
        rows_passed: int,
        rejected: dict[str, int],
        staged: int,
        after_night: int,
        joined: int | None,
    ) -> Profile:
        """Return the profile of all partitions.

        Args:
            rows_passed: rows that passed the checks.
            rejected: the other rows, by rule.
            staged: rows of the night that passed.
            after_night: rows that passed and are later.
            joined: staged rows whose business is known; None without businesses.
        """
        return Profile(
            rows_read=rows_passed + sum(rejected.values()),
            quarantined=sum(rejected.values()),
            superseded=staged - self.distinct,
            left_out_after_night=after_night,
            left_out_neutral=self.neutral,
            left_out_category=self.category,
            rows=self.rows,
            unique_ids=self.unique_ids,
            positive_rows=self.positive,
            total_words=self.words,
            shortest_characters=self.shortest or 0,
            longest_characters=self.longest,
            missing_dates=self.missing["date"],
            missing_user_ids=self.missing["user_id"],
            missing_business_ids=self.missing["business_id"],
            earliest_date=None if self.earliest is None else str(self.earliest.date()),
            latest_date=None if self.latest is None else str(self.latest.date()),
            train_rows=self.split_rows["train"],
            train_positive_rows=self.split_positive["train"],
            validation_rows=self.split_rows["validation"],
            validation_positive_rows=self.split_positive["validation"],
            test_rows=self.split_rows["test"],
            test_positive_rows=self.split_positive["test"],
            truncated_files=rejected.get("truncated_file", 0),
            undecodable=rejected.get("not_decodable", 0),
            rejected_by_rule=rejected,
            join_coverage=None if joined is None else joined / max(staged, 1),
        )


def assemble(
    segments: Sequence[Segment],
    store: SegmentStore,
    categories: pd.Series[str] | None,
    settings: Settings,
    night_ends: pd.Timestamp,
    home: Path,
) -> Assembled:
    """Put checked rows together, whenever they were read.

    Args:
        segments: of all files, in their order.
        store: where the segments are.
        categories: of every business, from `read_categories`; None without such a file.
        settings: the groups data and split count.
        night_ends: rows from then on are left out.
        home: SENTIFLOW_HOME.

    Raises:
        SegmentGone: a segment was removed meanwhile.
    """
    data = settings.data
    tally = _Tally()
    passed = after_night = joined = 0
    latest: pd.Timestamp | None = None
    earliest_left_out: pd.Timestamp | None = None

    with SnapshotWriter(home) as writer, QuarantineWriter(home) as quarantine:
        for segment in segments:
            quarantine.add(store.read_rejections(segment))
        for reviews in _read_reviews(segments, store, data.chunk_rows):
            passed += len(reviews)
            is_future = (reviews["date"] >= night_ends).to_numpy()
            left_out = reviews.loc[is_future, "date"]
            after_night += len(left_out)
            earliest_left_out = _choose(min, earliest_left_out, left_out)
            reviews = reviews.loc[~is_future].reset_index(drop=True)
            latest = _choose(max, latest, reviews["date"].dropna())
            if categories is not None:
                reviews = _join(reviews, categories)
                joined += int(reviews["categories"].notna().sum())
            writer.add(reviews)
            report_progress("ingest", 0, 0, f"{passed:,} rows taken")

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
        rejected = dict(sorted(quarantine.by_rule.items()))
        quarantine_file = quarantine.finish()

    profile = tally.describe(
        rows_passed=passed,
        rejected=rejected,
        staged=writer.staged_rows,
        after_night=after_night,
        joined=None if categories is None else joined,
    )
    return Assembled(snapshot, profile, quarantine_file, latest, earliest_left_out)


def _read_reviews(
    segments: Sequence[Segment], store: SegmentStore, chunk_rows: int
) -> Iterator[pd.DataFrame]:
    """Yield the rows of all segments, those of small ones together."""
    waiting: list[pa.Table] = []
    rows = size = 0
    for segment in segments:
        for table in store.read_rows(segment):
            waiting.append(table)
            rows += table.num_rows
            size += table.nbytes
            if rows >= chunk_rows or size >= MAX_CHUNK_BYTES:
                yield _make_frame(waiting)
                waiting, rows, size = [], 0, 0
    if waiting:
        yield _make_frame(waiting)


def _make_frame(tables: Sequence[pa.Table]) -> pd.DataFrame:
    """Return the rows with the types that `type_reviews` gave them."""
    reviews: pd.DataFrame = pa.concat_tables(tables).to_pandas(
        types_mapper={pa.int8(): pd.Int8Dtype()}.get
    )
    return reviews


def _join(reviews: pd.DataFrame, categories: pd.Series[str]) -> pd.DataFrame:
    """Return the reviews with their categories, which are part of the row digest."""
    reviews["categories"] = join_categories(reviews, categories)
    known = reviews["categories"].notna().to_numpy()
    digests = reviews["row_digest"].to_numpy(dtype=object, copy=True)
    digests[known] = np.array(digest_rows(reviews.loc[known]), dtype=object)
    return reviews.assign(row_digest=digests)


def _choose(
    choose: Callable[..., pd.Timestamp], so_far: pd.Timestamp | None, dates: pd.Series[pd.Timestamp]
) -> pd.Timestamp | None:
    """Return the least or the greatest date so far."""
    if dates.empty:
        return so_far
    return choose(dates) if so_far is None else choose(so_far, choose(dates))
