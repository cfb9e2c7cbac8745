"""Tell what the values of a column are: stars on a scale, labels, dates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sentiflow.data.values.dates import KIND_NAMES, DateKind, read_dates
from sentiflow.data.values.labels import count_labels
from sentiflow.data.values.missing import is_missing
from sentiflow.data.values.stars import read_stars
from sentiflow.settings.notations import (
    LABEL_PRESETS,
    USUAL_DATES,
    USUAL_LABELS,
    DateFormat,
    Scale,
    fold_label,
    read_date_format,
)

_MOSTLY: Final = 0.8
_SCALES: Final = ((1, 5), (0, 4), (0, 5), (1, 10), (0, 10), (0, 100))
_MOST_LABELS: Final = 5

# What labels of no preset may mean; several words of one side are common in one column.
_POSITIVE: Final = frozenset(
    {
        "good", "great", "happy", "satisfied", "recommended", "like", "liked", "up", "thumbs_up",
        "fresh", "promoter", "positiv", "positif", "positivo", "gut",
    }
)  # fmt: skip
_NEGATIVE: Final = frozenset(
    {
        "bad", "poor", "unhappy", "unsatisfied", "dissatisfied", "not_recommended", "dislike",
        "disliked", "down", "thumbs_down", "rotten", "detractor", "negativ", "negatif",
        "negativo", "schlecht",
    }
)  # fmt: skip
_NEUTRAL: Final = frozenset({"neutral", "mixed", "average", "okay", "ok", "passive", "irrelevant"})


def as_array(values: Sequence[Any]) -> npt.NDArray[np.object_]:
    """Return values as an array of objects, whatever they are."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def list_present(values: Sequence[Any]) -> list[Any]:
    """Return the values that are none of the ways to write that there is none."""
    return [value for value in values if not is_missing(value)]


def read_number(value: object) -> float | None:
    """Return a value as a number, with a point or a comma; None where it is none.

    >>> read_number("4,5"), read_number("four")
    (4.5, None)
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        value = value.strip().replace(",", ".")
    if isinstance(value, str | int | float | Decimal):
        try:
            return float(value)
        except (ValueError, OverflowError):
            return None
    return None


def tell_scale(values: Sequence[Any]) -> str | None:
    """Return the usual scale that stars are on; None if these are no stars.

    >>> tell_scale(["4.0 out of 5 stars", "1.0 out of 5 stars"]), tell_scale([0, 4, 2])
    ('1-5', '0-4')
    """
    present = list_present(values)
    stars = read_stars(as_array(present), Scale(1, 5))
    numbers = stars[~np.isnan(stars)]
    if not len(numbers) or len(numbers) < _MOSTLY * len(present):
        return None
    least, most = numbers.min(), numbers.max()
    steps = np.all((2 * numbers) % 1 == 0) or most <= 10
    fitting = (f"{low}-{high}" for low, high in _SCALES if low <= least and most <= high)
    return next(fitting, None) if steps else None


def count_distinct(values: Sequence[Any]) -> Counter[str]:
    """Return how often each value is there, as text; a whole number without its point."""
    return Counter(map(_format, list_present(values)))


def tell_labels(values: Sequence[Any]) -> str | dict[str, list[str]] | None:
    """Return what `data.labels` should be for these values; None if these are no labels.

    >>> tell_labels([0, 4, 4]), tell_labels(["Good", "bad"])
    ('0/4', {'positive': ['Good'], 'negative': ['bad']})
    """
    seen = set(count_labels(as_array(values)))
    presets = [
        (len((one.positive | one.negative | one.neutral) - seen), name != USUAL_LABELS, name)
        for name, one in LABEL_PRESETS.items()
        if seen <= one.positive | one.negative | one.neutral
        and one.positive & seen
        and one.negative & seen
    ]
    if presets:
        usual = [preset for preset in presets if not preset[1]]
        return min(usual or presets)[2]
    words: dict[str, str] = {}
    for value in list_present(values):
        words.setdefault(fold_label(str(value)).replace(" ", "_"), str(value).strip())
    if not 2 <= len(words) <= _MOST_LABELS:
        return None
    sides = {
        side: sorted(written for word, written in words.items() if word in known)
        for side, known in (
            ("positive", _POSITIVE | LABEL_PRESETS[USUAL_LABELS].positive),
            ("negative", _NEGATIVE | LABEL_PRESETS[USUAL_LABELS].negative),
            ("neutral", _NEUTRAL),
        )
    }
    is_sure = (
        sides["positive"] and sides["negative"] and sum(map(len, sides.values())) == len(words)
    )
    return {side: listed for side, listed in sides.items() if listed} if is_sure else None


def has_neutral(values: Sequence[Any], labels: str | dict[str, list[str]]) -> bool:
    """Say whether some of the labels are neutral."""
    if isinstance(labels, dict):
        return bool(labels.get("neutral"))
    return bool(set(count_labels(as_array(values))) & LABEL_PRESETS[labels].neutral)


def count_dates(values: Sequence[Any], written_as: str = USUAL_DATES) -> dict[DateKind, int]:
    """Return how many of the values are dates of each kind, what is missing left out."""
    dates = read_dates(as_array(list_present(values)), read_date_format(written_as))
    return dates.count_kinds()


def are_dates(values: Sequence[Any]) -> bool:
    """Say whether most values are dates, whether or not they can be read as they are."""
    counts = count_dates(values)
    total = sum(counts.values())
    return total > 0 and counts.get(DateKind.UNREADABLE, 0) <= (1 - _MOSTLY) * total


def name_dates(values: Sequence[Any], written_as: str) -> str | None:
    """Return how dates are written, in words; None where there are none.

    >>> name_dates(["2012-05-01", 1588687728923], "auto")
    'ISO 8601, Unix milliseconds'
    """
    counts = count_dates(values, written_as)
    return ", ".join(KIND_NAMES[kind] for kind in counts) or None


def tell_order(values: Sequence[Any]) -> str | None:
    """Return "DD/MM" or "MM/DD" where days above 12 tell which of two numbers is the day.

    >>> tell_order(["31/01/2020", "01/02/2020"]), tell_order(["01/02/2020"])
    ('DD/MM', None)
    """
    counts = read_dates(as_array(list_present(values)), DateFormat()).count_kinds()
    days, months = counts.get(DateKind.DAY_FIRST, 0), counts.get(DateKind.MONTH_FIRST, 0)
    if bool(days) == bool(months):
        return None
    return "DD/MM" if days else "MM/DD"


def _format(value: object) -> str:
    number = read_number(value)
    if number is not None and number.is_integer() and abs(number) < 10**15:
        return str(int(number))
    return str(value)
