"""Draw how model and baseline grow with the number of reviews.

For each size the oldest reviews of the file are taken, as a file that grows had them, and answered
out of fold as in quality.py. Settings are the preset's; nothing is chosen by the answers.

    python benchmarks/learning_curve.py [--sizes 1000 3000 6400 11649 21024] [--figure FILE.png]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
from quality import FOLDS, answer_fold, measure, measure_difference

from sentiflow.data.ingest.ingest import read_sources
from sentiflow.data.snapshot import read_shards
from sentiflow.settings import load_settings, prepare_environment

LINES = {
    "model": ("sentiflow, default preset", "#0072B2", "o"),
    "tfidf_logreg": ("TF-IDF + logistic regression, tuned", "#D55E00", "s"),
}


def main() -> None:
    """Answer every size and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="../shared/data/yelp_reviews.jsonl.gz")
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 3_000, 6_400, 11_649])
    parser.add_argument("--read", help="answers of all reviews that quality.py kept")
    parser.add_argument("--figure", default="docs/images/learning_curve.png")
    arguments = parser.parse_args()
    settings = load_settings("default", arguments.overrides)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        prepare_environment(home)
        ingested = read_sources([arguments.data], None, settings, date.today(), home)
        columns = ["text", "label", "text_digest", "date", "review_id"]
        reviews = pd.concat(list(read_shards(ingested.snapshot, columns)), ignore_index=True)
    reviews = reviews.sort_values(["date", "review_id"], kind="stable")
    curve: dict[int, dict[str, Any]] = {}
    for size in arguments.sizes:
        first = reviews.head(size).reset_index(drop=True)
        curve[size] = describe(
            pd.concat([answer_fold(first, fold, settings) for fold in range(FOLDS)])
        )
        print(json.dumps({size: curve[size]}), flush=True)
    if arguments.read:
        pooled = pd.read_parquet(arguments.read)
        curve[len(pooled)] = describe(pooled)
    draw(curve, Path(arguments.figure))
    print(json.dumps({"date": date.today().isoformat(), "curve": curve}, indent=2))


def describe(pooled: pd.DataFrame) -> dict[str, Any]:
    """Return what is drawn and said of one size."""
    pooled = pooled.reset_index(drop=True)
    return {
        **{name: measure(pooled, name) for name in LINES},
        "difference": measure_difference(pooled, "model", "tfidf_logreg"),
    }


def draw(curve: dict[int, dict[str, Any]], path: Path) -> None:
    """Draw accuracy and ROC AUC over the number of reviews, with 95 % intervals."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    sizes = sorted(curve)
    for panel, metric, title in zip(
        axes, ("accuracy", "roc_auc"), ("Accuracy", "ROC AUC"), strict=True
    ):
        for at, (name, (label, color, marker)) in enumerate(LINES.items()):
            values = [curve[size][name][metric] for size in sizes]
            bounds = [curve[size][name][f"{metric}_interval"] for size in sizes]
            # Side by side, so that the intervals can be told apart.
            places = [size * (0.985 if at else 1.015) for size in sizes]
            errors = [
                [value - low for value, (low, _) in zip(values, bounds, strict=True)],
                [high - value for value, (_, high) in zip(values, bounds, strict=True)],
            ]
            panel.errorbar(
                places, values, yerr=errors, color=color, marker=marker, capsize=3, label=label
            )
        panel.set_xscale("log")
        panel.set_xticks(sizes, [f"{size:,}" for size in sizes], rotation=30)
        panel.minorticks_off()
        panel.set_xlabel("reviews in the file, 70 % of them for training")
        panel.set_title(title)
        panel.grid(alpha=0.3)
    axes[0].legend(loc="lower right", fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    main()
