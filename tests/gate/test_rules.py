"""Every rule's value, threshold, outcome and sentence, word by word."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import pytest
from gate.forging import SOUND, make_behaviour

from sentiflow.gate.comparison import Comparison, Difference, PairedAccuracy, SliceComparison
from sentiflow.gate.findings import Findings
from sentiflow.gate.rule import Rule
from sentiflow.gate.rules import (
    rule_on_artifact,
    rule_on_baseline,
    rule_on_behaviours,
    rule_on_churn,
    rule_on_floors,
    rule_on_freshness,
    rule_on_newest,
    rule_on_policy,
    rule_on_slices,
    rule_on_superiority,
)
from sentiflow.settings import GateSettings

GATE = GateSettings()
COMPARISON = Comparison(
    rows=3_000,
    accuracy=Difference("accuracy", 0.89, 0.87, 0.02, 0.0125, 0.0275),
    roc_auc=Difference("roc_auc", 0.95, 0.94, 0.01, 0.005, 0.015),
    log_loss=Difference("log_loss", 0.3, 0.35, -0.05, -0.06, -0.04),
    wins=75,
    losses=15,
    p_better=1.5e-10,
    p_worse=1.0,
    lower_bound=0.0128,
    churn=0.03,
)
BASELINE = PairedAccuracy(
    rows=3_000, challenger=0.76, baseline=0.75, value=0.01, lower=-0.01, upper=0.03,
    wins=330, losses=300,
)  # fmt: skip
FINDINGS = Findings(
    rows=3_000,
    rows_fingerprint="f" * 64,
    metrics={"accuracy": 0.75, "balanced_accuracy": 0.625, "roc_auc": 0.85, "ece": 0.0512},
    baseline_accuracy=0.75,
    baseline=BASELINE,
    inspection=SOUND,
    champion_age=GATE.max_champion_age,
    comparison=COMPARISON,
)
SLICE = SliceComparison(
    kind="stars",
    name="4",
    rows=1_200,
    challenger=0.85,
    champion=0.86,
    value=-0.0125,
    wins=10,
    losses=25,
    p_worse=0.0125,
    p_adjusted=0.0625,
    smallest_drop=0.0234,
)
# measure_power(3000, 0.03, 0.01, 0.05) is 0.909, which tests/gate/test_significance.py checks.
POWER = "power 91 %"


def describe(rules: Iterable[Rule]) -> list[tuple[str, str, str]]:
    return [(rule.label, rule.unit, rule.group) for rule in rules]


def tell_outcomes(rules: list[Rule]) -> list[tuple[str, float, str, float, bool]]:
    return [(rule.name, rule.value, rule.relation, rule.threshold, rule.passed) for rule in rules]


def test_the_floors_in_words() -> None:
    gate = GateSettings(min_balanced_accuracy=0.7, max_ece=0.05)
    rules = list(rule_on_floors(FINDINGS, gate))
    assert tell_outcomes(rules) == [
        ("min_accuracy", 0.75, ">=", 0.6, True),
        ("min_balanced_accuracy", 0.625, ">=", 0.7, False),
        ("min_roc_auc", 0.85, ">=", 0.65, True),
        ("max_ece", 0.0512, "<=", 0.05, False),
    ]
    assert [rule.sentence for rule in rules] == [
        "Test accuracy 0.7500 reaches the floor 0.6.",
        "Test balanced accuracy 0.6250 is below the floor 0.7.",
        "Test ROC AUC 0.8500 reaches the floor 0.65.",
        "Test calibration error 0.0512 exceeds the limit 0.05.",
    ]
    assert describe(rules) == [
        ("Test accuracy", "number", "required"),
        ("Test balanced accuracy", "number", "required"),
        ("Test ROC AUC", "number", "required"),
        ("Test calibration error", "number", "required"),
    ]
    assert [rule.is_shown for rule in rules] == [True, True, False, False]
    within = list(rule_on_floors(FINDINGS, GATE))[-1]
    assert within.sentence == "Test calibration error 0.0512 stays within the limit 0.2."


def test_the_baseline_in_words() -> None:
    behind = replace(BASELINE, value=-0.0625, lower=-0.085, upper=-0.04)
    label = "Accuracy against the tuned TF-IDF baseline"
    assert list(rule_on_baseline(replace(FINDINGS, baseline=behind), GATE)) == [
        Rule(
            name="baseline_margin", label=f"{label} (upper bound)", unit="points", value=-0.04,
            relation=">=", threshold=-0.005, passed=False, is_shown=True,
            sentence=f"{label} −6.25 points (95 % interval −8.50 to −4.00 points): even its upper "
            "end is below the floor −0.5 points.",
        )
    ]  # fmt: skip
    (ahead,) = rule_on_baseline(FINDINGS, GATE)
    assert (ahead.value, ahead.passed) == (0.03, True)
    assert ahead.sentence == (
        f"{label} +1.00 points (95 % interval −1.00 to +3.00 points): its upper end reaches the "
        "floor −0.5 points."
    )


@pytest.mark.parametrize(("upper", "passes"), [(-0.005, True), (-0.005001, False)])
def test_the_upper_end_at_the_margin_still_passes(upper: float, passes: bool) -> None:
    found = replace(FINDINGS, baseline=replace(BASELINE, value=-0.02, upper=upper))
    (rule,) = rule_on_baseline(found, GATE)
    assert rule.passed is passes
    (generous,) = rule_on_baseline(found, GATE.model_copy(update={"baseline_margin": 0.006}))
    assert (generous.passed, generous.threshold) == (True, -0.006)


def test_the_artifact_in_words() -> None:
    inspection = replace(SOUND, difference=1.2e-6, changed_labels=2, odd_failures=3)
    rules = list(rule_on_artifact(replace(FINDINGS, inspection=inspection), GATE))
    assert tell_outcomes(rules) == [
        ("fresh_process_difference", 1.2e-6, "<=", 1e-5, True),
        ("fresh_process_labels", 2, "<=", 0, False),
        ("odd_text_failures", 3, "<=", 0, False),
        ("max_latency_ms", 8.0, "<=", 250.0, True),
        ("max_artifact_mb", 20.0, "<=", 250.0, True),
    ]
    assert [rule.sentence for rule in rules] == [
        "Largest difference of an answer in a fresh process 1.2 × 10⁻⁶ stays within the limit "
        "1 × 10⁻⁵.",
        "Labels that differ in a fresh process 2 exceeds the limit 0.",
        "Odd texts without a sound answer 3 of 1,000 exceeds the limit 0.",
        "Latency of one text of 100 words 8.0 ms stays within the limit 250 ms.",
        "Size of the artifact 20.0 MB stays within the limit 250 MB.",
    ]
    assert describe(rules) == [
        ("Largest difference of an answer in a fresh process", "small", "required"),
        ("Labels that differ in a fresh process", "count", "required"),
        ("Odd texts without a sound answer", "count", "required"),
        ("Latency of one text of 100 words", "ms", "required"),
        ("Size of the artifact", "MB", "required"),
    ]


def test_the_behaviours_in_words() -> None:
    behaviours = (make_behaviour(name="mild_negation"), make_behaviour(floor=0.9))
    rules = list(rule_on_behaviours(replace(FINDINGS, behaviours=behaviours), GATE))
    assert tell_outcomes(rules) == [
        ("behaviour_mild_negation", 0.8, ">=", 0.6, True),
        ("behaviour_negation", 0.8, ">=", 0.9, False),
    ]
    assert [rule.sentence for rule in rules] == [
        "Behaviour mild negation: passed 32 of 40, share 80.0 % reaches the floor 60 %.",
        "Behaviour negation: passed 32 of 40, share 80.0 % is below the floor 90 %.",
    ]
    best = "version 7, the best champion of the year on the same questions"
    held = make_behaviour(limit=0.85, best_version=7, best_rate=0.9)
    lower = make_behaviour(best_version=7, best_rate=0.625)
    rules_held = list(rule_on_behaviours(replace(FINDINGS, behaviours=(held, lower)), GATE))
    assert tell_outcomes(rules_held) == [
        ("behaviour_negation", 0.8, ">=", 0.85, False),
        ("behaviour_negation", 0.8, ">=", 0.6, True),
    ]
    assert [rule.sentence for rule in rules_held] == [
        "Behaviour negation: passed 32 of 40, share 80.0 % is below the floor 85 % (5 points below "
        f"{best}).",
        "Behaviour negation: passed 32 of 40, share 80.0 % reaches the floor 60 % (the floor; "
        f"{best}, passed 62.5 %).",
    ]
    assert describe(rules) == [
        ("Behaviour mild negation", "share", "required"),
        ("Behaviour negation", "share", "required"),
    ]


@pytest.mark.parametrize(
    ("setting", "is_sample", "required"),
    [("require", False, True), ("require", True, False), ("report", False, False)],
)
def test_behaviours_are_required_by_setting_and_never_of_the_sample(
    setting: str, is_sample: bool, required: bool
) -> None:
    findings = replace(FINDINGS, behaviours=(make_behaviour(),), is_sample=is_sample)
    (rule,) = rule_on_behaviours(findings, GATE.model_copy(update={"behaviours": setting}))
    assert rule.group == ("required" if required else "reported")
    assert rule.required is required


@pytest.mark.parametrize(
    ("rows", "required"), [(3_999, False), (4_000, True), (747, False), (None, True)]
)
def test_a_floor_is_required_once_there_are_rows_to_learn_it_from(
    rows: int | None, required: bool
) -> None:
    behaviour = make_behaviour(floor=0.9)
    findings = replace(FINDINGS, behaviours=(behaviour,), train_rows=rows)
    (rule,) = rule_on_behaviours(findings, GATE)
    assert rule.required is required
    assert not rule.passed
    few = "" if required else f" (required from 4,000 training rows on; here are {rows:,})"
    assert rule.sentence == (
        f"Behaviour negation: passed 32 of 40, share 80.0 % is below the floor 90 %{few}."
    )


def test_falling_behind_the_years_champion_is_never_excused_by_few_rows() -> None:
    behind = make_behaviour(limit=0.85, best_version=7, best_rate=0.9)
    (rule,) = rule_on_behaviours(replace(FINDINGS, behaviours=(behind,), train_rows=747), GATE)
    assert rule.required
    assert not rule.passed
    assert "747" not in rule.sentence


def test_changes_and_slices_in_words() -> None:
    worse = replace(SLICE, name="3", p_adjusted=0.0312, smallest_drop=math.inf)
    better = replace(worse, name="5", value=0.0)
    findings = replace(FINDINGS, slices=(SLICE, worse, better))
    (churn,), slices = rule_on_churn(findings, GATE), list(rule_on_slices(findings, GATE))
    assert tell_outcomes([churn]) == [("max_churn", 0.03, "<=", 0.2, True)]
    label = "Share of labels changed against the champion"
    assert churn.sentence == f"{label} 3.0 % stays within the limit 20 %."
    assert describe([churn]) == [(label, "share", "required")]
    assert tell_outcomes(slices) == [
        ("slice_stars_4", 0.0625, ">=", 0.05, True),
        ("slice_stars_3", 0.0312, ">=", 0.05, False),
        # A slice without a drop is not worse, whatever its p-value.
        ("slice_stars_5", 0.0312, ">=", 0.05, True),
    ]
    assert [rule.sentence for rule in slices] == [
        "Slice stars 4 (1,200 rows): −1.25 points, not significantly worse (Holm-adjusted p "
        "0.0625, level 0.05; the smallest drop that could have been seen is 2.3 points).",
        "Slice stars 3 (1,200 rows): −1.25 points, significantly worse (Holm-adjusted p "
        "0.0312, level 0.05; too few rows to see any drop).",
        "Slice stars 5 (1,200 rows): 0.00 points, not significantly worse (Holm-adjusted p "
        "0.0312, level 0.05; too few rows to see any drop).",
    ]
    assert describe(slices) == [
        (f"No worse in slice stars: {stars} (p)", "p", "required") for stars in (4, 3, 5)
    ]


@pytest.mark.parametrize(
    ("p_worse", "passed", "state"),
    [(0.0501, True, "not significantly worse"), (0.05, False, "significantly worse")],
)
@pytest.mark.parametrize("setting", ["require", "report"])
def test_the_newest_rows_in_words(setting: str, p_worse: float, passed: bool, state: str) -> None:
    newest = replace(COMPARISON, rows=1_100, p_worse=p_worse)
    gate = GATE.model_copy(update={"newest": setting})
    (rule,) = rule_on_newest(replace(FINDINGS, newest=newest, newest_rows=1_100), gate)
    assert rule == Rule(
        name="newest_rows", label="No worse on the newest rows (p)", unit="p",
        group="required" if setting == "require" else "reported", value=p_worse, relation=">=",
        threshold=0.05, passed=passed,
        sentence="Newest rows (1,100 since the champion's training): +2.00 points, "
        f"{state} (p {p_worse:.4f}).",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "value", "known"), [(None, 0.0, "unknown"), (0, 0.0, "0"), (1_234, 1_234.0, "1,234")]
)
def test_newest_rows_that_are_too_few_fail_in_words_where_required(
    rows: int | None, value: float, known: str
) -> None:
    gate = GateSettings(newest="require", min_newest_rows=2_000)
    findings = replace(FINDINGS, newest_rows=rows)
    assert list(rule_on_newest(findings, gate)) == [
        Rule(
            name="newest_rows", label="Newest rows, enough to judge", unit="count", value=value,
            relation=">=", threshold=2_000.0, passed=False,
            sentence=f"Newest rows: {known}, 2000 are needed to judge (gate.newest=require).",
        )
    ]  # fmt: skip
    assert list(rule_on_newest(findings, GATE)) == []


def test_without_a_champion_there_are_no_paired_rules() -> None:
    alone, gate = replace(FINDINGS, comparison=None), GateSettings(newest="require")
    for make in (
        rule_on_churn, rule_on_slices, rule_on_newest, rule_on_superiority, rule_on_freshness
    ):  # fmt: skip
        assert list(make(alone, gate)) == []


@pytest.mark.parametrize(
    ("p_better", "value", "passed", "outcome"),
    [
        (0.0015, 0.02, True, "significantly better"),
        (0.25, 0.02, False, "not significantly better"),
        (0.25, 0.0, False, "a tie: ties keep"),
    ],
)
def test_superiority_in_words(p_better: float, value: float, passed: bool, outcome: str) -> None:
    accuracy = replace(COMPARISON.accuracy, value=value)
    comparison = replace(COMPARISON, accuracy=accuracy, p_better=p_better)
    shown = {0.02: "+2.00", 0.0: "0.00"}[value]
    assert list(rule_on_superiority(replace(FINDINGS, comparison=comparison), GATE)) == [
        Rule(
            name="superior", label="Better than the champion (p)", unit="p", group="superior",
            value=p_better, relation="<=", threshold=0.05 / 30, passed=passed,
            sentence="Accuracy 0.8900 against the champion's 0.8700 on the same 3,000 rows, "
            f"{shown} points (+1.25 to +2.75): {outcome} (exact McNemar p {p_better}, tonight's "
            "level 0.001667).",
        )
    ]  # fmt: skip


def test_freshness_in_words() -> None:
    worse = replace(COMPARISON, lower_bound=-0.0123)
    findings = replace(FINDINGS, best_version=7, best_comparison=worse)
    rules = list(rule_on_freshness(findings, GATE))
    assert tell_outcomes(rules) == [
        ("champion_age", 30.0, ">=", 30.0, True),
        ("not_a_copy", 1.0, ">=", 1.0, True),
        ("non_inferior_to_champion", 0.0128, ">=", -0.01, True),
        ("non_inferior_to_best_of_year", -0.0123, ">=", -0.01, False),
    ]
    assert [rule.sentence for rule in rules] == [
        "The champion is 30 nights old; from 30 on a model may replace it that is no worse within "
        f"1.0 points (on 3,000 rows an equal one is found so with {POWER}).",
        "The challenger is no copy of the champion.",
        "Against the champion no worse within the margin of 1.0 points: lower bound (95 %, "
        f"one-sided) +1.28 points, {POWER} on 3,000 rows.",
        "Against version 7, the best of the last year, not shown to be no worse within the margin "
        f"of 1.0 points: lower bound (95 %, one-sided) −1.23 points, {POWER} on 3,000 rows.",
    ]
    assert describe(rules) == [
        ("Age of the champion", "nights", "fresh"),
        ("No copy of the champion", "yes/no", "fresh"),
        ("No worse than the champion (lower bound)", "points", "fresh"),
        ("No worse than the best of the year (lower bound)", "points", "fresh"),
    ]
    assert [rule.comes_first for rule in rules] == [True, False, False, False]
    assert len(list(rule_on_freshness(FINDINGS, GATE))) == 3


def test_the_margin_is_told_in_points() -> None:
    age, _, champion = rule_on_freshness(FINDINGS, GateSettings(margin=0.06))
    assert "no worse within 6.0 points" in age.sentence
    assert "within the margin of 6.0 points" in champion.sentence
    assert champion.threshold == -0.06


@pytest.mark.parametrize(("age", "words"), [(0, "0 nights"), (1, "1 night"), (2, "2 nights")])
def test_nights_are_counted_in_words(age: int, words: str) -> None:
    rule = next(rule_on_freshness(replace(FINDINGS, champion_age=age), GATE))
    assert rule.sentence.startswith(f"The champion is {words} old; ")
    assert (rule.value, rule.passed) == (float(age), False)


@pytest.mark.parametrize(
    ("churn", "log_loss", "is_copy"), [(0.0, 0.0, True), (0.03, 0.0, False), (0.0, 1e-9, False)]
)
def test_a_copy_has_the_same_labels_and_the_same_log_loss(
    churn: float, log_loss: float, is_copy: bool
) -> None:
    difference = replace(COMPARISON.log_loss, value=log_loss)
    comparison = replace(COMPARISON, churn=churn, log_loss=difference)
    rule = list(rule_on_freshness(replace(FINDINGS, comparison=comparison), GATE))[1]
    assert (rule.value, rule.passed) == (float(not is_copy), not is_copy)
    assert (
        rule.sentence == "The challenger answers every row as the champion does: a copy is no "
        "fresher."
    ) is is_copy


def test_there_is_no_freshness_without_an_age_or_by_policy() -> None:
    unknown = replace(FINDINGS, champion_age=None)
    assert list(rule_on_freshness(unknown, GATE)) == []
    superior_only = GateSettings(policy="superior")
    assert list(rule_on_freshness(FINDINGS, superior_only)) == []


def test_the_policy_in_words() -> None:
    met = rule_on_policy("fresh", GATE)
    assert met == Rule(
        name="policy", label="Superior or, where the policy allows it, fresh", unit="yes/no",
        value=1.0, relation=">=", threshold=1.0, passed=True,
        sentence="Policy superior or fresh: met, the challenger is fresh.",
    )  # fmt: skip
    missed = "Policy superior: not met, so the champion stays."
    missing = replace(met, value=0.0, passed=False, sentence=missed)
    assert rule_on_policy(None, GateSettings(policy="superior")) == missing
