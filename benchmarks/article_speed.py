"""Compare training speed of the article's padding with the default's, on the real reviews.

    python benchmarks/article_speed.py [--data FILE] [--steps 12] [--repeats 3]

`article-2018-verbatim` pads every review to 879 tokens; part of an epoch is enough for its
speed. Both train in this one process on the same rows, turn by turn; the ratio is of the
medians of reviews per second.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from sentiflow.data.ingest.ingest import read_sources
from sentiflow.data.snapshot import read_split
from sentiflow.settings import load_settings, prepare_environment


def main() -> None:
    """Train parts of epochs turn by turn and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="../shared/data/yelp_reviews.jsonl.gz")
    parser.add_argument("--steps", type=int, default=12, help="batches of the verbatim preset")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    presets = {
        "article-2018-verbatim": arguments.steps,
        "article-2018": arguments.steps * 10,
        "default": 150,
    }
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        prepare_environment(home)
        settings = load_settings()
        ingested = read_sources([arguments.data], None, settings, date.today(), home)
        sides = {
            side: read_split(ingested.snapshot, settings.split, side, ["text", "label"])
            for side in ("train", "validation")
        }
    prepared = {name: prepare(name, sides, steps) for name, steps in presets.items()}
    speeds: dict[str, list[float]] = {name: [] for name in presets}
    for _ in range(arguments.repeats):
        for name, work in prepared.items():
            speeds[name].append(train(work))
            print(f"{name}: {speeds[name][-1]:.1f} reviews/s", flush=True)
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    print(
        json.dumps(
            {
                "date": date.today().isoformat(),
                "reviews_per_second": {name: round(value, 1) for name, value in medians.items()},
                "default_over_verbatim": round(
                    medians["default"] / medians["article-2018-verbatim"], 1
                ),
                "default_over_article": round(medians["default"] / medians["article-2018"], 1),
            },
            indent=2,
        )
    )


def prepare(preset: str, sides: dict[str, Any], steps: int) -> dict[str, Any]:
    """Fit a preset's vocabulary and encode its rows; that is not what is timed."""
    from sentiflow.model.tokenization import TokenIds, encode_texts, fit_vocabulary

    settings = load_settings(preset, [f"training.steps_per_epoch={steps}", "training.epochs=1"])
    texts = {side: reviews["text"].tolist() for side, reviews in sides.items()}
    vocabulary = fit_vocabulary(texts["train"], settings.tokens)

    def encode(some: list[str]) -> TokenIds:
        token_ids = encode_texts(some, vocabulary, settings.tokens)
        if settings.network.has_channels:
            # What they hold costs nothing, that they are there does.
            channels = np.zeros((len(token_ids.values), 2), np.float32)
            token_ids = replace(token_ids, channels=channels)
        return token_ids.shorten(settings.tokens)

    return {
        "settings": settings,
        "vocabulary_size": len(vocabulary) + 2,
        "train": encode(texts["train"]),
        # A few validation rows only: validation is not what is timed.
        "validation": encode(texts["validation"][:64]),
        "train_labels": sides["train"]["label"].to_numpy(np.int8),
        "validation_labels": sides["validation"]["label"].to_numpy(np.int8)[:64],
    }


def train(work: dict[str, Any]) -> float:
    """Train part of an epoch and return reviews per second after the first batch."""
    from sentiflow.model.training import train_network

    marks: list[float] = []

    def mark(epoch: int, done: int, batches: int, loss: float) -> None:
        marks.append(time.monotonic())

    trained = train_network(
        work["train"], work["train_labels"], work["validation"], work["validation_labels"],
        work["vocabulary_size"], work["settings"].network, work["settings"].training,
        on_batch=mark,
    )  # fmt: skip
    assert trained.history
    # The first batch pays for tracing the graph.
    return work["settings"].training.batch_size * (len(marks) - 1) / (marks[-1] - marks[0])


if __name__ == "__main__":
    main()
