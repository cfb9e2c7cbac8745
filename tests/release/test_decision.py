import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentiflow.release.decision import decide
from sentiflow.settings import GateSettings

GATE = GateSettings()
GOOD = {"accuracy": 0.88, "balanced_accuracy": 0.87, "roc_auc": 0.94, "ece": 0.03}


def test_on_the_first_night_the_floors_alone_decide() -> None:
    decision = decide(GOOD, None, GATE)
    assert decision.verdict == "promoted"
    assert "First night" in decision.reasons[0]


@pytest.mark.parametrize(
    ("metric", "value", "rule"),
    [
        ("accuracy", 0.59, "min_accuracy"),
        ("balanced_accuracy", 0.5, "min_balanced_accuracy"),
        ("roc_auc", 0.64, "min_roc_auc"),
        ("ece", 0.21, "max_ece"),
    ],
)
def test_every_floor_blocks_by_itself(metric: str, value: float, rule: str) -> None:
    decision = decide({**GOOD, metric: value}, None, GATE)
    assert decision.verdict == "kept"
    assert [entry.name for entry in decision.rules if not entry.passed] == [rule]
    assert len(decision.reasons) == 1


def test_a_model_that_always_says_positive_is_not_promoted() -> None:
    always = {"accuracy": 0.66, "balanced_accuracy": 0.5, "roc_auc": 0.5, "ece": 0.01}
    assert decide(always, None, GATE).verdict == "kept"


@pytest.mark.parametrize(
    ("accuracy", "verdict"), [(0.8801, "promoted"), (0.88, "kept"), (0.8799, "kept")]
)
def test_only_a_better_challenger_replaces_the_champion_and_ties_keep(
    accuracy: float, verdict: str
) -> None:
    assert decide({**GOOD, "accuracy": accuracy}, GOOD, GATE).verdict == verdict


@pytest.mark.parametrize("metric", sorted(GOOD))
@pytest.mark.parametrize("value", [math.nan, math.inf, None])
def test_a_value_that_is_no_number_is_never_a_pass(metric: str, value: float | None) -> None:
    decision = decide({**GOOD, metric: value}, None, GATE)
    assert decision.verdict == "not_evaluated"
    assert metric in decision.reasons[0]


@pytest.mark.parametrize("value", [math.nan, None])
def test_a_champion_without_a_number_is_not_beaten(value: float | None) -> None:
    assert decide(GOOD, {**GOOD, "accuracy": value}, GATE).verdict == "not_evaluated"


def test_a_missing_metric_is_not_evaluated() -> None:
    assert decide({"accuracy": 0.9}, None, GATE).verdict == "not_evaluated"


def test_a_backfill_is_registered_but_never_promoted() -> None:
    decision = decide({**GOOD, "accuracy": 0.99}, GOOD, GATE, is_backfill=True)
    assert decision.verdict == "kept"
    assert "backfill" in decision.reasons[-1]


@given(st.floats(0, 1), st.floats(0, 1))
def test_champion_and_challenger_are_never_both_better(one: float, other: float) -> None:
    gate = GateSettings(min_accuracy=0)
    there = decide({**GOOD, "accuracy": one}, {**GOOD, "accuracy": other}, gate).verdict
    back = decide({**GOOD, "accuracy": other}, {**GOOD, "accuracy": one}, gate).verdict
    assert not (there == back == "promoted")
    assert (there == "promoted") == (one > other)


def test_a_decision_is_json() -> None:
    value = decide(GOOD, GOOD, GATE).as_dict()
    assert value["verdict"] == "kept"
    assert {rule["name"] for rule in value["rules"]} >= {"better_than_champion", "min_accuracy"}
