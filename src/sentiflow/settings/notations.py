"""How a source may write labels, stars and dates: what the settings of each can be."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

Label = bool | int | float | str

# The one that holds where nothing is set: labels as they were always read.
USUAL_LABELS: Final = "0/1"
USUAL_SCALE: Final = "1-5"
USUAL_DATES: Final = "auto"


@dataclass(frozen=True)
class LabelMeanings:
    """What each label means, folded by `fold_label`.

    Attributes:
        positive: labels of positive reviews.
        negative: labels of negative reviews.
        neutral: labels of those in between; `data.neutral` says what becomes of them.
    """

    positive: frozenset[str]
    negative: frozenset[str]
    neutral: frozenset[str] = frozenset()


def fold_label(label: Label) -> str:
    """Return a label so that all ways to write it are one: case, blanks, 1.0 for 1.

    >>> fold_label(" Positive "), fold_label("1.0"), fold_label(-1), fold_label(True)
    ('positive', '1', '-1', 'true')
    """
    text = str(label).strip().casefold()
    if re.fullmatch(r"[+-]?[0-9]{1,15}(?:\.0*)?", text):
        return str(int(text.partition(".")[0]))
    return text


def _name(positive: str, negative: str, neutral: str = "") -> LabelMeanings:
    return LabelMeanings(*(frozenset(words.split()) for words in (positive, negative, neutral)))


LABEL_PRESETS: Final[Mapping[str, LabelMeanings]] = {
    "0/1": _name("1 pos positive true", "0 neg negative false", "neutral neu"),
    "0/4": _name("4", "0", "2"),
    "1/2": _name("2", "1"),
    "-1/1": _name("1", "-1"),
    "-1/0/1": _name("1", "-1", "0"),
    "0/1/2": _name("2", "0", "1"),
    "yes/no": _name("yes y", "no n"),
    "LABEL_0/1": _name("label_1", "label_0"),
    "LABEL_0/1/2": _name("label_2", "label_0", "label_1"),
}


def check_label_preset(name: str) -> str:
    """Return the preset's name as it is listed.

    Raises:
        ValueError: there is none of that name.
    """
    listed = {preset.casefold(): preset for preset in LABEL_PRESETS}
    found = listed.get(name.strip().casefold())
    if found is None:
        raise ValueError(
            f"must be one of {', '.join(LABEL_PRESETS)}, or the labels themselves: "
            '{positive = ["good"], negative = ["bad"], neutral = ["so so"]}'
        )
    return found


def check_labels_differ(groups: Mapping[str, Sequence[Label]]) -> None:
    """Make sure that no label means two things.

    Raises:
        ValueError: one does.
    """
    seen: dict[str, str] = {}
    for meaning, labels in groups.items():
        for label in labels:
            if seen.setdefault(fold_label(label), meaning) != meaning:
                raise ValueError(f"{label!r} must mean one thing, positive, negative or neutral")


_SCALE: Final = re.compile(r"(-?[0-9]+(?:\.[0-9]+)?)\s*(?:-|–|\.\.|to)\s*([0-9]+(?:\.[0-9]+)?)")


@dataclass(frozen=True)
class Scale:
    """The least and the most stars there can be."""

    low: float
    high: float

    def __str__(self) -> str:
        """Return it as the setting says it."""
        return f"{self.low:g}-{self.high:g}"


def read_scale(text: str) -> Scale:
    """Return the scale that a setting such as "0-4" or "1-10" names.

    Raises:
        ValueError: it names none.
    """
    found = _SCALE.fullmatch(text.strip())
    if found is None or not float(found[1]) < float(found[2]):
        raise ValueError('must be the least and the most stars there can be, such as "1-10"')
    return Scale(float(found[1]), float(found[2]))


@dataclass(frozen=True)
class DateFormat:
    """How dates are written, as far as that cannot be seen.

    Attributes:
        order: "DD/MM" or "MM/DD"; None where no date may need to be told.
        unit: what numbers count since 1970: s, ms, us or ns; None goes by their size.
        pattern: the one format all have, as strptime writes it; None for any.
    """

    order: str | None = None
    unit: str | None = None
    pattern: str | None = None


_ORDERS: Final = {"dd/mm": "DD/MM", "mm/dd": "MM/DD", "dmy": "DD/MM", "mdy": "MM/DD"}
_UNITS: Final = {
    "s": "s", "seconds": "s", "ms": "ms", "milliseconds": "ms",
    "us": "us", "microseconds": "us", "ns": "ns", "nanoseconds": "ns",
}  # fmt: skip


def read_date_format(text: str) -> DateFormat:
    """Return what a setting such as "DD/MM", "ms" or "%d.%m.%y" says of dates.

    Raises:
        ValueError: it says nothing that is known.
    """
    folded = text.strip().lower()
    if folded == USUAL_DATES:
        return DateFormat()
    if folded in _UNITS:
        return DateFormat(unit=_UNITS[folded])
    # The year stands last in both, with four digits or two.
    order = re.sub(r"[/.\- ]?y{2}(?:y{2})?$", "", re.sub(r"[.\- ]", "/", folded))
    if order in _ORDERS:
        return DateFormat(order=_ORDERS[order])
    if "%" in text and _is_pattern(text.strip()):
        return DateFormat(pattern=text.strip())
    raise ValueError(
        'must be "auto", "DD/MM" or "MM/DD" (which comes first), "s", "ms", "us" or "ns" (what '
        'numbers count since 1970), or a format of strptime such as "%d.%m.%y"'
    )


def _is_pattern(text: str) -> bool:
    """Return whether a day can be written and read in the format."""
    day = datetime(2021, 2, 3)
    try:
        return datetime.strptime(day.strftime(text), text).date() == day.date()
    except (ValueError, re.error):
        return False
