"""A night of seconds: settings and reviews that leave every part real."""

from __future__ import annotations

import json
import random
from pathlib import Path

# One second of training: order-free praise and blame are enough for the wiring.
SMALL = (
    "training.epochs=4", "training.averaging=0.5", "training.learning_rate=0.02",
    "training.batch_size=16",
    "tokens.length=16", "tokens.vocabulary_size=200", "network.embedding=8", "network.units=[4]",
    "validation.min_rows=100", "validation.min_test_rows=20", "validation.min_test_class_rows=5",
    "baseline.regularizations=[1.0]", "baseline.min_document_counts=[1]",
    # Sixty test rows and sixteen tokens are no match for TF-IDF, and know no negation.
    "gate.baseline_margin=0.3", "gate.behaviours=report", "gate.resamples=200",
)  # fmt: skip
# The same for the sample and for real reviews, as a person types it.
QUICK = (
    "--set", "training.epochs=4", "--set", "training.averaging=0.9",
    "--set", "network.embedding=16", "--set", "network.units=[8]",
    "--set", "training.learning_rate=0.01",
    "--set", "baseline.regularizations=[1.0]", "--set", "baseline.min_document_counts=[2]",
    # Four epochs of so little do not reach TF-IDF.
    "--set", "gate.baseline_margin=0.2", "--set", "gate.resamples=200",
)  # fmt: skip
PRAISE = ("lovely", "great", "kind", "fresh", "perfect")
BLAME = ("awful", "rude", "cold", "stale", "dirty")
THINGS = ("soup", "waiter", "room", "bread", "coffee", "music", "garden", "price")


def write_plain_reviews(path: Path, rows: int = 400, flip: float = 0.0) -> Path:
    """Reviews whose words give their stars away; `flip` is the share of wrong stars."""
    draw = random.Random(7)
    with path.open("w") as stream:
        for number in range(rows):
            is_good = draw.random() < 0.6
            words = PRAISE if is_good else BLAME
            parts = [f"the {draw.choice(THINGS)} was {draw.choice(words)}" for _ in range(3)]
            stars = draw.choice((4.0, 5.0) if is_good != (draw.random() < flip) else (1.0, 2.0))
            review = {
                "review_id": f"r{number}",
                "user_id": "u",
                "business_id": f"b{number % 4}",
                "stars": stars,
                "text": f"On visit {number} " + " and ".join(parts),
                "date": f"2026-0{number % 5 + 1}-0{number % 9 + 1}",
            }
            stream.write(json.dumps(review) + "\n")
    return path
