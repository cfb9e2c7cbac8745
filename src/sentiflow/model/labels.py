"""Name the answers: a probability of 0.5 or more is positive."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def name_labels(probabilities: npt.ArrayLike) -> list[str]:
    """Return "positive" or "negative" for each P(positive).

    >>> name_labels([0.5, 0.49])
    ['positive', 'negative']
    """
    named: list[str] = np.where(np.asarray(probabilities) >= 0.5, "positive", "negative").tolist()
    return named
