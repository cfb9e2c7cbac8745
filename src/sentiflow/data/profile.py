"""What is known about a whole night's reviews: counts, shares and dates, never a text."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import date
from typing import Final

from sentiflow.errors import ArtifactError

DATE_ORDERS: Final = ("either", "day_first", "month_first")


@dataclass(frozen=True)
class Profile:
    """The counts of one night, from the rows read to the rows of each split.

    `dataclasses.asdict` gives a JSON value and `Profile(**value)` takes it back. Every
    share is None where it would be a division by zero.

    Attributes:
        rows_read: rows found in the sources, readable or not.
        quarantined: rows that could not be used.
        superseded: outdated rows: older ones with the id of a newer one.
        left_out_after_night: rows dated after the night.
        left_out_neutral: rows the label rule leaves out.
        left_out_category: rows of other categories than the one asked for.
        rows: rows in the snapshot.
        unique_ids: distinct review ids in the snapshot.
        positive_rows: rows of the snapshot with label 1.
        total_words: words, split at white space, in all texts of the snapshot.
        shortest_characters: characters in the shortest text; 0 without rows.
        longest_characters: characters in the longest text; 0 without rows.
        missing_dates: rows of the snapshot without a date.
        missing_user_ids: rows of the snapshot without a user id.
        missing_business_ids: rows of the snapshot without a business id.
        earliest_date: ISO date of the oldest review; None where none has a date.
        latest_date: ISO date of the newest review; None where none has a date.
        train_rows: rows to train on.
        train_positive_rows: those of them with label 1.
        validation_rows: rows to stop training by.
        validation_positive_rows: those of them with label 1.
        test_rows: rows to score on.
        test_positive_rows: those of them with label 1.
        truncated_files: files that ended in the middle or could not be read to their end.
        undecodable: quarantined rows whose bytes are not in the encoding asked for.
        rejected_by_rule: quarantined rows by the name of the rule they broke.
        join_coverage: share of reviews whose business is in the businesses file; None
            without such a file.
        superseded_by_others: those of the superseded rows whose newer row has another text,
            user or business.
        superseded_by_strangers: those of them whose newer row has another user or business.
        derived_ids: rows that passed the checks and have no id of their own.
        passed: rows that passed the checks.
        neutral_labels: rows of the snapshot whose label is neutral.
        unreadable: by optional column, rows whose value is there and cannot be read.
        date_orders: of these dates, those that need to be told which of day and month is first:
            either, day_first where only that would do, month_first.
        unknown_labels: by label, rows that were quarantined for it; "other" for all that are in
            no preset of `data.labels`.
    """

    rows_read: int
    quarantined: int
    superseded: int
    left_out_after_night: int
    left_out_neutral: int
    left_out_category: int
    rows: int
    unique_ids: int
    positive_rows: int
    total_words: int
    shortest_characters: int
    longest_characters: int
    missing_dates: int
    missing_user_ids: int
    missing_business_ids: int
    earliest_date: str | None
    latest_date: str | None
    train_rows: int
    train_positive_rows: int
    validation_rows: int
    validation_positive_rows: int
    test_rows: int
    test_positive_rows: int
    truncated_files: int
    undecodable: int
    rejected_by_rule: dict[str, int]
    join_coverage: float | None
    superseded_by_others: int = 0
    superseded_by_strangers: int = 0
    derived_ids: int = 0
    passed: int = 0
    neutral_labels: int = 0
    unreadable: dict[str, int] = field(default_factory=dict)
    date_orders: dict[str, int] = field(default_factory=lambda: dict.fromkeys(DATE_ORDERS, 0))
    unknown_labels: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what no night can give, before an expectation skips it as null.

        Raises:
            ArtifactError: a count is no whole number of at least 0, a date is not ISO, or the
                coverage is no share.
        """
        counts = {field.name: getattr(self, field.name) for field in fields(self)}
        dates = {name: counts.pop(name) for name in ("earliest_date", "latest_date")}
        for name in ("rejected_by_rule", "unreadable", "date_orders", "unknown_labels"):
            counts |= {f"{name}.{key}": count for key, count in counts.pop(name).items()}
        coverage = counts.pop("join_coverage")
        for name, count in counts.items():
            if type(count) is not int or count < 0:
                raise ArtifactError(
                    "A profile's counts must be whole numbers of at least 0. "
                    f"Received: {name}={count!r}. Run the night again with --force."
                )
        for name, day in dates.items():
            if day is not None and not _is_iso_date(day):
                raise ArtifactError(
                    "A profile's dates must be ISO dates (2024-01-31) or None. "
                    f"Received: {name}={day!r}. Run the night again with --force."
                )

        if coverage is not None and not (isinstance(coverage, float) and 0 <= coverage <= 1):
            raise ArtifactError(
                "A profile's join_coverage must be a share between 0.0 and 1.0 or None. "
                f"Received: join_coverage={coverage!r}. Run the night again with --force."
            )

    @property
    def left_out(self) -> int:
        """Rows left out by date, label rule or category."""
        return self.left_out_after_night + self.left_out_neutral + self.left_out_category

    @property
    def unaccounted_rows(self) -> int:
        """Rows read that are in no other count; anything but 0 means that rows were lost.

        rows read = quarantined + superseded + left out + train + validation + test.
        """
        used = self.train_rows + self.validation_rows + self.test_rows
        return self.rows_read - self.quarantined - self.superseded - self.left_out - used

    @property
    def rejected_share(self) -> float | None:
        """Quarantined rows as a share of the rows read."""
        return _divide(self.quarantined, self.rows_read)

    @property
    def superseded_share(self) -> float:
        """Rows that another row with their id replaced, as a share of the rows read."""
        return _divide(self.superseded_by_others, self.rows_read) or 0.0

    @property
    def after_night_share(self) -> float | None:
        """Rows dated after the night as a share of the rows read."""
        return _divide(self.left_out_after_night, self.rows_read)

    @property
    def positive_share(self) -> float | None:
        """Rows with label 1 as a share of the snapshot."""
        return _divide(self.positive_rows, self.rows)

    @property
    def smaller_class_share(self) -> float | None:
        """Rows of the rarer class as a share of the snapshot."""
        return _divide(min(self.positive_rows, self.rows - self.positive_rows), self.rows)

    @property
    def mean_words(self) -> float | None:
        """Words of the average text of the snapshot."""
        return _divide(self.total_words, self.rows)

    @property
    def missing_date_share(self) -> float | None:
        """Rows without a date as a share of the snapshot."""
        return _divide(self.missing_dates, self.rows)


@dataclass(frozen=True)
class PreviousSnapshot:
    """The last accepted snapshot of the lineage, to compare tonight's with.

    Attributes:
        fingerprint: its content identity.
        rows: its number of rows.
        positive_share: its share of rows with label 1.
    """

    fingerprint: str
    rows: int
    positive_share: float


def _divide(part: int, whole: int) -> float | None:
    """Return part / whole, or None where whole is 0.

    >>> _divide(1, 4), _divide(0, 0)
    (0.25, None)
    """
    return part / whole if whole else None


def _is_iso_date(value: object) -> bool:
    """Say whether the value is a string such as 2024-01-31."""
    try:
        return isinstance(value, str) and date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False
