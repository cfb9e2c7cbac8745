"""Make a snapshot, a profile and a quarantine file of checked rows, and count every row.

The one place where the counts of a night come from, so that what was read can be accounted
for to the row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from sentiflow.data.ingest.segments import Segment, SegmentStore
from sentiflow.data.ingest.tally import Tally, measure_texts
from sentiflow.data.profile import Profile
from sentiflow.data.quarantine import QuarantineWriter
from sentiflow.data.reading.businesses import is_in_category, join_categories
from sentiflow.data.reading.sources import MAX_CHUNK_BYTES
from sentiflow.data.row_digests import digest_anew
from sentiflow.data.snapshot import Snapshot, SnapshotWriter
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
    tally = Tally()
    after_night = joined = 0
    latest: pd.Timestamp | None = None
    earliest_left_out: pd.Timestamp | None = None

    with SnapshotWriter(home) as writer, QuarantineWriter(home) as quarantine:
        for segment in segments:
            quarantine.add(store.read_rejections(segment))
        for reviews in _read_reviews(segments, store, data.chunk_rows):
            tally.add_passed(reviews["marks"].to_numpy(dtype=np.int16))
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
            report_progress("ingest", 0, 0, f"{tally.passed:,} rows taken")

        def prepare(reviews: pd.DataFrame) -> pd.DataFrame:
            reviews, was_neutral = tally.label(reviews, data)
            if was_neutral.any():
                reviews = digest_anew(reviews, was_neutral)
            if data.category is not None:
                keep = is_in_category(reviews["categories"], data.category)
                tally.category += int((~keep).sum())
                reviews = reviews.loc[keep].reset_index(drop=True)
            tally.add(reviews, measure_texts(reviews["text"]), settings.split)
            return reviews

        scheme = {"positive_above": data.positive_above, "neutral": data.neutral}
        snapshot = writer.finish(prepare, scheme)
        rejected = dict(sorted(quarantine.by_rule.items()))
        unknown_labels = dict(sorted(quarantine.by_label.items()))
        quarantine_file = quarantine.finish()

    profile = tally.describe(
        rejected=rejected,
        unknown_labels=unknown_labels,
        superseded=writer.superseded,
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
    return digest_anew(reviews, reviews["categories"].notna().to_numpy())


def _choose(
    choose: Callable[..., pd.Timestamp], so_far: pd.Timestamp | None, dates: pd.Series[pd.Timestamp]
) -> pd.Timestamp | None:
    """Return the least or the greatest date so far."""
    if dates.empty:
        return so_far
    return choose(dates) if so_far is None else choose(so_far, choose(dates))
