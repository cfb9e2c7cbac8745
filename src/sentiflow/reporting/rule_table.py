"""Tell each rule of the gate in words: what it is about, its value, what was required, how it went.

A rule that is not known here is shown by its name with plain numbers, so that a new one need not
be entered before it can be read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from sentiflow.reporting.rounding import (
    Show,
    show_apart,
    show_megabytes,
    show_milliseconds,
    show_number,
    show_percent,
    show_points,
    show_significant,
)

State = Literal["passed", "failed", "noted"]


@dataclass(frozen=True)
class RuleRow:
    """One rule as the table shows it.

    Attributes:
        name: what it is about.
        value: what was measured.
        required: relation and threshold.
        outcome: how it went, in words.
        state: passed or failed when it decides alone, else noted.
    """

    name: str
    value: str
    required: str
    outcome: str
    state: State


@dataclass(frozen=True)
class RuleGroup:
    """Rules with the same say.

    Attributes:
        title: what failing one of them means.
        rows: the rules, in their order.
    """

    title: str
    rows: tuple[RuleRow, ...]


@dataclass(frozen=True)
class _Manner:
    """How a rule is told: its name in words, and how its numbers are shown."""

    words: str
    show: Show
    digits: int


def _show_yes(value: float | None, digits: int) -> str:
    """Return yes or no; there are no digits to choose."""
    del digits
    return "yes" if value else "no"


def _show_nights(value: float | None, digits: int) -> str:
    return show_number(value, digits) + ("\u00a0night" if value == 1 else "\u00a0nights")


_MANNERS: Final = {
    "min_accuracy": _Manner("Accuracy", show_number, 4),
    "min_balanced_accuracy": _Manner("Balanced accuracy", show_number, 4),
    "min_roc_auc": _Manner("ROC AUC", show_number, 4),
    "max_ece": _Manner("Calibration error", show_number, 4),
    "baseline_margin": _Manner("Accuracy against the tuned TF-IDF baseline", show_points, 2),
    "fresh_process_difference": _Manner(
        "Fresh process: largest difference of an answer", show_significant, 2
    ),
    "fresh_process_labels": _Manner("Fresh process: other labels", show_number, 0),
    "odd_text_failures": _Manner("Odd texts without a sound answer", show_number, 0),
    "max_latency_ms": _Manner("Latency of one text of 100 words", show_milliseconds, 1),
    "max_artifact_mb": _Manner("Size of the artifact", show_megabytes, 1),
    "max_churn": _Manner("Labels changed against the champion", show_percent, 2),
    "newest_rows": _Manner("No worse on the newest rows (p)", show_significant, 3),
    "superior": _Manner("Better than the champion (p)", show_significant, 3),
    "champion_age": _Manner("Age of the champion", _show_nights, 0),
    "not_a_copy": _Manner("No copy of the champion", _show_yes, 0),
    "non_inferior_to_champion": _Manner("No worse than the champion (lower bound)", show_points, 2),
    "non_inferior_to_best_of_year": _Manner(
        "No worse than the best of the year (lower bound)", show_points, 2
    ),
    "policy": _Manner("Superior or, where the policy allows it, fresh", _show_yes, 0),
}
_SLICE: Final = "slice_"
_BEHAVIOUR: Final = "behaviour_"
# What the rule "policy" sums up.
_POLICY_PARTS: Final = ("superior", "champion_age", "not_a_copy", "non_inferior_to_")
_GROUPS: Final = (
    "Required: failing one keeps the champion",
    "What the policy rests on",
    "Reported only",
)


def tell_rules(rules: Sequence[Mapping[str, Any]]) -> list[RuleGroup]:
    """Return the rules in words, grouped by what they decide.

    Args:
        rules: as in a decision's value.

    Returns:
        The groups that hold a rule: those that decide alone, those that the policy rests on,
        those that are only reported.
    """
    groups: dict[str, list[RuleRow]] = {title: [] for title in _GROUPS}
    for rule in rules:
        groups[_GROUPS[_choose_group(rule)]].append(_tell_rule(rule))
    return [RuleGroup(title, tuple(rows)) for title, rows in groups.items() if rows]


def _choose_group(rule: Mapping[str, Any]) -> int:
    if rule["required"]:
        return 0
    return 1 if rule["name"].startswith(_POLICY_PARTS) else 2


def _tell_rule(rule: Mapping[str, Any]) -> RuleRow:
    manner = _choose_manner(rule)
    value, threshold = show_apart(rule["value"], rule["threshold"], manner.show, manner.digits)
    relation = "≥" if rule["relation"] == ">=" else "≤"
    state: State = "noted"
    if rule["required"]:
        state = "passed" if rule["passed"] else "failed"
    group = _choose_group(rule)
    met = "met" if rule["passed"] else "not met"
    return RuleRow(
        name=manner.words,
        value=value,
        required=threshold if manner.show is _show_yes else f"{relation}\u00a0{threshold}",
        outcome=(state, met, f"reported only: {met}")[group],
        state=state,
    )


def _choose_manner(rule: Mapping[str, Any]) -> _Manner:
    name = rule["name"]
    if name == "newest_rows" and rule["threshold"] >= 1:
        # Too few to be compared, so they were counted instead.
        return _Manner("Newest rows, enough to judge", show_number, 0)
    if name.startswith(_SLICE):
        kind, _, part = name.removeprefix(_SLICE).partition("_")
        return _Manner(f"No worse in slice {kind}: {part} (p)", show_significant, 3)
    if name.startswith(_BEHAVIOUR):
        words = name.removeprefix(_BEHAVIOUR).replace("_", " ")
        return _Manner(f"Behaviour: {words}", show_percent, 1)
    return _MANNERS.get(name) or _Manner(name.replace("_", " "), show_number, 4)
