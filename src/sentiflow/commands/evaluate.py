"""Score a registered model on labelled reviews."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sentiflow.data.ingest.ingest import read_sources
from sentiflow.data.reading.listing import list_source_files
from sentiflow.data.snapshot import SNAPSHOT_COLUMNS, read_shards
from sentiflow.dates import read_today
from sentiflow.errors import DataRejected
from sentiflow.files import make_temporary_prefix
from sentiflow.release.chosen_version import choose_version
from sentiflow.release.open_home import HomeContext

if TYPE_CHECKING:
    from sentiflow.release.registry import Version


def evaluate_version(
    context: HomeContext, data: Sequence[str], businesses: str | None, which: str
) -> dict[str, Any]:
    """Score a registered model on every labelled review of the sources.

    Returns:
        `model`, `model_version`, `rows`, `quarantined`, `seen_share` (share of the rows whose
        text the model trained on), `metrics` and `slices`.

    Raises:
        NoModelError: there is no such version.
        DataRejected: no row could be used.
    """
    from sentiflow.model.evaluation import count_words, score, score_slices, split_lengths

    settings, home = context.settings, context.home
    # A wrong path is told before a model is loaded for it.
    list_source_files(data, settings.data)
    model = choose_version(context, which).load()
    with tempfile.TemporaryDirectory(prefix=make_temporary_prefix(), dir=home) as folder:
        ingested = read_sources(
            data, businesses, settings, read_today(settings.schedule), Path(folder)
        )
        if ingested.snapshot.rows == 0:
            raise DataRejected(
                [
                    f"An evaluation needs at least one usable row. Received: "
                    f"{ingested.profile.rows_read} rows, {ingested.profile.quarantined} "
                    f"quarantined ({ingested.profile.rejected_by_rule})."
                ]
            )
        # A shard's texts are let go once they are answered and counted.
        parts = []
        for reviews in read_shards(ingested.snapshot, SNAPSHOT_COLUMNS):
            texts = reviews.pop("text").tolist()
            parts.append(reviews.assign(probability=model.predict(texts), words=count_words(texts)))
    reviews = pd.concat(parts, ignore_index=True)
    labels = reviews["label"].to_numpy(np.int8)
    probabilities = reviews["probability"].to_numpy(np.float32)
    edges = _read_length_edges(model.version) or split_lengths(reviews["words"])
    slices = score_slices(reviews, labels, probabilities, edges)
    seen = np.isin(reviews["text_digest"].to_numpy(np.uint64), model.read_trained_on())
    return {
        "model": model.version.name,
        "model_version": model.version.number,
        "rows": len(reviews),
        "quarantined": ingested.profile.quarantined,
        "seen_share": round(float(seen.mean()), 6),
        "metrics": score(labels, probabilities).as_dict(),
        "slices": [part.as_dict() for part in slices],
    }


def _read_length_edges(version: Version) -> tuple[float, float, float] | None:
    """Return the lengths that the slices of the version's night had; None where MLflow lost them.

    Anyone can remove a tag in MLflow's page.
    """
    try:
        low, middle, high = json.loads(version.tags["sentiflow.length_edges"])
    except (KeyError, ValueError, TypeError):
        return None
    return float(low), float(middle), float(high)


def format_evaluation(evaluation: dict[str, Any]) -> str:
    """Return an evaluation as text."""
    metrics = evaluation["metrics"]
    lines = [
        f"{evaluation['model']} version {evaluation['model_version']} on "
        f"{evaluation['rows']:,} reviews ({evaluation['quarantined']:,} quarantined)",
    ]
    if evaluation["seen_share"] > 0:
        lines.append(
            f"  Warning: the model trained on {evaluation['seen_share']:.1%} of these texts; the "
            "figures flatter it."
        )
    lines += [
        f"  {name:<18} {value:.4f}" for name, value in metrics.items() if isinstance(value, float)
    ]
    lines += [
        f"  {part['kind']:<9} {part['name']:<24} {part['rows']:>7,} rows  accuracy "
        f"{part['metrics']['accuracy']:.4f}"
        for part in evaluation["slices"]
    ]
    return "\n".join(lines)
