"""Count the rows of a night, and make its profile of the counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from sentiflow.data.outdated import Superseded
from sentiflow.data.profile import Profile
from sentiflow.data.reviews import UNREADABLE, Marks, label_reviews
from sentiflow.data.splitting import SPLITS, assign_buckets, name_splits
from sentiflow.data.values.labels import NEUTRAL
from sentiflow.settings import DataSettings, SplitSettings


@dataclass(frozen=True)
class TextLengths:
    """How long texts are.

    Attributes:
        words: split at white space, shape (n,).
        characters: shape (n,).
    """

    words: npt.NDArray[np.int64]
    characters: npt.NDArray[np.int64]


def measure_texts(texts: pd.Series[str]) -> TextLengths:
    """Return how many words and characters each text has."""
    column = pa.array(texts, type=pa.large_string())
    words = pc.list_value_length(pc.utf8_split_whitespace(column))
    return TextLengths(
        words.to_numpy(zero_copy_only=False).astype(np.int64),
        pc.utf8_length(column).to_numpy(zero_copy_only=False).astype(np.int64),
    )


@dataclass
class Tally:
    """Counts over the prepared partitions of a snapshot.

    Attributes:
        neutral: rows that the label rule left out.
        category: rows left out as of another category.
        distinct: rows with an id of their own, before any was left out.
        neutral_labels: rows with a neutral label that were kept.
        passed: rows that passed the checks.
        marks: how many of them have each mark.
    """

    neutral: int = 0
    category: int = 0
    distinct: int = 0
    neutral_labels: int = 0
    passed: int = 0
    marks: Counter[Marks] = field(default_factory=Counter)
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

    def add_passed(self, marks: npt.NDArray[np.int16]) -> None:
        """Count rows that passed the checks, and what was found out about them."""
        self.passed += len(marks)
        if marks.any():
            self.marks.update({mark: int((marks & mark > 0).sum()) for mark in Marks})

    def label(
        self, reviews: pd.DataFrame, data: DataSettings
    ) -> tuple[pd.DataFrame, npt.NDArray[np.bool_]]:
        """Apply the label rule to one partition, outdated rows gone, and count what it does.

        Returns:
            The labelled reviews, and which of them had a neutral label.
        """
        is_neutral = (reviews["label"] == NEUTRAL).to_numpy(dtype=bool, na_value=False)
        labelled, left_out = label_reviews(reviews, data)
        self.distinct += len(reviews)
        self.neutral += left_out
        if left_out:
            is_neutral = np.zeros(len(labelled), dtype=bool)
        self.neutral_labels += int(is_neutral.sum())
        return labelled, is_neutral

    def add(self, reviews: pd.DataFrame, lengths: TextLengths, split: SplitSettings) -> None:
        """Count one partition of labelled reviews.

        Args:
            reviews: rows of which no other partition has the ids; their texts are not looked at.
            lengths: of the texts, row by row.
            split: which side a row goes to.
        """
        if reviews.empty:
            return
        self.rows += len(reviews)
        # Rows with one id share a partition, so the partitions' counts add up.
        self.unique_ids += reviews["review_id"].nunique()
        self.positive += int(reviews["label"].sum())
        self.words += int(lengths.words.sum())
        shortest = int(lengths.characters.min())
        self.shortest = shortest if self.shortest is None else min(self.shortest, shortest)
        self.longest = max(self.longest, int(lengths.characters.max()))
        for column in ("date", "user_id", "business_id"):
            self.missing[column] += int(reviews[column].isna().sum())
        dates = reviews["date"].dropna()
        if not dates.empty:
            first, last = dates.min(), dates.max()
            self.earliest = first if self.earliest is None else min(self.earliest, first)
            self.latest = last if self.latest is None else max(self.latest, last)
        buckets = assign_buckets(reviews["text_digest"].to_numpy(dtype=np.uint64))
        sides = name_splits(buckets, split)
        labels = reviews["label"].to_numpy()
        for index, side in enumerate(SPLITS):
            here = sides == index
            self.split_rows[side] += int(here.sum())
            self.split_positive[side] += int(labels[here].sum())

    def describe(
        self,
        *,
        rejected: dict[str, int],
        unknown_labels: dict[str, int],
        superseded: Sequence[Superseded],
        staged: int,
        after_night: int,
        joined: int | None,
    ) -> Profile:
        """Return the profile of all partitions.

        Args:
            rejected: the rows that did not pass the checks, by rule.
            unknown_labels: those of them whose label is not understood, by what it may be.
            superseded: of every partition.
            staged: rows of the night that passed.
            after_night: rows that passed and are later.
            joined: staged rows whose business is known; None without businesses.
        """
        return Profile(
            rows_read=self.passed + sum(rejected.values()),
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
            superseded_by_others=sum(one.by_others for one in superseded),
            superseded_by_strangers=sum(one.by_strangers for one in superseded),
            derived_ids=self.marks[Marks.DERIVED_ID],
            passed=self.passed,
            neutral_labels=self.neutral_labels,
            unreadable={
                name: self.marks[mark] for mark, name in UNREADABLE.items() if self.marks[mark]
            },
            date_orders={
                "either": self.marks[Marks.EITHER_FIRST],
                "day_first": self.marks[Marks.DAY_FIRST],
                "month_first": self.marks[Marks.MONTH_FIRST],
            },
            unknown_labels=unknown_labels,
        )
