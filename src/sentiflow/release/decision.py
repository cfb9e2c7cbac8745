"""Rule on a challenger: values in, a verdict and its reasons out.

This module touches no service and no file. Ties keep the champion, and a value that is no
number is never a pass.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from sentiflow.settings import GateSettings

Verdict = Literal["promoted", "kept", "not_evaluated"]


@dataclass(frozen=True)
class Rule:
    """One rule of the gate and how it came out.

    Attributes:
        name: the rule's name.
        value: what was measured.
        threshold: what was required.
        passed: whether it was met.
        sentence: the outcome in words.
    """

    name: str
    value: float
    threshold: float
    passed: bool
    sentence: str


@dataclass(frozen=True)
class Decision:
    """The gate's verdict.

    Attributes:
        verdict: promoted, kept or not_evaluated (the champion stays in the last two).
        reasons: sentences; never empty.
        rules: every rule that was evaluated.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    rules: tuple[Rule, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON value; numbers that are none become None."""
        value = asdict(self)
        for rule in value["rules"]:
            rule["value"] = rule["value"] if math.isfinite(rule["value"]) else None
        return value


def decide(
    challenger: Mapping[str, float | None],
    champion: Mapping[str, float | None] | None,
    gate: GateSettings,
    is_backfill: bool = False,
) -> Decision:
    """Decide whether the challenger becomes champion.

    Args:
        challenger: its metrics on tonight's test rows: accuracy, balanced_accuracy, roc_auc
            and ece are used.
        champion: the champion's metrics on the same rows, scored tonight; None when the
            lineage has no champion yet.
        gate: the floors.
        is_backfill: whether the night is older than the champion's; such a night registers
            but never moves the champion.

    Returns:
        The decision. The challenger must clear every floor and, where there is a champion,
        have the higher accuracy on the same rows.
    """
    values = {name: _as_number(challenger.get(name)) for name in _USED}
    against = {name: _as_number((champion or {}).get(name)) for name in _USED}
    broken = [f"the challenger's {name} is no number" for name in _USED if _is_none(values[name])]
    if champion is not None and _is_none(against["accuracy"]):
        broken.append("the champion's accuracy is no number")
    if broken:
        return Decision("not_evaluated", (f"Not evaluated: {', '.join(broken)}.",), ())

    rules = [
        _require_at_least("accuracy", values["accuracy"], gate.min_accuracy),
        _require_at_least(
            "balanced_accuracy", values["balanced_accuracy"], gate.min_balanced_accuracy
        ),
        _require_at_least("roc_auc", values["roc_auc"], gate.min_roc_auc),
        _require_at_most("ece", values["ece"], gate.max_ece),
    ]
    if champion is not None:
        rules.append(_require_better(values["accuracy"], against["accuracy"]))
    failed = tuple(rule.sentence for rule in rules if not rule.passed)
    if is_backfill:
        failed += ("The night is older than the champion's: a backfill never moves it.",)
    if failed:
        return Decision("kept", failed, tuple(rules))
    passed = tuple(rule.sentence for rule in rules)
    if champion is None:
        passed = ("First night of this lineage: the floors alone decide.", *passed)
    return Decision("promoted", passed, tuple(rules))


_USED = ("accuracy", "balanced_accuracy", "roc_auc", "ece")


def _as_number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _is_none(value: float) -> bool:
    return not math.isfinite(value)


def _require_at_least(name: str, value: float, floor: float) -> Rule:
    passed = value >= floor
    relation = "reaches" if passed else "is below"
    label = name.replace("_", " ")
    sentence = f"Test {label} {value:.4f} {relation} the floor {floor:g}."
    return Rule(f"min_{name}", value, floor, passed, sentence)


def _require_at_most(name: str, value: float, ceiling: float) -> Rule:
    passed = value <= ceiling
    relation = "stays within" if passed else "exceeds"
    sentence = f"Test {name.upper()} {value:.4f} {relation} the limit {ceiling:g}."
    return Rule(f"max_{name}", value, ceiling, passed, sentence)


def _require_better(value: float, champion: float) -> Rule:
    passed = value > champion
    if passed:
        sentence = f"Accuracy {value:.4f} beats the champion's {champion:.4f} on the same rows."
    elif value == champion:
        sentence = f"Accuracy {value:.4f} ties the champion's on the same rows: ties keep."
    else:
        sentence = f"Accuracy {value:.4f} is below the champion's {champion:.4f} on the same rows."
    return Rule("better_than_champion", value, champion, passed, sentence)
