"""Rule on a challenger: findings in, a verdict and its reasons out.

This module touches no service and no file. A value that is no number is never a pass, and
whatever cannot be ruled on keeps the champion.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from sentiflow.gate.findings import Findings
from sentiflow.gate.rules import (
    Basis,
    Rule,
    rule_on_artifact,
    rule_on_baseline,
    rule_on_behaviours,
    rule_on_changes,
    rule_on_floors,
    rule_on_freshness,
    rule_on_policy,
    rule_on_superiority,
)
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
        value = asdict(self)
        for rule in value["rules"]:
            rule["value"] = rule["value"] if math.isfinite(rule["value"]) else None
        return value


def decide(findings: Findings, gate: GateSettings) -> Decision:
    """Decide whether the challenger becomes champion.

    It must pass every required rule: the floors, the baseline, the release checks, the
    behaviours and, where there is a champion, churn, slices and one of two: be significantly
    better (superior), or no worse than an old champion within the margin (fresh).

    Args:
        findings: what is known about the challenger.
        gate: the thresholds.

    Returns:
        The decision.
    """
    broken = tuple(_list_broken(findings))
    if broken:
        return Decision("not_evaluated", None, (f"Not evaluated: {'; '.join(broken)}.",))
    rules = [
        *rule_on_floors(findings, gate),
        rule_on_baseline(findings, gate),
        *rule_on_artifact(findings, gate),
        *rule_on_behaviours(findings, gate),
    ]
    basis: Basis | None = "first"
    alpha = None
    if findings.comparison is not None:
        alpha = spend_alpha(gate, findings.looks)
        superior = rule_on_superiority(findings.comparison, alpha)
        fresh = tuple(rule_on_freshness(findings, findings.comparison, gate))
        is_fresh = bool(fresh) and all(rule.passed for rule in fresh)
        basis = "superior" if superior.passed else "fresh" if is_fresh else None
        rules += [
            *rule_on_changes(findings, findings.comparison, gate),
            superior,
            *fresh,
            rule_on_policy(basis, gate),
        ]
    failed = [rule.sentence for rule in rules if rule.required and not rule.passed]
    failed += findings.blockers
    warnings = tuple(_list_warnings(findings, rules))
    if failed:
        reasons = _put_policy_last(failed, rules)
        return Decision("kept", None, reasons, warnings, tuple(rules), alpha)
    reasons = (_explain_basis(basis, rules), *_explain_passes(rules))
    if gate.approval == "manual":
        waiting = "It waits for a person: sentiflow promote N --reason … (gate.approval=manual)."
        return Decision("waiting", basis, (*reasons, waiting), warnings, tuple(rules), alpha)
    return Decision("promoted", basis, reasons, warnings, tuple(rules), alpha)


def spend_alpha(gate: GateSettings, looks: int) -> float:
    """Return the level tonight's superiority is tested at.

    `gate.alpha` is spent in equal parts over `gate.alpha_nights` decisions (Bonferroni), so that
    the chance that any of them moves the champion to an equal model is at most `gate.alpha`.

    Args:
        gate: alpha and alpha_nights are used.
        looks: decisions that have spent their part within the horizon.

    Returns:
        The level; 0.0 when all of it is spent.
    """
    return gate.alpha / gate.alpha_nights if looks < gate.alpha_nights else 0.0


def _list_broken(findings: Findings) -> Iterator[str]:
    for name in ("accuracy", "balanced_accuracy", "roc_auc", "ece"):
        if _is_no_number(findings.metrics.get(name)):
            yield f"the challenger's {name} is no number"
    if _is_no_number(findings.baseline_accuracy):
        yield "the baseline's accuracy is no number"
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
    difference = findings.metrics["accuracy"] - findings.baseline_accuracy
    if difference < 0:
        yield (
            "The model loses to the tuned TF-IDF baseline by "
            f"{-100 * difference:.2f} points of accuracy."
        )
    for rule in rules:
        if not rule.required and not rule.passed and rule.name.startswith(("behav", "newest")):
            yield f"{rule.sentence} Reported only."


def _put_policy_last(failed: list[str], rules: list[Rule]) -> tuple[str, ...]:
    """Return why it is kept: the rules that failed, and for the policy what it rests on."""
    policy = [rule.sentence for rule in rules if rule.name == "policy" and not rule.passed]
    rests_on = [rule for rule in rules if rule.name in _POLICY_RULES and not rule.passed]
    if any(rule.name == "champion_age" for rule in rests_on):
        # A young champion need not be held against what only counts when it is old.
        rests_on = [rule for rule in rests_on if rule.name in ("superior", "champion_age")]
    others = tuple(sentence for sentence in failed if sentence not in policy)
    return others + tuple([*(rule.sentence for rule in rests_on), *policy] if policy else [])


_POLICY_RULES: Final = (
    "superior", "champion_age", "not_a_copy", "non_inferior_to_champion",
    "non_inferior_to_best_of_year",
)  # fmt: skip


def _explain_basis(basis: Basis | None, rules: list[Rule]) -> str:
    if basis == "first":
        return "First night of this lineage: every rule but the paired ones decides."
    names = ("superior", "champion_age") if basis == "superior" else _POLICY_RULES[1:]
    return " ".join(rule.sentence for rule in rules if rule.name in names)


def _explain_passes(rules: list[Rule]) -> Iterator[str]:
    required = [rule for rule in rules if rule.required]
    yield f"All {len(required)} required rules pass."
    yield from (rule.sentence for rule in required if rule.name in _SHOWN_PASSES)


_SHOWN_PASSES: Final = ("min_accuracy", "min_balanced_accuracy", "baseline_margin")
