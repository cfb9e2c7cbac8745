"""Measure how often chance alone would move the champion (A/A by the valid null).

    python benchmarks/null_promotions.py ANSWERS.npz [--swaps 10000] [--alpha 0.05] [--horizon 30]

ANSWERS.npz holds two real models' answers to the same rows: `labels` (0 or 1), `challenger` and
`champion` (P(positive)). Per row the two answers are swapped or not, by a fair coin, as often as
asked: then neither model can be better, and every promotion is a false one. Nothing is trained.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import binom

from sentiflow.errors import SentiflowError
from sentiflow.gate.comparison import compare
from sentiflow.gate.significance import compute_mcnemar_p

# Coins tossed at once; a byte each.
BLOCK_CELLS = 20_000_000


def main() -> None:
    """Swap, count promotions by rule, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("answers", help="an .npz with labels, challenger and champion")
    parser.add_argument("--swaps", type=int, default=10_000)
    parser.add_argument("--alpha", type=float, default=0.05)
    parser.add_argument("--horizon", type=int, default=30, help="nights that share alpha")
    parser.add_argument("--seed", type=int, default=20_181)
    arguments = parser.parse_args()
    with np.load(arguments.answers) as answers:
        labels = answers["labels"].astype(np.int8)
        challenger, champion = answers["challenger"], answers["champion"]
    try:
        observed = compare(labels, challenger, champion, resamples=1, seed=arguments.seed)
    except SentiflowError as error:
        sys.exit(str(error))
    wins = swap_discordant(observed.wins, observed.losses, arguments.swaps, arguments.seed)
    discordant = observed.wins + observed.losses
    gate = measure_promotions(wins, discordant, arguments.alpha / arguments.horizon)
    print(
        json.dumps(
            {
                "date": date.today().isoformat(),
                "rows": observed.rows,
                "discordant_rows": discordant,
                "observed_difference": round(observed.accuracy.value, 5),
                "swaps": arguments.swaps,
                "gate": gate,
                # Bonferroni: however the nights depend on each other, at most alpha in all.
                "gate_over_horizon_at_most": round(arguments.horizon * gate["exact_share"], 4),
                "single_look": measure_promotions(wins, discordant, arguments.alpha),
                "naive_higher_accuracy": describe_share(wins > discordant - wins),
            },
            indent=2,
        )
    )


def swap_discordant(wins: int, losses: int, swaps: int, seed: int) -> npt.NDArray[np.int64]:
    """Return the challenger's wins after each round of row-by-row swaps, shape (swaps,).

    A swapped row that both models get right, or both wrong, stays one; a swapped win becomes a
    loss and a swapped loss a win. So coins are tossed for discordant rows alone.
    """
    generator = np.random.default_rng(seed)
    is_win = np.arange(wins + losses) < wins
    block = max(1, BLOCK_CELLS // max(1, wins + losses))
    counts = []
    for start in range(0, swaps, block):
        size = (min(block, swaps - start), wins + losses)
        is_swapped = generator.integers(2, size=size, dtype=np.int8) == 1
        counts.append(np.sum(is_swapped != is_win, axis=1))
    return np.concatenate(counts)


def measure_promotions(
    wins: npt.NDArray[np.int64], discordant: int, level: float
) -> dict[str, Any]:
    """Return how often p_better is at most the level, beside what theory allows."""
    p_values = np.array([compute_mcnemar_p(n, discordant - n) for n in range(discordant + 1)])
    promotes = p_values <= level
    return {
        "level": round(level, 6),
        **describe_share(promotes[wins]),
        # What the exact test spends of its level: wins are binomial under the null.
        "exact_share": round(float(binom.pmf(np.flatnonzero(promotes), discordant, 0.5).sum()), 6),
        "within_level_and_its_error": bool(
            promotes[wins].mean() <= level + math.sqrt(level * (1 - level) / len(wins))
        ),
    }


def describe_share(promoted: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Return the share of promotions with its standard error."""
    share = float(promoted.mean())
    error = math.sqrt(share * (1 - share) / len(promoted))
    return {
        "promotions": int(promoted.sum()),
        "share": round(share, 6),
        "standard_error": round(error, 6),
    }


if __name__ == "__main__":
    main()
