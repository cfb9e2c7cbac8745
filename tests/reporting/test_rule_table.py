from typing import Any

import numpy as np
import pytest
from gate.forging import find_out
from reporting.recording import CHALLENGER, CHAMPION, GATE, LABELS, find_alone, find_pair

from sentiflow.gate.decision import decide
from sentiflow.reporting.rule_table import RuleRow, tell_rules
from sentiflow.settings import GateSettings


def make_rule(**changes: Any) -> dict[str, Any]:
    return {
        "name": "min_accuracy", "label": "Test accuracy", "unit": "number", "group": "required",
        "value": 0.8631, "relation": ">=", "threshold": 0.6, "passed": True, "required": True,
        "sentence": "…", **changes,
    }  # fmt: skip


def tell(**changes: Any) -> RuleRow:
    (group,) = tell_rules([make_rule(**changes)])
    (row,) = group.rows
    return row


def tell_all(rules: Any) -> dict[str, RuleRow]:
    return {row.name: row for group in tell_rules(rules) for row in group.rows}


def test_every_rule_of_the_gate_has_words_and_none_is_lost() -> None:
    gate = GateSettings(resamples=200, newest="require")
    rules = decide(find_pair(), gate).as_dict()["rules"]
    rows = tell_all(rules)
    assert len(rows) == len(rules)
    assert not [name for name in rows if "_" in name]
    assert "No worse in slice length: over 160 words (p)" in rows
    assert "Behaviour added praise" in rows


def test_rules_stand_under_what_they_decide() -> None:
    titles = {
        row.name: group.title
        for group in tell_rules(decide(find_pair(), GATE).as_dict()["rules"])
        for row in group.rows
    }
    assert titles["Test accuracy"] == titles["Superior or, where the policy allows it, fresh"]
    assert titles["Test accuracy"].startswith("Required")
    assert titles["Better than the champion (p)"] == "What the policy rests on"
    assert titles["Age of the champion"] == titles["No copy of the champion"]
    assert titles["No worse than the best of the year (lower bound)"] == "What the policy rests on"
    assert titles["No worse on the newest rows (p)"] == "Reported only"


def test_the_first_night_has_no_empty_group() -> None:
    titles = [group.title for group in tell_rules(decide(find_alone(), GATE).as_dict()["rules"])]
    assert titles == ["Required: failing one keeps the champion"]


@pytest.mark.parametrize(
    ("changes", "value", "required"),
    [
        ({}, "0.8631", "≥ 0.6000"),
        ({"unit": "points", "value": 0.0385, "threshold": -0.015},
         "+3.85 points", "≥ −1.50 points"),
        ({"unit": "small", "relation": "<=", "value": 1e-7, "threshold": 1e-5},
         "1.0 × 10⁻⁷", "≤ 1.0 × 10⁻⁵"),
        ({"unit": "count", "relation": "<=", "value": 3, "threshold": 0}, "3", "≤ 0"),
        ({"unit": "ms", "relation": "<=", "value": 6.244, "threshold": 250.0},
         "6.2 ms", "≤ 250.0 ms"),
        ({"unit": "MB", "relation": "<=", "value": 1.686, "threshold": 250.0},
         "1.7 MB", "≤ 250.0 MB"),
        ({"unit": "p", "relation": "<=", "value": 0.46342, "threshold": 0.05 / 30},
         "0.463", "≤ 0.00167"),
        ({"unit": "nights", "value": 1.0, "threshold": 30.0}, "1 night", "≥ 30 nights"),
        ({"unit": "nights", "value": None, "threshold": 30.0}, "not known", "≥ 30 nights"),
        ({"unit": "yes/no", "value": 0.0, "threshold": 1.0}, "no", "yes"),
        ({"unit": "yes/no", "value": None, "threshold": 1.0}, "not known", "yes"),
        ({"unit": "share", "value": 0.84722, "threshold": 0.9}, "84.7 %", "≥ 90.0 %"),
        ({"unit": "parsecs", "value": 0.25, "threshold": 0.5}, "0.2500", "≥ 0.5000"),
        ({"value": 0.59999}, "0.59999", "≥ 0.60000"),
        ({"value": None}, "not known", "≥ 0.6000"),
    ],
)  # fmt: skip
def test_numbers_have_the_unit_of_their_rule(
    changes: dict[str, Any], value: str, required: str
) -> None:
    row = tell(**changes)
    assert row.value.replace("\u00a0", " ") == value
    assert row.required.replace("\u00a0", " ") == required


@pytest.mark.parametrize(
    ("changes", "outcome", "state"),
    [
        ({}, "passed", "passed"),
        ({"passed": False}, "failed", "failed"),
        ({"group": "superior", "required": False, "passed": False}, "not met", "noted"),
        ({"group": "fresh", "required": False}, "met", "noted"),
        ({"group": "reported", "required": False, "passed": False}, "reported only: not met",
         "noted"),
        ({"group": "reported", "required": False}, "reported only: met", "noted"),
    ],
)  # fmt: skip
def test_the_outcome_is_in_words(changes: dict[str, Any], outcome: str, state: str) -> None:
    row = tell(**changes)
    assert (row.outcome, row.state) == (outcome, state)


def test_too_few_newest_rows_are_counted_where_they_are_required() -> None:
    gate = GateSettings(resamples=200, newest="require")
    findings = find_out(LABELS, CHALLENGER, CHAMPION, gate=gate, newest=np.arange(40))
    row = tell_all(decide(findings, gate).as_dict()["rules"])["Newest rows, enough to judge"]
    assert (row.value, row.outcome) == ("40", "failed")


def test_a_decision_from_before_rules_had_label_unit_and_group_is_still_a_table() -> None:
    rules = decide(find_pair(), GATE).as_dict()["rules"]
    old = [
        {key: rule[key] for key in rule if key not in ("label", "unit", "group")} for rule in rules
    ]
    required, others = tell_rules(old)
    assert (required.title[:8], others.title) == ("Required", "Not required by themselves")
    assert len(required.rows) + len(others.rows) == len(rules)
    rows = tell_all(old)
    assert rows["Min accuracy"].outcome == "passed"
    assert rows["Champion age"] == RuleRow(
        "Champion age", "42.0000", "≥\u00a030.0000", "met", "noted"
    )
