"""The code of the registered artifact: MLflow runs this file when it loads a version.

In: a DataFrame with the column `text`. Out: a DataFrame with `label` ("positive" or
"negative") and `probability` (P(positive)), in the order of the rows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext


class SentimentModel(PythonModel):
    """A bundle behind MLflow's pyfunc interface."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the bundle; its probe texts are checked."""
        from sentiflow.model.bundle import load_bundle

        self.bundle = load_bundle(Path(context.artifacts["bundle"]))

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> pd.DataFrame:
        """Answer each text; a missing or non-text value is an error in words."""
        texts = model_input["text"].tolist()
        for position, text in enumerate(texts):
            if not isinstance(text, str):
                raise ValueError(
                    f"text must be a string. Received: row {position} of type "
                    f"{type(text).__name__}."
                )
        probabilities = self.bundle.predict(texts)
        labels = ["positive" if value >= 0.5 else "negative" for value in probabilities]
        return pd.DataFrame({"label": labels, "probability": probabilities})


set_model(SentimentModel())
