"""Ask registered models: answer texts, score labelled reviews."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sentiflow.model.labels import name_labels
from sentiflow.release.chosen_version import choose_version
from sentiflow.release.open_home import HomeContext


def predict_texts(context: HomeContext, texts: Sequence[str], which: str) -> dict[str, Any]:
    """Return the answers of a registered model to texts.

    Raises:
        NoModelError: there is no such version.
    """
    model = choose_version(context, which).load()
    answers = model.predict(texts)
    rows = [
        {"text": text, "label": label, "probability": round(float(probability), 6)}
        for text, label, probability in zip(texts, name_labels(answers), answers, strict=True)
    ]
    return {
        "model": model.version.name,
        "model_version": model.version.number,
        "predictions": rows,
    }
