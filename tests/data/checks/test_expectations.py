"""The expectations as declarations: which there are, when they are not checked, what they say.

That each one fails when it should is shown through Great Expectations in test_validation.py.
"""

from dataclasses import fields, replace
from datetime import date
from typing import Any

import pytest

from sentiflow.data.checks.expectation import TableExpectation
from sentiflow.data.checks.expectations import list_rule_expectations, list_table_expectations
from sentiflow.data.checks.row_expectations import list_row_expectations
from sentiflow.data.profile import DATE_ORDERS, PreviousSnapshot, Profile
from sentiflow.settings import ColumnSettings, DataSettings, Settings

NIGHT = date(2024, 1, 31)
PREVIOUS = PreviousSnapshot(fingerprint="f" * 64, rows=100, positive_share=0.5)
NOTHING = Profile(
    **{field.name: 0 for field in fields(Profile)}  # type: ignore[arg-type]
    | {"earliest_date": None, "latest_date": None, "rejected_by_rule": {}, "join_coverage": None}
    | {"unreadable": {}, "date_orders": dict.fromkeys(DATE_ORDERS, 0), "unknown_labels": {}}
)
TABLE_NAMES = [
    "truncated_files",
    "rejected_share",
    "unreadable_share",
    "unreadable_values",
    "neutral_labels",
    "superseded_share",
    "superseded_rows",
    "missing_ids",
    "rows_after_night",
    "accounted_rows",
    "split_rows",
    "rows",
    "unique_ids",
    "class_share",
    "mean_words",
    "shortest_text",
    "missing_dates",
    "latest_date",
    "join_coverage",
    "test_rows",
    "test_class_rows",
    "train_class_rows",
    "validation_class_rows",
    "volume_low",
    "volume_high",
    "balance_shift",
]


def table(
    previous: PreviousSnapshot | None = None, *, replay: bool = False, **counts: Any
) -> dict[str, TableExpectation]:
    listed = list_table_expectations(
        replace(NOTHING, **counts), previous, Settings(), NIGHT, replay=replay
    )
    return {expected.name: expected for expected in listed}


def test_reviews_with_stars_are_checked_for_stars_and_not_for_labels() -> None:
    names = [expected.name for expected in list_row_expectations(DataSettings())]
    assert names == [
        "expect_column_values_to_not_be_null:review_id",
        "expect_column_value_lengths_to_be_between:review_id",
        "expect_column_values_to_not_be_null:text",
        "expect_column_value_lengths_to_be_between:text",
        "expect_column_values_to_match_regex:text",
        "expect_column_values_to_not_be_null:stars",
        "expect_column_values_to_be_between:stars",
    ]


def test_reviews_with_labels_are_checked_for_labels_and_not_for_stars() -> None:
    data = DataSettings(columns=ColumnSettings(label="sentiment"))
    columns = [expected.column for expected in list_row_expectations(data)]
    assert "label" in columns
    assert "stars" not in columns


def test_every_table_expectation_is_there_once_and_causes_come_first() -> None:
    listed = list_table_expectations(NOTHING, PREVIOUS, Settings(), NIGHT, replay=False)
    assert [expected.name for expected in listed] == TABLE_NAMES


def test_what_could_be_meant_is_a_warning() -> None:
    warnings = [name for name, expected in table(PREVIOUS).items() if not expected.critical]
    assert warnings == [
        "unreadable_values", "neutral_labels", "superseded_rows", "missing_ids",
        "rows_after_night", "missing_dates", "join_coverage", "volume_high",
    ]  # fmt: skip


def test_a_night_without_rows_leaves_only_what_can_be_said_without_rows() -> None:
    checked = [name for name, expected in table(PREVIOUS).items() if expected.unless is None]
    assert checked == ["truncated_files", "accounted_rows", "split_rows", "rows"]


def test_without_an_earlier_snapshot_volume_and_balance_are_not_checked() -> None:
    expectations = table(None, rows=10, positive_rows=5)
    for name in ("volume_low", "volume_high", "balance_shift"):
        assert expectations[name].unless == (
            "there is no earlier accepted snapshot to compare with"
        )


def test_a_replay_is_not_warned_of_later_reviews() -> None:
    counts = {"rows_read": 10, "left_out_after_night": 9}
    assert table(replay=False, **counts)["rows_after_night"].unless is None
    assert "replay" in str(table(replay=True, **counts)["rows_after_night"].unless)


def test_the_latest_date_is_only_unchecked_when_every_date_is_missing() -> None:
    assert table(rows=10, missing_dates=10)["latest_date"].unless == "no review has a date"
    assert table(rows=10, missing_dates=9)["latest_date"].unless is None


def test_join_coverage_is_only_checked_with_a_businesses_file() -> None:
    assert "no businesses file" in str(table(rows=10)["join_coverage"].unless)
    assert table(rows=10, join_coverage=0.0)["join_coverage"].unless is None


@pytest.mark.parametrize(("undecodable", "named"), [(9, False), (10, True), (90, True)])
def test_the_encoding_is_named_when_many_rows_are_undecodable(
    undecodable: int, named: bool
) -> None:
    advice = table(
        rows_read=200,
        quarantined=100,
        undecodable=undecodable,
        rejected_by_rule={"not_json": 100 - undecodable, "not_decodable": undecodable},
    )["rejected_share"].advice
    assert ("could not be decoded as utf-8: set data.encoding" in advice) is named


def test_the_rule_that_rejected_most_is_named_and_ties_go_by_name() -> None:
    rules = {"not_json": 3, "not_an_object": 3, "line_too_long": 1}
    advice = table(rows_read=10, quarantined=7, rejected_by_rule=rules)["rejected_share"].advice
    assert advice == "Most by not_an_object (3 rows). Look at the quarantine file."


LABELS = Settings(data=DataSettings(columns=ColumnSettings(label="sentiment")))


@pytest.mark.parametrize(
    ("unknown", "positive_rows", "suggested"),
    [
        ({"4": 30}, 0, "--set data.labels=0/4"),
        ({"4": 30, "2": 3}, 0, "--set data.labels=0/4"),
        ({"2": 30}, 70, "--set data.labels=1/2"),
        ({"2": 30}, 30, "--set data.labels=0/1/2"),
        ({"-1": 30}, 70, "--set data.labels=-1/1"),
        ({"-1": 30}, 30, "--set data.labels=-1/0/1"),
        ({"yes": 20, "no": 10}, 0, "--set data.labels=yes/no"),
        ({"label_0": 20, "label_1": 10}, 0, "--set data.labels=LABEL_0/1"),
        ({"2": 9, "3": 9, "4": 9, "5": 9}, 70, "--set data.columns.stars=COLUMN"),
        ({"other": 30}, 30, "data.labels = {positive"),
        ({}, 30, "look at data.columns.label"),
    ],
)
def test_labels_that_are_not_understood_name_the_preset_that_fits(
    unknown: dict[str, int], positive_rows: int, suggested: str
) -> None:
    # What is understood is 0 where rows are negative, and 1 where they are positive.
    rows = 70 if positive_rows == 70 or suggested.endswith(("4", "no", "0/1")) else 60
    rows = 0 if "yes" in unknown or "label_0" in unknown else rows
    profile = replace(
        NOTHING, rows_read=100, rows=rows, positive_rows=positive_rows, quarantined=30,
        rejected_by_rule={"expect_column_values_to_not_be_null:label": 30},
        unknown_labels=unknown,
    )  # fmt: skip
    listed = list_table_expectations(profile, None, LABELS, NIGHT, replay=False)
    (advice,) = [one.advice for one in listed if one.name == "rejected_share"]
    assert suggested in advice


@pytest.mark.parametrize(
    ("orders", "said"),
    [
        ({"either": 40, "day_first": 60, "month_first": 0}, "60 dates fit DD/MM only"),
        ({"either": 40, "day_first": 0, "month_first": 60}, "60 dates fit MM/DD only"),
        ({"either": 40, "day_first": 0, "month_first": 0}, "Only you can know"),
        ({"either": 40, "day_first": 30, "month_first": 30}, "Only you can know"),
        ({"either": 0, "day_first": 0, "month_first": 0}, "data.date_format=…"),
    ],
)
def test_dates_that_cannot_be_read_name_the_setting_that_fits(
    orders: dict[str, int], said: str
) -> None:
    found = table(rows_read=200, unreadable={"date": 100, "user_id": 3}, date_orders=orders)
    expected = found["unreadable_share"]
    assert expected.value == 0.5
    assert "unreadable date values=100 of 200 rows" in expected.received
    for words in (said, "data.date_format", "data.columns.date=none"):
        assert words in expected.advice
    # It is said once.
    assert found["unreadable_values"].unless == "unreadable_share says it"


def test_dates_that_were_left_out_are_not_missed() -> None:
    settings = Settings(data=DataSettings(columns=ColumnSettings(date=None)))
    profile = replace(NOTHING, rows=10, missing_dates=10)
    listed = list_table_expectations(profile, None, settings, NIGHT, replay=False)
    (expected,) = [one for one in listed if one.name == "missing_dates"]
    assert expected.unless == "data.columns.date is none"


def test_a_few_values_that_cannot_be_read_are_told() -> None:
    expected = table(rows_read=200, unreadable={"user_id": 3, "date": 1})["unreadable_values"]
    assert (expected.value, expected.at_most, expected.unless) == (3, 0, None)
    assert expected.received == "unreadable values: date 1, user_id 3"
    assert "data.columns.user_id=none" in expected.advice


@pytest.mark.parametrize(
    ("by_others", "by_strangers", "rejects", "warns"),
    [
        (20, 0, False, False),
        (21, 0, False, True),
        (10, 10, False, False),
        (11, 11, False, True),
        (200, 0, False, True),
        (201, 0, True, False),
    ],
)
def test_ids_that_many_reviews_share_reject_and_that_some_share_are_told(
    by_others: int, by_strangers: int, rejects: bool, warns: bool
) -> None:
    found = table(
        rows_read=1_000, superseded_by_others=by_others, superseded_by_strangers=by_strangers
    )
    limit, warning = found["superseded_share"], found["superseded_rows"]
    assert (limit.value > limit.at_most) is rejects
    assert (warning.unless is None and warning.value > warning.at_most) is warns
    assert "data.columns.review_id" in limit.advice
    assert "data.columns.review_id" in warning.required


@pytest.mark.parametrize(("derived", "told"), [(0, 0.0), (300, 0.3), (1_000, 0.0)])
def test_ids_that_some_rows_lack_are_told_and_a_column_that_is_not_there_is_not(
    derived: int, told: float
) -> None:
    assert table(rows_read=1_000, passed=1_000, derived_ids=derived)["missing_ids"].value == told


def test_the_scale_is_named_where_stars_lie_outside() -> None:
    rules = {"expect_column_values_to_be_between:stars": 30}
    advice = table(rows_read=100, quarantined=30, rejected_by_rule=rules)["rejected_share"].advice
    assert "--set data.stars_scale=0-4" in advice


def test_row_reasons_say_how_labels_and_stars_are_written() -> None:
    reasons = [
        expected.reason
        for data in (
            DataSettings(stars_scale="0-4"),
            DataSettings(labels="0/4", columns=ColumnSettings(label="x")),
            DataSettings.model_validate(
                {"labels": {"positive": ["secret"], "negative": [0]}, "columns": {"label": "x"}}
            ),
        )
        for expected in list_row_expectations(data)[-1:]
    ]
    assert reasons == [
        "The stars are not between 0 and 4 (data.stars_scale).",
        "The label is missing or not one of 0/4 (data.labels).",
        "The label is missing or not one of data.labels.",
    ]


def test_each_rule_is_listed_with_its_count_and_the_row_expectations_even_at_zero() -> None:
    rules = {"not_json": 3, "expect_column_values_to_not_be_null:text": 2}
    profile = replace(NOTHING, rows_read=100, quarantined=5, rejected_by_rule=rules)
    listed = {e.name: e for e in list_rule_expectations(profile, DataSettings())}
    assert len(listed) == 7 + 1
    assert listed["rejected:not_json"].value == 3
    assert listed["rejected:expect_column_values_to_not_be_null:text"].value == 2
    assert listed["rejected:expect_column_values_to_be_between:stars"].value == 0
    assert "The text is missing or not a text." in (
        listed["rejected:expect_column_values_to_not_be_null:text"].required
    )


def test_a_rule_at_exactly_the_share_allowed_is_within_its_bound() -> None:
    # 0.29 * 100 is 28.999999999999996.
    profile = replace(NOTHING, rows_read=100, quarantined=29, rejected_by_rule={"not_json": 29})
    listed = list_rule_expectations(profile, DataSettings(max_rejected_share=0.29))
    assert listed[-1].value == listed[-1].at_most == 29
