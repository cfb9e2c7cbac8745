"""The columns of a review, their types, and the rule that makes a label of them.

`type_reviews` turns what was read into typed columns without removing a row or ever
failing; what it could not understand becomes null, for validation to judge.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntFlag
from hashlib import sha256
from typing import Any, Final

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa

from sentiflow.data.values.dates import DateKind, read_dates
from sentiflow.data.values.ids import read_ids
from sentiflow.data.values.labels import NEUTRAL, read_labels
from sentiflow.data.values.missing import find_unreadable
from sentiflow.data.values.stars import read_stars
from sentiflow.data.values.texts import replace_surrogates, store_texts
from sentiflow.settings import DataSettings
from sentiflow.settings.notations import read_date_format, read_scale

__all__ = [
    "RAW_COLUMNS", "REVIEW_COLUMNS", "REVIEW_SCHEMA", "UNREADABLE", "Marks", "Rejection",
    "label_reviews", "replace_surrogates", "type_reviews",
]  # fmt: skip

# How reviews are kept on disk, once they are typed and checked.
REVIEW_SCHEMA: Final = pa.schema(
    [
        ("review_id", pa.string()),
        ("user_id", pa.string()),
        ("business_id", pa.string()),
        ("stars", pa.float64()),
        ("label", pa.int8()),
        ("text", pa.large_string()),
        ("date", pa.timestamp("us")),
    ]
)
REVIEW_COLUMNS: Final = tuple(REVIEW_SCHEMA.names)
RAW_COLUMNS: Final = ("file", "line", *REVIEW_COLUMNS)

_NEUTRAL_STARS: Final = 3.0


class Marks(IntFlag):
    """What was found out about a row while it was typed, to be counted."""

    DATE = 1
    """The date is there and cannot be read, and so on."""
    STARS = 2
    REVIEW_ID = 4
    USER_ID = 8
    BUSINESS_ID = 16
    DERIVED_ID = 32
    """The row has no id of its own."""
    EITHER_FIRST = 64
    """The date cannot be read until data.date_format says which of day and month is first."""
    DAY_FIRST = 128
    """The same, and only DD/MM would do."""
    MONTH_FIRST = 256


_DATE_MARKS: Final = {
    DateKind.UNREADABLE: Marks.DATE,
    DateKind.EITHER_FIRST: Marks.DATE | Marks.EITHER_FIRST,
    DateKind.DAY_FIRST: Marks.DATE | Marks.DAY_FIRST,
    DateKind.MONTH_FIRST: Marks.DATE | Marks.MONTH_FIRST,
}
# The optional columns, by the mark of a value in them that cannot be read.
UNREADABLE: Final = {
    Marks.REVIEW_ID: "review_id",
    Marks.USER_ID: "user_id",
    Marks.BUSINESS_ID: "business_id",
    Marks.STARS: "stars",
    Marks.DATE: "date",
}
_IDS: Final = ("review_id", "user_id", "business_id")


@dataclass(frozen=True)
class Rejection:
    """One row that could not be used, with where it stood and why.

    Attributes:
        file: the file as the user gave it, or its resolved URL.
        line: 1-based physical line; of CSV the line the record starts on, of Parquet the row.
        rule: short stable name of the rule that was broken.
        reason: one sentence without any review text.
        review_id: the row's id where it could be read.
        raw: what stood there, at most 2,000 characters; only ever for the quarantine file.
        unknown_label: what a label that is not understood may be, see values/labels.py.
    """

    file: str
    line: int
    rule: str
    reason: str
    review_id: str | None
    raw: str
    unknown_label: str | None = None


def type_reviews(raw_reviews: pd.DataFrame, data: DataSettings) -> pd.DataFrame:
    """Give every column its type; a value that does not fit becomes null, no row is removed.

    Args:
        raw_reviews: the columns RAW_COLUMNS, values of any type as they were read.
        data: whether labels are read (`columns.label`) or come from stars, and how labels,
            stars and dates are written.

    Returns:
        The same rows and index with the columns file (str), line (int64), review_id (str,
        derived from the content where it is missing), user_id and business_id (str or
        missing), stars (float64, from 1 to 5 on any scale, NaN where missing or not a number),
        label (Int8, NEUTRAL for neutral ones, null where missing or not understood), text (str,
        missing where it is no string; lone surrogates replaced by U+FFFD), date (datetime64[us]
        in UTC, without a time zone), marks (int16, Marks) and unknown_label (str, what a label
        that is not understood may be, missing elsewhere).
    """
    index = raw_reviews.index
    columns = {name: raw_reviews[name].to_numpy(dtype=object) for name in REVIEW_COLUMNS}
    dates = read_dates(columns["date"], read_date_format(data.date_format))
    stars = read_stars(columns["stars"], read_scale(data.stars_scale))
    ids = {name: read_ids(columns[name]) for name in _IDS}
    nameless = ids["review_id"].isna().to_numpy()
    marks = np.zeros(len(index), dtype=np.int16)
    marks[nameless] = Marks.DERIVED_ID
    for kind, mark in _DATE_MARKS.items():
        marks[dates.kinds == kind] |= mark
    unreadable = {
        name: find_unreadable(columns[name], read.isna().to_numpy()) for name, read in ids.items()
    }
    labels: Any = pd.array([pd.NA] * len(index), dtype="Int8")
    unknown = pd.Series(pd.NA, index=range(len(index)), dtype="str")
    if data.columns.label is not None:
        labels, unknown = read_labels(columns["label"], data.label_meanings)
        # Where stars are the target, a row without any is rejected.
        unreadable["stars"] = find_unreadable(columns["stars"], np.isnan(stars))
    for mark, name in UNREADABLE.items():
        if name in unreadable:
            marks[unreadable[name]] |= mark
    reviews = pd.DataFrame(
        {
            "file": raw_reviews["file"].astype("str").array,
            "line": raw_reviews["line"].astype("int64").array,
            "review_id": ids["review_id"].array,
            "user_id": ids["user_id"].array,
            "business_id": ids["business_id"].array,
            "stars": stars,
            "label": labels,
            "text": store_texts(
                [value if isinstance(value, str) else None for value in columns["text"]]
            ).array,
            "date": dates.dates.array,
            "marks": marks,
            "unknown_label": unknown.array,
        },
        index=index,
    )
    if nameless.any():
        reviews.loc[nameless, "review_id"] = _derive_ids(reviews.loc[nameless])
    return reviews


def label_reviews(reviews: pd.DataFrame, data: DataSettings) -> tuple[pd.DataFrame, int]:
    """Apply the label rule: more stars than `data.positive_above` are positive.

    Where `data.columns.label` names a column, the labels read from it stand and stars play
    no part; a neutral one counts as three stars. `data.neutral = "leave_out"` drops the reviews
    of exactly three stars, or with a neutral label.

    Args:
        reviews: validated reviews, so that stars (or label, where it is used) are never null.
        data: the label rule.

    Returns:
        The labelled reviews with label as int8, index reset, and the number of rows left out
        as neutral.
    """
    if data.columns.label is not None:
        is_neutral = (reviews["label"] == NEUTRAL).to_numpy(dtype=bool)
        labels = reviews["label"].mask(is_neutral, int(data.positive_above < _NEUTRAL_STARS))
        labelled = reviews.assign(label=labels.astype("int8"))
        if data.neutral == "leave_out":
            labelled = labelled.loc[~is_neutral]
        return labelled.reset_index(drop=True), len(reviews) - len(labelled)
    if reviews["stars"].isna().any():
        raise ValueError(
            "Every review needs stars to be labelled. "
            f"Received: rows_without_stars={int(reviews['stars'].isna().sum())}. "
            "Check the reviews first (data/checks/validation.py)."
        )
    kept = reviews
    if data.neutral == "leave_out":
        kept = reviews[reviews["stars"] != _NEUTRAL_STARS]
    labels = (kept["stars"] > data.positive_above).astype("int8")
    return kept.assign(label=labels).reset_index(drop=True), len(reviews) - len(kept)


def _derive_ids(reviews: pd.DataFrame) -> list[str]:
    """Return an id per review made of its content, so that a copy of it gets the same one.

    The id is the first 16 bytes of SHA-256 over the typed values, in URL-safe Base64: 22
    characters, as long as Yelp's. Typed values make CSV, JSON and Parquet agree.
    """
    return [_derive_id(values) for values in _list_contents(reviews)]


def _list_contents(reviews: pd.DataFrame) -> Iterable[tuple[object, ...]]:
    """Return the columns an id is derived from, row by row, null as None."""
    names = ["text", "stars", "label", "date", "business_id", "user_id"]
    contents = reviews[names].assign(date=reviews["date"].astype("int64"))
    columns = (contents[name].astype(object) for name in names)
    return zip(*(column.where(column.notna(), None) for column in columns), strict=True)


def _derive_id(values: tuple[object, ...]) -> str:
    """Return the 22 characters for one review's values."""
    digest = sha256(orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)).digest()
    return urlsafe_b64encode(digest[:16]).decode("ascii").rstrip("=")
