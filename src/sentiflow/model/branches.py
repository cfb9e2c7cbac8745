"""Measure what either branch of a model says alone, and how much it counts in the answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sentiflow.model.evaluation import score

if TYPE_CHECKING:
    from sentiflow.model.bundle import Bundle


def score_branches(
    bundle: Bundle, texts: Sequence[str], labels: npt.NDArray[np.int8]
) -> dict[str, dict[str, Any]]:
    """Return each branch's share of the answers, and the metrics it would have alone.

    Args:
        bundle: the model.
        texts: n texts.
        labels: shape (n,), 1 = positive.

    Returns:
        "wide" and "deep" → the metrics of `evaluation.score` and `share`, from 0 to 1: its part of
        the mean absolute log-odds, weighted as in the answers. Empty for a model of one branch.
    """
    from scipy.special import expit

    log_odds = bundle.predict_branches(texts)
    if log_odds is None:
        return {}
    stack = bundle.description["stack"]
    sizes = {name: stack[name] * np.abs(values).mean() for name, values in log_odds.items()}
    total = max(sum(sizes.values()), 1e-12)
    return {
        name: {**score(labels, expit(values)).as_dict(), "share": float(sizes[name] / total)}
        for name, values in log_odds.items()
    }
