"""Measure a preset on the real reviews: five folds over the buckets, out of fold.

Fold k's test rows are the buckets from 2000 k; the 10 % below them validate, the rest trains.
Every review is answered once by a model that never saw it; metrics are of the pooled answers,
with 95 % bootstrap intervals over reviews, beside the tuned TF-IDF baseline and either branch
alone on the same rows. "own gain" is what the network adds to the n-grams.

    python benchmarks/quality.py [--data FILE] [--config PRESET] [--folds 0 1 2 3 4]
        [--restaurants BUSINESSES] [--keep ANSWERS.parquet] [--read ANSWERS.parquet …]
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sentiflow.data.ingest.ingest import read_sources
from sentiflow.data.snapshot import read_shards
from sentiflow.data.splitting import BUCKETS, assign_buckets, assign_folds, name_splits
from sentiflow.settings import Settings, SplitSettings, load_settings, prepare_environment

FOLDS = 5
LONG = 155
ANSWERERS = ("model", "wide", "deep", "tfidf_logreg", "majority")
RESAMPLES = 2_000
SPLIT = SplitSettings(test_share=1 / FOLDS, validation_share=0.1)


def main() -> None:
    """Run the folds and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="../shared/data/yelp_reviews.jsonl.gz")
    parser.add_argument("--config", default="default")
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--folds", type=int, nargs="+", default=list(range(FOLDS)))
    parser.add_argument("--restaurants", help="a businesses file: only its restaurants")
    parser.add_argument("--keep", help="where the answers go, without any text")
    parser.add_argument("--read", nargs="+", help="answers that were kept, in place of training")
    arguments = parser.parse_args()
    if arguments.read:
        pooled = pd.concat(map(pd.read_parquet, arguments.read), ignore_index=True)
        pooled = pooled[pooled["fold"].isin(arguments.folds)]
        print(json.dumps(report_quality(pooled), indent=2))
        return
    settings = load_settings(arguments.config, arguments.overrides)
    if arguments.restaurants:
        settings = load_settings("restaurants", arguments.overrides)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        prepare_environment(home)
        ingested = read_sources(
            [arguments.data], arguments.restaurants, settings, date.today(), home
        )
        columns = ["text", "label", "text_digest"]
        reviews = pd.concat(list(read_shards(ingested.snapshot, columns)), ignore_index=True)
        parts = []
        for fold in arguments.folds:
            parts.append(answer_fold(reviews, fold, settings))
            if arguments.keep:
                pd.concat(parts).to_parquet(arguments.keep)
    pooled = pd.concat(parts, ignore_index=True)
    report = {
        "date": date.today().isoformat(),
        "machine": f"{platform.machine()}, {platform.python_version()}",
        "fingerprint": ingested.snapshot.fingerprint,
        "config": arguments.config,
        "overrides": arguments.overrides,
        "seed": settings.training.seed,
        "folds": arguments.folds,
        **report_quality(pooled),
        "cpu_seconds": [round(part.attrs["cpu_seconds"], 1) for part in parts],
        "epochs": [part.attrs["epochs"] for part in parts],
    }
    print(json.dumps(report, indent=2))


def report_quality(pooled: pd.DataFrame) -> dict[str, Any]:
    """Return the metrics of every answerer, and the differences that goals are about."""
    names = [name for name in ANSWERERS if name in pooled]
    long = pooled[pooled["words"] > LONG]
    report = {
        "rows": len(pooled),
        **{name: measure(pooled, name) for name in names},
        "against the baseline": measure_difference(pooled, "model", "tfidf_logreg"),
    }
    if "wide" in pooled:
        report |= {
            "own gain": measure_difference(pooled, "model", "wide"),
            f"own gain above {LONG} words": measure_difference(long, "model", "wide"),
        }
    return report


def answer_fold(reviews: pd.DataFrame, fold: int, settings: Settings) -> pd.DataFrame:
    """Train on one fold's training rows and answer its test rows."""
    from scipy.special import expit

    from sentiflow.model.baseline import fit_majority, fit_tfidf_logreg

    digests = reviews["text_digest"].to_numpy(np.uint64)
    # Rotating the buckets brings the fold's own to the top, where test is.
    rotated = (assign_buckets(digests).astype(np.int64) - BUCKETS // FOLDS * (fold + 1)) % BUCKETS
    sides = name_splits(rotated.astype(np.int16), SPLIT)
    texts = [reviews["text"][sides == side].tolist() for side in range(3)]
    labels = [reviews["label"][sides == side].to_numpy(np.int8) for side in range(3)]
    started = time.process_time()
    bundle, epochs = fit_model(texts, labels, digests[sides == 0], settings)
    seconds = time.process_time() - started
    tuned, _ = fit_tfidf_logreg(
        texts[0], labels[0], texts[1], labels[1], texts[2],
        settings.baseline, settings.training.seed,
    )  # fmt: skip
    branches = bundle.predict_branches(texts[2]) or {}
    answers = pd.DataFrame(
        {
            "fold": fold,
            "words": [len(text.split()) for text in texts[2]],
            "label": labels[2],
            "model": bundle.predict(texts[2]),
            **{name: expit(log_odds) for name, log_odds in branches.items()},
            "tfidf_logreg": tuned.probabilities,
            "majority": fit_majority(labels[0], len(labels[2])).probabilities,
        }
    )
    answers.attrs.update(cpu_seconds=seconds, epochs=epochs)
    print(f"fold {fold}: answered, {seconds:.0f} CPU s", file=sys.stderr, flush=True)
    return answers


def fit_model(
    texts: list[list[str]],
    labels: list[np.ndarray],
    digests: np.ndarray,
    settings: Settings,
) -> tuple[Any, int]:
    """Fit a model on texts and labels of train and validation; returns its bundle and epochs."""
    from sentiflow.model.bundle import save_bundle
    from sentiflow.model.stack import fit_stack, to_log_odds
    from sentiflow.model.tokenization import encode_texts, fit_vocabulary
    from sentiflow.model.training import answer, train_network
    from sentiflow.model.wide import INNER_FOLDS, fit_wide

    vocabulary = fit_vocabulary(texts[0], settings.tokens)
    size = len(vocabulary) + 2
    train, validation = (encode_texts(part, vocabulary, settings.tokens) for part in texts[:2])
    fit = stack = None
    if settings.network.wide:
        folds = assign_folds(digests, INNER_FOLDS)
        fit = fit_wide(train, labels[0], validation, labels[1], folds, size, settings.wide)
    if fit is not None and settings.network.has_channels:
        train = replace(train, channels=fit.train_channels)
        validation = replace(validation, channels=fit.validation_channels)
    train, validation = train.shorten(settings.tokens), validation.shorten(settings.tokens)
    trained = train_network(
        train, labels[0], validation, labels[1], size, settings.network, settings.training
    )
    if fit is not None:
        deep = to_log_odds(answer(trained.network, validation))
        stack = fit_stack(fit.validation_logits, deep, labels[1])
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "network.weights.h5"
        trained.network.save_weights(weights)
        bundle = save_bundle(
            Path(folder) / "bundle", vocabulary, weights, settings, np.empty(0, np.uint64),
            None if fit is None else fit.branch, stack,
        )  # fmt: skip
    return bundle, len(trained.history)


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


def measure_difference(pooled: pd.DataFrame, one: str, other: str) -> dict[str, Any]:
    """Return how far one answerer is from another on the same rows, with 95 % intervals."""
    labels = pooled["label"].to_numpy()
    ours, theirs = (pooled[name].to_numpy(np.float64) for name in (one, other))
    gain = ((ours >= 0.5) == labels).astype(float) - ((theirs >= 0.5) == labels)
    loss = measure_losses(labels, ours) - measure_losses(labels, theirs)

    def compare(rows: np.ndarray | slice) -> tuple[float, float, float]:
        auc = rank_auc(labels[rows], ours[rows]) - rank_auc(labels[rows], theirs[rows])
        return float(gain[rows].mean()), auc, float(loss[rows].mean())

    values = compare(slice(None))
    low, high = np.quantile(
        [compare(rows) for rows in draw_resamples(len(pooled))], [0.025, 0.975], axis=0
    )
    return {
        name: [round(values[at], 4), round(float(low[at]), 4), round(float(high[at]), 4)]
        for at, name in enumerate(("accuracy", "roc_auc", "log_loss"))
    }


def measure_losses(labels: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return each row's log loss."""
    said = np.clip(np.where(labels == 1, values, 1 - values), 1e-7, 1)
    losses: np.ndarray = -np.log(said)
    return losses


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
