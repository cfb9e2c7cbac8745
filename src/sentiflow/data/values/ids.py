"""Ids as text, of any type they come in; what says that there is none is none."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

import numpy as np
import numpy.typing as npt

from sentiflow.data.values.missing import MISSING_WORDS

# How mongoexport writes an id and a whole number.
_WRAPPERS: Final = ("$oid", "$numberLong", "$numberInt")


def read_ids(values: npt.NDArray[np.object_]) -> list[str | None]:
    """Return every id as text; None for one that is missing, or is no text or number."""
    return [_read_text(value) if isinstance(value, str) else _read_id(value) for value in values]


def _read_text(text: str) -> str | None:
    """Return the id as it is written; None for a blank one, NULL, nan and their like.

    >>> _read_text("NULL"), _read_text(" "), _read_text("r1")
    (None, None, 'r1')
    """
    stripped = text.strip()
    return text if stripped and stripped not in MISSING_WORDS else None


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
        return _read_text(inner) if isinstance(inner, str) else None
    return None


def write_whole_number(value: int) -> str | None:
    """Return the digits of the number, or None where it is too long for Python to write."""
    try:
        return str(value)
    except ValueError:
        return None
