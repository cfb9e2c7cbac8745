"""Stars as numbers from 1 to 5, whatever scale the source has and however it writes them."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from sentiflow.settings.notations import Scale

FEWEST: Final = 1.0
MOST: Final = 5.0

_DIGITS: Final = r"[+-]?(?:[0-9]+(?:[.,][0-9]*)?|[.,][0-9]+)"
_NUMBER: Final = re.compile(rf"(?P<number>{_DIGITS}(?:[eE][+-]?[0-9]+)?)")
# "4.0 out of 5 stars", "Rated 4,5 / 5", "3 stars", "80 %".
_WORDED: Final = re.compile(
    rf"(?:(?:rated|rating|score)\b[:\s]*)?(?P<number>{_DIGITS})\s*"
    r"(?:(?P<percent>%)|(?:(?:/|(?:out\s+)?of)\s*(?P<most>[0-9]{1,4})(?:\.0+)?)?)"
    r"[\s-]*(?:stars?|points?)?\.?",
    re.IGNORECASE | re.ASCII,
)
_FULL: Final = "★⭐🌟"
_EMPTY: Final = "☆✩"
_DRAWN: Final = re.compile(rf"(?P<full>[{_FULL}]*)(?P<half>[½⯨⯪]?)(?P<empty>[{_EMPTY}]*)")


def read_stars(values: npt.NDArray[np.object_], scale: Scale) -> npt.NDArray[np.float64]:
    """Return the stars from 1 to 5; NaN for what is no finite number.

    What lies outside the scale lies outside of 1 to 5 too.

    Args:
        values: n values as they were read.
        scale: from `data.stars_scale`. A text that names its own ("7/10") is read on 1 to that.
    """
    types = set(map(type, values))
    if types <= {float, type(None)}:
        numbers = values.astype(np.float64)
        numbers[~np.isfinite(numbers)] = np.nan
        converted: npt.NDArray[np.float64] = _convert(numbers, scale)
        return converted
    if types <= {str, float, int, type(None)}:
        # Of a column of texts there are few distinct ones.
        codes, distinct = pd.factorize(values, use_na_sentinel=True)
        read = [_read_value(value, scale) for value in distinct]
        return np.array([*read, math.nan], dtype=np.float64)[codes]
    read = [_read_value(value, scale) for value in values]
    return np.array(read, dtype=np.float64)


def _convert(numbers: Any, scale: Scale) -> Any:
    """Return numbers on a scale as stars from 1 to 5."""
    if (scale.low, scale.high) == (FEWEST, MOST):
        return numbers
    return FEWEST + (MOST - FEWEST) * (numbers - scale.low) / (scale.high - scale.low)


def _read_value(value: object, scale: Scale) -> float:
    """Return one number or text as stars, anything else (True too) as NaN."""
    if isinstance(value, str):
        return _read_text(value.strip(), scale)
    if isinstance(value, int | float | Decimal | np.number) and not isinstance(value, bool):
        try:
            number = float(value)
        except (OverflowError, ValueError, TypeError):
            return math.nan
        return float(_convert(number, scale)) if math.isfinite(number) else math.nan
    return math.nan


def _read_text(text: str, scale: Scale) -> float:
    """Return stars as a text has them, NaN where it has none.

    >>> _read_text("4.0 out of 5 stars", Scale(1, 5)), _read_text("★★★☆☆", Scale(1, 5))
    (4.0, 3.0)
    """
    own = scale
    if found := _NUMBER.fullmatch(text):
        number = _read_digits(found["number"])
    elif found := _WORDED.fullmatch(text):
        number = _read_digits(found["number"])
        if found["percent"]:
            own = Scale(0, 100)
        elif found["most"]:
            own = _choose_scale(float(found["most"]), scale)
    elif text and (found := _DRAWN.fullmatch(text.replace("\ufe0f", "").replace(" ", ""))):
        number = len(found["full"]) + 0.5 * len(found["half"])
        if found["empty"]:
            drawn = len(found["full"]) + len(found["half"]) + len(found["empty"])
            own = _choose_scale(float(drawn), scale)
    else:
        return math.nan
    return float(_convert(number, own)) if math.isfinite(number) else math.nan


def _read_digits(text: str) -> float:
    """Return the number; a comma is a decimal comma, as no scale goes to thousands."""
    return float(text.replace(",", "."))


def _choose_scale(most: float, scale: Scale) -> Scale:
    """Return the scale with that end: the source's, if it has it, else one from 1."""
    return scale if most == scale.high or most <= FEWEST else Scale(FEWEST, most)


def suggest_scale(least: float, most: float) -> str | None:
    """Return what to set for numbers from `least` to `most`; None where 1 to 5 fits.

    >>> suggest_scale(0, 4), suggest_scale(1, 10), suggest_scale(1, 5)
    ('--set data.stars_scale=0-4', '--set data.stars_scale=1-10', None)
    """
    if least >= FEWEST and most <= MOST:
        return None
    ends = next((end for end in (1, 4, 5, 10, 100) if most <= end), None)
    if least < 0 or ends is None:
        return None
    return f"--set data.stars_scale={0 if least < FEWEST else 1}-{ends}"
