"""Labels as numbers: what each word or number of a source means, by `data.labels`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from decimal import Decimal
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from sentiflow.data.values.missing import is_missing
from sentiflow.settings.notations import LABEL_PRESETS, LabelMeanings, fold_label

# As typed rows hold it, until the label rule (`data.neutral`) has decided.
NEUTRAL: Final = 2
OTHER: Final = "other"
_NUMBERS_OF_STARS: Final = frozenset("12345")

# Only these are ever shown: any other may be a text that was taken for a label.
KNOWN_LABELS: Final = frozenset[str]().union(
    *(one.positive | one.negative | one.neutral for one in LABEL_PRESETS.values()),
    _NUMBERS_OF_STARS,
)


def read_labels(
    values: npt.NDArray[np.object_], meanings: LabelMeanings
) -> tuple[Any, pd.Series[str]]:
    """Return the labels of a column, and what could not be understood.

    Args:
        values: n values as they were read.
        meanings: from `data.labels`.

    Returns:
        An array of dtype Int8: 1 positive, 0 negative, NEUTRAL, null where there is none; and
        n names of labels that mean nothing here: one of KNOWN_LABELS, OTHER, or missing where
        the label is missing or understood.
    """
    numbers = {
        **dict.fromkeys(meanings.positive, 1),
        **dict.fromkeys(meanings.negative, 0),
        **dict.fromkeys(meanings.neutral, NEUTRAL),
    }
    codes, words = pd.factorize(np.array(_fold_all(values), dtype=object))
    # The last stands for what is missing, whose code is -1.
    read = np.array([*(numbers.get(word, -1) for word in words), -1], dtype=np.int8)[codes]
    labels = pd.arrays.IntegerArray(read, read < 0)
    names: list[str | None] = [
        *(None if word in numbers else word if word in KNOWN_LABELS else OTHER for word in words),
        None,
    ]
    return labels, pd.Series(names, dtype="str").take(codes).reset_index(drop=True)


def _fold_all(values: npt.NDArray[np.object_]) -> list[str | None]:
    """Return every label folded; of a column there are few distinct ones."""
    memo: dict[object, str | None] = {}
    folded = []
    for value in values:
        # 1 and 1.0 are one key and one label, but True would be the same key.
        if type(value) in (str, int, float):
            if value not in memo:
                memo[value] = _fold(value)
            folded.append(memo[value])
        else:
            folded.append(_fold(value))
    return folded


def _fold(value: object) -> str | None:
    """Return the label so that all ways to write it are one; None where it is missing."""
    if is_missing(value):
        return None
    if isinstance(value, str):
        return fold_label(value)
    if isinstance(value, np.bool_):
        return fold_label(bool(value))
    if isinstance(value, bool | int | float | Decimal | np.number):
        return fold_label(str(value))
    return OTHER


def count_labels(values: npt.NDArray[np.object_]) -> dict[str, int]:
    """Return how often each label is there, folded; what is in no preset counts as OTHER."""
    counted: dict[str, int] = {}
    for value in values:
        word = _fold(value)
        if word is not None:
            name = word if word in KNOWN_LABELS else OTHER
            counted[name] = counted.get(name, 0) + 1
    return counted


def suggest_labels(seen: Collection[str]) -> str | None:
    """Return what to set for labels that were seen, in words; None where nothing fits.

    Args:
        seen: labels as `count_labels` names them.

    >>> suggest_labels({"0", "4"})
    '--set data.labels=0/4'
    """
    fitting = [
        name
        for name, one in LABEL_PRESETS.items()
        if set(seen) <= one.positive | one.negative | one.neutral
        and one.positive & set(seen)
        and one.negative & set(seen)
    ]
    # The one that leaves fewest of its labels unseen.
    fitting.sort(key=lambda name: _count_unseen(LABEL_PRESETS[name], seen))
    if fitting:
        return f"--set data.labels={fitting[0]}"
    if set(seen) <= _NUMBERS_OF_STARS:
        return "--set data.columns.stars=COLUMN --set data.columns.label=none"
    return None


def _count_unseen(meanings: LabelMeanings, seen: Collection[str]) -> int:
    return len((meanings.positive | meanings.negative | meanings.neutral) - set(seen))


def choose_class_names(names: Sequence[str], meanings: LabelMeanings) -> Sequence[str] | None:
    """Return the names of classes, if they can stand for the numbers of a column.

    A number may be read by its name only where every name is understood; otherwise the numbers
    are the labels.

    Args:
        names: of the classes 0, 1, …, as a data set's metadata has them.
        meanings: from `data.labels`.
    """
    known = meanings.positive | meanings.negative | meanings.neutral
    return names if all(fold_label(name) in known for name in names) else None
