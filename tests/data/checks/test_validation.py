"""Row and table expectations as Great Expectations evaluates them."""

import json
import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentiflow.data.checks.expectations import list_table_expectations
from sentiflow.data.checks.quick import FINDERS, find_failures, judge_table
from sentiflow.data.checks.row_expectations import list_row_expectations, list_text_expectations
from sentiflow.data.checks.validation import PreviousSnapshot, RowChecker, TableReport, check_table
from sentiflow.data.profile import Profile
from sentiflow.data.reviews import RAW_COLUMNS, Rejection, type_reviews
from sentiflow.errors import SentiflowError
from sentiflow.settings import (
    ColumnSettings,
    DataSettings,
    Settings,
    ValidationSettings,
)

STARS = DataSettings()
LABELS = DataSettings(columns=ColumnSettings(label="label"))
GOOD: dict[str, object] = {
    "review_id": "r1",
    "user_id": "u1",
    "business_id": "b1",
    "stars": 4.0,
    "label": None,
    "text": "Good soup",
    "date": "2024-01-31 10:00:00",
}


def type_rows(rows: list[dict[str, object]], data: DataSettings = STARS) -> pd.DataFrame:
    """Return rows, each GOOD with some fields changed, as type_reviews gives them."""
    raw = pd.DataFrame(
        [{**GOOD, **row, "file": "a.jsonl", "line": line} for line, row in enumerate(rows, 1)],
        columns=list(RAW_COLUMNS),
        dtype=object,
    )
    return type_reviews(raw.astype({"line": "int64"}), data)


def check(
    rows: list[dict[str, object]], data: DataSettings = STARS
) -> tuple[pd.DataFrame, list[Rejection]]:
    """Have Great Expectations check rows, and make sure that a quick look says the same."""
    typed = type_rows(rows, data)
    passed, rejections = RowChecker(data).check(typed)
    expectations = list_row_expectations(data)
    quick = find_failures(typed, expectations)
    assert [expectations[at].name for at in quick[quick >= 0]] == [one.rule for one in rejections]
    assert list(typed.loc[quick < 0, "line"]) == list(passed["line"])
    return passed, rejections


# ---- rows


NOT_NULL, LENGTH = (
    "expect_column_values_to_not_be_null",
    "expect_column_value_lengths_to_be_between",
)
DIRT: list[tuple[dict[str, object], str, str]] = [
    ({"review_id": "i" * 256}, f"{LENGTH}:review_id",
     "The review id is longer than 255 characters."),
    *(({"text": text}, f"{NOT_NULL}:text", "The text is missing or not a text.")
      for text in (None, 12, ["a"])),
    *(({"text": text}, "expect_column_values_to_match_regex:text", "The text is empty.")
      for text in ("", " \t\r\n", "\u00a0\u3000\u2028\x85")),
    ({"text": "t" * 100_001}, f"{LENGTH}:text", "The text is longer than 100,000 characters."),
    *(({"stars": stars}, f"{NOT_NULL}:stars", "The stars are missing or not a number.")
      for stars in (None, "five", float("inf"), True)),
    *(({"stars": stars}, "expect_column_values_to_be_between:stars",
       "The stars are not between 1 and 5.")
      for stars in (0, 0.99, 5.01, -3, 1e300)),
]  # fmt: skip


def test_every_dirty_row_is_rejected_with_its_rule_and_reason_and_those_between_pass() -> None:
    rows: list[dict[str, object]] = [{}]
    for change, _, _ in DIRT:
        rows += [change, {}]
    passed, rejections = check(rows)
    assert list(passed["line"]) == list(range(1, len(rows) + 1, 2))
    assert [(one.file, one.line, one.rule, one.reason, one.review_id) for one in rejections] == [
        ("a.jsonl", 2 * at, rule, reason, change.get("review_id", "r1"))
        for at, (change, rule, reason) in enumerate(DIRT, 1)
    ]


def test_a_row_at_the_edge_of_what_is_allowed_passes() -> None:
    edges: list[dict[str, object]] = [
        {"review_id": "i" * 255},
        {"review_id": None},
        {"user_id": None, "business_id": None, "date": None},
        {"text": "t" * 100_000},
        {"text": "\U0001f372" * 100_000},
        {"text": "."},
        {"text": "\n\n a"},
        {"text": "bad \ud800 surrogate"},
        {"stars": 1},
        {"stars": "5"},
        {"stars": 3.5},
        {"date": "2199-12-31"},
        {"date": "yesterday"},
    ]
    passed, rejections = check(edges)
    assert len(passed) == len(edges)
    assert rejections == []


def test_with_labels_a_row_needs_a_label_and_no_stars() -> None:
    labels = [0, 1, "0", "1", "pos", "Negative", True, "false"]
    passed, rejections = check([{"label": label, "stars": None} for label in labels], LABELS)
    assert len(passed) == len(labels)
    assert rejections == []


def test_with_labels_a_row_without_a_label_is_rejected_whatever_its_stars() -> None:
    labels = [None, 2, "good", 0.5]
    passed, rejections = check([{"label": label, "stars": 5} for label in labels], LABELS)
    assert passed.empty
    assert [(rejection.line, rejection.rule, rejection.reason) for rejection in rejections] == [
        (
            line,
            "expect_column_values_to_not_be_null:label",
            "The label is missing or not one of 0/1, pos/neg, True/False.",
        )
        for line in range(1, len(labels) + 1)
    ]


def test_what_an_unknown_label_may_be_is_counted_and_a_text_is_not_quoted() -> None:
    _, rejections = check([{"label": label} for label in (4, "LABEL_1", "A text.", None)], LABELS)
    found = [rejection.unknown_label for rejection in rejections]
    assert found == ["4", "label_1", "other", None]


def test_the_first_expectation_that_a_row_fails_is_its_rule() -> None:
    _, (rejection,) = check([{"text": None, "stars": 9, "date": "never"}])
    assert rejection.rule == "expect_column_values_to_not_be_null:text"


def test_a_row_without_a_review_id_is_rejected() -> None:
    reviews = type_rows([{}, {}])
    reviews.loc[1, "review_id"] = None
    passed, (rejection,) = RowChecker(STARS).check(reviews)
    assert len(passed) == 1
    assert rejection.rule == "expect_column_values_to_not_be_null:review_id"
    assert rejection.reason == "The review id is missing."
    assert rejection.review_id is None


def test_rows_that_pass_keep_their_values_and_lose_index_and_unknown_label() -> None:
    reviews = type_rows([{"review_id": "a"}, {"stars": 0}, {"review_id": "b", "date": None}])
    reviews.index = pd.Index([7, 7, 3])
    before = reviews.copy()
    passed, rejections = RowChecker(STARS).check(reviews)
    expected = before.iloc[[0, 2]].drop(columns="unknown_label").reset_index(drop=True)
    pd.testing.assert_frame_equal(passed, expected)
    assert [rejection.line for rejection in rejections] == [2]
    pd.testing.assert_frame_equal(reviews, before)


@pytest.mark.parametrize("data", [STARS, LABELS])
def test_an_empty_chunk_is_no_error(data: DataSettings) -> None:
    reviews = type_rows([{"label": 1}], data)
    passed, rejections = RowChecker(data).check(reviews.iloc[:0])
    assert passed.empty
    assert list(passed.columns) == [name for name in reviews.columns if name != "unknown_label"]
    assert rejections == []


def test_a_chunk_of_nothing_but_dirt_is_rejected_whole() -> None:
    passed, rejections = check([{"stars": 6}] * 50)
    assert passed.empty
    assert [rejection.line for rejection in rejections] == list(range(1, 51))


def test_counts_add_up_over_chunks_and_name_what_nothing_failed() -> None:
    checker = RowChecker(STARS)
    checker.check(type_rows([{"text": None}, {"stars": 9}, {}]))
    checker.check(type_rows([{"stars": 9}, {"stars": 9, "date": "never"}]))
    assert checker.counts == {
        "expect_column_values_to_not_be_null:review_id": 0,
        "expect_column_value_lengths_to_be_between:review_id": 0,
        "expect_column_values_to_not_be_null:text": 1,
        "expect_column_values_to_match_regex:text": 0,
        "expect_column_value_lengths_to_be_between:text": 0,
        "expect_column_values_to_not_be_null:stars": 0,
        "expect_column_values_to_be_between:stars": 3,
    }


def test_the_raw_row_is_json_of_its_fields() -> None:
    _, (rejection,) = check([{"text": 'süß "x"', "user_id": None, "stars": 9}])
    assert json.loads(rejection.raw) == {
        "review_id": "r1",
        "user_id": None,
        "business_id": "b1",
        "stars": 9.0,
        "label": None,
        "date": "2024-01-31T10:00:00",
        "text": 'süß "x"',
    }


def test_the_raw_row_of_a_labelled_review_holds_its_label() -> None:
    _, (rejection,) = check([{"text": None, "label": "pos", "date": None}], LABELS)
    raw = json.loads(rejection.raw)
    assert (raw["label"], raw["text"], raw["date"]) == (1, None, None)


def test_the_raw_row_is_cut_at_two_thousand_characters_and_keeps_its_id() -> None:
    _, (rejection,) = check([{"text": "\n" * 200_000}])
    assert len(rejection.raw) == 2_000
    assert '"review_id": "r1"' in rejection.raw


def test_no_reason_holds_any_text_of_its_row() -> None:
    _, (rejection,) = check([{"text": "SECRET", "stars": 9}])
    assert "SECRET" not in rejection.reason + rejection.rule


def test_an_expectation_that_cannot_be_evaluated_is_an_error_without_the_text() -> None:
    reviews = type_rows([{}]).assign(stars=pd.Series(["SECRET"], dtype=object))
    with pytest.raises(SentiflowError, match="expect_column_values_to_be_between:stars") as error:
        RowChecker(STARS).check(reviews)
    assert "SECRET" not in str(error.value)


def test_threads_are_not_answered_about_each_others_rows() -> None:
    # Great Expectations keeps one frame at a time: without a lock this fails.
    chunks = [type_rows([{"stars": 9}] * bad + [{}] * (20 - bad)) for bad in range(12)]

    def count_rejections(chunk: pd.DataFrame) -> list[int]:
        checker = RowChecker(STARS)
        return [len(checker.check(chunk)[1]) for _ in range(3)]

    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(count_rejections, chunks))
    assert found == [[bad] * 3 for bad in range(12)]


def judge(row: Any, data: DataSettings) -> str | None:
    """Return the rule that a typed row breaks, in plain Python."""
    if row.text is None or pd.isna(row.text):
        return "expect_column_values_to_not_be_null:text"
    if not row.text.strip():
        return "expect_column_values_to_match_regex:text"
    if data is LABELS and pd.isna(row.label):
        return "expect_column_values_to_not_be_null:label"
    if data is STARS and pd.isna(row.stars):
        return "expect_column_values_to_not_be_null:stars"
    if data is STARS and not 1 <= row.stars <= 5:
        return "expect_column_values_to_be_between:stars"
    return None


dirty_rows = st.fixed_dictionaries(
    {
        "review_id": st.none() | st.text(max_size=5),
        "text": st.none()
        | st.text(max_size=8)
        | st.text(" \n\u00a0\u2003", max_size=3)
        | st.just(7),
        "stars": st.none() | st.floats() | st.integers(0, 6) | st.sampled_from(["3", "x", True]),
        "label": st.sampled_from([None, 0, 1, 2, "pos", "neg", "?"]),
        "date": st.sampled_from([None, "2024-01-01", "2024-13-01", "soon", ""]),
    }
)


# What an example costs is Great Expectations, not its rows.
@settings(max_examples=20, deadline=None)
@given(rows=st.lists(dirty_rows, max_size=25), data=st.sampled_from([STARS, LABELS]))
def test_rows_agree_with_a_slow_judge_and_none_disappears(
    rows: list[dict[str, object]], data: DataSettings
) -> None:
    reviews = type_rows(rows, data)
    passed, rejections = check(rows, data)
    verdicts = {row.line: judge(row, data) for row in reviews.itertuples()}
    assert len(passed) + len(rejections) == len(rows)
    assert {rejection.line: rejection.rule for rejection in rejections} == {
        line: rule for line, rule in verdicts.items() if rule is not None
    }
    assert list(passed["line"]) == [line for line, rule in verdicts.items() if rule is None]


# ---- the whole night

NIGHT = date(2024, 1, 31)
BOUNDS = Settings(
    data=DataSettings(max_rejected_share=0.05),
    validation=ValidationSettings(
        min_rows=1_000,
        min_class_share=0.05,
        min_mean_words=3,
        max_mean_words=2_000,
        max_missing_date_share=0.5,
        min_volume_ratio=0.7,
        max_volume_ratio=5,
        max_balance_shift=0.1,
        min_test_rows=120,
        min_test_class_rows=30,
    ),
)
PREVIOUS = PreviousSnapshot(fingerprint="f" * 64, rows=2_000, positive_share=0.6)
ACCEPTABLE: dict[str, Any] = {
    "rows_read": 2_200,
    "quarantined": 100,
    "superseded": 40,
    "left_out_after_night": 10,
    "left_out_neutral": 30,
    "left_out_category": 20,
    "rows": 2_000,
    "unique_ids": 2_000,
    "positive_rows": 1_200,
    "total_words": 160_000,
    "shortest_characters": 1,
    "longest_characters": 5_000,
    "missing_dates": 200,
    "missing_user_ids": 0,
    "missing_business_ids": 0,
    "earliest_date": "2010-01-01",
    "latest_date": "2024-01-30",
    "train_rows": 1_500,
    "train_positive_rows": 900,
    "validation_rows": 200,
    "validation_positive_rows": 120,
    "test_rows": 300,
    "test_positive_rows": 180,
    "truncated_files": 0,
    "undecodable": 0,
    "rejected_by_rule": {"not_json": 70, "expect_column_values_to_not_be_null:text": 30},
    "join_coverage": 0.9,
}


def check_night(
    previous: PreviousSnapshot | None = PREVIOUS,
    docs: Path | None = None,
    *,
    replay: bool = False,
    **changes: Any,
) -> TableReport:
    """Have Great Expectations check a night, and make sure that a quick look says the same."""
    profile = Profile(**{**ACCEPTABLE, **changes})
    report = check_table(profile, previous, BOUNDS, NIGHT, docs, replay=replay)
    listed = list_table_expectations(profile, previous, BOUNDS, NIGHT, replay=replay)
    assert judge_table(listed) == report
    return report


def list_failed(report: TableReport) -> set[str]:
    return {outcome.name for outcome in report.outcomes if not outcome.passed}


def test_an_acceptable_night_meets_every_expectation() -> None:
    report = check_night()
    assert report.passed
    assert list_failed(report) == set()
    assert report.unchecked == ()
    assert len(report.outcomes) == 26
    assert report.outcomes[0].sentence == (
        "Every file must be read to its end. Received: truncated_files=0."
    )


def grow(rows: int, positive: int, **changes: Any) -> dict[str, Any]:
    """Return the changes that leave the night with other rows, split and accounted for."""
    test, validation = round(rows * 0.15), round(rows * 0.1)
    share = positive / rows
    return {
        "rows": rows,
        "unique_ids": rows,
        "positive_rows": positive,
        "total_words": rows * 80,
        "missing_dates": 0,
        "rows_read": rows + 200,
        "quarantined": 40,
        "superseded": 100,
        "test_rows": test,
        "validation_rows": validation,
        "train_rows": rows - test - validation,
        "test_positive_rows": round(test * share),
        "validation_positive_rows": round(validation * share),
        "train_positive_rows": round((rows - test - validation) * share),
        **changes,
    }


FAILURES = [
    pytest.param("truncated_files", True, {"truncated_files": 1},
        ["Every file must be read to its end", "truncated_files=1", "quarantine file"],
        id="truncated files"),
    pytest.param("rejected_share", True, {"quarantined": 111, "superseded": 29}, ["At most 0.05",
        "data.max_rejected_share", "rejected_share=0.0504545 (111 of 2,200 rows)"],
        id="rejected share"),
    pytest.param("rejected_share", True, {"quarantined": 120, "superseded": 20,
        "undecodable": 115, "rejected_by_rule": {"not_decodable": 115, "not_json": 5}},
        ["Most by not_decodable (115 rows)", "decoded as utf-8", "set data.encoding"],
        id="undecodable"),
    pytest.param("unreadable_share", True, {"unreadable": {"date": 111, "stars": 1}},
        ["At most 0.05", "data.max_unreadable_share", "unreadable date values=111 of 2,200 rows",
        "data.date_format"], id="unreadable dates"),
    pytest.param("unreadable_values", False, {"unreadable": {"business_id": 1}},
        ["business_id 1", "used without it", "data.columns.business_id=none"],
        id="an unreadable id"),
    pytest.param("neutral_labels", False, {"neutral_labels": 1}, ["kept as negative=1 rows",
        "data.neutral=leave_out"], id="a neutral label"),
    pytest.param("superseded_share", True, {"superseded_by_others": 441}, ["At most 0.2",
        "data.max_superseded_share", "441 of 2,200 rows", "data.columns.review_id=COLUMN"],
        id="ids of many reviews"),
    pytest.param("superseded_rows", False, {"superseded_by_others": 23,
        "superseded_by_strangers": 23}, ["23 of another user or business",
        "data.columns.review_id"], id="ids of some reviews"),
    pytest.param("missing_ids", False, {"passed": 2_100, "derived_ids": 700},
        ["NULL", "=700 of 2,100", "data.columns.review_id"], id="ids that some rows lack"),
    pytest.param("rows_after_night", False, {"left_out_after_night": 23, "left_out_neutral": 17},
        ["At most 0.01", "2024-01-31", "left_out_after_night=23 of 2,200 rows"],
        id="rows after the night"),
    pytest.param("accounted_rows", True, {"superseded": 39}, ["Rows read must equal",
        "rows_read=2,200", "outdated=39", "1 rows are unaccounted for"], id="a lost row"),
    pytest.param("accounted_rows", True, {"superseded": 41}, ["Rows read must equal",
        "-1 rows are unaccounted for"], id="a row too many"),
    pytest.param("split_rows", True, {"rows": 1_999, "unique_ids": 1_999},
        ["must together be the rows of the snapshot", "train=1,500", "rows=1,999"],
        id="rows outside every split"),
    pytest.param("rows", True, {"rows": 0, "rows_read": 2_200, "superseded": 2_040,
        "train_rows": 0, "validation_rows": 0, "test_rows": 0}, ["at least 1,000 rows",
        "validation.min_rows", "rows=0"], id="no rows"),
    pytest.param("unique_ids", True, {"unique_ids": 1_999}, ["a review id of its own",
        "unique_ids=1,999, rows=2,000"], id="repeated ids"),
    pytest.param("unique_ids", True, {"unique_ids": 2_001}, ["a review id of its own",
        "unique_ids=2,001, rows=2,000"], id="more ids than rows"),
    pytest.param("mean_words", True, {"total_words": 5_999}, ["between 3 and 2000 words",
        "validation.min_mean_words", "mean_words=2.9995"], id="few words"),
    pytest.param("mean_words", True, {"total_words": 4_000_001}, ["validation.max_mean_words",
        "mean_words=2000"], id="many words"),
    pytest.param("shortest_text", True, {"shortest_characters": 0}, ["at least 1 character",
        "shortest_characters=0"], id="an empty text"),
    pytest.param("missing_dates", False, {"missing_dates": 1_001}, ["At most 0.5",
        "validation.max_missing_date_share", "(1,001 of 2,000 rows)"], id="missing dates"),
    pytest.param("latest_date", True, {"latest_date": "2024-02-01"},
        ["dated after the night, 2024-01-31", "latest_date=2024-02-01"],
        id="a review of the future"),
    pytest.param("latest_date", True, {"latest_date": None}, ["dated after the night",
        "latest_date=None"], id="no latest date though reviews have dates"),
    pytest.param("join_coverage", False, {"join_coverage": 0.49}, ["At least 0.5",
        "businesses file", "join_coverage=0.49"], id="businesses of another export"),
    pytest.param("test_rows", True, {"test_rows": 119, "train_rows": 1_681,
        "test_positive_rows": 60}, ["at least 120 rows to test on", "Received: test_rows=119",
        "lower validation.min_test_rows"], id="few test rows"),
    pytest.param("test_class_rows", True, {"test_positive_rows": 271},
        ["at least 30 rows to test on", "test_positive_rows=271, test_negative_rows=29",
        "lower validation.min_test_class_rows"], id="few negative test rows"),
    pytest.param("test_class_rows", True, {"test_positive_rows": 29},
        ["test_positive_rows=29, test_negative_rows=271"], id="few positive test rows"),
    pytest.param("train_class_rows", True, {"train_positive_rows": 1_500},
        ["at least 1 row in train", "train_positive_rows=1,500, train_negative_rows=0"],
        id="one class in train"),
    pytest.param("validation_class_rows", True, {"validation_positive_rows": 0},
        ["at least 1 row in validation", "validation_positive_rows=0"],
        id="one class in validation"),
    pytest.param("volume_low", True, grow(1_399, 839), ["at least 0.7 times",
        "validation.min_volume_ratio", "rows=1,399, previous_rows=2,000"],
        id="a third of the rows gone"),
    pytest.param("volume_high", False, grow(10_001, 6_000), ["at most 5 times",
        "validation.max_volume_ratio", "rows=10,001, previous_rows=2,000"],
        id="many times the rows"),
    pytest.param("balance_shift", True, {"positive_rows": 1_401}, ["at most 0.1",
        "max_balance_shift", "=0.7005, previous_positive_share=0.6"],
        id="more positive than before"),
    pytest.param("balance_shift", True, {"positive_rows": 999},
        ["positive_share=0.4995, previous_positive_share=0.6"], id="more negative than before"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "critical", "changes", "parts"), FAILURES)
def test_a_night_that_fails_one_expectation_is_told_so_and_of_nothing_else(
    name: str, critical: bool, changes: dict[str, Any], parts: list[str]
) -> None:
    report = check_night(**changes)
    assert list_failed(report) == {name}
    (sentence,) = report.reasons if critical else report.warnings
    for part in parts:
        assert part in sentence
    assert report.passed is not critical


@pytest.mark.parametrize(
    ("previous", "changes", "name", "parts"),
    [
        pytest.param(
            None,
            grow(999, 600),
            "rows",
            ["at least 1,000 rows (validation.min_rows)", "rows=999"],
            id="few rows",
        ),
        pytest.param(
            None,
            {"positive_rows": 99},
            "class_share",
            ["at least 0.05 (validation.min_class_share)", "(99 of 2,000 rows)"],
            id="few positive",
        ),
        pytest.param(
            None,
            {"positive_rows": 1_901},
            "class_share",
            ["positive_share=0.9505"],
            id="few negative",
        ),
    ],
)
def test_a_first_night_can_fail_too(
    previous: PreviousSnapshot | None, changes: dict[str, Any], name: str, parts: list[str]
) -> None:
    report = check_night(previous, **changes)
    # 999 rows leave fewer than 200 to test on.
    assert list_failed(report) - {"test_rows"} == {name}
    for part in parts:
        assert part in " ".join(report.reasons)


def test_every_expectation_is_seen_failing() -> None:
    seen = {str(case.values[0]) for case in FAILURES} | {"class_share"}
    assert seen == {outcome.name for outcome in check_night().outcomes}


@pytest.mark.parametrize(
    "changes",
    [
        {"quarantined": 110, "superseded": 30},
        {"left_out_after_night": 22, "left_out_neutral": 18},
        {"total_words": 6_000},
        {"total_words": 4_000_000},
        {"missing_dates": 1_000},
        {"latest_date": "2024-01-31"},
        {"join_coverage": 0.5},
        {"test_rows": 200, "train_rows": 1_600, "test_positive_rows": 120},
        {"test_positive_rows": 270},
        {"train_positive_rows": 1_499},
        {"validation_positive_rows": 1},
        grow(1_400, 840),
        grow(10_000, 6_000),
        {"positive_rows": 1_400},
        {"positive_rows": 1_000},
    ],
)
def test_a_bound_itself_is_allowed(changes: dict[str, Any]) -> None:
    assert list_failed(check_night(**changes)) == set()


def test_reviews_without_any_date_are_a_warning_and_not_a_rejection() -> None:
    report = check_night(latest_date=None, earliest_date=None, missing_dates=2_000)
    assert list_failed(report) == {"missing_dates"}
    assert report.passed
    assert "latest_date was not checked: no review has a date." in report.unchecked


@pytest.mark.parametrize("positive", [100, 1_900])
def test_the_smallest_class_share_allowed_is_allowed(positive: int) -> None:
    assert list_failed(check_night(None, positive_rows=positive)) == set()


def test_a_shift_of_exactly_the_bound_is_no_more_than_the_bound() -> None:
    # 0.4 - 0.3 is 0.10000000000000003.
    previous = PreviousSnapshot(fingerprint="f" * 64, rows=2_000, positive_share=0.3)
    assert list_failed(check_night(previous, positive_rows=800)) == set()


def test_an_earlier_snapshot_without_numbers_never_passes_in_silence() -> None:
    nothing = PreviousSnapshot(fingerprint="f" * 64, rows=0, positive_share=float("nan"))
    failed = list_failed(check_night(nothing))
    assert failed == {"volume_low", "volume_high", "balance_shift"}


def test_without_an_earlier_snapshot_the_report_says_what_was_not_compared() -> None:
    report = check_night(None)
    assert report.passed
    assert report.unchecked == tuple(
        f"{name} was not checked: there is no earlier accepted snapshot to compare with."
        for name in ("volume_low", "volume_high", "balance_shift")
    )
    assert not {"volume_low", "volume_high", "balance_shift"} & {
        outcome.name for outcome in report.outcomes
    }


def test_a_replay_may_leave_many_later_reviews_out() -> None:
    changes = grow(2_000, 1_200, rows_read=12_200, left_out_after_night=10_010)
    assert list_failed(check_night(**changes, replay=False)) == {"rows_after_night"}
    report = check_night(**changes, replay=True)
    assert list_failed(report) == set()
    assert "rows_after_night was not checked" in report.unchecked[0]


def test_a_night_without_any_input_is_rejected_with_one_reason() -> None:
    nothing = dict.fromkeys(ACCEPTABLE, 0) | {
        "earliest_date": None,
        "latest_date": None,
        "rejected_by_rule": {},
        "join_coverage": None,
    }
    report = check_night(**nothing)
    assert list_failed(report) == {"rows"}
    assert "rejected_share was not checked: no rows were read." in report.unchecked


# ---- Data Docs


def test_the_docs_page_holds_every_sentence_and_count_and_no_address(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    docs = tmp_path / "data" / "docs"
    report = check_night(docs=docs, truncated_files=2, join_coverage=0.2)
    page = (docs / "index.html").read_text(encoding="utf-8")
    assert "Data checks of the night 2024-01-31" in page
    assert report.reasons[0] in page
    assert f"Warning: {report.warnings[0]}" in page
    rows = page.split("<tbody>")[1].split("</tbody>")[0].split("<tr>")[1:]
    assert len(rows) == len(report.outcomes)
    for outcome, row in zip(report.outcomes, rows, strict=True):
        assert ("text-success" in row, "text-danger" in row) == (
            outcome.passed,
            not outcome.passed,
        )
        assert ("Critical: " in row, "Warning: " in row) == (outcome.critical, not outcome.critical)
        # The renderer writes this where it does not understand a value.
        assert ">--<" not in row
    assert "expect_column_values_to_not_be_null:text may reject at most 0.05" in page
    assert "not_json may reject at most 0.05" in page
    assert ">2024-01-30<" in page
    assert [page.split("not_json may")[1].count(part) for part in (">70<", ">30<")] == [1, 0]
    for part in ("http", "<script", "<link", str(tmp_path), str(Path.home())):
        assert part not in page
    assert [path.name for path in docs.iterdir()] == ["index.html"]
    # It logs, rather than raises, what it cannot render.
    assert caplog.records == []


def test_without_a_folder_no_docs_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    check_night(docs=None)
    assert list(tmp_path.iterdir()) == []


def test_the_docs_of_a_rule_with_markup_in_its_name_hold_no_markup(tmp_path: Path) -> None:
    check_night(docs=tmp_path, rejected_by_rule={"<b>rule</b> $column": 1})
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;rule&lt;/b&gt; $column may reject" in page
    assert "<b>" not in page


def test_great_expectations_is_loaded_late_and_says_nothing(tmp_path: Path) -> None:
    program = f"""
import sys, os, json
from datetime import date
from pathlib import Path
import pandas as pd
from sentiflow.data.profile import Profile
from sentiflow.data.reviews import RAW_COLUMNS, type_reviews
from sentiflow.data.checks.row_expectations import list_row_expectations, list_text_expectations
from sentiflow.data.checks.validation import RowChecker, check_table
from sentiflow.settings import DataSettings, Settings
assert "great_expectations" not in sys.modules
raw = pd.DataFrame([["f", 1, "r", None, None, 9, None, "t", None]], columns=list(RAW_COLUMNS))
passed, rejections = RowChecker(DataSettings()).check(type_reviews(raw, DataSettings()))
profile = Profile(**json.loads({json.dumps(json.dumps(asdict(Profile(**ACCEPTABLE))))}))
report = check_table(profile, None, Settings(), date(2024, 1, 31), Path({str(tmp_path)!r}))
assert os.environ["GX_ANALYTICS_ENABLED"] == "false"
print(len(passed), len(rejections), report.passed)
"""
    finished = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120
    )
    assert finished.stderr == ""
    assert finished.stdout == "0 1 True\n"


@pytest.mark.parametrize("data", [STARS, LABELS])
def test_a_quick_look_knows_every_kind_of_row_expectation(data: DataSettings) -> None:
    kinds = {one.kind for one in (*list_row_expectations(data), *list_text_expectations())}
    assert kinds <= set(FINDERS)
