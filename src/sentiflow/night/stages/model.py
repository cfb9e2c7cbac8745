"""The stages about the model: tokenize, train, evaluate."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sentiflow.data.snapshot import read_split
from sentiflow.data.splitting import SPLITS, assign_folds
from sentiflow.files import digest_file, write_json
from sentiflow.model.engine import load_engine
from sentiflow.night.night import Night, prefix_metrics
from sentiflow.night.stages.data import Splits
from sentiflow.settings import Settings

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tokens:
    """Where vocabulary and token ids lie, and the digest of the vocabulary."""

    folder: Path
    vocabulary_size: int
    digest: str


@dataclass(frozen=True)
class Trained:
    """Where the trained bundle lies, and how training went."""

    bundle: Path
    digest: str
    history: list[dict[str, float]]
    best_epoch: int


@dataclass(frozen=True)
class Evaluated:
    """Test metrics of the night's model, its branches and the baselines; answers: in `folder`."""

    folder: Path
    metrics: dict[str, Any]
    baselines: dict[str, dict[str, Any]]
    branches: dict[str, dict[str, Any]]
    length_edges: tuple[float, float, float]


def tokenize(night: Night, splits: Splits) -> Tokens:
    """Fit the vocabulary on the training side and encode training and validation rows."""
    settings = night.settings

    def compute(folder: Path) -> dict[str, Any]:
        load_engine()
        from sentiflow.model.tokenization import encode_texts, fit_vocabulary, save_vocabulary
        from sentiflow.model.wide import INNER_FOLDS

        labels = {}
        vocabulary: list[str] = []
        for side in ("train", "validation"):
            reviews = read_split(
                splits.snapshot, settings.split, side, ["text", "label", "text_digest"]
            )
            texts = reviews["text"].tolist()
            digests = reviews["text_digest"].to_numpy(dtype=np.uint64)
            if side == "train":
                vocabulary = fit_vocabulary(texts, settings.tokens)
                save_vocabulary(folder / "vocabulary.json", vocabulary)
            encode_texts(texts, vocabulary, settings.tokens).save(folder / f"{side}.npz")
            labels[side] = reviews["label"].to_numpy(dtype=np.int8)
            labels[f"{side}_folds"] = assign_folds(digests, INNER_FOLDS)
        np.savez(folder / "labels.npz", **labels)  # type: ignore[arg-type]
        return {"vocabulary_size": len(vocabulary) + 2}

    inputs = {"split": splits.digest, "tokens": settings.tokens.model_dump(mode="json")}
    folder, result = night.steps.run("tokenize", inputs, compute)
    return Tokens(
        folder=folder,
        vocabulary_size=result["vocabulary_size"],
        digest=night.steps.key("tokenize", inputs),
    )


def train(night: Night, splits: Splits, tokens: Tokens) -> Trained:
    """Fit the wide branch, train the network in a child process, and join both into a bundle."""
    settings = night.settings
    wide_folder = fit_wide_branch(night, tokens) if settings.network.wide else None
    inputs = {
        "tokens": tokens.digest,
        "wide": settings.wide.model_dump(mode="json") if settings.network.wide else None,
        "network": settings.network.model_dump(mode="json"),
        "training": settings.training.model_dump(mode="json", exclude={"max_minutes"}),
    }
    checkpoint = night.home / "checkpoints" / night.steps.key("train", inputs)[:32]

    def log_epoch(log: dict[str, float]) -> None:
        epoch = int(log["epoch"])
        night.run.log_metrics(
            {f"epoch/{name}": value for name, value in log.items() if name != "epoch"},
            step=epoch,
        )
        logger.info(
            "train: epoch %d loss %.4f accuracy %.4f val_loss %.4f val_accuracy %.4f (%.0f s)",
            epoch, log["loss"], log["accuracy"], log["val_loss"], log["val_accuracy"],
            log["seconds"],
        )  # fmt: skip

    def compute(folder: Path) -> dict[str, Any]:
        load_engine()
        from sentiflow.model.training_process import TrainingJob, train_in_child

        if night.request.force:
            shutil.rmtree(checkpoint, ignore_errors=True)
        job = TrainingJob(
            tokens_folder=str(tokens.folder),
            vocabulary_size=tokens.vocabulary_size,
            channels_folder=str(wide_folder) if settings.network.has_channels else None,
            tokens=settings.tokens,
            network=settings.network,
            training=settings.training,
            checkpoint=str(checkpoint),
            output=str(folder),
        )
        trained = train_in_child(job, log_epoch)
        _save_joined(settings, splits, tokens, wide_folder, folder)
        return {**trained, "model_digest": digest_file(folder / "bundle" / "model.keras")}

    folder, result = night.steps.run("train", inputs, compute)
    if "train" in night.steps.reused:
        # The curves belong to this run too, though its epochs ran in an earlier one.
        for log in result["history"]:
            log_epoch(log)
    shutil.rmtree(checkpoint, ignore_errors=True)
    return Trained(
        bundle=folder / "bundle",
        digest=night.steps.key("train", inputs),
        history=result["history"],
        best_epoch=result["best_epoch"],
    )


def fit_wide_branch(night: Night, tokens: Tokens) -> Path:
    """Fit the n-grams beside the network; returns the folder with the branch and its channels."""
    settings = night.settings

    def compute(folder: Path) -> dict[str, Any]:
        load_engine()
        from sentiflow.model.tokenization import TokenIds
        from sentiflow.model.wide import fit_wide

        with np.load(tokens.folder / "labels.npz", allow_pickle=False) as labels:
            fit = fit_wide(
                TokenIds.load(tokens.folder / "train.npz"),
                labels["train"],
                TokenIds.load(tokens.folder / "validation.npz"),
                labels["validation"],
                labels["train_folds"],
                tokens.vocabulary_size,
                settings.wide,
            )
        fit.branch.save(folder / "branch.npz")
        np.save(folder / "train.npy", fit.train_channels)
        np.save(folder / "validation.npy", fit.validation_channels)
        np.save(folder / "validation_logits.npy", fit.validation_logits)
        return fit.notes

    inputs = {"tokens": tokens.digest, "wide": settings.wide.model_dump(mode="json")}
    folder, notes = night.steps.run("wide", inputs, compute)
    logger.info(
        "train: wide branch of %s n-grams, C %g, validation loss %.4f",
        f"{notes['ngrams']:,}", notes["C"], notes["validation_log_loss"],
    )  # fmt: skip
    night.run.log_json(notes, "training/wide.json")
    for sentence in describe_limits(notes):
        night.warn(sentence)
    return folder


def describe_limits(notes: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each limit of the wide branch that cut something off."""
    sentences = []
    if notes["rows"] < notes["rows_available"]:
        sentences.append(
            f"The wide branch was fitted on {notes['rows']:,} of {notes['rows_available']:,} "
            "training rows (wide.max_rows)."
        )
    if notes["ngrams"] < notes["ngrams_found"]:
        sentences.append(
            f"The wide branch keeps the {notes['ngrams']:,} most frequent of "
            f"{notes['ngrams_found']:,} n-grams (wide.max_ngrams)."
        )
    return sentences


def _save_joined(
    settings: Settings, splits: Splits, tokens: Tokens, wide_folder: Path | None, folder: Path
) -> None:
    """Save the bundle of the network that was trained into the folder, and its wide branch."""
    from sentiflow.model.bundle import save_bundle
    from sentiflow.model.stack import fit_stack, to_log_odds
    from sentiflow.model.tokenization import load_vocabulary
    from sentiflow.model.wide import WideBranch

    wide = stack = None
    if wide_folder is not None:
        wide = WideBranch.load(wide_folder / "branch.npz")
        with np.load(tokens.folder / "labels.npz", allow_pickle=False) as labels:
            stack = fit_stack(
                np.load(wide_folder / "validation_logits.npy", allow_pickle=False),
                to_log_odds(np.load(folder / "validation_probabilities.npy", allow_pickle=False)),
                labels["validation"],
            )
    # Validation rows chose the epoch and the stack's weights: they have been seen too.
    seen = [
        read_split(splits.snapshot, settings.split, side, ["text_digest"])["text_digest"]
        for side in ("train", "validation")
    ]
    save_bundle(
        folder / "bundle",
        load_vocabulary(tokens.folder / "vocabulary.json"),
        folder / "network.weights.h5",
        settings,
        np.concatenate([digests.to_numpy(dtype=np.uint64) for digests in seen]),
        wide,
        stack,
    )


def evaluate(night: Night, splits: Splits, trained: Trained) -> Evaluated:
    """Score the model and the baselines on the test side, and draw the figures."""
    settings = night.settings

    def compute_baselines(folder: Path) -> dict[str, Any]:
        from sentiflow.model.baseline import fit_majority, fit_tfidf_logreg

        sides = {
            side: read_split(splits.snapshot, settings.split, side, ["text", "label"])
            for side in SPLITS
        }
        texts = {side: reviews["text"].tolist() for side, reviews in sides.items()}
        labels = {side: reviews["label"].to_numpy(np.int8) for side, reviews in sides.items()}
        majority = fit_majority(labels["train"], len(texts["test"]))
        tuned, default = fit_tfidf_logreg(
            texts["train"], labels["train"], texts["validation"], labels["validation"],
            texts["test"], settings.baseline, settings.training.seed,
        )  # fmt: skip
        fitted = (majority, tuned, default)
        np.savez(
            folder / "answers.npz",
            **{baseline.name: baseline.probabilities for baseline in fitted},  # type: ignore[arg-type]
        )
        return {baseline.name: baseline.notes for baseline in fitted}

    baseline_inputs = {
        "split": splits.digest,
        "baseline": settings.baseline.model_dump(mode="json"),
        "seed": settings.training.seed,
    }
    logger.info("evaluate: baselines on %s training reviews", f"{splits.rows['train']:,}")
    baseline_folder, notes = night.steps.run("baseline", baseline_inputs, compute_baselines)

    def compute(folder: Path) -> dict[str, Any]:
        return _score_test_rows(night, splits, trained, baseline_folder, folder)

    inputs = {"trained": trained.digest, "baselines": night.steps.key("baseline", baseline_inputs)}
    folder, result = night.steps.run("evaluate", inputs, compute)
    night.run.log_files(sorted((folder / "figures").iterdir()), "figures")
    night.run.log_files([folder / "answers.parquet", folder / "slices.json"], "evaluation")
    night.run.log_json(notes, "evaluation/baselines.json")
    night.run.log_metrics(prefix_metrics("test", result["metrics"]))
    for name, metrics in result["baselines"].items():
        night.run.log_metrics(prefix_metrics(f"test_{name}", metrics))
    for name, metrics in result["branches"].items():
        night.run.log_metrics(prefix_metrics(f"test_{name}", metrics))
    night.note(
        metrics=result["metrics"], baselines=result["baselines"], branches=result["branches"]
    )
    return Evaluated(
        folder=folder,
        metrics=result["metrics"],
        baselines=result["baselines"],
        branches=result["branches"],
        length_edges=tuple(result["length_edges"]),
    )


def _score_test_rows(
    night: Night, splits: Splits, trained: Trained, baselines: Path, folder: Path
) -> dict[str, Any]:
    load_engine()
    from sentiflow.model.branches import score_branches
    from sentiflow.model.bundle import load_bundle
    from sentiflow.model.evaluation import measure_length_edges, score, score_slices
    from sentiflow.reporting.figures import draw_all

    settings = night.settings
    columns = ["review_id", "text", "label", "stars", "date", "categories"]
    reviews = read_split(splits.snapshot, settings.split, "test", columns)
    labels = reviews["label"].to_numpy(np.int8)
    bundle = load_bundle(trained.bundle)
    started = time.monotonic()
    probabilities = bundle.predict(reviews["text"].tolist())
    seconds = time.monotonic() - started
    metrics = score(labels, probabilities).as_dict()
    metrics["examples_per_second"] = len(labels) / max(seconds, 1e-9)

    train_texts = read_split(splits.snapshot, settings.split, "train", ["text"])["text"]
    edges = measure_length_edges(train_texts)
    slices = score_slices(reviews, labels, probabilities, edges)
    write_json(folder / "slices.json", [part.as_dict() for part in slices])
    answers = reviews[["review_id", "label"]].assign(probability=probabilities)
    answers.to_parquet(folder / "answers.parquet", index=False)
    with np.load(baselines / "answers.npz", allow_pickle=False) as stored:
        others = {name: stored[name] for name in stored.files}
    (folder / "figures").mkdir()
    draw_all(folder / "figures", trained.history, labels, probabilities, others, slices)
    return {
        "metrics": metrics,
        "branches": score_branches(bundle, reviews["text"].tolist(), labels),
        "baselines": {name: score(labels, values).as_dict() for name, values in others.items()},
        "length_edges": list(edges),
    }
