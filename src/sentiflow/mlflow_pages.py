"""Name MLflow's pages so that they open on model training, in a browser new to them too."""

from __future__ import annotations

from typing import Final

# Without it a fresh browser opens MLflow's other mode, which knows nothing of trainings.
_QUERY: Final = "workflowType=machine_learning"

START: Final = f"/#/experiments?{_QUERY}"


def open_on_training(page: str) -> str:
    """Return the address of a page of MLflow, with what opens it in the mode of model training.

    >>> open_on_training("http://localhost:5000/#/experiments/1/runs/ab")
    'http://localhost:5000/#/experiments/1/runs/ab?workflowType=machine_learning'
    """
    _, found, inside = page.partition("/#/")
    joint = "&" if "?" in inside else "?"
    return f"{page}{joint}{_QUERY}" if found else page
