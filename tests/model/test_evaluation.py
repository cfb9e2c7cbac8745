"""Metrics on rows counted by hand, their symmetries, and slices."""

from __future__ import annotations

import json
import math
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from sentiflow.errors import SentiflowError
from sentiflow.model.evaluation import (
    count_words,
    measure_length_edges,
    measure_wilson_interval,
    score,
    score_slices,
)

# scikit-learn checks its input for milliseconds, and is imported by whichever example is first.
few_examples = settings(max_examples=30, deadline=None)

SYMMETRIC = ("accuracy", "balanced_accuracy", "macro_f1", "roc_auc", "log_loss", "brier", "ece")

# Multiples of 1/256 have exact mirror images, and 0.5 would be positive on both sides.
exact_probabilities = st.integers(0, 256).filter(lambda step: step != 128).map(lambda n: n / 256)
rows_of_both_classes = st.lists(
    st.tuples(st.integers(0, 1), exact_probabilities), min_size=2, max_size=60
).filter(lambda rows: len({label for label, _ in rows}) == 2)


def unzip(rows):
    labels, probabilities = zip(*rows, strict=True)
    return np.array(labels, dtype=np.int8), np.array(probabilities, dtype=np.float32)


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_every_metric_of_five_rows_counted_by_hand():
    metrics = score([1, 1, 1, 0, 0], np.array([0.9, 0.75, 0.25, 0.5, 0.125], dtype=np.float32))
    assert metrics.rows == 5
    assert metrics.confusion == ((1, 1), (1, 2))
    assert metrics.accuracy == pytest.approx(3 / 5)
    assert metrics.balanced_accuracy == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert metrics.macro_f1 == pytest.approx((2 / 3 + 1 / 2) / 2)
    # Of the six pairs of a positive and a negative only (0.25, 0.5) is in the wrong order.
    assert metrics.roc_auc == pytest.approx(5 / 6)
    # Precision at the three positives, from the highest: 1/1, 2/2, 3/4.
    assert metrics.average_precision == pytest.approx((1 + 1 + 3 / 4) / 3)
    assert metrics.log_loss == pytest.approx(
        -(math.log(0.9) + math.log(0.75) + math.log(0.25) + math.log(0.5) + math.log(0.875)) / 5
    )
    assert metrics.brier == pytest.approx(
        (0.1**2 + 0.25**2 + 0.75**2 + 0.5**2 + 0.125**2) / 5, abs=1e-7
    )
    # Bins of confidence: 0.5 (wrong), twice 0.75 (one right), 0.875 and 0.9 in two bins (right).
    assert metrics.ece == pytest.approx((0.5 + 2 * 0.25 + 0.125 + 0.1) / 5)


def test_a_probability_of_one_half_is_positive():
    assert score([1, 0], [0.5, 0.5]).confusion == ((0, 1), (0, 1))


def test_sure_and_wrong_costs_much_but_not_infinity():
    metrics = score(np.array([1, 0], dtype=np.int8), np.array([0.0, 1.0], dtype=np.float32))
    assert metrics.log_loss == pytest.approx(-math.log(1e-7))


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_alone_is_scored_without_warnings_and_without_ranking(label):
    probabilities = np.array([0.9, 0.8, 0.1])
    metrics = score([label] * 3, probabilities)
    right = 2 / 3 if label == 1 else 1 / 3
    assert metrics.accuracy == pytest.approx(right)
    assert metrics.balanced_accuracy == pytest.approx(right)
    assert math.isnan(metrics.roc_auc)
    assert math.isnan(metrics.average_precision)
    assert metrics.brier == pytest.approx(np.mean((probabilities - label) ** 2))
    assert metrics.as_dict()["roc_auc"] is None


def test_one_class_alone_and_always_right_has_perfect_scores():
    metrics = score([0, 0], [0.1, 0.2])
    assert (metrics.accuracy, metrics.balanced_accuracy, metrics.macro_f1) == (1.0, 1.0, 1.0)
    assert metrics.confusion == ((2, 0), (0, 0))


@few_examples
@given(rows_of_both_classes, st.randoms())
def test_the_order_of_rows_does_not_matter(rows, random):
    before = score(*unzip(rows)).as_dict()
    random.shuffle(rows)
    after = score(*unzip(rows)).as_dict()
    assert after.pop("confusion") == before.pop("confusion")
    assert after == pytest.approx(before, abs=1e-12)


@few_examples
@given(rows_of_both_classes)
def test_calling_positive_negative_mirrors_every_metric(rows):
    labels, probabilities = unzip(rows)
    metrics = score(labels, probabilities)
    mirrored = score(1 - labels, 1 - probabilities)
    (tn, fp), (fn, tp) = metrics.confusion
    assert mirrored.confusion == ((tp, fn), (fp, tn))
    for name in SYMMETRIC:
        assert getattr(mirrored, name) == pytest.approx(getattr(metrics, name), abs=1e-9), name


@few_examples
@given(rows_of_both_classes, st.integers(2, 4))
def test_rows_repeated_change_nothing_but_their_number(rows, times):
    once = score(*unzip(rows)).as_dict()
    repeated = score(*unzip(rows * times)).as_dict()
    assert repeated.pop("rows") == times * once.pop("rows")
    assert np.array_equal(repeated.pop("confusion"), times * np.array(once.pop("confusion")))
    assert repeated == pytest.approx(once, abs=1e-9)


@few_examples
@given(rows_of_both_classes)
def test_the_confusion_matrix_agrees_with_the_shares(rows):
    metrics = score(*unzip(rows))
    (tn, fp), (fn, tp) = metrics.confusion
    assert tn + fp + fn + tp == metrics.rows
    assert metrics.accuracy == pytest.approx((tn + tp) / metrics.rows)
    assert metrics.balanced_accuracy == pytest.approx((tn / (tn + fp) + tp / (tp + fn)) / 2)


def test_metrics_are_flat_numbers_but_for_the_confusion_matrix():
    values = score([1, 0], [0.9, 0.2]).as_dict()
    assert values.pop("confusion") == [[1, 0], [0, 1]]
    assert all(type(value) in (int, float) for value in values.values())


def test_scores_that_are_no_probabilities_are_refused():
    with pytest.raises(SentiflowError, match=r"probabilities\[1\]=nan"):
        score([1, 0], [0.5, math.nan])


@given(st.integers(1, 500).flatmap(lambda rows: st.tuples(st.integers(0, rows), st.just(rows))))
def test_the_wilson_interval_is_scipys(counts):
    successes, rows = counts
    expected = binomtest(successes, rows).proportion_ci(method="wilson")
    lower, upper = measure_wilson_interval(successes, rows)
    assert (lower, upper) == (pytest.approx(expected.low), pytest.approx(expected.high))


@given(st.lists(st.text(max_size=30), max_size=5))
def test_words_are_counted_as_white_space_parts_them(texts):
    np.testing.assert_array_equal(count_words(texts), [len(text.split()) for text in texts])


def test_length_edges_part_the_texts_into_quarters():
    texts = pd.Series(["word " * words for words in range(1, 101)])
    assert measure_length_edges(texts) == (25.0, 50.0, 75.0)
    assert measure_length_edges(["one"]) == (1.0, 1.0, 1.0)


def test_length_edges_of_nothing_are_refused():
    with pytest.raises(SentiflowError, match=r"at least one text.*len\(texts\)=0"):
        measure_length_edges([])


def make_reviews(**columns):
    """Six reviews; the index is no row number, as after a filter."""
    reviews = {
        "stars": [1.0, 1.0, 4.0, 4.0, 5.0, np.nan],
        "text": ["a", "a b", "a b c", "a b c d", "a b c d e", "a b c d e f"],
        "date": pd.to_datetime(["2014-05-01", "2014-12-31", "2015-01-01", None, None, None]),
    }
    return pd.DataFrame(reviews | columns, index=[7, 7, 3, 9, 1, 0])


LABELS = np.array([0, 0, 1, 1, 1, 0], dtype=np.int8)
PROBABILITIES = np.array([0.2, 0.8, 0.9, 0.1, 0.7, 0.4], dtype=np.float32)
EDGES = (2.0, 3.0, 5.0)


def test_slices_cut_by_stars_length_and_year_hold_the_right_rows():
    slices = score_slices(make_reviews(), LABELS, PROBABILITIES, EDGES, min_rows=1)
    found = {(part.kind, part.name): (part.rows, part.metrics.accuracy) for part in slices}
    assert found == {
        ("stars", "1"): (2, 0.5),
        ("stars", "4"): (2, 0.5),
        ("stars", "5"): (1, 1.0),
        ("length", "up to 2 words"): (2, 0.5),
        ("length", "3 words"): (1, 1.0),
        ("length", "4 to 5 words"): (2, 0.5),
        ("length", "over 5 words"): (1, 1.0),
        ("year", "2014"): (2, 0.5),
        ("year", "2015"): (1, 1.0),
    }
    assert all(part.rows == part.metrics.rows for part in slices)


def test_slices_below_the_least_number_of_rows_are_left_out():
    slices = score_slices(make_reviews(), LABELS, PROBABILITIES, EDGES, min_rows=2)
    assert [(part.kind, part.name) for part in slices] == [
        ("stars", "1"),
        ("stars", "4"),
        ("length", "up to 2 words"),
        ("length", "4 to 5 words"),
        ("year", "2014"),
    ]
    assert score_slices(make_reviews(), LABELS, PROBABILITIES, EDGES) == []


def test_word_counts_that_are_there_are_used():
    reviews = make_reviews(words=[9, 9, 9, 9, 9, 1]).drop(columns="text")
    slices = score_slices(reviews, LABELS, PROBABILITIES, EDGES, min_rows=1)
    assert [(part.name, part.rows) for part in slices if part.kind == "length"] == [
        ("up to 2 words", 1),
        ("over 5 words", 5),
    ]


def test_categories_count_a_review_once_for_each_name_and_most_frequent_first():
    categories = pd.Series(
        ["Bars, Food", " Food ,Bars,Food", "Food,, Thai Food", None, "Bars", "Zoos"], dtype="str"
    )
    reviews = make_reviews(categories=categories.to_numpy())
    slices = score_slices(reviews, LABELS, PROBABILITIES, EDGES, min_rows=1)
    assert [
        (part.name, part.rows, part.metrics.accuracy) for part in slices if part.kind == "category"
    ] == [
        ("Bars", 3, pytest.approx(2 / 3)),
        ("Food", 3, pytest.approx(2 / 3)),
        ("Thai Food", 1, 1.0),
        ("Zoos", 1, 1.0),
    ]


def test_at_most_ten_categories_are_kept():
    names = [", ".join(f"Kind {number:02}" for number in range(12))] * 5 + ["Kind 11"]
    slices = score_slices(make_reviews(categories=names), LABELS, PROBABILITIES, EDGES, min_rows=1)
    kept = [part.name for part in slices if part.kind == "category"]
    assert kept == ["Kind 11", *(f"Kind {number:02}" for number in range(9))]


def test_missing_stars_dates_and_categories_leave_only_lengths():
    reviews = make_reviews(
        stars=pd.array([None] * 6, dtype="Float64"),
        date=pd.to_datetime([None] * 6),
        categories=[None] * 6,
    )
    slices = score_slices(reviews, LABELS, PROBABILITIES, EDGES, min_rows=1)
    assert {part.kind for part in slices} == {"length"}


def test_slices_can_be_written_as_json():
    for part in score_slices(make_reviews(), LABELS, PROBABILITIES, EDGES, min_rows=1):
        values = json.loads(json.dumps(part.as_dict(), allow_nan=False))
        assert (values["kind"], values["name"], values["rows"]) == (
            part.kind, part.name, part.rows
        )  # fmt: skip
        assert values["metrics"] == part.metrics.as_dict()


def test_reviews_of_another_number_of_rows_are_refused():
    with pytest.raises(SentiflowError, match=r"len\(reviews\)=5, len\(labels\)=6"):
        score_slices(make_reviews().iloc[:5], LABELS, PROBABILITIES, EDGES)
