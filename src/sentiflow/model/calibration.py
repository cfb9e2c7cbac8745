"""Measure how far probabilities can be trusted: when a model says 80 %, is it 80 %?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from sentiflow.errors import SentiflowError

# Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 4: M = 15 bins.
ECE_BINS: Final = 15


@dataclass(frozen=True)
class Reliability:
    """How often reviews are positive, beside how often the model says so, by equal-width bin.

    Attributes:
        edges: shape (bins + 1,), from 0 to 1; a bin holds its upper edge, the first both.
        mean_probability: shape (bins,), mean P(positive) in the bin; NaN where it is empty.
        positive_share: shape (bins,), share of positive labels; NaN where it is empty.
        counts: shape (bins,), rows in the bin.
    """

    edges: npt.NDArray[np.float64]
    mean_probability: npt.NDArray[np.float64]
    positive_share: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]


def measure_ece(labels: npt.ArrayLike, probabilities: npt.ArrayLike, bins: int = ECE_BINS) -> float:
    """Return by how much the model's confidence misses its accuracy, on average over rows.

    Guo et al. 2017, equations 2, 3 and 5: the confidence of a row is the probability of its
    predicted label, max(p, 1 - p); rows are put into bins ((m - 1) / M, m / M] of confidence; ECE
    is the mean of |accuracy - mean confidence| over the bins, weighted by rows. With two classes
    no confidence is below 0.5, so of 15 bins only the upper eight are ever used.

    >>> round(measure_ece([1, 0, 1, 1], [0.7, 0.7, 0.7, 0.7]), 6)  # 3 of 4 right, 70 % sure
    0.05

    Args:
        labels: shape (n,), 0 or 1.
        probabilities: shape (n,), P(positive).
        bins: M, the number of equal-width bins of confidence from 0 to 1.

    Returns:
        A share from 0 (calibrated) to 1.

    Raises:
        SentiflowError: as for `check_scores`.
    """
    labels, probabilities = check_scores(labels, probabilities)
    correct = (probabilities >= 0.5) == (labels == 1)
    confidences = np.maximum(probabilities, 1 - probabilities)
    indices = _assign_bins(confidences, np.linspace(0, 1, bins + 1))
    # |accuracy - confidence| * rows of a bin is |sum of (correct - confidence)| over its rows.
    gaps = np.bincount(indices, weights=correct - confidences, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))


def measure_reliability(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike, bins: int = 10
) -> Reliability:
    """Return the table behind a reliability diagram: P(positive) against the share of positives.

    Args:
        labels: shape (n,), 0 or 1.
        probabilities: shape (n,), P(positive).
        bins: number of equal-width bins from 0 to 1.

    Returns:
        The table; means of empty bins are NaN.

    Raises:
        SentiflowError: as for `check_scores`.
    """
    labels, probabilities = check_scores(labels, probabilities)
    edges = np.linspace(0, 1, bins + 1)
    indices = _assign_bins(probabilities, edges)
    counts = np.bincount(indices, minlength=bins)
    divisors = np.where(counts > 0, counts, np.nan)
    return Reliability(
        edges=edges,
        mean_probability=np.bincount(indices, weights=probabilities, minlength=bins) / divisors,
        positive_share=np.bincount(indices, weights=labels, minlength=bins) / divisors,
        counts=counts,
    )


def check_scores(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float64]]:
    """Return both as arrays that can be scored, or say what is wrong with them.

    Args:
        labels: anything that numpy reads as shape (n,), n at least 1, of the integers 0 and 1.
        probabilities: likewise of finite numbers from 0 to 1, P(positive).

    Returns:
        Labels as int8 and probabilities as float64, so that sums over many rows stay exact.

    Raises:
        SentiflowError: shapes differ or are not (n,), n is 0, or a value is not allowed.
    """
    labels = np.asarray(labels)
    probabilities = np.asarray(probabilities)
    if labels.ndim != 1 or probabilities.shape != labels.shape or len(labels) == 0:
        raise SentiflowError(
            "Labels and probabilities must both have shape (n,) with n at least 1; pass one "
            "label and one P(positive) per review. "
            f"Received: labels.shape={labels.shape}, probabilities.shape={probabilities.shape}"
        )
    if labels.dtype.kind not in "biu":
        raise SentiflowError(
            "Labels must be the integers 0 and 1; apply the label rule first. "
            f"Received: labels.dtype={labels.dtype}"
        )
    if not np.isin(labels, (0, 1)).all():
        raise SentiflowError(
            "Labels must be the integers 0 and 1; apply the label rule first. "
            f"Received: labels from {labels.min()} to {labels.max()}"
        )
    if probabilities.dtype.kind not in "fiu":
        raise SentiflowError(
            "Probabilities must be floats from 0 to 1; pass P(positive) as numbers. "
            f"Received: probabilities.dtype={probabilities.dtype}"
        )
    # Not (inside) rather than outside, so that NaN is found too.
    outside = ~((probabilities >= 0) & (probabilities <= 1))
    if outside.any():
        raise SentiflowError(
            "Probabilities must be finite and from 0 to 1; look for a diverged model or raw "
            f"scores without a sigmoid. Received: {outside.sum()} of {len(probabilities)} outside,"
            f" the first is probabilities[{outside.argmax()}]={probabilities[outside.argmax()]}"
        )
    return labels.astype(np.int8), probabilities.astype(np.float64)


def _assign_bins(
    values: npt.NDArray[np.float64], edges: npt.NDArray[np.float64]
) -> npt.NDArray[np.intp]:
    """Return which bin (lower, upper] each value is in; the first bin holds its lower edge too."""
    return np.digitize(values, edges[1:-1], right=True)
