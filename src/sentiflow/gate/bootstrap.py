"""Measure two models again and again on the same resampled rows, all metrics at once."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

# The same distance from 0 and 1 as in model/evaluation.py, so that both report one log loss.
LOG_LOSS_CLIP: Final = 1e-7
# Rows times resamples worked on at once: 2.5 MB of weights, which stay in the processor's cache.
BLOCK_CELLS: Final = 320_000


class Scorer:
    """Score one model on the same rows under many weightings at once."""

    def __init__(
        self, labels: npt.NDArray[np.int8], probabilities: npt.NDArray[np.float64]
    ) -> None:
        """Sort the rows once; labels and probabilities have shape (n,)."""
        clipped = np.clip(probabilities, LOG_LOSS_CLIP, 1 - LOG_LOSS_CLIP)
        right = (probabilities >= 0.5) == (labels == 1)
        costs = -np.log(np.where(labels == 1, clipped, 1 - clipped))
        self._by_row = np.stack([right.astype(np.float64), costs])
        self._positives = np.flatnonzero(labels == 1)
        negatives = np.flatnonzero(labels == 0)
        self._negatives = negatives[np.argsort(probabilities[negatives])]
        ranked = probabilities[self._negatives]
        self._below = np.searchsorted(ranked, probabilities[self._positives], side="left")
        self._up_to = np.searchsorted(ranked, probabilities[self._positives], side="right")

    def score(self, weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return accuracy, ROC AUC and log loss, shape (3, k), for weights of shape (n, k)."""
        accuracy, log_loss = self._by_row @ weights / weights.sum(axis=0)
        # ROC AUC is the share of pairs of a positive and a negative in the right order, ties
        # half; in row i stands the weight of the i lowest negatives.
        lowest = np.zeros((len(self._negatives) + 1, weights.shape[1]))
        np.cumsum(weights[self._negatives], axis=0, out=lowest[1:])
        positives = weights[self._positives]
        ordered = np.einsum("ij,ij->j", positives, lowest[self._below] + lowest[self._up_to]) / 2
        pairs = positives.sum(axis=0) * lowest[-1]
        roc_auc = np.where(pairs > 0, ordered / np.maximum(pairs, 1.0), np.nan)
        return np.stack([accuracy, roc_auc, log_loss])


def resample_differences(
    scorers: tuple[Scorer, Scorer], rows: int, resamples: int, seed: int
) -> npt.NDArray[np.float64]:
    """Return challenger minus champion in each metric on rows drawn with replacement.

    Both models are measured on the same drawn rows. Memory is bounded by BLOCK_CELLS, or by one
    resample where there are more rows, and the block has no influence on the result.

    Args:
        scorers: the challenger's and the champion's, of the same n rows.
        rows: n.
        resamples: how often n rows are drawn.
        seed: of the draw; the same seed draws the same rows.

    Returns:
        Shape (3, resamples): accuracy, ROC AUC and log loss. ROC AUC is NaN where only one
        class was drawn.
    """
    generator = np.random.default_rng(seed)
    block = max(1, BLOCK_CELLS // rows)
    differences = np.empty((3, resamples))
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        drawn = generator.integers(rows, size=(size, rows))
        cells = drawn * size + np.arange(size)[:, np.newaxis]
        counts = np.bincount(cells.ravel(), minlength=rows * size)
        weights = counts.reshape(rows, size).astype(np.float64)
        challenger, champion = (scorer.score(weights) for scorer in scorers)
        differences[:, start : start + size] = challenger - champion
    return differences
