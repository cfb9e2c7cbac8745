"""The rules of the gate: each turns findings into a value, a threshold and a sentence."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from sentiflow.gate.comparison import Comparison
from sentiflow.gate.findings import Findings
from sentiflow.gate.significance import BOUND_ALPHA, measure_power
from sentiflow.settings import GateSettings

Basis = Literal["first", "superior", "fresh"]

PARITY_TOLERANCE: Final = 1e-5


@dataclass(frozen=True)
class Rule:
    """One rule of the gate and how it came out.

    Attributes:
        name: the rule's name.
        value: what was measured.
        relation: how value and threshold must stand.
        threshold: what was required.
        passed: whether it was met.
        required: whether failing it keeps the champion; if not, it is only reported.
        sentence: the outcome in words.
    """

    name: str
    value: float
    relation: Literal[">=", "<="]
    threshold: float
    passed: bool
    required: bool
    sentence: str


def rule_on_floors(findings: Findings, gate: GateSettings) -> Iterator[Rule]:
    """Require the challenger's own metrics to reach their floors."""
    metrics = findings.metrics
    for name, floor in (
        ("accuracy", gate.min_accuracy),
        ("balanced_accuracy", gate.min_balanced_accuracy),
        ("roc_auc", gate.min_roc_auc),
    ):
        label = {"roc_auc": "ROC AUC"}.get(name, name.replace("_", " "))
        yield _require_at_least(
            f"min_{name}", metrics[name], floor, f"Test {label} {metrics[name]:.4f}"
        )
    yield _require_at_most(
        "max_ece", metrics["ece"], gate.max_ece, f"Test calibration error {metrics['ece']:.4f}"
    )


def rule_on_baseline(findings: Findings, gate: GateSettings) -> Rule:
    """Require the accuracy to be within a margin of the tuned TF-IDF baseline's."""
    difference = findings.metrics["accuracy"] - findings.baseline_accuracy
    return _require_at_least(
        "baseline_margin",
        difference,
        -gate.baseline_margin,
        f"Accuracy against the tuned TF-IDF baseline {_points(difference)}",
    )


def rule_on_artifact(findings: Findings, gate: GateSettings) -> Iterator[Rule]:
    """Require the registered artifact to answer alike, soundly, fast and to be small."""
    inspection = findings.inspection
    yield _require_at_most(
        "fresh_process_difference",
        inspection.difference,
        PARITY_TOLERANCE,
        f"Largest difference of an answer in a fresh process {inspection.difference:.2g}",
    )
    yield _require_at_most(
        "fresh_process_labels",
        inspection.changed_labels,
        0,
        f"Labels that differ in a fresh process {inspection.changed_labels}",
    )
    yield _require_at_most(
        "odd_text_failures",
        inspection.odd_failures,
        0,
        f"Odd texts without a sound answer {inspection.odd_failures} of {inspection.odd_texts:,}",
    )
    yield _require_at_most(
        "max_latency_ms",
        inspection.latency_ms,
        gate.max_latency_ms,
        f"Milliseconds for one text of 100 words {inspection.latency_ms:.1f}",
    )
    yield _require_at_most(
        "max_artifact_mb",
        inspection.artifact_mb,
        gate.max_artifact_mb,
        f"Megabytes of the artifact {inspection.artifact_mb:.1f}",
    )


def rule_on_behaviours(findings: Findings, gate: GateSettings) -> Iterator[Rule]:
    """Require each behaviour's pass rate; the embedded sample's lineage only reports."""
    is_required = gate.behaviours == "require" and not findings.is_sample
    for behaviour in findings.behaviours:
        yield _require_at_least(
            f"behaviour_{behaviour.name}",
            behaviour.pass_rate,
            behaviour.floor,
            f"Behaviour {behaviour.name.replace('_', ' ')}: passed {behaviour.passed} of "
            f"{behaviour.cases}, share {behaviour.pass_rate:.2f}",
            required=is_required,
        )


def rule_on_changes(
    findings: Findings, comparison: Comparison, gate: GateSettings
) -> Iterator[Rule]:
    """Limit changed labels; no slice and no newest rows may be significantly worse."""
    yield _require_at_most(
        "max_churn",
        comparison.churn,
        gate.max_churn,
        f"Share of labels changed against the champion {comparison.churn:.4f}",
    )
    for part in findings.slices:
        passed = part.value >= 0 or part.p_adjusted > gate.slice_alpha
        state = "not significantly worse" if passed else "significantly worse"
        yield Rule(
            f"slice_{part.kind}_{part.name}",
            part.p_adjusted,
            ">=",
            gate.slice_alpha,
            passed,
            True,
            f"Slice {part.kind} {part.name} ({part.rows:,} rows): {_points(part.value)}, {state} "
            f"(Holm-adjusted p {part.p_adjusted:.4f}, level {gate.slice_alpha:g}; "
            f"{_describe_smallest(part.smallest_drop)}).",
        )
    if findings.newest is not None:
        newest = findings.newest
        passed = newest.p_worse > gate.slice_alpha
        state = "not significantly worse" if passed else "significantly worse"
        yield Rule(
            "newest_rows",
            newest.p_worse,
            ">=",
            gate.slice_alpha,
            passed,
            gate.newest == "require",
            f"Newest rows ({newest.rows:,} since the champion's training): "
            f"{_points(newest.accuracy.value)}, {state} (p {newest.p_worse:.4f}).",
        )
    elif gate.newest == "require":
        known = "unknown" if findings.newest_rows is None else f"{findings.newest_rows:,}"
        yield Rule(
            "newest_rows",
            float(findings.newest_rows or 0),
            ">=",
            float(gate.min_newest_rows),
            False,
            True,
            f"Newest rows: {known}, {gate.min_newest_rows} are needed to judge (gate.newest="
            "require).",
        )


def rule_on_superiority(comparison: Comparison, alpha: float) -> Rule:
    """Say whether the challenger is significantly better than the champion."""
    passed = comparison.p_better <= alpha
    difference = comparison.accuracy
    if passed:
        outcome = "significantly better"
    elif difference.value == 0:
        outcome = "a tie: ties keep"
    else:
        outcome = "not significantly better"
    return Rule(
        "superior",
        comparison.p_better,
        "<=",
        alpha,
        passed,
        False,
        f"Accuracy {difference.challenger:.4f} against the champion's {difference.champion:.4f} on "
        f"the same {comparison.rows:,} rows, {_points(difference.value)} "
        f"({100 * difference.lower:+.2f} to {100 * difference.upper:+.2f}): {outcome} (exact "
        f"McNemar p {comparison.p_better:.4g}, tonight's level {alpha:.4g}).",
    )


def rule_on_freshness(
    findings: Findings, comparison: Comparison, gate: GateSettings
) -> Iterator[Rule]:
    """Say whether an old champion may be replaced by a model that is no worse.

    Empty when the policy or the lineage's first night leaves no room for it.
    """
    if gate.policy != "superior_or_fresh" or findings.champion_age is None:
        return
    age = findings.champion_age
    is_old = age >= gate.max_champion_age
    yield Rule(
        "champion_age",
        float(age),
        ">=",
        float(gate.max_champion_age),
        is_old,
        False,
        f"The champion is {age} night{'s' * (age != 1)} old; from {gate.max_champion_age} on a "
        f"model may replace it that is no worse within {100 * gate.margin:.1f} points (on "
        f"{comparison.rows:,} rows an equal one is found so with power "
        f"{_measure_power(comparison, gate):.0%}).",
    )
    is_copy = comparison.churn == 0 and comparison.log_loss.value == 0
    yield Rule(
        "not_a_copy",
        float(not is_copy),
        ">=",
        1.0,
        not is_copy,
        False,
        "The challenger answers every row as the champion does: a copy is no fresher."
        if is_copy
        else "The challenger is no copy of the champion.",
    )
    yield _rule_on_noninferiority(comparison, "the champion", "champion", gate)
    if findings.best_comparison is not None:
        against = f"version {findings.best_version}, the best of the last year,"
        yield _rule_on_noninferiority(findings.best_comparison, against, "best_of_year", gate)


def _rule_on_noninferiority(
    comparison: Comparison, against: str, name: str, gate: GateSettings
) -> Rule:
    passed = comparison.lower_bound > -gate.margin
    state = "no worse" if passed else "not shown to be no worse"
    return Rule(
        f"non_inferior_to_{name}",
        comparison.lower_bound,
        ">=",
        -gate.margin,
        passed,
        False,
        f"Against {against} {state} within the margin of {100 * gate.margin:.1f} points: lower "
        f"bound (95 %, one-sided) {_points(comparison.lower_bound)}, power "
        f"{_measure_power(comparison, gate):.0%} on {comparison.rows:,} rows.",
    )


def _measure_power(comparison: Comparison, gate: GateSettings) -> float:
    """Return the chance that a model equal to the champion is found no worse."""
    discordant_share = (comparison.wins + comparison.losses) / comparison.rows
    return measure_power(comparison.rows, discordant_share, gate.margin, BOUND_ALPHA)


def rule_on_policy(basis: Basis | None, gate: GateSettings) -> Rule:
    """Require that the challenger is superior or, where the policy allows it, fresh."""
    asked = gate.policy.replace("_", " ")
    sentence = (
        f"Policy {asked}: met, the challenger is {basis}."
        if basis
        else f"Policy {asked}: not met, so the champion stays."
    )
    return Rule("policy", float(basis is not None), ">=", 1.0, basis is not None, True, sentence)


def _require_at_least(
    name: str, value: float, floor: float, what: str, required: bool = True
) -> Rule:
    passed = value >= floor
    outcome = "reaches" if passed else "is below"
    sentence = f"{what} {outcome} the floor {floor:g}."
    return Rule(name, value, ">=", floor, passed, required, sentence)


def _require_at_most(name: str, value: float, limit: float, what: str) -> Rule:
    passed = value <= limit
    outcome = "stays within" if passed else "exceeds"
    sentence = f"{what} {outcome} the limit {limit:g}."
    return Rule(name, value, "<=", limit, passed, True, sentence)


def _describe_smallest(drop: float) -> str:
    if not math.isfinite(drop):
        return "too few rows to see any drop"
    return f"the smallest drop that could have been seen is {100 * drop:.1f} points"


def _points(difference: float) -> str:
    return f"{100 * difference:+.2f} points"
