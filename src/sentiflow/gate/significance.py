"""Say what counts of wins and losses prove: tests, bounds and power for paired models.

A win is a row that only the challenger gets right, a loss one that only the champion does; both
are discordant. Rows on which the models agree carry no evidence.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import bdtrc, ndtr, ndtri

from sentiflow.errors import SentiflowError

# The level of the one-sided lower bound; the intervals are two-sided with half of it per side.
BOUND_ALPHA: Final = 0.05
# Edwards, "Note on the correction for continuity", Psychometrika 13 (1948): wins minus losses
# moves in steps of two among given discordant rows, and half a step is one row.
CONTINUITY: Final = 1.0


def compute_mcnemar_p(successes: int, failures: int) -> float:
    """Return the chance of at least so many successes when both sides are equally likely.

    McNemar, "Note on the sampling error of the difference between correlated proportions or
    percentages", Psychometrika 12 (1947), by the binomial distribution instead of chi-squared.
    """
    if successes == 0:
        return 1.0
    return float(bdtrc(successes - 1, successes + failures, 0.5))


def adjust_holm(p_values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return p-values that may each be held against alpha, however many tests there were.

    Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
    Statistics 6 (1979). It needs no independence, so slices may overlap.

    >>> adjust_holm([0.01, 0.04, 0.03]).round(6).tolist()
    [0.03, 0.06, 0.06]

    Args:
        p_values: shape (m,), from 0 to 1; m may be 0.

    Returns:
        Adjusted p-values in the same order, shape (m,).

    Raises:
        SentiflowError: a p-value is not from 0 to 1.
    """
    p_values = np.asarray(p_values, dtype=np.float64)
    if not np.all((p_values >= 0) & (p_values <= 1)):
        raise SentiflowError(f"p-values must be from 0 to 1. Received: p_values={p_values}")
    order = np.argsort(p_values)
    factors = np.arange(len(p_values), 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * p_values[order]), 1.0)
    return adjusted


def compute_lower_bound(wins: int, losses: int, rows: int, alpha: float = BOUND_ALPHA) -> float:
    """Return what the true difference in accuracy is above, with 95 % confidence, one-sided.

    The bootstrap knows only rows it has seen: without a discordant row it would be certain that
    the models are equal. This is the score bound of Tango, "Equivalence test and confidence
    interval for the difference in proportions for the paired-sample design", Statistics in
    Medicine 17 (1998), with Edwards' correction for continuity. Without the correction it is
    wrong in up to 8 % of cases where discordant rows are few; with it in at most 5 % of each of
    225 cases summed exactly (30 to 1,500 rows, 0.5 to 20 % discordant).

    >>> round(compute_lower_bound(0, 0, 100), 4)  # none seen in 100 rows: not proof of none
    -0.0436

    Args:
        wins: rows that only the challenger gets right.
        losses: rows that only the champion gets right.
        rows: all rows, at least 1.
        alpha: how often the bound may be wrong, above 0 and below 0.5.

    Returns:
        A difference from -1 to 1.
    """
    if wins - losses - CONTINUITY <= -rows:
        return -1.0
    z = -ndtri(alpha)

    def measure_excess(difference: float) -> float:
        variance = _measure_null_variance(wins / rows, losses / rows, difference)
        excess = wins - losses - CONTINUITY - rows * difference
        return float(excess - z * math.sqrt(rows * variance))

    return float(brentq(measure_excess, -1.0, (wins - losses) / rows))


def compute_interval(wins: int, losses: int, rows: int) -> tuple[float, float]:
    """Return between which differences in accuracy the true one is, with 95 % confidence.

    Two-sided: each end is `compute_lower_bound`'s, seen from either model, at half the level.

    >>> [round(end, 4) for end in compute_interval(0, 0, 100)]
    [-0.0545, 0.0545]

    Args:
        wins: rows that only the challenger gets right.
        losses: rows that only the other model gets right.
        rows: all rows, at least 1.

    Returns:
        The lower and the upper end, from -1 to 1.
    """
    half = BOUND_ALPHA / 2
    lower = compute_lower_bound(wins, losses, rows, half)
    return lower, -compute_lower_bound(losses, wins, rows, half)


def measure_power(rows: int, discordant_share: float, margin: float, alpha: float) -> float:
    """Return how likely an equally good challenger is to be found non-inferior.

    That is the chance that its lower bound lies above -margin when wins and losses are equally
    likely: the normal approximation for the test of `compute_lower_bound`, with the variance under
    the null as in Nam, "Establishing equivalence of two treatments and sample size requirements
    in matched-pairs design", Biometrics 53 (1997).

    Args:
        rows: number of test rows, at least 1.
        discordant_share: share of rows that only one of the models gets right, 0 to 1.
        margin: the drop in accuracy that is tolerated, from 0 to below 1.
        alpha: the test's one-sided level, above 0 and below 0.5.

    Returns:
        A chance from 0 to 1.

    Raises:
        SentiflowError: an argument is not allowed.
    """
    _check_design(rows, discordant_share, alpha)
    if not 0 <= margin < 1:
        raise SentiflowError(f"A margin must be from 0 to below 1. Received: margin={margin}")
    half = discordant_share / 2
    needed = -ndtri(alpha) * math.sqrt(rows * _measure_null_variance(half, half, -margin))
    spare = rows * margin - CONTINUITY - needed
    if discordant_share == 0:
        return float(spare > 0)
    return float(ndtr(spare / math.sqrt(rows * discordant_share)))


def compute_smallest_drop(
    rows: int, discordant_share: float, alpha: float, power: float = 0.8
) -> float:
    """Return the smallest drop in accuracy that McNemar's test would see in these rows.

    Connor, "Sample size for testing differences in proportions for the paired-sample design",
    Biometrics 43 (1987), solved for the difference d: sqrt(n) d = z_alpha sqrt(s) + z_power
    sqrt(s - d^2), where s is the share of discordant rows. A drop of d makes at least a share
    of d discordant, so where the given share is smaller, s = d. One row is added because the
    exact test is stricter than the approximation: summed exactly, the power is then at least
    what was asked (100 to 10,000 rows).

    Args:
        rows: number of rows, at least 1.
        discordant_share: share of rows that only one of the models gets right, 0 to 1.
        alpha: the test's one-sided level, above 0 and below 0.5.
        power: the chance to see the drop, from 0.5 to below 1.

    Returns:
        The drop as a share, above 0; infinite when the rows are too few to see any.

    Raises:
        SentiflowError: an argument is not allowed.
    """
    _check_design(rows, discordant_share, alpha)
    if not 0.5 <= power < 1:
        raise SentiflowError(f"A power must be from 0.5 to below 1. Received: power={power}")
    z_alpha, z_power = -ndtri(alpha), ndtri(power)
    if rows < z_alpha**2:
        return math.inf
    root = math.sqrt(rows + z_power**2 - z_alpha**2)
    # The equation holds for d = factor * sqrt(s), and with s = d for d = factor^2.
    factor = (math.sqrt(rows) * z_alpha + z_power * root) / (rows + z_power**2)
    drop = float(max(factor * math.sqrt(discordant_share), factor**2)) + CONTINUITY / rows
    return drop if drop <= 1 else math.inf


def _measure_null_variance(win_share: float, loss_share: float, difference: float) -> float:
    """Return the variance of a row's win minus loss, were `difference` its true mean.

    Tango 1998, the maximum likelihood estimate of the share of losses under that restriction.
    """
    linear = 2 * difference - win_share - loss_share - (win_share - loss_share) * difference
    constant = -loss_share * difference * (1 - difference)
    losses = (math.sqrt(max(linear**2 - 8 * constant, 0.0)) - linear) / 4
    return max(2 * losses + difference * (1 - difference), 0.0)


def _check_design(rows: int, discordant_share: float, alpha: float) -> None:
    # Written so that NaN fails too.
    if not (rows >= 1 and 0 <= discordant_share <= 1 and 0 < alpha < 0.5):
        raise SentiflowError(
            "A test needs at least 1 row, a share of discordant rows from 0 to 1 and a level "
            f"above 0 and below 0.5. Received: rows={rows}, discordant_share={discordant_share}, "
            f"alpha={alpha}"
        )
