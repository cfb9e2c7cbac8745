"""Dates as large public sets have them, in UTC; what could be two dates is none.

Read are ISO 8601 and its relatives, dates with a month's name, numbers counted since 1970 and
the date types of Parquet. Which of day and month comes first in 05/01/2020 cannot be seen, and
is never guessed: `data.date_format` says it.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import IntEnum
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from sentiflow.data.values.ids import write_whole_number
from sentiflow.data.values.missing import MISSING_WORDS
from sentiflow.data.values.texts import store_texts
from sentiflow.settings.notations import DateFormat

EARLIEST_DATE: Final = pd.Timestamp("1900-01-01")
LATEST_DATE: Final = pd.Timestamp("2200-01-01")


class DateKind(IntEnum):
    """How a date was read; below 0, that it was not."""

    MONTH_FIRST = -4
    DAY_FIRST = -3
    EITHER_FIRST = -2
    UNREADABLE = -1
    MISSING = 0
    ISO = 1
    SECONDS = 2
    MILLISECONDS = 3
    MICROSECONDS = 4
    NANOSECONDS = 5
    IN_WORDS = 6
    COMPACT = 7
    DAY_AND_MONTH = 8
    PATTERN = 9


# How people call each; the last three of the unread differ in what data.date_format they need.
KIND_NAMES: Final[Mapping[DateKind, str]] = {
    DateKind.MONTH_FIRST: "month before day (data.date_format)",
    DateKind.DAY_FIRST: "day before month (data.date_format)",
    DateKind.EITHER_FIRST: "day or month first (data.date_format)",
    DateKind.UNREADABLE: "unreadable",
    DateKind.MISSING: "missing",
    DateKind.ISO: "ISO 8601",
    DateKind.SECONDS: "Unix seconds",
    DateKind.MILLISECONDS: "Unix milliseconds",
    DateKind.MICROSECONDS: "Unix microseconds",
    DateKind.NANOSECONDS: "Unix nanoseconds",
    DateKind.IN_WORDS: "month by name",
    DateKind.COMPACT: "YYYYMMDD",
    DateKind.DAY_AND_MONTH: "day and month by data.date_format",
    DateKind.PATTERN: "by the pattern of data.date_format",
}

_ISO_DAY: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ]|$)"
_NUMBER: Final = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_MAX_CHARACTERS: Final = 160
_LARGEST_NUMBER: Final = 9e18

_UNITS: Final = {
    "s": (DateKind.SECONDS, 1.0),
    "ms": (DateKind.MILLISECONDS, 1e3),
    "us": (DateKind.MICROSECONDS, 1e6),
    "ns": (DateKind.NANOSECONDS, 1e9),
}
# Seconds since 1970 from 1900 to 2199. A number's size tells its unit, so that it is read alike
# wherever it stands. Not read are small numbers, which may be years, months, days or -1 for
# nothing: seconds count from 1973 on, or 12 days before 1970.
_FIRST_SECOND: Final = -2_208_988_800.0
_END_SECOND: Final = 7_258_118_400.0
_SMALLEST_SECOND: Final = 1e8
_SMALLEST_NEGATIVE: Final = -1e6

_MONTHS: Final = [
    "jan",
    "feb",
    "mar",
    "apr",
    "may",
    "jun",
    "jul",
    "aug",
    "sep",
    "oct",
    "nov",
    "dec",
]
# RFC 2822, 4.3; other names of zones mean several.
_ZONES: Final = {
    "EST": "-05:00", "EDT": "-04:00", "CST": "-06:00", "CDT": "-05:00",
    "MST": "-07:00", "MDT": "-06:00", "PST": "-08:00", "PDT": "-07:00",
}  # fmt: skip

_TIME: Final = (
    r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,9}))?)?"
    r"(?:\s*(?P<half>[AP])\.?M\.?)?"
)
_ZONE: Final = (
    r"(?:\s*(?:(?P<zone>[ECMP][SD]T)|(?:Z|UTC|GMT|UT)?(?P<offset>[+-]\d{2}(?::?\d{2})?)|"
    r"(?P<utc>Z|UTC|GMT|UT))(?:\s*(?:UTC|\([A-Z ]{2,40}\)|\[[\w/+-]{2,40}\]))?)?"
)
_AFTER: Final = rf"(?:(?:,?\s+|,|T)(?:at\s+)?{_TIME}{_ZONE})?"
_WEEKDAY: Final = r"(?:(?:mon|tues?|wed(?:nes)?|thu(?:rs?)?|fri|sat(?:ur)?|sun)(?:day)?\.?,?\s+)?"
_MONTH: Final = (
    r"(?P<name>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|"
    r"sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_DAY: Final = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_YEAR: Final = r"(?P<year>\d{4})"
# "Reviewed in the United States on January 5, 2020", as shops show it.
_SHOP: Final = r"(?:reviewed\b\D{0,80}\bon\s+)?"

_ISO_LIKE: Final = re.compile(
    rf"{_YEAR}(?P<between>[-/.])(?P<month>\d{{1,2}})(?P=between){_DAY}{_AFTER}",
    re.IGNORECASE | re.ASCII,
)
_COMPACT: Final = re.compile(
    r"(?P<year>(?:19|2[01])\d{2})(?P<month>\d{2})(?P<day>\d{2})"
    r"(?:T?(?P<hour>\d{2})(?P<minute>\d{2})(?P<second>\d{2})"
    r"(?:(?P<utc>Z)|(?P<offset>[+-]\d{2}:?\d{2}))?)?",
    re.ASCII,
)
_IN_WORDS: Final = tuple(
    re.compile(pattern, re.IGNORECASE | re.ASCII)
    for pattern in (
        rf"{_SHOP}{_WEEKDAY}{_MONTH}[\s-]*{_DAY}(?:,\s*|\s+|-){_YEAR}{_AFTER}",
        rf"{_SHOP}{_WEEKDAY}{_DAY}\.?(?:\s+of)?[\s/-]*{_MONTH},?[\s/-]*{_YEAR}{_AFTER}",
        rf"{_WEEKDAY}{_MONTH}\s+{_DAY},?\s+{_TIME}{_ZONE}\s+{_YEAR}",
        rf"{_YEAR}[\s/-]{_MONTH}[\s/-]{_DAY}{_AFTER}",
    )
)
_NUMERIC: Final = re.compile(
    rf"(?P<first>\d{{1,2}})(?P<between>[/.\- ])(?P<second_part>\d{{1,2}})"
    rf"(?:(?P=between)|,\s*)(?P<year>\d{{4}}|\d{{2}}){_AFTER}",
    re.IGNORECASE | re.ASCII,
)


@dataclass(frozen=True)
class Dates:
    """Dates that were read.

    Attributes:
        dates: datetime64[us] in UTC without a zone, n values; null where there is none.
        kinds: a DateKind for each, shape (n,), dtype int8.
    """

    dates: pd.Series[pd.Timestamp]
    kinds: npt.NDArray[np.int8]

    def count_kinds(self) -> dict[DateKind, int]:
        """Return how many dates are of each kind, the most frequent first."""
        counted = Counter(self.kinds.tolist())
        return {DateKind(kind): count for kind, count in counted.most_common()}


def read_dates(values: npt.NDArray[np.object_], written_as: DateFormat) -> Dates:
    """Return the dates of a column; each is read alike, whatever stands beside it.

    Args:
        values: n values as they were read.
        written_as: from `data.date_format`.
    """
    written = store_texts([_write_date(value) for value in values]).str.strip()
    kinds = np.full(len(values), DateKind.UNREADABLE, dtype=np.int8)
    if written_as.pattern is None:
        iso = written.str.match(_ISO_DAY).to_numpy(dtype=bool, na_value=False)
        dates = _parse_iso(written.where(iso))
        kinds[dates.notna().to_numpy()] = DateKind.ISO
    else:
        dates = _parse_pattern(written, values, written_as.pattern)
        kinds[dates.notna().to_numpy()] = DateKind.PATTERN
    rest = dates.isna().to_numpy() & written.notna().to_numpy()
    if not rest.any():
        return Dates(dates, kinds)

    places = np.flatnonzero(rest)
    # Dates recur: what stands in many rows is looked at once.
    codes, texts = pd.factorize(written.iloc[places])
    of_texts, kinds_of_texts = _read_others(pd.Series(texts, dtype="str"), written_as)
    dates = dates.copy()
    dates.iloc[places] = of_texts.iloc[codes].set_axis(places)
    kinds[places] = kinds_of_texts[codes]
    return Dates(dates, kinds)


def _write_date(value: object) -> str | None:
    """Return the date as text: "" where it is missing, None where it cannot be a date."""
    if isinstance(value, str):
        return value
    if value is None or value is pd.NaT or value is pd.NA:
        return ""
    if isinstance(value, bool | np.bool_):
        return None
    if isinstance(value, int | np.integer):
        return write_whole_number(int(value))
    if isinstance(value, float | np.floating | Decimal):
        number = float(value)
        if math.isnan(number):
            return ""
        if not math.isfinite(number) or abs(number) > _LARGEST_NUMBER:
            return None
        return str(int(value)) if number == int(number) else repr(number)
    if isinstance(value, Mapping) and len(value) == 1:
        # As mongoexport writes it.
        inner = value.get("$date", value.get("$numberLong"))
        return _write_date(inner) if inner is not None else None
    return value.isoformat() if isinstance(value, datetime | date) else None


def _parse_iso(texts: pd.Series[str]) -> pd.Series[pd.Timestamp]:
    dates = pd.to_datetime(texts, format="ISO8601", errors="coerce", utc=True)
    return _bound(dates.dt.tz_localize(None).dt.as_unit("us"))


def _parse_pattern(
    texts: pd.Series[str], values: npt.NDArray[np.object_], pattern: str
) -> pd.Series[pd.Timestamp]:
    """Return the texts' dates by the one pattern; what has the type of a date needs none."""
    typed = np.fromiter((isinstance(value, date) for value in values), bool, len(values))
    dates = pd.to_datetime(texts.mask(typed), format=pattern, errors="coerce", utc=True)
    dates = _bound(dates.dt.tz_localize(None).dt.as_unit("us"))
    return dates.where(~typed, _parse_iso(texts.where(typed))) if typed.any() else dates


def _bound(dates: pd.Series[pd.Timestamp]) -> pd.Series[pd.Timestamp]:
    return dates.where((dates >= EARLIEST_DATE) & (dates < LATEST_DATE))


def _read_others(
    texts: pd.Series[str], written_as: DateFormat
) -> tuple[pd.Series[pd.Timestamp], npt.NDArray[np.int8]]:
    """Return date and kind of distinct texts that are not plainly ISO."""
    kinds = np.full(len(texts), DateKind.UNREADABLE, dtype=np.int8)
    dates = pd.Series(pd.NaT, index=texts.index, dtype="datetime64[us]")
    kinds[(texts.eq("") | texts.isin(MISSING_WORDS)).to_numpy(dtype=bool)] = DateKind.MISSING
    if written_as.pattern is not None:
        return dates, kinds
    numeric = texts.str.fullmatch(_NUMBER).to_numpy(dtype=bool, na_value=False)
    if numeric.any():
        dates[numeric], kinds[numeric] = _read_numbers(texts[numeric], written_as.unit)
    zoned = (kinds == DateKind.UNREADABLE) & texts.str.match(_ISO_DAY).to_numpy(bool)
    if zoned.any():
        tidied = texts[zoned].str.replace(r"\s+(?:UTC|GMT)$", "Z", regex=True)
        dates[zoned] = _parse_iso(tidied.str.replace(r"\s+([+-]\d\d:?\d\d)$", r"\1", regex=True))
        kinds[zoned & dates.notna().to_numpy()] = DateKind.ISO
    left = np.flatnonzero(kinds == DateKind.UNREADABLE)
    found = [_read_calendar(text, written_as) for text in texts.iloc[left]]
    parsed = _parse_iso(pd.Series([iso for iso, _ in found], dtype="str"))
    dates.iloc[left] = parsed.array
    readings = np.array([kind for _, kind in found], dtype=np.int8)
    # The 31st of a June, or the year 2500.
    readings[(readings > 0) & parsed.isna().to_numpy()] = DateKind.UNREADABLE
    kinds[left] = readings
    return dates, kinds


def _read_numbers(
    texts: pd.Series[str], unit: str | None
) -> tuple[npt.NDArray[np.datetime64], npt.NDArray[np.int8]]:
    """Return the moments that numbers count since 1970, in one unit or by their size."""
    numbers = pd.to_numeric(texts, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    kinds = np.full(len(numbers), DateKind.UNREADABLE, dtype=np.int8)
    seconds = np.full(len(numbers), np.nan)
    for name, (kind, per_second) in _UNITS.items():
        in_range = (numbers >= _FIRST_SECOND * per_second) & (numbers < _END_SECOND * per_second)
        if unit is None:
            # Below 0 each unit begins where the one before ends: nothing else is there.
            below = _SMALLEST_NEGATIVE if name == "s" else _FIRST_SECOND * per_second / 1e3
            here = in_range & ((numbers >= _SMALLEST_SECOND * per_second) | (numbers < below))
        elif unit == name:
            here = in_range
        else:
            continue
        seconds[here] = numbers[here] / per_second
        kinds[here] = kind
    micros = np.nan_to_num(np.round(seconds * 1e6)).astype(np.int64)
    # Whole numbers of 16 digits and more are not the same as floats.
    for position in np.flatnonzero(kinds >= DateKind.MICROSECONDS):
        text = texts.iloc[position]
        if text.lstrip("+-").isdecimal():
            micros[position] = int(text) // (
                1 if kinds[position] == DateKind.MICROSECONDS else 1000
            )
    moments = micros.astype("datetime64[us]")
    moments[kinds < 0] = np.datetime64("NaT")
    return moments, kinds


def _read_calendar(text: str, written_as: DateFormat) -> tuple[str | None, DateKind]:
    """Return a date as ISO 8601 and how it is written; None where it is not read."""
    if len(text) > _MAX_CHARACTERS:
        return None, DateKind.UNREADABLE
    if found := _COMPACT.fullmatch(text):
        return _compose(found, int(found["month"])), DateKind.COMPACT
    if found := _ISO_LIKE.fullmatch(text):
        return _compose(found, int(found["month"])), DateKind.ISO
    for pattern in _IN_WORDS:
        if found := pattern.fullmatch(text):
            month = _MONTHS.index(found["name"][:3].lower()) + 1
            return _compose(found, month), DateKind.IN_WORDS
    if found := _NUMERIC.fullmatch(text):
        return _read_order(found, written_as.order)
    return None, DateKind.UNREADABLE


def _read_order(found: re.Match[str], order: str | None) -> tuple[str | None, DateKind]:
    """Return a date of two numbers and a year, if it is said which of them is the day."""
    first, second = int(found["first"]), int(found["second_part"])
    if not (1 <= min(first, second) <= 12 and max(first, second) <= 31):
        return None, DateKind.UNREADABLE
    if order is None and max(first, second) <= 12:
        return None, DateKind.EITHER_FIRST
    day, month = (second, first) if order == "MM/DD" else (first, second)
    if order is None or month > 12:
        return None, DateKind.DAY_FIRST if first > second else DateKind.MONTH_FIRST
    return _compose(found, month, day), DateKind.DAY_AND_MONTH


def _compose(found: re.Match[str], month: int, day: int | None = None) -> str | None:
    """Return the parts as ISO 8601; None where the clock shows no such time."""
    parts = found.groupdict()
    year = parts["year"]
    if len(year) == 2:
        # As POSIX has it: 69 to 99 are of the last century.
        year = f"{19 if int(year) >= 69 else 20}{year}"
    composed = f"{year}-{month:02}-{day or int(parts['day']):02}"
    if parts.get("hour") is None:
        return composed
    hour = int(parts["hour"])
    if half := parts.get("half"):
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + 12 * (half in "Pp")
    zone = _write_zone(parts)
    seconds = f"{parts.get('second') or '00'}.{parts.get('fraction') or '0'}"
    return f"{composed}T{hour:02}:{parts['minute']}:{seconds}{zone}"


def _write_zone(parts: Mapping[str, str | None]) -> str:
    """Return the offset; without one, a date is taken as UTC."""
    if offset := parts.get("offset"):
        digits = offset[1:].replace(":", "").ljust(4, "0")
        return f"{offset[0]}{digits[:2]}:{digits[2:]}"
    if zone := parts.get("zone"):
        return _ZONES[zone.upper()]
    return "Z"
