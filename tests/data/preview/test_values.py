"""What the values of a column are."""

from __future__ import annotations

from typing import Any

import pytest

from sentiflow.data.preview.values import (
    are_dates,
    count_distinct,
    has_neutral,
    name_dates,
    tell_labels,
    tell_order,
    tell_scale,
)


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([1, 2, 3, 4, 5], "1-5"),
        (["4,5", "1,0", None], "1-5"),
        (["4.0 out of 5 stars", "1.0 out of 5 stars"], "1-5"),
        ([0, 1, 2, 3, 4], "0-4"),
        ([0, 5, 3], "0-5"),
        ([1, 10, 7], "1-10"),
        ([0, 10, 7], "0-10"),
        ([20, 100, 60], "0-100"),
        ([12.34, 77.1, 0.5], None),
        ([1, 2, 500], None),
        (["good", "bad", "5"], None),
        ([], None),
    ],
)
def test_the_scale_is_the_usual_one_that_all_stars_fit(values: list[Any], scale: str) -> None:
    assert tell_scale(values) == scale


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        (["positive", "negative", "Neutral"], "0/1"),
        ([True, False], "0/1"),
        ([0, 4], "0/4"),
        (["1", "2"], "1/2"),
        ([-1, 0, 1], "-1/0/1"),
        ([-1, 1], "-1/1"),
        ([0, 1, 2], "0/1/2"),
        (["Yes", "no"], "yes/no"),
        (["LABEL_0", "LABEL_1"], "LABEL_0/1"),
        (["Good", "bad", "OK"], {"positive": ["Good"], "negative": ["bad"], "neutral": ["OK"]}),
        (["Not recommended", "Recommended"],
         {"positive": ["Recommended"], "negative": ["Not recommended"]}),
        (["good", "bad", "purple"], None),
        (["positive"] * 5, None),
        ([1, 2, 3, 4, 5], None),
        (["I came.", "I saw.", "I ate."], None),
    ],
)  # fmt: skip
def test_labels_are_told_by_preset_or_by_what_their_words_mean(
    values: list[Any], labels: Any
) -> None:
    assert tell_labels(values) == labels


def test_neutral_labels_are_told() -> None:
    assert has_neutral(["positive", "neutral"], "0/1")
    assert not has_neutral(["positive", "negative"], "0/1")
    assert has_neutral([], {"positive": ["a"], "negative": ["b"], "neutral": ["c"]})


def test_dates_are_named_the_most_frequent_way_first() -> None:
    values = ["2024-01-01", 1588687728923, "2024-02-01", None, "NULL"]
    assert name_dates(values, "auto") == "ISO 8601, Unix milliseconds"
    assert name_dates(["", None], "auto") is None
    assert are_dates(["31/01/2020", "01/02/2020"]), "unread until data.date_format is set"
    assert not are_dates(["soon", "later", "2024-01-01"])


def test_the_order_of_day_and_month_is_never_guessed() -> None:
    assert tell_order(["31/01/2020", "01/02/2020"]) == "DD/MM"
    assert tell_order(["01/31/2020", "01/02/2020"]) == "MM/DD"
    assert tell_order(["01/02/2020", "03/04/2020"]) is None
    assert tell_order(["31/01/2020", "01/31/2020"]) is None


def test_numbers_that_are_the_same_are_counted_together() -> None:
    assert count_distinct([1, 1.0, "1", " 1", None, "x"]) == {"1": 4, "x": 1}
