"""Compare two models' answers to the same rows, and say how much of the difference is chance.

Everything is challenger minus champion. A probability of 0.5 or more counts as positive.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sentiflow.errors import SentiflowError
from sentiflow.gate.bootstrap import Scorer, resample_differences
from sentiflow.gate.significance import (
    BOUND_ALPHA,
    adjust_holm,
    compute_interval,
    compute_lower_bound,
    compute_mcnemar_p,
    compute_smallest_drop,
)
from sentiflow.model.calibration import check_scores

OTHER_YEARS: Final = "other years"

Slice = tuple[str, str, npt.NDArray[np.int64]]


@dataclass(frozen=True)
class Difference:
    """How much challenger and champion differ in one metric, and what chance leaves open.

    Attributes:
        metric: "accuracy", "roc_auc" or "log_loss" (where lower is better).
        challenger: the challenger's value.
        champion: the champion's value.
        value: challenger minus champion.
        lower: lower end of the two-sided 95 % bootstrap interval of `value`.
        upper: its upper end.
    """

    metric: str
    challenger: float
    champion: float
    value: float
    lower: float
    upper: float


@dataclass(frozen=True)
class Comparison:
    """How challenger and champion answer the same rows.

    Attributes:
        rows: number of rows.
        accuracy: difference in accuracy. With few discordant rows its interval is too narrow (and
            empty without any): rule on `lower_bound`, `p_better` and `p_worse`.
        roc_auc: difference in the area under the ROC curve; NaN when only one class occurs.
        log_loss: difference in mean cross-entropy, nats; below 0 when the challenger is better.
        wins: rows that only the challenger gets right.
        losses: rows that only the champion gets right.
        p_better: exact one-sided McNemar test that the challenger is not better.
        p_worse: the same test that the challenger is not worse.
        lower_bound: the difference in accuracy is above it with 95 % confidence, one-sided: the
            lower of the bootstrap's 5th percentile and `compute_lower_bound`.
        churn: share of rows whose label differs.
    """

    rows: int
    accuracy: Difference
    roc_auc: Difference
    log_loss: Difference
    wins: int
    losses: int
    p_better: float
    p_worse: float
    lower_bound: float
    churn: float

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON value; numbers that are none become None."""
        values = asdict(self)
        for name in ("accuracy", "roc_auc", "log_loss"):
            values[name] = _replace_nonfinite(values[name])
        return _replace_nonfinite(values)


@dataclass(frozen=True)
class SliceComparison:
    """How challenger and champion answer the rows that share something.

    Attributes:
        kind: what the rows share, such as "stars".
        name: which of that kind, such as "4".
        rows: number of rows in the slice.
        challenger: the challenger's accuracy.
        champion: the champion's accuracy.
        value: challenger minus champion.
        wins: rows that only the challenger gets right.
        losses: rows that only the champion gets right.
        p_worse: exact one-sided McNemar test that the challenger is not worse.
        p_adjusted: `p_worse` by Holm over all slices compared.
        smallest_drop: the smallest drop in accuracy that would have been seen here with power
            0.8 at Holm's strictest step; infinite when the rows are too few to see any.
    """

    kind: str
    name: str
    rows: int
    challenger: float
    champion: float
    value: float
    wins: int
    losses: int
    p_worse: float
    p_adjusted: float
    smallest_drop: float

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON value; numbers that are none become None."""
        return _replace_nonfinite(asdict(self))


@dataclass(frozen=True)
class PairedAccuracy:
    """How many of the same rows challenger and baseline get right.

    Attributes:
        rows: number of rows.
        challenger: the challenger's accuracy.
        baseline: the baseline's accuracy.
        value: challenger minus baseline.
        lower: lower end of the two-sided 95 % interval of `value`, by `compute_interval`.
        upper: its upper end.
        wins: rows that only the challenger gets right.
        losses: rows that only the baseline gets right.
    """

    rows: int
    challenger: float
    baseline: float
    value: float
    lower: float
    upper: float
    wins: int
    losses: int

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON value; numbers that are none become None."""
        return _replace_nonfinite(asdict(self))


def compare_accuracy(
    labels: npt.ArrayLike, challenger: npt.ArrayLike, baseline: npt.ArrayLike
) -> PairedAccuracy:
    """Return how far the challenger is ahead of the baseline on the same rows.

    Args:
        labels: shape (n,), integers, 1 = positive, 0 = negative; n at least 1.
        challenger: shape (n,), the challenger's P(positive).
        baseline: shape (n,), the baseline's P(positive).

    Returns:
        The difference with its interval.

    Raises:
        SentiflowError: as for `compare`.
    """
    labels, challenger, baseline = _check_pair(labels, challenger, baseline, "baseline")
    rows = len(labels)
    wins, losses = _count_discordant(labels, challenger, baseline)
    lower, upper = compute_interval(wins, losses, rows)
    return PairedAccuracy(
        rows=rows,
        challenger=_measure_accuracy(labels, challenger),
        baseline=_measure_accuracy(labels, baseline),
        value=(wins - losses) / rows,
        lower=lower,
        upper=upper,
        wins=wins,
        losses=losses,
    )


def compare(
    labels: npt.ArrayLike,
    challenger: npt.ArrayLike,
    champion: npt.ArrayLike,
    *,
    resamples: int,
    seed: int,
) -> Comparison:
    """Return how much better or worse the challenger is than the champion on the same rows.

    Both models and all metrics are measured on the same resampled rows (paired percentile
    bootstrap; Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13).

    Args:
        labels: shape (n,), integers, 1 = positive, 0 = negative; n at least 1.
        challenger: shape (n,), the challenger's P(positive).
        champion: shape (n,), the champion's P(positive).
        resamples: number of bootstrap resamples, at least 1.
        seed: of the resampling; the same seed gives the same intervals.

    Returns:
        The comparison. Resamples that hold one class only are ignored for ROC AUC.

    Raises:
        SentiflowError: shapes differ, there is no row, a label or probability is not allowed
            (NaN is not), or resamples is below 1.
    """
    labels, challenger, champion = _check_pair(labels, challenger, champion)
    if resamples < 1:
        raise SentiflowError(
            f"An interval needs at least 1 resample; 2000 is usual. Received: resamples={resamples}"
        )
    rows = len(labels)
    scorers = (Scorer(labels, challenger), Scorer(labels, champion))
    once = np.ones((rows, 1))
    points = np.stack([scorer.score(once)[:, 0] for scorer in scorers])
    resampled = resample_differences(scorers, rows, resamples, seed)
    accuracy, roc_auc, log_loss = (
        _make_difference(metric, points[0, row], points[1, row], resampled[row])
        for row, metric in enumerate(("accuracy", "roc_auc", "log_loss"))
    )
    wins, losses = _count_discordant(labels, challenger, champion)
    return Comparison(
        rows=rows,
        accuracy=accuracy,
        roc_auc=roc_auc,
        log_loss=log_loss,
        wins=wins,
        losses=losses,
        p_better=compute_mcnemar_p(wins, losses),
        p_worse=compute_mcnemar_p(losses, wins),
        lower_bound=min(
            float(np.quantile(resampled[0], BOUND_ALPHA)), compute_lower_bound(wins, losses, rows)
        ),
        churn=(wins + losses) / rows,
    )


def select_changed(challenger: npt.ArrayLike, champion: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Return the positions of the rows that the two models label differently.

    Args:
        challenger: shape (n,), the challenger's P(positive).
        champion: shape (n,), the champion's P(positive).

    Returns:
        Positions, ascending.

    Raises:
        SentiflowError: as for `compare`.
    """
    # The true labels do not matter here, so any will do.
    labels = np.zeros(np.shape(challenger), dtype=np.int8)
    _, challenger, champion = _check_pair(labels, challenger, champion)
    return np.flatnonzero((challenger >= 0.5) != (champion >= 0.5))


def merge_rare(slices: Sequence[Slice], min_rows: int) -> list[Slice]:
    """Return the slices that have enough rows to be looked at on their own.

    Args:
        slices: kind, name and row positions of each.
        min_rows: how many rows are enough.

    Returns:
        The large enough ones in their order, then the rows of all rarer years as one slice
        "other years", if those are enough together.
    """
    large = [part for part in slices if len(part[2]) >= min_rows]
    rare_years = [rows for kind, _, rows in slices if kind == "year" and len(rows) < min_rows]
    if rare_years:
        merged = np.unique(np.concatenate(rare_years))
        if len(merged) >= min_rows:
            large.append(("year", OTHER_YEARS, merged))
    return large


def compare_slices(
    slices: Sequence[Slice],
    labels: npt.ArrayLike,
    challenger: npt.ArrayLike,
    champion: npt.ArrayLike,
    alpha: float,
) -> tuple[SliceComparison, ...]:
    """Return in which parts of the rows the challenger is worse than the champion.

    Args:
        slices: kind, name and row positions of each; they may overlap.
        labels: shape (n,), 0 or 1.
        challenger: shape (n,), the challenger's P(positive).
        champion: shape (n,), the champion's P(positive).
        alpha: the level over all slices, above 0 and below 0.5.

    Returns:
        One comparison per slice, in their order. A slice is significantly worse when its
        `p_adjusted` is at most alpha.

    Raises:
        SentiflowError: as for `compare`, a slice's positions are no distinct rows, or alpha
            is not allowed.
    """
    labels, challenger, champion = _check_pair(labels, challenger, champion)
    counts = []
    for kind, name, rows in slices:
        _check_positions(kind, name, rows, len(labels))
        counts.append(_count_discordant(labels[rows], challenger[rows], champion[rows]))
    p_worse = [compute_mcnemar_p(losses, wins) for wins, losses in counts]
    p_adjusted = adjust_holm(p_worse)
    return tuple(
        SliceComparison(
            kind=kind,
            name=name,
            rows=len(rows),
            challenger=_measure_accuracy(labels[rows], challenger[rows]),
            champion=_measure_accuracy(labels[rows], champion[rows]),
            value=(wins - losses) / len(rows),
            wins=wins,
            losses=losses,
            p_worse=p,
            p_adjusted=float(adjusted),
            smallest_drop=compute_smallest_drop(
                len(rows), (wins + losses) / len(rows), alpha / len(slices)
            ),
        )
        for (kind, name, rows), (wins, losses), p, adjusted in zip(
            slices, counts, p_worse, p_adjusted, strict=True
        )
    )


def _make_difference(
    metric: str, challenger: float, champion: float, resampled: npt.NDArray[np.float64]
) -> Difference:
    resampled = resampled[~np.isnan(resampled)]
    lower, upper = (
        np.quantile(resampled, (BOUND_ALPHA / 2, 1 - BOUND_ALPHA / 2))
        if len(resampled)
        else (math.nan, math.nan)
    )
    return Difference(
        metric=metric,
        challenger=float(challenger),
        champion=float(champion),
        value=float(challenger - champion),
        lower=float(lower),
        upper=float(upper),
    )


def _count_discordant(
    labels: npt.NDArray[np.int8],
    challenger: npt.NDArray[np.float64],
    champion: npt.NDArray[np.float64],
) -> tuple[int, int]:
    """Return how many rows only the challenger, and only the champion, gets right."""
    challenger_right = (challenger >= 0.5) == (labels == 1)
    champion_right = (champion >= 0.5) == (labels == 1)
    wins = int(np.sum(challenger_right & ~champion_right))
    losses = int(np.sum(champion_right & ~challenger_right))
    return wins, losses


def _measure_accuracy(
    labels: npt.NDArray[np.int8], probabilities: npt.NDArray[np.float64]
) -> float:
    return float(np.mean((probabilities >= 0.5) == (labels == 1)))


def _check_pair(
    labels: npt.ArrayLike,
    challenger: npt.ArrayLike,
    champion: npt.ArrayLike,
    against: str = "champion",
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the arrays as `check_scores` does, or say which model's answers are wrong."""
    checked = []
    for model, probabilities in (("challenger", challenger), (against, champion)):
        try:
            checked.append(check_scores(labels, probabilities))
        except SentiflowError as error:
            raise SentiflowError(f"The {model} cannot be compared. {error}") from None
    return checked[0][0], checked[0][1], checked[1][1]


def _check_positions(kind: str, name: str, rows: npt.NDArray[np.int64], total: int) -> None:
    if len(rows) == 0 or len(np.unique(rows)) < len(rows) or rows.min() < 0 or rows.max() >= total:
        raise SentiflowError(
            f"A slice must hold distinct row positions from 0 to {total - 1}, at least one. "
            f"Received: {len(rows)} positions in slice {kind}={name}"
        )


def _replace_nonfinite(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in values.items()
    }
