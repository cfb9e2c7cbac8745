"""Nightly retraining of a text classifier.

What may be imported is `predict`, `load` and `run`, what they return (`Model`, `NightRecord`) and
`errors`. Nothing is loaded before it is used.
"""

from __future__ import annotations

# For type checkers and editors alone; to import typing would cost more than all of the rest.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from sentiflow import errors
    from sentiflow.api import Model, load, predict, run
    from sentiflow.reporting.record import NightRecord

__version__ = "0.3.0"
__all__ = ["Model", "NightRecord", "__version__", "errors", "load", "predict", "run"]

_PLACES = {
    "Model": "sentiflow.api",
    "NightRecord": "sentiflow.reporting.record",
    "load": "sentiflow.api",
    "predict": "sentiflow.api",
    "run": "sentiflow.api",
}


def __getattr__(name: str) -> object:
    """Return a public name; its module is imported when it is first asked for."""
    from importlib import import_module

    if name == "errors":
        return import_module("sentiflow.errors")
    if name not in _PLACES:
        raise AttributeError(f"module 'sentiflow' has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    """Return the names, with those that are not loaded yet."""
    return sorted({*globals(), *__all__} - {"TYPE_CHECKING"})
