"""A rule is one object: everything that is told of it comes from there."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest
from reporting.recording import GATE, find_pair

from sentiflow.gate.decision import Decision, decide
from sentiflow.gate.findings import Findings
from sentiflow.gate.rule import Group, Relation, Rule, require
from sentiflow.gate.rules import RULES
from sentiflow.reporting.rule_table import RuleRow, tell_rules
from sentiflow.settings import GateSettings


def rule_on_brier(
    findings: Findings, gate: GateSettings, group: Group = "required"
) -> Iterator[Rule]:
    """Limit the Brier score: all that a new rule is, but for its name in `RULES`."""
    brier = findings.metrics["brier"]
    yield require("max_brier", "Test Brier score", "number", brier, "<=", 0.01, group=group)


def judge(group: Group) -> tuple[Decision, str, RuleRow]:
    """The decision with the new rule, the rule's heading and its row in the report."""
    decision = decide(FOUND, GATE, (*RULES, partial(rule_on_brier, group=group)))
    ((title, row),) = [
        (told.title, row)
        for told in tell_rules(decision.as_dict()["rules"])
        for row in told.rows
        if row.name == "Test Brier score"
    ]
    return decision, title, row


# Better than a young champion: promoted, but for the new rule.
FOUND = replace(
    find_pair(), slices=(), champion_age=3, metrics={**find_pair().metrics, "brier": 0.125}
)
SENTENCE = "Test Brier score 0.1250 exceeds the limit 0.01."


def test_a_new_rule_is_sentence_row_and_json_at_once() -> None:
    decision, title, row = judge("required")
    assert decide(FOUND, GATE).basis == "superior"
    assert (decision.verdict, decision.reasons) == ("kept", (SENTENCE,))
    assert decision.as_dict()["rules"][-2] == {
        "name": "max_brier", "label": "Test Brier score", "unit": "number", "group": "required",
        "value": 0.125, "relation": "<=", "threshold": 0.01, "passed": False, "required": True,
        "sentence": SENTENCE,
    }  # fmt: skip
    assert title == "Required: failing one keeps the champion"
    assert row == RuleRow("Test Brier score", "0.1250", "≤\u00a00.0100", "failed", "failed")


def test_a_new_rule_that_only_reports_is_a_warning() -> None:
    decision, title, row = judge("reported")
    assert decision.verdict == "promoted"
    assert f"{SENTENCE} Reported only." in decision.warnings
    assert (title, row.outcome, row.state) == ("Reported only", "reported only: not met", "noted")


def test_a_new_rule_may_be_what_the_policy_rests_on() -> None:
    decision, title, row = judge("superior")
    assert decision.verdict == "kept"
    age, lacking, policy = decision.reasons
    assert age.startswith("The champion is 3 nights old")
    assert lacking == SENTENCE
    assert policy.startswith("Policy superior or fresh: not met")
    assert (title, row.outcome, row.state) == ("What the policy rests on", "not met", "noted")


@pytest.mark.parametrize("relation", [">=", "<="])
def test_what_is_no_number_never_passes_and_is_null(relation: Relation) -> None:
    rule = require("a", "A", "number", math.nan, relation, 0.5)
    assert not rule.passed
    assert "A not known " in rule.sentence
    assert rule.as_dict()["value"] is None


@pytest.mark.parametrize(
    ("value", "relation", "passed", "sentence"),
    [
        (0.6, ">=", True, "A 0.6000 reaches the floor 0.6."),
        (0.59999, ">=", False, "A 0.59999 is below the floor 0.6."),
        (0.6, "<=", True, "A 0.6000 stays within the limit 0.6."),
        (0.60001, "<=", False, "A 0.60001 exceeds the limit 0.6."),
    ],
)
def test_a_threshold_is_met_where_it_is_reached_and_the_sentence_shows_by_how_much(
    value: float, relation: Relation, passed: bool, sentence: str
) -> None:
    rule = require("a", "A", "number", value, relation, 0.6)
    assert (rule.passed, rule.sentence) == (passed, sentence)
    assert (rule.group, rule.is_shown, rule.comes_first) == ("required", False, False)
