"""Round numbers as readers need them: with sign and unit, and no digit that means nothing.

What is no number reads "not known". Minus is a minus sign, and a unit stays with its number.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Final, Literal

NOT_KNOWN: Final = "not known"

Show = Callable[[float | None, int], str]
Unit = Literal[
    "number", "count", "share", "points", "p", "small", "ms", "MB", "nights", "yes/no"
]  # fmt: skip

# A double differs from its neighbour in the 17th significant digit at the latest.
_MOST_DIGITS: Final = 17
_SUPERSCRIPTS: Final = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def show_number(value: float | None, decimals: int = 0) -> str:
    """Return a plain number.

    >>> show_number(1234.5, 2)
    '1,234.50'
    """
    if value is None or not math.isfinite(value):
        return NOT_KNOWN
    return f"{value:,.{decimals}f}".replace("-", "−")


def show_signed(value: float | None, decimals: int = 2) -> str:
    """Return a difference with its sign; only no difference at all has none.

    >>> show_signed(0.5), show_signed(0.0)
    ('+0.50', '0.00')
    """
    sign = "+" if value is not None and 0 < value < math.inf else ""
    return sign + show_number(value, decimals)


def show_points(difference: float | None, decimals: int = 2) -> str:
    """Return a difference of two shares in points of a hundred.

    >>> show_points(0.0385).replace(chr(160), " ")
    '+3.85 points'
    """
    return _join(show_signed(_times_hundred(difference), decimals), "points")


def show_percent(share: float | None, decimals: int = 1) -> str:
    """Return a share in percent.

    >>> show_percent(0.925).replace(chr(160), " ")
    '92.5 %'
    """
    return _join(show_number(_times_hundred(share), decimals), "%")


def show_milliseconds(milliseconds: float | None, decimals: int = 1) -> str:
    """Return a duration in milliseconds."""
    return _join(show_number(milliseconds, decimals), "ms")


def show_seconds(seconds: float | None, decimals: int = 1) -> str:
    """Return a duration in seconds."""
    return _join(show_number(seconds, decimals), "s")


def show_megabytes(megabytes: float | None, decimals: int = 1) -> str:
    """Return a size in megabytes."""
    return _join(show_number(megabytes, decimals), "MB")


def show_significant(value: float | None, digits: int = 3) -> str:
    """Return a p-value or another small number by its significant digits.

    >>> show_significant(0.012345), show_significant(0.00001).replace(chr(160), " ")
    ('0.0123', '1.00 × 10⁻⁵')
    """
    if value is None or not math.isfinite(value):
        return NOT_KNOWN
    mantissa, separator, exponent = f"{value:#.{digits}g}".partition("e")
    mantissa = mantissa.rstrip(".").replace("-", "−")
    if not separator:
        return mantissa
    return f"{mantissa}\u00a0×\u00a010{str(int(exponent)).translate(_SUPERSCRIPTS)}"


def show_apart(value: float | None, threshold: float, show: Show, digits: int) -> tuple[str, str]:
    """Return a value and its threshold, with more digits where they would look equal but are not.

    >>> show_apart(0.59996, 0.6, show_number, 4)
    ('0.59996', '0.60000')
    """
    while (
        digits < _MOST_DIGITS
        and value != threshold
        and show(value, digits) == show(threshold, digits)
    ):
        digits += 1
    return show(value, digits), show(threshold, digits)


def show_in_unit(value: float | None, threshold: float, unit: str) -> tuple[str, str]:
    """Return a value and its threshold in their unit; an unknown unit is a plain number's.

    >>> show_in_unit(0.838, 0.9, "share")[1].replace(chr(160), " ")
    '90.0 %'

    Args:
        value: what was measured.
        threshold: what was required.
        unit: a `Unit`, or what another version of this program calls one.
    """
    return show_apart(value, threshold, *_UNITS.get(unit, _UNITS["number"]))


def trim_zeros(text: str) -> str:
    """Return a text whose decimal fractions end with the last digit that means something.

    >>> trim_zeros("0.6000"), trim_zeros("-1.50 points"), trim_zeros("250.0 ms"), trim_zeros("100")
    ('0.6', '-1.5 points', '250 ms', '100')
    """
    return re.sub(r"\.0+(?!\d)|(\.\d*?)0+(?!\d)", r"\1", text)


def _show_nights(nights: float | None, decimals: int) -> str:
    return _join(show_number(nights, decimals), "night" if nights == 1 else "nights")


def _show_yes(value: float | None, digits: int) -> str:
    """Return yes or no; there are no digits to choose."""
    del digits
    return NOT_KNOWN if value is None else "yes" if value else "no"


# How the numbers of a unit are shown, and with how many digits at least.
_UNITS: Final[dict[str, tuple[Show, int]]] = {
    "number": (show_number, 4),
    "count": (show_number, 0),
    "share": (show_percent, 1),
    "points": (show_points, 2),
    "p": (show_significant, 3),
    "small": (show_significant, 2),
    "ms": (show_milliseconds, 1),
    "MB": (show_megabytes, 1),
    "nights": (_show_nights, 0),
    "yes/no": (_show_yes, 0),
}


def _times_hundred(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _join(number: str, unit: str) -> str:
    return number if number == NOT_KNOWN else f"{number}\u00a0{unit}"
