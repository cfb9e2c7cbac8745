"""Find the setting that somebody meant who wrote another name."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Final

_LIKE: Final = 0.75
_MOST: Final = 3


def suggest_keys(written: str, keys: Sequence[str]) -> list[str]:
    """Return the settings that are nearest to what was written, the best ones only.

    The group and the key may each have a typo, be joined by another sign, or the group be missing.

    Args:
        written: as somebody wrote it.
        keys: every setting there is, dotted.

    >>> suggest_keys("traning.epochs", ["training.epochs", "network.units"])
    ['training.epochs']
    >>> suggest_keys("epoch", ["training.epochs", "network.units"])
    ['training.epochs']
    """
    parts = written.strip().lower().replace("-", "_").split(".")
    likeness = {key: _compare(parts, key.split(".")) for key in keys}
    best = max(likeness.values(), default=0.0)
    if best < _LIKE:
        return []
    return [key for key in keys if likeness[key] > best - 0.02][:_MOST]


def _compare(written: Sequence[str], key: Sequence[str]) -> float:
    """Return how like two names are: whole, or by their ends where the beginning is left out."""
    whole = _measure("".join(written).replace("_", ""), "".join(key).replace("_", ""))
    own = written[-len(key) :]
    if len(own) > len(key):
        return whole
    by_part = [
        _measure(mine, other) for mine, other in zip(reversed(own), reversed(key), strict=False)
    ]
    # What has the whole name right is nearer than what only ends alike.
    missing = 0.03 * (len(key) - len(own))
    return max(whole, sum(by_part) / len(by_part) - missing)


def _measure(mine: str, other: str) -> float:
    return SequenceMatcher(None, mine, other, autojunk=False).ratio()
