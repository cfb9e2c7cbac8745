"""The columns of a review, their types, and the rule that makes a label of them.

`type_reviews` turns what was read into typed columns without removing a row or ever
failing; what it could not understand becomes null, for validation to judge.
"""

from __future__ import annotations

import math
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson
import pandas as pd
import pyarrow as pa

from sentiflow.settings import DataSettings

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

EARLIEST_DATE: Final = pd.Timestamp("1900-01-01")
LATEST_DATE: Final = pd.Timestamp("2200-01-01")

_NEUTRAL_STARS: Final = 3.0
_LABELS: Final = {
    "0": 0,
    "0.0": 0,
    "neg": 0,
    "negative": 0,
    "false": 0,
    "1": 1,
    "1.0": 1,
    "pos": 1,
    "positive": 1,
    "true": 1,
}
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_ISO_DAY: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ]|$)"
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


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
    """

    file: str
    line: int
    rule: str
    reason: str
    review_id: str | None
    raw: str


def type_reviews(raw_reviews: pd.DataFrame, data: DataSettings) -> pd.DataFrame:
    """Give every column its type; a value that does not fit becomes null, no row is removed.

    Args:
        raw_reviews: the columns RAW_COLUMNS, values of any type as they were read.
        data: whether labels are read (`columns.label`) or come from stars.

    Returns:
        The same rows and index with the columns file (str), line (int64), review_id (str,
        derived from the content where it is missing), user_id and business_id (str or
        missing), stars (float64, NaN where missing or not a number), label (Int8, null where
        missing or not understood), text (str, missing where it is no string; lone surrogates
        replaced by U+FFFD), date (datetime64[us] in UTC, without a time zone) and
        date_readable (bool: the date is missing or was understood).
    """
    index = raw_reviews.index
    columns = {name: raw_reviews[name].to_numpy(dtype=object) for name in REVIEW_COLUMNS}
    dates, date_readable = _read_dates(columns["date"])
    labels: Any = pd.array([pd.NA] * len(index), dtype="Int8")
    if data.columns.label is not None:
        labels = pd.array([_read_label(value) for value in columns["label"]], dtype="Int8")
    reviews = pd.DataFrame(
        {
            "file": raw_reviews["file"].astype("str").array,
            "line": raw_reviews["line"].astype("int64").array,
            "review_id": _store_texts(_read_ids(columns["review_id"])).array,
            "user_id": _store_texts(_read_ids(columns["user_id"])).array,
            "business_id": _store_texts(_read_ids(columns["business_id"])).array,
            "stars": _read_numbers(columns["stars"]),
            "label": labels,
            "text": _store_texts(
                [value if isinstance(value, str) else None for value in columns["text"]]
            ).array,
            "date": dates.array,
            "date_readable": date_readable,
        },
        index=index,
    )
    nameless = reviews["review_id"].isna().to_numpy()
    if nameless.any():
        reviews.loc[nameless, "review_id"] = _derive_ids(reviews.loc[nameless])
    return reviews


def label_reviews(reviews: pd.DataFrame, data: DataSettings) -> tuple[pd.DataFrame, int]:
    """Apply the label rule: more stars than `data.positive_above` are positive.

    Where `data.columns.label` names a column, the labels read from it stand and stars play
    no part. Otherwise `data.neutral = "leave_out"` drops the reviews of exactly three stars.

    Args:
        reviews: validated reviews, so that stars (or label, where it is used) are never null.
        data: the label rule.

    Returns:
        The labelled reviews with label as int8, index reset, and the number of rows left out
        as neutral.
    """
    if data.columns.label is not None:
        return reviews.assign(label=reviews["label"].astype("int8")).reset_index(drop=True), 0
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


def replace_surrogates(text: str) -> str:
    r"""Return the text with every lone surrogate replaced, so that it can be written as UTF-8.

    >>> replace_surrogates("caf\ud800")
    'caf\ufffd'
    """
    return _SURROGATE.sub("\ufffd", text)


def _store_texts(values: list[str | None]) -> pd.Series[str]:
    """Return a column of dtype str; None becomes missing."""
    try:
        return pd.Series(values, dtype="str")
    except UnicodeEncodeError:
        # Surrogates are rare, so the texts are only searched for them once storing has failed.
        cleaned = [None if value is None else replace_surrogates(value) for value in values]
        return pd.Series(cleaned, dtype="str")


def _read_ids(values: npt.NDArray[np.object_]) -> list[str | None]:
    """Return every id as text; an empty one, or one that is no text or number, as None."""
    return [
        (value if value and not value.isspace() else None)
        if isinstance(value, str)
        else _format_number_as_id(value)
        for value in values
    ]


def _format_number_as_id(value: object) -> str | None:
    """Return a whole number as an id, so that 7, 7.0 and "7" are the same id.

    >>> _format_number_as_id(7.0)
    '7'
    """
    if isinstance(value, bool | np.bool_):
        return None
    if isinstance(value, int | np.integer):
        return _format_whole_number(int(value))
    if isinstance(value, float | np.floating | Decimal) and math.isfinite(value):
        return _format_whole_number(int(value)) if value == int(value) else str(value)
    return None


def _format_whole_number(value: int) -> str | None:
    """Return the digits of the number, or None where it is too long for Python to write."""
    try:
        return str(value)
    except ValueError:
        return None


def _read_numbers(values: npt.NDArray[np.object_]) -> npt.NDArray[np.float64]:
    """Return the numbers as float64; NaN for everything that is no finite number."""
    if set(map(type, values)) <= {float, type(None)}:
        numbers = values.astype(np.float64)
        numbers[~np.isfinite(numbers)] = np.nan
        return numbers
    return np.fromiter(map(_read_number, values), dtype=np.float64, count=len(values))


def _read_number(value: object) -> float:
    """Return a number or a numeric string as a float, anything else (True too) as NaN."""
    if isinstance(value, str):
        value = value.strip()
        number = float(value) if _NUMBER.fullmatch(value) else math.nan
    elif isinstance(value, int | float | Decimal | np.number) and not isinstance(value, bool):
        try:
            number = float(value)
        except (OverflowError, ValueError, TypeError):
            return math.nan
    else:
        return math.nan
    return number if math.isfinite(number) else math.nan


def _read_label(value: object) -> int | None:
    """Return 1 for positive, 0 for negative and None for what is neither.

    >>> _read_label("Positive"), _read_label(0), _read_label("maybe")
    (1, 0, None)
    """
    if isinstance(value, str):
        return _LABELS.get(value.strip().lower())
    if isinstance(value, bool | np.bool_):
        return int(value)
    number = _read_number(value)
    return int(number) if number in (0.0, 1.0) else None


def _read_dates(
    values: npt.NDArray[np.object_],
) -> tuple[pd.Series[pd.Timestamp], npt.NDArray[np.bool_]]:
    """Return the dates in UTC without a zone, and which were missing or understood.

    Understood are ISO 8601 dates with or without a time and an offset, and the date types of
    Parquet, from 1900 to 2199. "now", "2012" and 20120101, which pandas would take, are not.
    """
    written = _store_texts([_format_date(value) for value in values]).str.strip()
    missing = written.eq("").to_numpy(dtype=bool)
    iso = written.where(written.str.match(_ISO_DAY).to_numpy(dtype=bool, na_value=False))
    dates = pd.to_datetime(iso, format="ISO8601", errors="coerce", utc=True)
    dates = dates.dt.tz_localize(None).dt.as_unit("us")
    dates = dates.where((dates >= EARLIEST_DATE) & (dates < LATEST_DATE))
    return dates, missing | dates.notna().to_numpy(dtype=bool)


def _format_date(value: object) -> str | None:
    """Return the date as text: "" where it is missing, None where it cannot be a date."""
    if isinstance(value, str):
        return value
    if value is None or value is pd.NaT or value is pd.NA:
        return ""
    if isinstance(value, float | np.floating):
        return "" if math.isnan(value) else None
    return value.isoformat() if isinstance(value, datetime | date) else None


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
