"""Tell what the values of a column are: numbers on a scale, labels, dates."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

_MOSTLY: Final = 0.8
_MISSING: Final = ("", "null", "none", "nan", "na", "n/a", "<na>", "nat")
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+[.,]?[0-9]*|[.,][0-9]+)(?:[eE][+-]?[0-9]+)?")
_OUT_OF: Final = re.compile(r"(?P<stars>[0-9.]+)\s*(?:/|out of|of)\s*(?P<most>[0-9]+)(?: stars?)?")
_MONTHS: Final = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_DAYS: Final = r"(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*"
# 1990 and 2100: a count or a price is hardly ever between them, a time always.
_SECONDS: Final = (631_152_000, 4_102_444_800)

_WORDS: Final[Mapping[str, int | None]] = {
    "neg": 0, "negative": 0, "false": 0, "no": 0, "n": 0, "bad": 0, "label_0": 0,
    "pos": 1, "positive": 1, "true": 1, "yes": 1, "y": 1, "good": 1, "label_1": 1,
    "neutral": None, "neu": None, "mixed": None,
}  # fmt: skip

# How a date is written → its name; in the order in which they are tried.
_DATE_FORMS: Final[Mapping[str, re.Pattern[str]]] = {
    name: re.compile(pattern, re.IGNORECASE)
    for name, pattern in {
        "ISO 8601": r"\d{4}-\d\d-\d\d(?:[T ]\d\d:?\d\d.*)?",
        "YYYY/MM/DD": r"\d{4}[/.]\d\d?[/.]\d\d?(?: .*)?",
        "D/M or M/D": r"\d\d?[/.-]\d\d?[/.-]\d{2,4}(?:,? .*)?",
        "month names": rf"(?:{_DAYS},? )?(?:{_MONTHS}\.? \d\d?,?|\d\d?\.?[ -]{_MONTHS}\.?,?)"
        r"[ -].*\d{4}.*",
        "MM D, YYYY": r"\d\d? \d\d?, \d{4}",
    }.items()
}


def list_present(values: Sequence[Any]) -> list[Any]:
    """Return the values that are none of the ways to write that there is none."""
    return [value for value in values if not _is_missing(value)]


def read_number(value: object) -> float | None:
    """Return a value as a number, with a point or a comma; None where it is none.

    >>> read_number("4,5"), read_number("four")
    (4.5, None)
    """
    if isinstance(value, str):
        value = value.strip()
        return float(value.replace(",", ".")) if _NUMBER.fullmatch(value) else None
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return None
    return None


def tell_scale(values: Sequence[Any]) -> tuple[float, float] | None:
    """Return the least and the most of stars, as they are written; None if these are no stars.

    >>> tell_scale(["4.0 out of 5 stars", "1.0 out of 5 stars"]), tell_scale([0, 4, 2])
    ((1, 5.0), (0.0, 4.0))
    """
    present = list_present(values)
    ends = [_OUT_OF.fullmatch(value.strip()) for value in present if isinstance(value, str)]
    mosts = {float(end["most"]) for end in ends if end}
    if len(mosts) == 1 and sum(map(bool, ends)) >= _MOSTLY * len(present):
        return 1, mosts.pop()
    numbers = [number for number in map(read_number, present) if number is not None]
    if not numbers or len(numbers) < _MOSTLY * len(present):
        return None
    least, most = min(numbers), max(numbers)
    steps = all((2 * number).is_integer() or 0 < number < 10 for number in numbers)
    return (least, most) if steps and least >= 0 and most <= 100 else None


def count_distinct(values: Sequence[Any]) -> Counter[str]:
    """Return how often each value is there, as text; a whole number without its point."""
    return Counter(_format(value) for value in list_present(values))


def tell_labels(values: Sequence[Any]) -> Mapping[str, list[str]] | None:
    """Return which values are positive, negative and neutral; None if these are no labels.

    >>> tell_labels([0, 4, 4])
    {'negative': ['0'], 'neutral': [], 'positive': ['4']}
    """
    found = set(count_distinct(values))
    words = {value: value.strip().casefold() for value in found}
    sides: dict[str, list[str]] = {"negative": [], "neutral": [], "positive": []}
    if found and all(word in _WORDS for word in words.values()):
        for value, word in sorted(words.items()):
            side = _WORDS[word]
            sides["neutral" if side is None else ("negative", "positive")[side]].append(value)
        return sides if sides["negative"] or sides["positive"] else None
    for negative, neutral, positive in (
        ("0", "", "1"), ("-1", "0", "1"), ("1", "", "2"), ("0", "2", "4"), ("0", "1", "2"),
    ):  # fmt: skip
        if {negative, positive} <= found <= {negative, neutral, positive}:
            return {
                "negative": [negative],
                "neutral": [neutral] if neutral in found else [],
                "positive": [positive],
            }
    return None


def describe_dates(values: Sequence[Any]) -> str | None:
    """Return how dates are written; None if these are no dates.

    >>> describe_dates(["2012-05-01", "2013-01-31 10:00:00"]), describe_dates([1588687728923])
    ('ISO 8601', 'Unix milliseconds')
    """
    present = list_present(values)
    if not present:
        return None
    forms = Counter(_name_form(value) for value in present)
    form, count = forms.most_common(1)[0]
    return form if form is not None and count >= _MOSTLY * len(present) else None


def order_days(values: Sequence[Any]) -> str | None:
    """Return "DD/MM" or "MM/DD" where days above 12 tell which of two numbers is the day.

    >>> order_days(["31/01/2020", "01/02/2020"]), order_days(["01/02/2020"])
    ('DD/MM', None)
    """
    pairs = [
        (int(found[1]), int(found[2]))
        for value in list_present(values)
        if isinstance(value, str) and (found := re.match(r"(\d\d?)[/.-](\d\d?)[/.-]", value))
    ]
    first, second = any(pair[0] > 12 for pair in pairs), any(pair[1] > 12 for pair in pairs)
    return None if first == second else "DD/MM" if first else "MM/DD"


def _is_missing(value: object) -> bool:
    if isinstance(value, str):
        return value.strip().casefold() in _MISSING
    return value is None or (isinstance(value, float) and math.isnan(value))


def _name_form(value: object) -> str | None:
    if isinstance(value, datetime | date):
        return "dates of Parquet"
    number = read_number(value)
    if number is not None:
        for unit, factor in (("seconds", 1), ("milliseconds", 10**3), ("microseconds", 10**6)):
            if _SECONDS[0] * factor <= number < _SECONDS[1] * factor:
                return f"Unix {unit}"
        return None
    if not isinstance(value, str):
        return None
    return next((name for name, form in _DATE_FORMS.items() if form.fullmatch(value.strip())), None)


def _format(value: object) -> str:
    number = read_number(value)
    if number is not None and number.is_integer() and abs(number) < 10**15:
        return str(int(number))
    return str(value)
