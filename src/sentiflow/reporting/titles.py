"""Name metrics, baselines and steps, and put them in order: the same in every report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple


class Metric(NamedTuple):
    """A metric as people read it.

    Attributes:
        name: what a record calls it.
        title: in words; ↓ marks what is better when lower.
        short: for a narrow table; None leaves it out there.
    """

    name: str
    title: str
    short: str | None


METRICS: Final = (
    Metric("accuracy", "Accuracy", "accuracy"),
    Metric("balanced_accuracy", "Balanced accuracy", "balanced"),
    Metric("macro_f1", "Macro F1", "macro F1"),
    Metric("roc_auc", "ROC AUC", "ROC AUC"),
    Metric("average_precision", "Average precision", None),
    Metric("log_loss", "Log loss ↓", "log loss"),
    Metric("brier", "Brier score ↓", "Brier"),
    Metric("ece", "Calibration error ↓", "ECE"),
)
# By name: in tables, and in the legend of a figure.
_BASELINES: Final = {
    "majority": ("majority class", "constant share of positives"),
    "tfidf_logreg": ("TF-IDF, tuned", "TF-IDF + logistic regression, tuned"),
    "tfidf_logreg_default": ("TF-IDF, default", "TF-IDF + logistic regression, default"),
}
_BRANCHES: Final = {"wide": "n-grams", "deep": "network"}
_STEPS: Final = (
    "ingest", "validate", "split", "tokenize", "train", "evaluate", "register", "decide",
)  # fmt: skip


def name_baseline(name: str) -> str:
    """Return what a baseline is called in a table."""
    return _BASELINES.get(name, (name, name))[0]


def describe_baseline(name: str) -> str:
    """Return what a baseline is called in a legend."""
    return _BASELINES.get(name, (name, name))[1]


def describe_branches(branches: Mapping[str, Mapping[str, Any]]) -> str:
    """Return how much n-grams and network count in the answers; "" for a model of one branch.

    >>> describe_branches({"wide": {"share": 0.6, "accuracy": 0.9},
    ...                    "deep": {"share": 0.4, "accuracy": 0.8}})
    'n-grams 60 %, network 40 % of the answers; alone they reach accuracy 0.9000 and 0.8000'
    """
    if not branches:
        return ""
    shares = [f"{words} {branches[name]['share']:.0%}" for name, words in _BRANCHES.items()]
    alone = [f"{branches[name]['accuracy']:.4f}" for name in _BRANCHES]
    joined = ", ".join(shares).replace("%", " %")
    return f"{joined} of the answers; alone they reach accuracy {' and '.join(alone)}"


def list_branches(branches: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return what each branch is called in a table, and what is held of it."""
    return [
        (f"its {words} alone", branches[name])
        for name, words in _BRANCHES.items()
        if name in branches
    ]


def sort_steps(names: Iterable[str]) -> list[str]:
    """Return the steps in a night's order, and after them what is none.

    >>> sort_steps(["total", "train", "ingest"])
    ['ingest', 'train', 'total']
    """
    return sorted(names, key=lambda name: _STEPS.index(name) if name in _STEPS else len(_STEPS))
