"""The expectations as declarations: which there are, when they are not checked, what they say.

That each one fails when it should is shown through Great Expectations in test_validation.py.
"""

from dataclasses import fields, replace
from datetime import date
from typing import Any

import pytest

from sentiflow.data.checks.expectations import (
    TableExpectation,
    list_row_expectations,
    list_rule_expectations,
    list_table_expectations,
)
from sentiflow.data.profile import PreviousSnapshot, Profile
from sentiflow.settings import ColumnSettings, DataSettings, Settings

NIGHT = date(2024, 1, 31)
PREVIOUS = PreviousSnapshot(fingerprint="f" * 64, rows=100, positive_share=0.5)
NOTHING = Profile(
    **{field.name: 0 for field in fields(Profile)}  # type: ignore[arg-type]
    | {"earliest_date": None, "latest_date": None, "rejected_by_rule": {}, "join_coverage": None}
)
TABLE_NAMES = [
    "truncated_files",
    "rejected_share",
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
        "expect_column_values_to_match_regex:text",
        "expect_column_value_lengths_to_be_between:text",
        "expect_column_values_to_not_be_null:stars",
        "expect_column_values_to_be_between:stars",
        "expect_column_values_to_be_in_set:date_readable",
    ]


def test_reviews_with_labels_are_checked_for_labels_and_not_for_stars() -> None:
    data = DataSettings(columns=ColumnSettings(label="sentiment"))
    columns = [expected.column for expected in list_row_expectations(data)]
    assert "label" in columns
    assert "stars" not in columns


def test_every_table_expectation_is_there_once_and_causes_come_first() -> None:
    listed = list_table_expectations(NOTHING, PREVIOUS, Settings(), NIGHT, replay=False)
    assert [expected.name for expected in listed] == TABLE_NAMES


def test_only_four_expectations_are_warnings() -> None:
    warnings = [name for name, expected in table(PREVIOUS).items() if not expected.critical]
    assert warnings == ["rows_after_night", "missing_dates", "join_coverage", "volume_high"]


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


def test_each_rule_is_listed_with_its_count_and_the_row_expectations_even_at_zero() -> None:
    rules = {"not_json": 3, "expect_column_values_to_not_be_null:text": 2}
    profile = replace(NOTHING, rows_read=100, quarantined=5, rejected_by_rule=rules)
    listed = {e.name: e for e in list_rule_expectations(profile, DataSettings())}
    assert len(listed) == 8 + 1
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
