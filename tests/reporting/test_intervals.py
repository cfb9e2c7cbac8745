import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from gate.forging import find_out
from hypothesis import given
from hypothesis import strategies as st
from reporting.recording import CHAMPION, GATE, LABELS, find_alone, find_pair

from sentiflow.reporting.intervals import Axis, Panel, lay_out_panels
from sentiflow.settings import GateSettings

NUMBERS = st.floats(-1, 1, allow_nan=False)


def lay_out(findings: Any = None, gate: GateSettings = GATE) -> dict[str, Panel]:
    values = find_pair().as_dict() if findings is None else findings
    panels = lay_out_panels(values, gate.model_dump(mode="json"))
    return {panel.title.split(",")[0]: panel for panel in panels}


def read(text: str) -> float:
    return float(text.replace("−", "-").removesuffix(" points"))


def make_slice(**changes: Any) -> dict[str, Any]:
    return {
        "kind": "stars", "name": "4", "rows": 100, "challenger": 0.8, "champion": 0.8,
        "value": 0.0, "wins": 0, "losses": 0, "p_worse": 1.0, "p_adjusted": 1.0,
        "smallest_drop": None, **changes,
    }  # fmt: skip


def with_differences(*differences: tuple[float, float, float]) -> dict[str, Any]:
    """Findings whose main comparison has these values and intervals, in the metrics' order."""
    values = {**find_pair().as_dict(), "newest": None, "best_comparison": None, "slices": []}
    comparison = dict(values["comparison"])
    for name, (lower, value, upper) in zip(
        ("accuracy", "roc_auc", "log_loss"), differences, strict=True
    ):
        comparison[name] = {**comparison[name], "lower": lower, "value": value, "upper": upper}
    return {**values, "comparison": {**comparison, "lower_bound": differences[0][0]}}


def test_nothing_is_drawn_without_a_champion() -> None:
    assert lay_out(find_alone().as_dict()) == {}


def test_each_metric_shows_the_champion_the_newest_rows_and_the_best_of_the_year() -> None:
    panels = lay_out()
    assert list(panels) == ["Accuracy", "ROC AUC", "Log loss", "Accuracy by slice"]
    for name in ("Accuracy", "ROC AUC", "Log loss"):
        assert [(mark.label, mark.rows) for mark in panels[name].marks] == [
            ("All test rows, against champion version 1", 3_000),
            ("Newest rows, against champion version 1", 300),
            ("All test rows, against version 7, the best of the year", 3_000),
        ]
    slices = panels["Accuracy by slice"].marks
    assert [mark.label for mark in slices] == [
        "stars: 1", "length: over 160 words", "year: 2019",
    ]  # fmt: skip


def test_the_words_are_the_findings_numbers() -> None:
    found = find_pair()
    assert found.comparison is not None
    panels = lay_out()
    for name, difference, factor, digits in (
        ("Accuracy", found.comparison.accuracy, 100, 2),
        ("ROC AUC", found.comparison.roc_auc, 1, 4),
        ("Log loss", found.comparison.log_loss, 1, 4),
    ):
        mark = panels[name].marks[0]
        assert read(mark.value) == round(factor * difference.value, digits)
        assert [read(end) for end in mark.span.split(" to ")] == [
            round(factor * difference.lower, digits), round(factor * difference.upper, digits),
        ]  # fmt: skip


@given(st.lists(NUMBERS, min_size=9, max_size=9))
def test_everything_is_inside_its_panel_in_the_order_of_its_values(numbers: list[float]) -> None:
    triples = [tuple(sorted(numbers[start : start + 3])) for start in (0, 3, 6)]
    panels = lay_out(with_differences(*triples))  # type: ignore[arg-type]
    for (lower, value, upper), panel in zip(triples, panels.values(), strict=True):
        (mark,) = panel.marks
        assert mark.left is not None
        assert mark.dot is not None
        assert mark.right is not None
        places = [0.0, mark.left, mark.dot, mark.right, 100.0]
        assert places == sorted(places)
        for number, place in ((lower, mark.left), (value, mark.dot), (upper, mark.right)):
            # A thousandth of a percent is the places' rounding.
            assert math.copysign(1, number) == math.copysign(1, place - panel.zero) or (
                abs(place - panel.zero) <= 1e-3
            )


@given(st.lists(NUMBERS, min_size=9, max_size=9))
def test_ticks_stand_where_their_labels_say(numbers: list[float]) -> None:
    triples = [tuple(sorted(numbers[start : start + 3])) for start in (0, 3, 6)]
    for panel in lay_out(with_differences(*triples)).values():  # type: ignore[arg-type]
        places = [place for place, _ in panel.ticks]
        values = [read(label) for _, label in panel.ticks]
        assert 2 <= len(places) <= 7
        assert 0 in values
        assert values == sorted(set(values))
        step = places[1] - places[0]
        expected = [panel.zero + step * value / (values[1] - values[0]) for value in values]
        assert places == pytest.approx(expected, abs=0.02)


def test_an_axis_is_linear() -> None:
    axis = Axis(-2.0, 8.0)
    assert [axis.place(value) for value in (-2, 0, 0.5, 8)] == [0, 20, 25, 100]
    assert axis.compute_place(None) is None
    assert axis.compute_place(math.nan) is None
    assert list(axis.list_ticks()) == [
        (0, "−2"), (20, "0"), (40, "+2"), (60, "+4"), (80, "+6"), (100, "+8"),
    ]  # fmt: skip


def test_a_lower_log_loss_is_better() -> None:
    panels = lay_out()
    assert (panels["Log loss"].left, panels["Log loss"].right) == (
        "challenger better", "challenger worse",
    )  # fmt: skip
    for name in ("Accuracy", "ROC AUC", "Accuracy by slice"):
        assert panels[name].right == "challenger better"


def test_the_bound_is_on_the_side_of_the_margin_where_the_rule_finds_it() -> None:
    for margin, is_no_worse in ((0.0001, False), (0.2, True)):
        findings = with_differences((-0.01, 0.0, 0.01), (-0.01, 0.0, 0.01), (-0.01, 0.0, 0.01))
        panel = lay_out(findings, GateSettings(resamples=200, margin=margin))["Accuracy"]
        (mark,) = panel.marks
        assert mark.bound is not None
        assert panel.margin is not None
        assert (mark.bound > panel.margin) == is_no_worse
        assert 0 < panel.margin < 100


def test_the_margin_is_drawn_for_accuracy_and_only_where_the_policy_uses_it() -> None:
    panels = lay_out()
    assert panels["Accuracy"].margin is not None
    assert [panels[name].margin for name in ("ROC AUC", "Log loss", "Accuracy by slice")] == [
        None, None, None,
    ]  # fmt: skip
    strict = GateSettings(resamples=200, policy="superior")
    assert lay_out(gate=strict)["Accuracy"].margin is None


def test_a_slice_without_a_discordant_row_is_not_certain() -> None:
    values = {**find_pair().as_dict(), "slices": [make_slice()]}
    (mark,) = lay_out(values)["Accuracy by slice"].marks
    # The golden value of compute_lower_bound: 100 rows on which both answer alike.
    assert mark.span == "−4.36 to +4.36"


def test_wins_and_losses_exchanged_mirror_a_slice() -> None:
    one = make_slice(wins=9, losses=2, value=0.07)
    other = make_slice(wins=2, losses=9, value=-0.07)
    values = {**find_pair().as_dict(), "slices": [one, other]}
    first, second = lay_out(values)["Accuracy by slice"].marks
    low, high = (read(end) for end in first.span.split(" to "))
    assert [read(end) for end in second.span.split(" to ")] == [-high, -low]
    assert low < 7 < high


@pytest.mark.parametrize(
    ("value", "p_adjusted", "is_worse"),
    [(-0.1, 0.01, True), (-0.1, 0.05, True), (-0.1, 0.051, False), (0.1, 0.01, False),
     (-0.1, None, False)],
)  # fmt: skip
def test_a_slice_is_marked_worse_as_the_rule_has_it(
    value: float, p_adjusted: float | None, is_worse: bool
) -> None:
    part = make_slice(value=value, wins=1, losses=11, p_adjusted=p_adjusted)
    values = {**find_pair().as_dict(), "slices": [part]}
    (mark,) = lay_out(values)["Accuracy by slice"].marks
    assert mark.is_worse is is_worse


def test_an_exact_copy_has_a_picture_too() -> None:
    findings = find_out(LABELS, CHAMPION, CHAMPION, gate=GATE)
    panels = lay_out(findings.as_dict())
    (mark,) = panels["Log loss"].marks
    assert mark.dot == panels["Log loss"].zero == 50
    assert mark.value == "0.0000"


def test_what_is_no_number_is_not_drawn() -> None:
    rows = np.arange(100)
    findings = find_out(np.ones(100, np.int8), CHAMPION[rows], CHAMPION[rows], gate=GATE)
    (mark,) = lay_out(findings.as_dict())["ROC AUC"].marks
    assert (mark.value, mark.span) == ("not known", "")
    assert (mark.dot, mark.left, mark.right) == (None, None, None)


def test_without_slices_there_is_no_panel_for_them() -> None:
    findings = replace(find_pair(), slices=())
    assert "Accuracy by slice" not in lay_out(findings.as_dict())
