"""Measure how long the paired comparison of two models takes on a night's rows.

    python benchmarks/comparison_speed.py [--rows 10000] [--resamples 2000] [--repeats 5]

The answers are made up; every repeat computes all of `compare`: accuracy, ROC AUC and log loss
of both models on every resample, the tests and the bounds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from datetime import date

import numpy as np
import numpy.typing as npt

from sentiflow.cost import measure_peak_memory_mb
from sentiflow.gate.comparison import compare


def main() -> None:
    """Compare the same two models again and again and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--resamples", type=int, default=2_000)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    labels, challenger, champion = make_answers(arguments.rows)
    memory_before = measure_peak_memory_mb()
    seconds = []
    for repeat in range(arguments.repeats):
        started = time.monotonic()
        compare(labels, challenger, champion, resamples=arguments.resamples, seed=repeat)
        seconds.append(time.monotonic() - started)
    print(
        json.dumps(
            {
                "date": date.today().isoformat(),
                "rows": arguments.rows,
                "resamples": arguments.resamples,
                "median_seconds": round(statistics.median(seconds), 2),
                "slowest_seconds": round(max(seconds), 2),
                "added_memory_mb": round(measure_peak_memory_mb() - memory_before),
            }
        )
    )


def make_answers(
    rows: int,
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return labels and the answers of two equally good models that share most errors."""
    generator = np.random.default_rng(0)
    labels = (generator.random(rows) < 0.66).astype(np.int8)
    shared = 2 * labels - 1 + generator.normal(0, 0.8, rows)
    challenger, champion = (
        (1 / (1 + np.exp(-3 * (shared + generator.normal(0, 0.3, rows))))).astype(np.float32)
        for _ in range(2)
    )
    return labels, challenger, champion


if __name__ == "__main__":
    main()
