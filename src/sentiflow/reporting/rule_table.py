"""Lay out the gate's rules as a table, from what each says of itself in a decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from sentiflow.rounding import show_in_unit

State = Literal["passed", "failed", "noted"]

_POLICY: Final = "What the policy rests on"
_TITLES: Final = {
    "required": "Required: failing one keeps the champion",
    "superior": _POLICY,
    "fresh": _POLICY,
    "reported": "Reported only",
}
# Of decisions from before rules named their group, or from a version that has others.
_UNNAMED: Final = "Not required by themselves"


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


def tell_rules(rules: Sequence[Mapping[str, Any]]) -> list[RuleGroup]:
    """Return the rules in words, grouped by what they decide.

    Args:
        rules: as in a decision's value.

    Returns:
        The groups that hold a rule: those that decide alone, those that the policy rests on,
        those that are only reported.
    """
    groups: dict[str, list[RuleRow]] = {title: [] for title in (*_TITLES.values(), _UNNAMED)}
    for rule in rules:
        groups[_TITLES.get(_choose_group(rule), _UNNAMED)].append(_tell_rule(rule))
    return [RuleGroup(title, tuple(rows)) for title, rows in groups.items() if rows]


def _choose_group(rule: Mapping[str, Any]) -> str:
    return "required" if rule["required"] else rule.get("group", "")


def _tell_rule(rule: Mapping[str, Any]) -> RuleRow:
    """Return a rule's row; one from before rules had a label and a unit by its name alone."""
    unit = rule.get("unit", "number")
    value, threshold = show_in_unit(rule["value"], rule["threshold"], unit)
    relation = "≥" if rule["relation"] == ">=" else "≤"
    state: State = "noted"
    outcome = "met" if rule["passed"] else "not met"
    match _choose_group(rule):
        case "required":
            outcome = state = "passed" if rule["passed"] else "failed"
        case "reported":
            outcome = f"reported only: {outcome}"
    return RuleRow(
        name=rule.get("label") or rule["name"].replace("_", " ").capitalize(),
        value=value,
        required=threshold if unit == "yes/no" else f"{relation}\u00a0{threshold}",
        outcome=outcome,
        state=state,
    )
