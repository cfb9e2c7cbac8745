"""Count what a night would make of the first rows of its files, in memory and without a home."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import islice
from typing import Final

import numpy as np
import pandas as pd

from sentiflow.data.checks.quick import find_failures
from sentiflow.data.checks.row_expectations import list_row_expectations
from sentiflow.data.ingest.tally import Tally, TextLengths, measure_texts
from sentiflow.data.outdated import drop_outdated
from sentiflow.data.profile import Profile
from sentiflow.data.reading.businesses import is_in_category, join_categories
from sentiflow.data.reading.columns import want_reviews
from sentiflow.data.reading.files import Progress, read_rows
from sentiflow.data.reading.json_rows import Row
from sentiflow.data.reading.sources import make_frame
from sentiflow.data.reading.streams import SourceFile
from sentiflow.data.reviews import Marks, Rejection, type_reviews
from sentiflow.data.row_digests import add_digests
from sentiflow.settings import Settings

_SHOWN_PLACES: Final = 3
_KEPT: Final = (
    "file", "review_id", "user_id", "business_id", "stars", "label", "date", "row_digest",
    "text_digest", "words", "characters", "marks",
)  # fmt: skip


@dataclass
class Rejected:
    """The rows that one rule rejects.

    Attributes:
        reason: of the first of them, without any of its text.
        rows: how many they are.
        places: file and line of the first few.
    """

    reason: str
    rows: int = 0
    places: list[tuple[str, int]] = field(default_factory=list)


@dataclass(frozen=True)
class Counted:
    """What the first rows of the files come to.

    Attributes:
        profile: as a night's, of these rows.
        rejected: by rule, most rows first.
        is_whole: whether these are all rows there are.
        files: rows read of each file, rejected ones too, by the file's name.
        files_sharing_ids: files with an id that another file has too.
    """

    profile: Profile
    rejected: dict[str, Rejected]
    is_whole: bool
    files: dict[str, int]
    files_sharing_ids: int


def count_rows(
    files: Sequence[SourceFile],
    settings: Settings,
    night: date,
    categories: pd.Series[str] | None = None,
    most: int | None = None,
) -> Counted:
    """Read, type and check rows as a night does, and count what would become of them.

    Of several files each gives an equal part of the rows, and larger ones what smaller ones lack.

    Args:
        files: from `list_source_files`.
        settings: the groups data and split count.
        night: rows dated later are left out.
        categories: of every business, from `read_categories`; None without such a file.
        most: how many rows to read; None for all.

    Raises:
        SourceError: a file cannot be read at all, or lacks a required column.
    """
    reading = _Reading(settings)
    # Small ones first, so that what they leave is known.
    for place, file in enumerate(sorted(files, key=lambda one: one.size)):
        left = None if most is None else -(-(most - reading.rows) // (len(files) - place))
        reading.read(file, left)
    taken = reading.finish()
    return _describe(taken, reading, settings, night, categories)


class _Reading:
    """The rows read so far: without their texts, so that a million fit into memory."""

    def __init__(self, settings: Settings) -> None:
        self.rows = 0
        self.is_whole = True
        self.files: dict[str, int] = {}
        self.rejected: dict[str, Rejected] = {}
        self.unknown_labels: Counter[str] = Counter()
        self._data = settings.data
        self._wanted = want_reviews(settings.data.columns)
        self._expectations = list_row_expectations(settings.data)
        self._waiting: list[Row] = []
        self._taken: list[pd.DataFrame] = []

    def read(self, file: SourceFile, most: int | None) -> None:
        """Read a file's rows, at most so many, and note whether that was all."""
        records = read_rows(file, self._wanted, self._data, Progress(file.size))
        before = self.rows
        for record in islice(records, most):
            self.rows += 1
            if isinstance(record, Rejection):
                self._reject(record.rule, record.reason, record.file, record.line)
            else:
                self._waiting.append(record[0])
                if len(self._waiting) >= self._data.chunk_rows:
                    self._take()
        self.files[file.name] = self.files.get(file.name, 0) + self.rows - before
        if most is not None and next(records, None) is not None:
            self.is_whole = False

    def finish(self) -> pd.DataFrame:
        """Return the rows that pass, without their texts."""
        self._take()
        return pd.concat(self._taken, ignore_index=True)

    def _take(self) -> None:
        raw = make_frame(self._waiting)
        self._waiting = []
        typed = type_reviews(raw, self._data)
        first_failed = find_failures(typed, self._expectations)
        failed = first_failed >= 0
        unfit = typed.loc[failed]
        for position, file, line, label in zip(
            first_failed[failed],
            unfit["file"],
            unfit["line"],
            unfit["unknown_label"],
            strict=True,
        ):
            broken = self._expectations[position]
            self._reject(broken.name, broken.reason, str(file), int(line))
            if broken.column == "label" and not pd.isna(label):
                self.unknown_labels[label] += 1
        passed = add_digests(typed.loc[~failed].reset_index(drop=True))
        lengths = measure_texts(passed["text"])
        passed = passed.assign(words=lengths.words, characters=lengths.characters)
        self._taken.append(passed[list(_KEPT)])

    def _reject(self, rule: str, reason: str, file: str, line: int) -> None:
        rejected = self.rejected.setdefault(rule, Rejected(reason))
        rejected.rows += 1
        if len(rejected.places) < _SHOWN_PLACES:
            rejected.places.append((file, line))


def _describe(
    taken: pd.DataFrame,
    reading: _Reading,
    settings: Settings,
    night: date,
    categories: pd.Series[str] | None,
) -> Counted:
    """Go on with the rows that pass as a night does: dates, ids, labels, category."""
    data = settings.data
    is_future = (taken["date"] >= pd.Timestamp(night) + pd.Timedelta(days=1)).to_numpy()
    staged = taken.loc[~is_future].reset_index(drop=True)
    joined = None
    if categories is not None:
        staged["categories"] = join_categories(staged, categories)
        joined = int(staged["categories"].notna().sum())
    own = staged["marks"].to_numpy(dtype=np.int16) & Marks.DERIVED_ID == 0
    tally = Tally()
    tally.add_passed(taken["marks"].to_numpy(dtype=np.int16))
    kept, superseded = drop_outdated(staged, staged.pop("row_digest").to_numpy(dtype=object))
    kept, _ = tally.label(kept, data)
    if data.category is not None and categories is not None:
        keep = is_in_category(kept["categories"], data.category)
        tally.category = int((~keep).sum())
        kept = kept.loc[keep].reset_index(drop=True)
    lengths = TextLengths(
        kept["words"].to_numpy(dtype=np.int64), kept["characters"].to_numpy(dtype=np.int64)
    )
    tally.add(kept, lengths, settings.split)
    rejected = dict(sorted(reading.rejected.items(), key=lambda one: (-one[1].rows, one[0])))
    files_of_id = staged.loc[own].groupby("review_id")["file"]
    shared = files_of_id.transform("nunique") > 1
    return Counted(
        profile=tally.describe(
            rejected={rule: one.rows for rule, one in rejected.items()},
            unknown_labels=dict(sorted(reading.unknown_labels.items())),
            superseded=[superseded],
            staged=len(staged),
            after_night=int(is_future.sum()),
            joined=joined,
        ),
        rejected=rejected,
        is_whole=reading.is_whole,
        files=reading.files,
        files_sharing_ids=int(staged.loc[own].loc[shared, "file"].nunique()),
    )
