"""The rules of the gate: each function makes its rules from the findings, whole in one place.

A new one is a function here, and its name in `RULES`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Final, Literal

from sentiflow import rounding
from sentiflow.gate.behaviours import BehaviourResult
from sentiflow.gate.comparison import Comparison
from sentiflow.gate.findings import Findings
from sentiflow.gate.rule import POLICY, Rule, require, space_plainly
from sentiflow.gate.significance import BOUND_ALPHA, measure_power
from sentiflow.settings import GateSettings

Basis = Literal["first", "superior", "fresh"]

PARITY_TOLERANCE: Final = 1e-5


def rule_on_floors(findings: Findings, gate: GateSettings) -> Iterator[Rule]:
    """Require the challenger's own metrics to reach their floors."""
    for name, label, floor, is_shown in (
        ("accuracy", "Test accuracy", gate.min_accuracy, True),
        ("balanced_accuracy", "Test balanced accuracy", gate.min_balanced_accuracy, True),
        ("roc_auc", "Test ROC AUC", gate.min_roc_auc, False),
    ):
        value = findings.metrics[name]
        yield require(f"min_{name}", label, "number", value, ">=", floor, is_shown=is_shown)
    ece = findings.metrics["ece"]
    yield require("max_ece", "Test calibration error", "number", ece, "<=", gate.max_ece)


def rule_on_baseline(findings: Findings, gate: GateSettings) -> Iterator[Rule]:
    """Refuse what is shown to be behind the tuned TF-IDF baseline by more than a margin.

    Few rows show little, so the upper end of the interval decides and not the difference itself.
    """
    found = findings.baseline
    passed = found.upper >= -gate.baseline_margin
    shown, limit = rounding.show_in_unit(found.upper, -gate.baseline_margin, "points")
    lower = rounding.show_signed(100 * found.lower)
    outcome = "its upper end reaches" if passed else "even its upper end is below"
    yield Rule(
        name="baseline_margin",
        label="Accuracy against the tuned TF-IDF baseline (upper bound)",
        unit="points",
        value=found.upper,
        relation=">=",
        threshold=-gate.baseline_margin,
        passed=passed,
        sentence=space_plainly(
            f"Accuracy against the tuned TF-IDF baseline {_points(found.value)} (95 % interval "
            f"{lower} to {shown}): {outcome} the floor {rounding.trim_zeros(limit)}."
        ),
        is_shown=True,
    )


def rule_on_artifact(findings: Findings, gate: GateSettings) -> Iterator[Rule]:
    """Require the registered artifact to answer alike, soundly, fast and to be small."""
    found = findings.inspection
    label = "Largest difference of an answer in a fresh process"
    tolerance = PARITY_TOLERANCE
    yield require("fresh_process_difference", label, "small", found.difference, "<=", tolerance)
    label = "Labels that differ in a fresh process"
    yield require("fresh_process_labels", label, "count", found.changed_labels, "<=", 0)
    label, words = "Odd texts without a sound answer", f"{{label}} {{value}} of {found.odd_texts:,}"
    yield require("odd_text_failures", label, "count", found.odd_failures, "<=", 0, words=words)
    label = "Latency of one text of 100 words"
    yield require("max_latency_ms", label, "ms", found.latency_ms, "<=", gate.max_latency_ms)
    label = "Size of the artifact"
    yield require("max_artifact_mb", label, "MB", found.artifact_mb, "<=", gate.max_artifact_mb)


def rule_on_behaviours(findings: Findings, gate: GateSettings) -> Iterator[Rule]:
    """Require each behaviour's pass rate; the embedded sample's lineage only reports.

    Required is the floor, or five points less than the best champion of the year passed. With few
    training rows the floor is only reported: no model learns from them what floors were set by.
    """
    is_required = gate.behaviours == "require" and not findings.is_sample
    rows, least = findings.train_rows, gate.behaviour_min_rows
    has_few = rows is not None and rows < least
    few = f" (required from {least:,} training rows on; here are {rows:,})" if has_few else ""
    for behaviour in findings.behaviours:
        by_champion = behaviour.limit > behaviour.floor
        yield require(
            f"behaviour_{behaviour.name}",
            f"Behaviour {behaviour.name.replace('_', ' ')}",
            "share",
            behaviour.pass_rate,
            ">=",
            behaviour.limit,
            group="required" if is_required and (by_champion or not has_few) else "reported",
            words=f"{{label}}: passed {behaviour.passed} of {behaviour.cases}, share {{value}}",
            which=_tell_limit(behaviour) + ("" if by_champion else few),
        )


def _tell_limit(behaviour: BehaviourResult) -> str:
    """Return which of the two limits is the binding one; nothing where there is only one."""
    if behaviour.best_rate is None:
        return ""
    best = f"version {behaviour.best_version}, the best champion of the year on the same questions"
    if behaviour.limit > behaviour.floor:
        return f" (5 points below {best})"
    return f" (the floor; {best}, passed {rounding.show_percent(behaviour.best_rate, 1)})"


def rule_on_churn(findings: Findings, gate: GateSettings) -> Iterator[Rule]:
    """Limit the labels that differ from the champion's."""
    if findings.comparison is not None:
        label = "Share of labels changed against the champion"
        yield require("max_churn", label, "share", findings.comparison.churn, "<=", gate.max_churn)


def rule_on_slices(findings: Findings, gate: GateSettings) -> Iterator[Rule]:
    """Require that no slice is significantly worse."""
    for part in findings.slices:
        # A slice without a drop is not worse, whatever its p-value.
        passed = part.value >= 0 or part.p_adjusted > gate.slice_alpha
        yield Rule(
            name=f"slice_{part.kind}_{part.name}",
            label=f"No worse in slice {part.kind}: {part.name} (p)",
            unit="p",
            value=part.p_adjusted,
            relation=">=",
            threshold=gate.slice_alpha,
            passed=passed,
            sentence=f"Slice {part.kind} {part.name} ({part.rows:,} rows): "
            f"{_points(part.value)}, {_tell_worse(passed)} (Holm-adjusted p "
            f"{part.p_adjusted:.4f}, level {gate.slice_alpha:g}; "
            f"{_describe_smallest(part.smallest_drop)}).",
        )


def rule_on_newest(findings: Findings, gate: GateSettings) -> Iterator[Rule]:
    """Require, or report, that the newest rows are not significantly worse."""
    newest, is_required = findings.newest, gate.newest == "require"
    if newest is not None:
        passed = newest.p_worse > gate.slice_alpha
        yield Rule(
            name="newest_rows",
            label="No worse on the newest rows (p)",
            unit="p",
            group="required" if is_required else "reported",
            value=newest.p_worse,
            relation=">=",
            threshold=gate.slice_alpha,
            passed=passed,
            sentence=f"Newest rows ({newest.rows:,} since the champion's training): "
            f"{_points(newest.accuracy.value)}, {_tell_worse(passed)} "
            f"(p {newest.p_worse:.4f}).",
        )
    elif findings.comparison is not None and is_required:
        known = "unknown" if findings.newest_rows is None else f"{findings.newest_rows:,}"
        yield Rule(
            name="newest_rows",
            label="Newest rows, enough to judge",
            unit="count",
            value=float(findings.newest_rows or 0),
            relation=">=",
            threshold=float(gate.min_newest_rows),
            passed=False,
            sentence=f"Newest rows: {known}, {gate.min_newest_rows} are needed to judge "
            "(gate.newest=require).",
        )


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


def rule_on_superiority(findings: Findings, gate: GateSettings) -> Iterator[Rule]:
    """Say whether the challenger is significantly better than the champion."""
    comparison, alpha = findings.comparison, spend_alpha(gate, findings.looks)
    if comparison is None:
        return
    passed = comparison.p_better <= alpha
    difference = comparison.accuracy
    if passed:
        outcome = "significantly better"
    elif difference.value == 0:
        outcome = "a tie: ties keep"
    else:
        outcome = "not significantly better"
    lower, upper = (rounding.show_signed(100 * end) for end in (difference.lower, difference.upper))
    yield Rule(
        name="superior",
        label="Better than the champion (p)",
        unit="p",
        group="superior",
        value=comparison.p_better,
        relation="<=",
        threshold=alpha,
        passed=passed,
        sentence=f"Accuracy {difference.challenger:.4f} against the champion's "
        f"{difference.champion:.4f} on the same {comparison.rows:,} rows, "
        f"{_points(difference.value)} ({lower} to {upper}): {outcome} (exact McNemar p "
        f"{comparison.p_better:.4g}, tonight's level {alpha:.4g}).",
    )


def rule_on_freshness(findings: Findings, gate: GateSettings) -> Iterator[Rule]:
    """Say whether an old champion may be replaced by a model that is no worse.

    Empty when the policy or the lineage's first night leaves no room for it.
    """
    comparison, age = findings.comparison, findings.champion_age
    if gate.policy != "superior_or_fresh" or comparison is None or age is None:
        return
    yield Rule(
        name="champion_age",
        label="Age of the champion",
        unit="nights",
        group="fresh",
        value=float(age),
        relation=">=",
        threshold=float(gate.max_champion_age),
        passed=age >= gate.max_champion_age,
        sentence=f"The champion is {age} night{'s' * (age != 1)} old; from "
        f"{gate.max_champion_age} on a model may replace it that is no worse within "
        f"{100 * gate.margin:.1f} points (on {comparison.rows:,} rows an equal one is found so "
        f"with power {_tell_power(comparison, gate)}).",
        # A young champion need not be held against what only counts when it is old.
        comes_first=True,
    )
    is_copy = comparison.churn == 0 and comparison.log_loss.value == 0
    yield Rule(
        name="not_a_copy",
        label="No copy of the champion",
        unit="yes/no",
        group="fresh",
        value=float(not is_copy),
        relation=">=",
        threshold=1.0,
        passed=not is_copy,
        sentence="The challenger answers every row as the champion does: a copy is no fresher."
        if is_copy
        else "The challenger is no copy of the champion.",
    )
    yield _rule_on_noninferiority(comparison, "champion", "the champion", "the champion", gate)
    if findings.best_comparison is not None:
        against = f"version {findings.best_version}, the best of the last year,"
        short, best = "the best of the year", findings.best_comparison
        yield _rule_on_noninferiority(best, "best_of_year", short, against, gate)


def _rule_on_noninferiority(
    comparison: Comparison, name: str, short: str, against: str, gate: GateSettings
) -> Rule:
    passed = comparison.lower_bound > -gate.margin
    state = "no worse" if passed else "not shown to be no worse"
    return Rule(
        name=f"non_inferior_to_{name}",
        label=f"No worse than {short} (lower bound)",
        unit="points",
        group="fresh",
        value=comparison.lower_bound,
        relation=">=",
        threshold=-gate.margin,
        passed=passed,
        sentence=f"Against {against} {state} within the margin of {100 * gate.margin:.1f} points: "
        f"lower bound (95 %, one-sided) {_points(comparison.lower_bound)}, power "
        f"{_tell_power(comparison, gate)} on {comparison.rows:,} rows.",
    )


def rule_on_policy(basis: Basis | None, gate: GateSettings) -> Rule:
    """Require that the challenger is superior or, where the policy allows it, fresh."""
    asked = gate.policy.replace("_", " ")
    return Rule(
        name=POLICY,
        label="Superior or, where the policy allows it, fresh",
        unit="yes/no",
        value=float(basis is not None),
        relation=">=",
        threshold=1.0,
        passed=basis is not None,
        sentence=f"Policy {asked}: met, the challenger is {basis}."
        if basis
        else f"Policy {asked}: not met, so the champion stays.",
    )


RuleMaker = Callable[[Findings, GateSettings], Iterator[Rule]]
# In the order of decision.json and docs/gate.md; the policy, which sums up, comes after them.
RULES: Final[tuple[RuleMaker, ...]] = (
    rule_on_floors,
    rule_on_baseline,
    rule_on_artifact,
    rule_on_behaviours,
    rule_on_churn,
    rule_on_slices,
    rule_on_newest,
    rule_on_superiority,
    rule_on_freshness,
)


def _points(difference: float) -> str:
    return space_plainly(rounding.show_points(difference))


def _tell_power(comparison: Comparison, gate: GateSettings) -> str:
    """Return the chance that a model equal to the champion is found no worse."""
    discordant_share = (comparison.wins + comparison.losses) / comparison.rows
    power = measure_power(comparison.rows, discordant_share, gate.margin, BOUND_ALPHA)
    return space_plainly(rounding.show_percent(power, 0))


def _tell_worse(passed: bool) -> str:
    return "not significantly worse" if passed else "significantly worse"


def _describe_smallest(drop: float) -> str:
    if not math.isfinite(drop):
        return "too few rows to see any drop"
    return f"the smallest drop that could have been seen is {100 * drop:.1f} points"
