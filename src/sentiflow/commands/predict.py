"""Ask registered models: answer texts, score labelled reviews."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sentiflow.release.chosen_version import choose_version
from sentiflow.settings import load_settings


def predict_texts(
    texts: Sequence[str], which: str, config: str | None, overrides: Sequence[str], home: Path
) -> dict[str, Any]:
    """Return the answers of a registered model to texts.

    Raises:
        NoModelError: there is no such version.
    """
    settings = load_settings(config, overrides)
    model = choose_version(settings, which, home).load()
    rows = [
        {
            "text": text,
            "label": "positive" if probability >= 0.5 else "negative",
            "probability": round(float(probability), 6),
        }
        for text, probability in zip(texts, model.predict(texts), strict=True)
    ]
    return {
        "model": model.version.name,
        "model_version": model.version.number,
        "predictions": rows,
    }
