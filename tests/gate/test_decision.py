import math
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from gate.forging import (
    SOUND,
    draw_labels,
    find_out,
    forge_answers,
    forge_baseline,
    make_behaviour,
    mend,
    spoil,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from sentiflow.errors import GateNotEvaluated, SentiflowError
from sentiflow.gate.decision import Decision, decide
from sentiflow.gate.findings import GateRows, check_answers
from sentiflow.gate.rules import spend_alpha
from sentiflow.settings import GateSettings

GATE = GateSettings()
LABELS = draw_labels()
CHAMPION = forge_answers(LABELS, 0.87, seed=2)
EQUAL = forge_answers(LABELS, 0.87, seed=2) + np.float32(1e-4)
OLD = {"champion_age": GATE.max_champion_age}


def failed_rules(decision: Decision) -> list[str]:
    return [rule.name for rule in decision.rules if rule.required and not rule.passed]


def test_on_the_first_night_every_rule_but_the_paired_ones_decides() -> None:
    decision = decide(find_out(LABELS, CHAMPION), GATE)
    assert (decision.verdict, decision.basis, decision.alpha) == ("promoted", "first", None)
    assert "First night" in decision.reasons[0]
    assert {rule.name for rule in decision.rules} == {
        "min_accuracy", "min_balanced_accuracy", "min_roc_auc", "max_ece", "baseline_margin",
        "fresh_process_difference", "fresh_process_labels", "odd_text_failures", "max_latency_ms",
        "max_artifact_mb", "behaviour_negation",
    }  # fmt: skip


# The forged models of the issue, each with its exact verdict.


def test_random_labels_are_kept_out() -> None:
    answers = np.random.default_rng(3).random(len(LABELS)).astype(np.float32)
    decision = decide(find_out(LABELS, answers), GATE)
    assert decision.verdict == "kept"
    assert {"min_accuracy", "min_balanced_accuracy", "min_roc_auc", "max_ece"} <= set(
        failed_rules(decision)
    )


def test_a_model_that_always_says_positive_is_kept_out() -> None:
    answers = np.full(len(LABELS), 0.66, dtype=np.float32)
    decision = decide(find_out(LABELS, answers), GATE)
    assert decision.verdict == "kept"
    # Its accuracy passes the floor: the balanced one and the ranking give it away.
    assert {"min_balanced_accuracy", "min_roc_auc", "baseline_margin"} == set(
        failed_rules(decision)
    )


@pytest.mark.parametrize("age", [3, GATE.max_champion_age])
def test_an_exact_copy_never_replaces_the_champion(age: int) -> None:
    decision = decide(find_out(LABELS, CHAMPION, CHAMPION, champion_age=age), GATE)
    assert decision.verdict == "kept"
    assert failed_rules(decision) == ["policy"]
    assert "ties keep" in " ".join(decision.reasons)
    assert ("a copy is no fresher" in " ".join(decision.reasons)) is (age > 3)


def test_a_slightly_worse_model_is_kept_out_also_when_the_champion_is_old() -> None:
    worse = spoil(CHAMPION, LABELS, np.arange(45))
    decision = decide(find_out(LABELS, worse, CHAMPION, **OLD), GATE)
    assert decision.verdict == "kept"
    assert failed_rules(decision) == ["policy"]
    assert any("not shown to be no worse" in reason for reason in decision.reasons)


def test_a_model_worse_in_one_slice_only_is_kept_out() -> None:
    # Better over all, and it fails on one part that the overall figure hides.
    part = np.arange(len(LABELS) - 200, len(LABELS))
    rest = np.arange(len(LABELS) - 200)
    challenger = mend(CHAMPION, LABELS, 100)
    challenger = spoil(challenger, LABELS, part[:30])
    slices = (("stars", "3", part), ("stars", "5", rest))
    decision = decide(find_out(LABELS, challenger, CHAMPION, slices=slices), GATE)
    assert decision.verdict == "kept"
    assert failed_rules(decision) == ["slice_stars_3"]
    assert next(rule for rule in decision.rules if rule.name == "superior").passed
    without_guard = decide(find_out(LABELS, challenger, CHAMPION), GATE)
    assert without_guard.verdict == "promoted"


def test_a_better_model_is_promoted() -> None:
    better = mend(CHAMPION, LABELS, 60)
    decision = decide(find_out(LABELS, better, CHAMPION), GATE)
    assert (decision.verdict, decision.basis) == ("promoted", "superior")
    assert decision.alpha == pytest.approx(0.05 / 30)
    assert "significantly better" in decision.reasons[0]


def test_swapping_champion_and_challenger_turns_the_verdict() -> None:
    better = mend(CHAMPION, LABELS, 60)
    assert decide(find_out(LABELS, CHAMPION, better), GATE).verdict == "kept"


def test_a_model_that_answers_nan_is_not_evaluated() -> None:
    answers = CHAMPION.copy()
    answers[5] = np.nan
    with pytest.raises(GateNotEvaluated, match="1 of them no number"):
        check_answers(answers, GateRows((), LABELS, ""), "Version 4")
    with pytest.raises(SentiflowError):
        find_out(LABELS, CHAMPION, answers)


def test_a_missing_answer_is_not_evaluated() -> None:
    with pytest.raises(GateNotEvaluated, match="2,999 answers"):
        check_answers(CHAMPION[:-1], GateRows((), LABELS, ""), "Version 4")


@pytest.mark.parametrize("value", [-0.01, 1.01, np.inf])
def test_an_answer_that_is_no_probability_is_not_evaluated(value: float) -> None:
    answers = CHAMPION.copy()
    answers[0] = value
    with pytest.raises(GateNotEvaluated):
        check_answers(answers, GateRows((), LABELS, ""), "Version 4")
    check_answers(CHAMPION, GateRows((), LABELS, ""), "Version 4")


# Every default threshold blocks a plausible bad model, and its edge is where it says.


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"metrics": {"accuracy": 0.59}}, "min_accuracy"),
        ({"metrics": {"balanced_accuracy": 0.59}}, "min_balanced_accuracy"),
        ({"metrics": {"roc_auc": 0.64}}, "min_roc_auc"),
        ({"metrics": {"ece": 0.21}}, "max_ece"),
        ({"baseline": forge_baseline(0.83, 0.85)}, "baseline_margin"),
        ({"inspection": replace(SOUND, difference=2e-5)}, "fresh_process_difference"),
        ({"inspection": replace(SOUND, changed_labels=1)}, "fresh_process_labels"),
        ({"inspection": replace(SOUND, odd_failures=1)}, "odd_text_failures"),
        ({"inspection": replace(SOUND, latency_ms=251.0)}, "max_latency_ms"),
        ({"inspection": replace(SOUND, artifact_mb=251.0)}, "max_artifact_mb"),
        ({"behaviours": (make_behaviour(pass_rate=0.59),)}, "behaviour_negation"),
    ],
)
def test_every_threshold_blocks_by_itself(changes: dict[str, Any], rule: str) -> None:
    findings = find_out(LABELS, CHAMPION)
    metrics = {**findings.metrics, **changes.get("metrics", {})}
    decision = decide(replace(findings, **{**changes, "metrics": metrics}), GATE)
    assert decision.verdict == "kept"
    assert failed_rules(decision) == [rule]
    assert len(decision.reasons) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"metrics": {"accuracy": 0.6}},
        {"baseline": replace(forge_baseline(0.83, 0.85), upper=-0.005)},
        {"metrics": {"balanced_accuracy": 0.6}},
        {"metrics": {"roc_auc": 0.65}},
        {"metrics": {"ece": 0.2}},
        {"inspection": replace(SOUND, difference=1e-5)},
        {"inspection": replace(SOUND, latency_ms=250.0, artifact_mb=250.0)},
        {"behaviours": (make_behaviour(pass_rate=0.6),)},
    ],
)
def test_a_value_at_its_threshold_passes(changes: dict[str, Any]) -> None:
    findings = find_out(LABELS, CHAMPION)
    metrics = {**findings.metrics, **changes.get("metrics", {})}
    decision = decide(replace(findings, **{**changes, "metrics": metrics}), GATE)
    assert decision.verdict == "promoted"


@pytest.mark.parametrize(
    ("rows", "accuracy", "passes"),
    [(3_000, 0.836, True), (3_000, 0.833, False), (300, 0.82, True), (30_000, 0.841, False)],
)
def test_the_baseline_may_be_ahead_by_what_the_rows_cannot_tell_and_is_warned_of(
    rows: int, accuracy: float, passes: bool
) -> None:
    findings = replace(find_out(LABELS, CHAMPION), baseline=forge_baseline(accuracy, 0.85, rows))
    decision = decide(findings, GATE)
    assert (decision.verdict == "promoted") is passes
    (warning,) = decision.warnings
    assert "loses to the tuned TF-IDF baseline" in warning
    assert f"{85 - 100 * accuracy:.2f} points" in warning


def test_a_model_ahead_of_the_baseline_is_not_warned_of() -> None:
    assert decide(find_out(LABELS, CHAMPION), GATE).warnings == ()
    tied = replace(find_out(LABELS, CHAMPION), baseline=forge_baseline(0.85, 0.85))
    assert decide(tied, GATE).warnings == ()


def test_a_model_that_changes_many_labels_is_kept_out() -> None:
    # As accurate as the champion, but wrong elsewhere: every fourth answer differs.
    champion = forge_answers(LABELS, 0.87, seed=2)
    other = spoil(mend(champion, LABELS, 390), LABELS, np.arange(390, 780))
    findings = find_out(LABELS, other, champion, **OLD)
    assert findings.comparison is not None
    assert findings.comparison.churn > 0.2
    decision = decide(findings, GATE)
    assert "max_churn" in failed_rules(decision)
    tolerant = GateSettings(max_churn=findings.comparison.churn)
    assert "max_churn" not in failed_rules(decide(findings, tolerant))


# Fresh: an old champion may be replaced by a model that is no worse.


def test_an_equal_model_replaces_an_old_champion_only() -> None:
    verdicts = {
        age: decide(find_out(LABELS, EQUAL, CHAMPION, champion_age=age), GATE)
        for age in (0, 29, 30, 31)
    }
    assert {age: entry.verdict for age, entry in verdicts.items()} == {
        0: "kept", 29: "kept", 30: "promoted", 31: "promoted",
    }  # fmt: skip
    assert verdicts[30].basis == "fresh"
    assert "power" in verdicts[30].reasons[0]
    assert "29 nights old" in " ".join(verdicts[29].reasons)


def test_the_policy_superior_alone_never_promotes_an_equal_model() -> None:
    gate = GateSettings(policy="superior")
    decision = decide(find_out(LABELS, EQUAL, CHAMPION, **OLD), gate)
    assert decision.verdict == "kept"
    assert decide(find_out(LABELS, mend(CHAMPION, LABELS, 60), CHAMPION), gate).basis == "superior"


def test_margins_cannot_add_up_against_the_best_version_of_the_year() -> None:
    best = mend(CHAMPION, LABELS, 60)
    findings = find_out(LABELS, EQUAL, CHAMPION, best=best, **OLD)
    decision = decide(findings, GATE)
    assert decision.verdict == "kept"
    assert any("version 7, the best of the last year" in reason for reason in decision.reasons)
    near = find_out(LABELS, EQUAL, CHAMPION, best=CHAMPION, **OLD)
    assert decide(near, GATE).verdict == "promoted"


@pytest.mark.parametrize(("bound", "verdict"), [(-0.0099, "promoted"), (-0.01, "kept")])
def test_the_lower_bound_must_lie_above_the_margin(bound: float, verdict: str) -> None:
    findings = find_out(LABELS, EQUAL, CHAMPION, **OLD)
    assert findings.comparison is not None
    comparison = replace(findings.comparison, lower_bound=bound)
    assert decide(replace(findings, comparison=comparison), GATE).verdict == verdict


# Superior: alpha is spent over the horizon.


@pytest.mark.parametrize(
    ("looks", "level"), [(0, 0.05 / 30), (29, 0.05 / 30), (30, 0.0), (31, 0.0)]
)
def test_alpha_is_spent_in_equal_parts_and_then_gone(looks: int, level: float) -> None:
    assert spend_alpha(GATE, looks) == level


def test_with_all_alpha_spent_even_a_better_model_waits() -> None:
    findings = find_out(LABELS, mend(CHAMPION, LABELS, 60), CHAMPION)
    assert decide(replace(findings, looks=29), GATE).verdict == "promoted"
    assert decide(replace(findings, looks=30), GATE).verdict == "kept"


@pytest.mark.parametrize(
    ("p_better", "verdict"), [(0.05 / 30, "promoted"), (0.05 / 30 * 1.0001, "kept")]
)
def test_a_p_value_at_tonights_level_is_enough(p_better: float, verdict: str) -> None:
    findings = find_out(LABELS, mend(CHAMPION, LABELS, 60), CHAMPION)
    assert findings.comparison is not None
    comparison = replace(findings.comparison, p_better=p_better)
    assert decide(replace(findings, comparison=comparison), GATE).verdict == verdict


# Newest rows, slices.


def make_newest(rows: int) -> tuple[Any, Any]:
    """A challenger that is better over all and worse on the newest rows."""
    newest = np.arange(len(LABELS) - rows, len(LABELS))
    challenger = spoil(mend(CHAMPION, LABELS, 150), LABELS, newest[: rows // 3])
    return challenger, newest


def test_newest_rows_are_reported_and_by_setting_required() -> None:
    challenger, newest = make_newest(120)
    findings = find_out(LABELS, challenger, CHAMPION, newest=newest)
    assert findings.newest_rows == 120
    reported = decide(findings, GATE)
    assert reported.verdict == "promoted"
    assert any("Newest rows (120" in warning for warning in reported.warnings)
    required = decide(findings, GateSettings(newest="require"))
    assert required.verdict == "kept"
    assert failed_rules(required) == ["newest_rows"]


@pytest.mark.parametrize("rows", [None, 99])
def test_too_few_or_unknown_newest_rows_fail_only_where_they_are_required(rows: Any) -> None:
    newest = None if rows is None else np.arange(rows)
    findings = find_out(LABELS, mend(CHAMPION, LABELS, 60), CHAMPION, newest=newest)
    assert findings.newest is None
    assert decide(findings, GATE).verdict == "promoted"
    required = decide(findings, GateSettings(newest="require"))
    assert failed_rules(required) == ["newest_rows"]
    assert ("unknown" if rows is None else "99") in " ".join(required.reasons)


def test_a_slice_guard_says_what_it_could_have_seen() -> None:
    slices = (("stars", "3", np.arange(300)),)
    decision = decide(find_out(LABELS, mend(CHAMPION, LABELS, 60), CHAMPION, slices=slices), GATE)
    (rule,) = [rule for rule in decision.rules if rule.name == "slice_stars_3"]
    assert rule.passed
    assert "the smallest drop that could have been seen is" in rule.sentence


def test_a_slice_at_the_level_is_significantly_worse() -> None:
    slices = (("stars", "3", np.arange(300)),)
    challenger = mend(CHAMPION, LABELS, 100)
    challenger = spoil(challenger, LABELS, np.arange(0, 60))
    findings = find_out(LABELS, challenger, CHAMPION, slices=slices)
    (part,) = findings.slices
    assert part.value < 0
    for p_adjusted, passes in ((0.05, False), (0.0501, True)):
        judged = replace(findings, slices=(replace(part, p_adjusted=p_adjusted),))
        assert ("slice_stars_3" in failed_rules(decide(judged, GATE))) is not passes
    unseen = replace(findings, slices=(replace(part, smallest_drop=math.inf),))
    assert any("too few rows to see any drop" in rule.sentence
               for rule in decide(unseen, GATE).rules)  # fmt: skip


# What stands above the rules: holds, backfills, approval by a person, the sample.


def test_a_blocker_keeps_the_champion_whatever_the_rules_say() -> None:
    findings = find_out(LABELS, mend(CHAMPION, LABELS, 60), CHAMPION)
    decision = decide(replace(findings, blockers=("A hold is in force.",)), GATE)
    assert decision.verdict == "kept"
    assert decision.reasons == ("A hold is in force.",)


def test_manual_approval_leaves_a_passing_challenger_waiting() -> None:
    gate = GateSettings(approval="manual")
    better = find_out(LABELS, mend(CHAMPION, LABELS, 60), CHAMPION)
    decision = decide(better, gate)
    assert (decision.verdict, decision.basis) == ("waiting", "superior")
    assert "sentiflow promote" in decision.reasons[-1]
    assert decide(find_out(LABELS, CHAMPION, CHAMPION), gate).verdict == "kept"


def test_behaviours_of_the_sample_are_only_reported() -> None:
    failing = find_out(LABELS, CHAMPION, behaviours=(make_behaviour(pass_rate=0.1),))
    assert decide(failing, GATE).verdict == "kept"
    sample = decide(replace(failing, is_sample=True), GATE)
    assert sample.verdict == "promoted"
    assert any("Reported only" in warning for warning in sample.warnings)
    assert decide(failing, GateSettings(behaviours="report")).verdict == "promoted"


# What a person reads: the reasons, in full and in order.


def find_sentences(decision: Decision, *names: str) -> list[str]:
    return [rule.sentence for rule in decision.rules if rule.name in names]


SHOWN = ("min_accuracy", "min_balanced_accuracy", "baseline_margin")


def test_the_reasons_of_a_first_night() -> None:
    decision = decide(find_out(LABELS, CHAMPION), GATE)
    assert decision.reasons == (
        "First night of this lineage: every rule but the paired ones decides.",
        "All 11 required rules pass.",
        *find_sentences(decision, *SHOWN),
    )
    assert len(decision.reasons) == 5


@pytest.mark.parametrize("age", [3, GATE.max_champion_age])
def test_the_reasons_of_a_better_model_name_no_rule_that_it_did_not_need(age: int) -> None:
    better = mend(CHAMPION, LABELS, 60)
    decision = decide(find_out(LABELS, better, CHAMPION, champion_age=age), GATE)
    basis = find_sentences(decision, "superior", "champion_age")
    assert len(basis) == 2
    # The 11 of a first night, the changed labels and the policy.
    passes = ("All 13 required rules pass.", *find_sentences(decision, *SHOWN))
    assert decision.reasons == (" ".join(basis), *passes)


def test_the_reasons_of_a_fresh_model_are_all_that_freshness_rests_on() -> None:
    decision = decide(find_out(LABELS, EQUAL, CHAMPION, best=CHAMPION, **OLD), GATE)
    basis = find_sentences(
        decision, "champion_age", "not_a_copy", "non_inferior_to_champion",
        "non_inferior_to_best_of_year",
    )  # fmt: skip
    assert len(basis) == 4
    assert decision.reasons[:2] == (" ".join(basis), "All 13 required rules pass.")


def test_a_young_champion_stays_for_its_age_and_what_failed_comes_before() -> None:
    slow = replace(SOUND, latency_ms=900.0)
    findings = find_out(LABELS, CHAMPION, CHAMPION, inspection=slow, blockers=("On hold.",))
    decision = decide(findings, GATE)
    # That it is a copy as well does not matter yet.
    assert decision.reasons == (
        *find_sentences(decision, "max_latency_ms"),
        "On hold.",
        *find_sentences(decision, "superior"),
        *find_sentences(decision, "champion_age"),
        *find_sentences(decision, "policy"),
    )
    assert len(decision.reasons) == 5
    assert (decision.basis, decision.alpha) == (None, 0.05 / 30)


def test_an_old_champion_stays_for_what_freshness_lacks() -> None:
    best = mend(CHAMPION, LABELS, 60)
    copy = decide(find_out(LABELS, CHAMPION, CHAMPION, best=best, **OLD), GATE)
    names = ("superior", "not_a_copy", "non_inferior_to_best_of_year", "policy")
    assert sorted(copy.reasons) == sorted(find_sentences(copy, *names))
    assert copy.reasons[-1] == "Policy superior or fresh: not met, so the champion stays."
    worse = spoil(CHAMPION, LABELS, np.arange(45))
    decision = decide(find_out(LABELS, worse, CHAMPION, **OLD), GATE)
    lacks = find_sentences(decision, "superior", "non_inferior_to_champion")
    assert decision.reasons[:-1] == tuple(lacks)


def test_a_better_model_that_fails_elsewhere_is_kept_for_that_alone() -> None:
    better = mend(CHAMPION, LABELS, 60)
    slow = replace(SOUND, latency_ms=900.0)
    decision = decide(find_out(LABELS, better, CHAMPION, inspection=slow, **OLD), GATE)
    assert decision.reasons == tuple(find_sentences(decision, "max_latency_ms"))
    assert (decision.verdict, decision.basis) == ("kept", None)


def test_whatever_the_verdict_it_comes_with_rules_level_and_warnings() -> None:
    better = find_out(LABELS, mend(CHAMPION, LABELS, 60), CHAMPION, baseline_accuracy=0.9)
    better = replace(better, baseline=forge_baseline(0.8875, 0.9, 800))
    warning = "The model loses to the tuned TF-IDF baseline by 1.25 points of accuracy."
    decisions = [
        decide(better, GATE),
        decide(better, GateSettings(approval="manual")),
        decide(replace(better, blockers=("On hold.",)), GATE),
    ]
    assert [decision.verdict for decision in decisions] == ["promoted", "waiting", "kept"]
    for decision in decisions:
        assert decision.warnings == (warning,)
        assert decision.alpha == 0.05 / 30
        assert decision.rules == decisions[0].rules
        assert isinstance(decision.rules, tuple)
    assert decisions[1].reasons == (
        *decisions[0].reasons,
        "It waits for a person: sentiflow promote N --reason … (gate.approval=manual).",
    )


def test_only_what_is_reported_is_warned_of() -> None:
    challenger, newest = make_newest(120)
    behaviours = (make_behaviour(pass_rate=0.1), make_behaviour(name="praise"))
    findings = find_out(LABELS, challenger, CHAMPION, newest=newest, behaviours=behaviours)
    reported = decide(findings, GateSettings(behaviours="report"))
    failing = find_sentences(reported, "behaviour_negation", "newest_rows")
    assert len(failing) == 2
    assert reported.warnings == tuple(f"{sentence} Reported only." for sentence in failing)
    required = decide(findings, GateSettings(newest="require"))
    assert required.warnings == ()


# Fails closed.


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy", "roc_auc", "ece"])
@pytest.mark.parametrize("value", [math.nan, math.inf, None])
def test_a_metric_that_is_no_number_is_never_a_pass(metric: str, value: float | None) -> None:
    findings = find_out(LABELS, CHAMPION)
    decision = decide(replace(findings, metrics={**findings.metrics, metric: value}), GATE)
    reason = f"Not evaluated: the challenger's {metric} is no number."
    assert decision == Decision("not_evaluated", None, (reason,))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"baseline_accuracy": math.nan}, "the baseline's accuracy is no number"),
        (
            {"baseline": replace(forge_baseline(0.87, 0.85), upper=math.nan)},
            "the difference to the baseline is no number",
        ),
        (
            {"inspection": replace(SOUND, difference=math.nan)},
            "the artifact's answers in a fresh process are no numbers",
        ),
        (
            {"inspection": replace(SOUND, latency_ms=math.nan)},
            "the artifact's latency is no number",
        ),
        ({"champion_version": 3}, "the challenger was not compared with champion version 3"),
    ],
)
def test_a_finding_that_is_missing_is_never_a_pass(changes: dict[str, Any], reason: str) -> None:
    decision = decide(replace(find_out(LABELS, CHAMPION), **changes), GATE)
    assert decision == Decision("not_evaluated", None, (f"Not evaluated: {reason}.",))


@pytest.mark.parametrize(
    ("name", "against"), [("comparison", "the champion"), ("best_comparison", "version 7")]
)
def test_a_bound_that_is_no_number_is_never_a_pass(name: str, against: str) -> None:
    findings = find_out(LABELS, EQUAL, CHAMPION, best=CHAMPION, **OLD)
    broken = replace(getattr(findings, name), lower_bound=math.nan)
    decision = decide(replace(findings, **{name: broken}), GATE)
    assert decision.verdict == "not_evaluated"
    assert decision.reasons == (f"Not evaluated: the difference to {against} is no number.",)


def test_all_that_is_missing_is_named() -> None:
    findings = replace(find_out(LABELS, CHAMPION), metrics={}, baseline_accuracy=math.inf)
    assert decide(findings, GATE).reasons == (
        "Not evaluated: the challenger's accuracy is no number; the challenger's "
        "balanced_accuracy is no number; the challenger's roc_auc is no number; the challenger's "
        "ece is no number; the baseline's accuracy is no number.",
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 80), st.integers(0, 80), st.integers(0, 60))
def test_a_challenger_with_fewer_wins_than_losses_is_never_superior(
    mended: int, spoiled: int, age: int
) -> None:
    challenger = spoil(mend(CHAMPION, LABELS, mended), LABELS, np.arange(100, 100 + spoiled))
    findings = find_out(
        LABELS, challenger, CHAMPION, gate=GateSettings(resamples=100), champion_age=age
    )
    assert findings.comparison is not None
    decision = decide(findings, GATE)
    if findings.comparison.wins <= findings.comparison.losses:
        assert decision.basis != "superior"
    assert (decision.verdict == "promoted") is (failed_rules(decision) == [])
    assert decision.reasons


def test_a_decision_is_json_and_numbers_that_are_none_are_null() -> None:
    decision = decide(find_out(LABELS, CHAMPION), GATE)
    infinite = replace(decision.rules[0], value=math.inf)
    value = replace(decision, rules=(infinite,)).as_dict()
    assert value["rules"][0]["value"] is None
    assert value["rules"][0]["relation"] == ">="
    assert value["verdict"] == "promoted"
    finite = decision.as_dict()["rules"][0]
    assert set(finite) < {"required", *asdict(decision.rules[0])}
    assert all(held == getattr(decision.rules[0], key) for key, held in finite.items())
    assert finite["value"] == pytest.approx(0.87)
