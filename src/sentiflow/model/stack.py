"""Join the wide and the deep branch: two weights and a bias, fitted on validation rows.

P(positive) = σ(wide · what the n-grams say + deep · what the network says + bias), both in
log-odds. It calibrates too (Platt, "Probabilistic Outputs for Support Vector Machines", 1999).
Stacking: Wolpert, "Stacked Generalization", Neural Networks 5 (1992).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

# A network's probability is believed up to here: float32 knows no log-odds beyond.
MOST_CERTAIN: Final = 1 - 1e-6
# With fewer validation rows three fitted weights say more of these rows than of others.
FEWEST_ROWS: Final = 500


@dataclass(frozen=True)
class Stack:
    """How much either branch counts.

    Attributes:
        wide: weight of the wide branch's log-odds.
        deep: weight of the deep branch's log-odds.
        bias: log-odds where both say nothing.
    """

    wide: float
    deep: float
    bias: float

    def join(
        self, wide: npt.NDArray[np.float64], deep: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]:
        """Return P(positive) of rows by both branches' log-odds; all of shape (n,)."""
        from scipy.special import expit

        joined: npt.NDArray[np.float64] = expit(self.wide * wide + self.deep * deep + self.bias)
        return joined


# The best fixed weights at 1,000, 3,000 and 6,400 reviews (docs/results.md, "Small files"); few
# rows are drawn towards them.
PRIOR: Final = Stack(wide=0.7, deep=0.3, bias=0.0)
_PRIOR_ROWS: Final = 100.0


def to_log_odds(probabilities: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    """Return the log-odds of class probabilities (n, 2); shape (n,), dtype float64."""
    clipped = np.clip(probabilities.astype(np.float64), 1 - MOST_CERTAIN, MOST_CERTAIN)
    odds: npt.NDArray[np.float64] = np.log(clipped[:, 1]) - np.log(clipped[:, 0])
    return odds


def fit_stack(
    wide: npt.NDArray[np.float64],
    deep: npt.NDArray[np.float64],
    labels: npt.NDArray[np.int8],
) -> Stack:
    """Return the weights that fit validation rows best, drawn towards PRIOR where rows are few.

    Args:
        wide: log-odds by the wide branch, shape (m,).
        deep: log-odds by the deep branch, shape (m,).
        labels: shape (m,), 1 = positive.

    Returns:
        The minimum of the summed log loss and a quadratic pull to PRIOR; no branch counts against
        what it says. PRIOR itself with fewer than FEWEST_ROWS rows or with one class.
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    if len(labels) < FEWEST_ROWS or len(np.unique(labels)) < 2:
        return PRIOR
    inputs = np.column_stack([wide, deep, np.ones(len(labels))])
    prior = np.array([PRIOR.wide, PRIOR.deep, PRIOR.bias])
    pull = np.array([_PRIOR_ROWS, _PRIOR_ROWS, 0.0])

    def measure(weights: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        logits = inputs @ weights
        loss = np.logaddexp(0, logits).sum() - logits[labels == 1].sum()
        gradient = inputs.T @ (expit(logits) - labels)
        away = weights - prior
        return loss + pull @ away**2 / 2, gradient + pull * away

    fitted = minimize(
        measure, prior, jac=True, method="L-BFGS-B", bounds=[(0, None), (0, None), (None, None)],
        options={"ftol": 1e-12, "gtol": 1e-9},
    )  # fmt: skip
    return Stack(*map(float, fitted.x))
