"""Texts as columns that can be written as UTF-8."""

from __future__ import annotations

import re
from typing import Final

import pandas as pd

_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def replace_surrogates(text: str) -> str:
    r"""Return the text with every lone surrogate replaced, so that it can be written as UTF-8.

    >>> replace_surrogates("caf\ud800")
    'caf\ufffd'
    """
    return _SURROGATE.sub("\ufffd", text)


def store_texts(values: list[str | None]) -> pd.Series[str]:
    """Return a column of dtype str; None becomes missing."""
    try:
        return pd.Series(values, dtype="str")
    except UnicodeEncodeError:
        # Surrogates are rare, so the texts are only searched for them once storing has failed.
        cleaned = [None if value is None else replace_surrogates(value) for value in values]
        return pd.Series(cleaned, dtype="str")
