"""Ids as text, of any type they come in; what says that there is none is none."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from sentiflow.data.values.missing import MISSING_WORDS
from sentiflow.data.values.texts import store_texts

# How mongoexport writes an id and a whole number.
_WRAPPERS: Final = ("$oid", "$numberLong", "$numberInt")
_NO_IDS: Final = pa.array(["", *sorted(MISSING_WORDS)], type=pa.large_string())


def read_ids(values: npt.NDArray[np.object_]) -> pd.Series[str]:
    """Return every id as text; missing for one that says so, or is no text or number.

    >>> read_ids(np.array(["NULL", " ", "r1", 7.0], dtype=object)).tolist()
    [nan, nan, 'r1', '7']
    """
    texts = store_texts([value if isinstance(value, str) else _read_id(value) for value in values])
    trimmed = pc.utf8_trim_whitespace(pa.array(texts, type=pa.large_string()))
    is_none = pc.is_in(trimmed, value_set=_NO_IDS).to_numpy(zero_copy_only=False)
    return texts.mask(is_none) if is_none.any() else texts


def _read_id(value: object) -> str | None:
    """Return a whole number as an id, so that 7, 7.0 and "7" are the same id.

    >>> _read_id(7.0), _read_id({"$oid": "5f"})
    ('7', '5f')
    """
    if value is None or isinstance(value, bool | np.bool_):
        return None
    if isinstance(value, int | np.integer):
        return write_whole_number(int(value))
    if isinstance(value, float | np.floating | Decimal) and math.isfinite(value):
        return write_whole_number(int(value)) if value == int(value) else str(value)
    if isinstance(value, Mapping) and len(value) == 1:
        inner = next((value[key] for key in _WRAPPERS if key in value), None)
        return inner if isinstance(inner, str) else None
    return None


def write_whole_number(value: int) -> str | None:
    """Return the digits of the number, or None where it is too long for Python to write."""
    try:
        return str(value)
    except ValueError:
        return None
