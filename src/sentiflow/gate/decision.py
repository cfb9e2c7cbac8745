"""Rule on a challenger: findings in, a verdict and its reasons out.

This module touches no service and no file. A value that is no number is never a pass, and
whatever cannot be ruled on keeps the champion.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from sentiflow.gate.findings import Findings
from sentiflow.gate.rule import POLICY, Rule
from sentiflow.gate.rules import RULES, Basis, RuleMaker, rule_on_policy, spend_alpha
from sentiflow.settings import GateSettings

Verdict = Literal["promoted", "waiting", "kept", "not_evaluated"]


@dataclass(frozen=True)
class Decision:
    """The gate's verdict.

    Attributes:
        verdict: promoted, waiting (for a person), kept or not_evaluated; the champion stays in
            all but the first.
        basis: why it may be promoted: the lineage's first, superior, or fresh; else None.
        reasons: sentences; never empty.
        warnings: sentences about what did not block but should be seen.
        rules: every rule that was evaluated.
        alpha: the level that superiority was tested at tonight; None without a champion.
    """

    verdict: Verdict
    basis: Basis | None
    reasons: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    alpha: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON value; numbers that are none become None."""
        return asdict(self) | {"rules": tuple(rule.as_dict() for rule in self.rules)}


def decide(findings: Findings, gate: GateSettings, makers: Sequence[RuleMaker] = RULES) -> Decision:
    """Decide whether the challenger becomes champion.

    It must pass every required rule and, where there is a champion, one of two: be significantly
    better (superior), or no worse than an old champion within the margin (fresh).

    Args:
        findings: what is known about the challenger.
        gate: the thresholds.
        makers: what makes the rules.

    Returns:
        The decision.
    """
    broken = tuple(_list_broken(findings))
    if broken:
        return Decision("not_evaluated", None, (f"Not evaluated: {'; '.join(broken)}.",))
    rules = [rule for make in makers for rule in make(findings, gate)]
    basis: Basis | None = "first"
    alpha = None
    if findings.comparison is not None:
        basis = _find_basis(rules)
        rules.append(rule_on_policy(basis, gate))
        alpha = spend_alpha(gate, findings.looks)
    failed = (*_explain_failures(rules), *findings.blockers, *_explain_policy(basis, rules))
    warnings = tuple(_list_warnings(findings, rules))
    if failed:
        return Decision("kept", None, failed, warnings, tuple(rules), alpha)
    reasons = (_explain_basis(basis, rules), *_explain_passes(rules))
    if gate.approval == "manual":
        waiting = "It waits for a person: sentiflow promote N --reason … (gate.approval=manual)."
        return Decision("waiting", basis, (*reasons, waiting), warnings, tuple(rules), alpha)
    return Decision("promoted", basis, reasons, warnings, tuple(rules), alpha)


def _list_broken(findings: Findings) -> Iterator[str]:
    for name in ("accuracy", "balanced_accuracy", "roc_auc", "ece"):
        if _is_no_number(findings.metrics.get(name)):
            yield f"the challenger's {name} is no number"
    if _is_no_number(findings.baseline_accuracy):
        yield "the baseline's accuracy is no number"
    if _is_no_number(findings.baseline.upper):
        yield "the difference to the baseline is no number"
    if _is_no_number(findings.inspection.difference):
        yield "the artifact's answers in a fresh process are no numbers"
    if _is_no_number(findings.inspection.latency_ms):
        yield "the artifact's latency is no number"
    if findings.champion_version is not None and findings.comparison is None:
        yield f"the challenger was not compared with champion version {findings.champion_version}"
    for against, comparison in (
        ("the champion", findings.comparison),
        (f"version {findings.best_version}", findings.best_comparison),
    ):
        if comparison is not None and _is_no_number(comparison.lower_bound):
            yield f"the difference to {against} is no number"


def _is_no_number(value: float | None) -> bool:
    return value is None or not math.isfinite(value)


def _list_warnings(findings: Findings, rules: list[Rule]) -> Iterator[str]:
    behind = -findings.baseline.value
    if behind > 0:
        points = f"{100 * behind:.2f} points of accuracy"
        yield f"The model loses to the tuned TF-IDF baseline by {points}."
    for rule in rules:
        if rule.group == "reported" and not rule.passed:
            yield f"{rule.sentence} Reported only."


def _find_basis(rules: list[Rule]) -> Basis | None:
    """Return the first group of the policy that has rules and passes them all."""
    bases: tuple[Basis, ...] = ("superior", "fresh")
    for basis in bases:
        outcomes = [rule.passed for rule in rules if rule.group == basis]
        if outcomes and all(outcomes):
            return basis
    return None


def _explain_failures(rules: list[Rule]) -> Iterator[str]:
    for rule in rules:
        if rule.required and not rule.passed and rule.name != POLICY:
            yield rule.sentence


def _explain_policy(basis: Basis | None, rules: list[Rule]) -> Iterator[str]:
    """Return what the policy lacks, and then the policy; nothing where it is met."""
    if basis is not None:
        return
    failed = [rule for rule in rules if rule.group in ("superior", "fresh") and not rule.passed]
    moot = {rule.group for rule in failed if rule.comes_first}
    yield from (rule.sentence for rule in failed if rule.comes_first or rule.group not in moot)
    yield from (rule.sentence for rule in rules if rule.name == POLICY)


def _explain_basis(basis: Basis | None, rules: list[Rule]) -> str:
    if basis == "first":
        return "First night of this lineage: every rule but the paired ones decides."
    return " ".join(rule.sentence for rule in rules if rule.group == basis or rule.comes_first)


def _explain_passes(rules: list[Rule]) -> Iterator[str]:
    required = [rule for rule in rules if rule.required]
    yield f"All {len(required)} required rules pass."
    yield from (rule.sentence for rule in required if rule.is_shown)
