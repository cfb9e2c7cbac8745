"""Measure the default preset on the real reviews: five folds over the buckets, out of fold.

Fold k's test rows are the buckets from 2000 k; the 10 % below them validate, the rest trains.
Every review is answered once by a model that never saw it; metrics are of the pooled answers,
with 95 % bootstrap intervals over reviews, beside the tuned TF-IDF baseline on the same rows.

    python benchmarks/quality.py [--data FILE] [--config PRESET] [--folds 0 1 2 3 4]
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sentiflow.data.ingest.ingest import read_sources
from sentiflow.data.snapshot import read_shards
from sentiflow.data.splitting import BUCKETS, assign_buckets, name_splits
from sentiflow.settings import Settings, SplitSettings, load_settings, prepare_environment

FOLDS = 5
RESAMPLES = 2_000
SPLIT = SplitSettings(test_share=1 / FOLDS, validation_share=0.1)


def main() -> None:
    """Run the folds and print one JSON object and a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="../shared/data/yelp_reviews.jsonl.gz")
    parser.add_argument("--config", default="default")
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--folds", type=int, nargs="+", default=list(range(FOLDS)))
    arguments = parser.parse_args()
    settings = load_settings(arguments.config, arguments.overrides)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        prepare_environment(home)
        ingested = read_sources([arguments.data], None, settings, date.today(), home)
        columns = ["text", "label", "text_digest"]
        reviews = pd.concat(list(read_shards(ingested.snapshot, columns)), ignore_index=True)
        buckets = assign_buckets(reviews["text_digest"].to_numpy(np.uint64))
        parts = [answer_fold(reviews, buckets, fold, settings) for fold in arguments.folds]
    pooled = pd.concat(parts, ignore_index=True)
    report = {
        "date": date.today().isoformat(),
        "machine": f"{platform.machine()}, {platform.python_version()}",
        "fingerprint": ingested.snapshot.fingerprint,
        "config": arguments.config,
        "overrides": arguments.overrides,
        "seed": settings.training.seed,
        "folds": arguments.folds,
        "rows": len(pooled),
        **{name: measure(pooled, name) for name in ("lstm", "tfidf_logreg", "majority")},
        "difference": measure_difference(pooled),
        "training_seconds": [round(part.attrs["seconds"], 1) for part in parts],
        "epochs": [part.attrs["epochs"] for part in parts],
    }
    print(json.dumps(report, indent=2))


def answer_fold(
    reviews: pd.DataFrame, buckets: np.ndarray, fold: int, settings: Settings
) -> pd.DataFrame:
    """Train on one fold's training rows and answer its test rows."""
    from sentiflow.model.baseline import fit_majority, fit_tfidf_logreg
    from sentiflow.model.bundle import save_bundle
    from sentiflow.model.tokenization import encode_texts, fit_vocabulary
    from sentiflow.model.training import train_network

    # Rotating the buckets brings the fold's own to the top, where test is.
    rotated = (buckets.astype(np.int64) - BUCKETS // FOLDS * (fold + 1)) % BUCKETS
    sides = name_splits(rotated.astype(np.int16), SPLIT)
    texts = [reviews["text"][sides == side].tolist() for side in range(3)]
    labels = [reviews["label"][sides == side].to_numpy(np.int8) for side in range(3)]
    vocabulary = fit_vocabulary(texts[0], settings.tokens)
    token_ids = [encode_texts(part, vocabulary, settings.tokens) for part in texts[:2]]
    started = time.monotonic()
    trained = train_network(
        token_ids[0], labels[0], token_ids[1], labels[1], len(vocabulary) + 2,
        settings.network, settings.training,
    )  # fmt: skip
    seconds = time.monotonic() - started
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "network.weights.h5"
        trained.network.save_weights(weights)
        bundle = save_bundle(
            Path(folder) / "bundle", vocabulary, weights, settings, np.empty(0, np.uint64)
        )
        probabilities = bundle.predict(texts[2])
    tuned, _ = fit_tfidf_logreg(
        texts[0], labels[0], texts[1], labels[1], texts[2],
        settings.baseline, settings.training.seed,
    )  # fmt: skip
    answers = pd.DataFrame(
        {
            "label": labels[2],
            "lstm": probabilities,
            "tfidf_logreg": tuned.probabilities,
            "majority": fit_majority(labels[0], len(labels[2])).probabilities,
        }
    )
    answers.attrs.update(seconds=seconds, epochs=len(trained.history))
    accuracy = ((answers[["lstm", "tfidf_logreg"]] >= 0.5).eq(labels[2] == 1, axis=0)).mean()
    print(f"fold {fold}: {accuracy.to_dict()} {seconds:.0f} s", flush=True)
    return answers


def measure(pooled: pd.DataFrame, name: str) -> dict[str, Any]:
    """Return the metrics of one answerer, accuracy and ROC AUC with 95 % intervals."""
    from sentiflow.model.evaluation import score

    labels = pooled["label"].to_numpy()
    values = pooled[name].to_numpy()
    metrics = score(labels, values).as_dict()
    resampled = [
        (
            np.mean((values[rows] >= 0.5) == (labels[rows] == 1)),
            rank_auc(labels[rows], values[rows]),
        )
        for rows in draw_resamples(len(pooled))
    ]
    low, high = np.quantile(resampled, [0.025, 0.975], axis=0)
    return {
        **{key: value for key, value in metrics.items() if key != "confusion"},
        "accuracy_interval": [round(float(low[0]), 4), round(float(high[0]), 4)],
        "roc_auc_interval": [round(float(low[1]), 4), round(float(high[1]), 4)],
    }


def measure_difference(pooled: pd.DataFrame) -> dict[str, Any]:
    """Return how far the LSTM is from the baseline on the same rows, with 95 % intervals."""
    labels = pooled["label"].to_numpy()
    lstm, tfidf = (pooled[name].to_numpy() for name in ("lstm", "tfidf_logreg"))
    gain = ((lstm >= 0.5) == labels).astype(float) - ((tfidf >= 0.5) == labels)
    resampled = [
        (
            gain[rows].mean(),
            rank_auc(labels[rows], lstm[rows]) - rank_auc(labels[rows], tfidf[rows]),
        )
        for rows in draw_resamples(len(pooled))
    ]
    low, high = np.quantile(resampled, [0.025, 0.975], axis=0)
    return {
        "accuracy": round(float(gain.mean()), 4),
        "accuracy_interval": [round(float(low[0]), 4), round(float(high[0]), 4)],
        "roc_auc": round(rank_auc(labels, lstm) - rank_auc(labels, tfidf), 4),
        "roc_auc_interval": [round(float(low[1]), 4), round(float(high[1]), 4)],
    }


def draw_resamples(rows: int) -> list[np.ndarray]:
    """Return the same bootstrap resamples for every answerer, so that differences are paired."""
    random = np.random.default_rng(0)
    return [random.integers(0, rows, rows) for _ in range(RESAMPLES)]


def rank_auc(labels: np.ndarray, values: np.ndarray) -> float:
    """Return the ROC AUC as the Mann-Whitney statistic (Hanley and McNeil, 1982)."""
    from scipy.stats import rankdata

    ranks = rankdata(values)
    positive = labels == 1
    count = int(positive.sum())
    statistic = ranks[positive].sum() - count * (count + 1) / 2
    return float(statistic / (count * (len(labels) - count)))


if __name__ == "__main__":
    main()
