"""Which values say that there is none, whatever wrote them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import Decimal
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

# How databases, pandas, R, Excel, Hive and JavaScript write that there is nothing. Not in every
# case: somebody may be called Nan.
MISSING_WORDS: Final = frozenset(
    {
        "null", "Null", "NULL", "<null>", "<NULL>", "[null]", "[NULL]", "(null)", "(NULL)",
        "none", "None", "NONE", "nan", "NaN", "NAN", "-nan", "-NaN", "NaT", "NA", "<NA>",
        "n/a", "N/A", "#N/A", "#N/A N/A", "#NA", "#NULL!", "\\N", "undefined",
    }
)  # fmt: skip


def is_missing(value: object) -> bool:
    """Return whether a value of any type stands for none.

    >>> [is_missing(value) for value in (None, float("nan"), " ", "NULL", "Nancy", 0, [])]
    [True, True, True, True, False, False, False]
    """
    if isinstance(value, str):
        stripped = value.strip()
        return not stripped or stripped in MISSING_WORDS
    if value is None or value is pd.NA or value is pd.NaT:
        return True
    if isinstance(value, Decimal):
        return value.is_nan()
    return isinstance(value, float | np.floating) and math.isnan(value)


def find_unreadable(
    values: npt.NDArray[np.object_], is_null: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Return which of the values that became null had something in them.

    Args:
        values: n values as they were read.
        is_null: what typing made null of them; shape (n,).
    """
    unreadable = is_null.copy()
    if not is_null.any():
        return unreadable
    unreadable[is_null] = _negate(map(is_missing, values[is_null]), int(is_null.sum()))
    return unreadable


def _negate(flags: Iterable[bool], count: int) -> npt.NDArray[np.bool_]:
    return ~np.fromiter(flags, dtype=bool, count=count)
