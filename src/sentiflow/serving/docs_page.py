"""Describe the service on a page of its own, which needs nothing from the internet."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from sentiflow.pages import render_page
from sentiflow.serving.schemas import PredictRequest

_TEMPLATE: Final = Path(__file__).parent / "templates" / "docs.html"
_EXAMPLE_ANSWER: Final = {
    "model": "sentiflow",
    "model_version": 12,
    "predictions": [
        {"label": "positive", "probability": 0.9527645707130432},
        {"label": "negative", "probability": 0.4662923812866211},
    ],
}


def render_docs(schema: Mapping[str, Any]) -> str:
    """Return the page: a form to try it, and every route of the schema with what it answers.

    Args:
        schema: the interface as OpenAPI has it.
    """
    example: dict[str, Any] = PredictRequest.model_json_schema()["examples"][0]
    return render_page(
        _TEMPLATE,
        {
            **{name: schema["info"][name] for name in ("title", "version", "description")},
            "routes": [
                {"method": method.upper(), "path": path, "summary": route["description"]}
                for path, methods in schema["paths"].items()
                for method, route in methods.items()
            ],
            "example_texts": example["texts"],
            "example_body": json.dumps(example),
            "example_answer": json.dumps(_EXAMPLE_ANSWER, indent=1),
        },
    )
