"""Calibration: golden values by hand, a slow loop as oracle, and refusals."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentiflow.errors import SentiflowError
from sentiflow.model.calibration import ECE_BINS, check_scores, measure_ece, measure_reliability

scored_rows = st.lists(
    st.tuples(st.integers(0, 1), st.floats(0, 1, width=32)), min_size=1, max_size=60
).map(
    lambda rows: (
        np.array([label for label, _ in rows], dtype=np.int8),
        np.array([probability for _, probability in rows], dtype=np.float32),
    )
)


def measure_ece_slowly(labels, probabilities, bins):
    """Guo et al. 2017, equations 2, 3 and 5, as they are printed."""
    rows = []
    for label, probability in zip(labels.tolist(), probabilities.tolist(), strict=True):
        predicted = 1 if probability >= 0.5 else 0
        confidence = probability if predicted == 1 else 1 - probability
        rows.append((confidence, predicted == label))
    edges = np.linspace(0, 1, bins + 1).tolist()
    ece = 0.0
    for lower, upper in pairwise(edges):
        inside = [row for row in rows if lower < row[0] <= upper]
        if inside:
            confidence = sum(row[0] for row in inside) / len(inside)
            accuracy = sum(row[1] for row in inside) / len(inside)
            ece += len(inside) / len(rows) * abs(accuracy - confidence)
    return ece


@given(scored_rows, st.sampled_from([1, 2, 7, ECE_BINS, 40]))
def test_ece_is_what_a_slow_loop_over_the_formula_gives(rows, bins):
    labels, probabilities = rows
    assert measure_ece(labels, probabilities, bins) == pytest.approx(
        measure_ece_slowly(labels, probabilities, bins), abs=1e-9
    )


def test_ece_of_three_in_four_right_at_seventy_per_cent_is_five_points():
    assert measure_ece([1, 0, 1, 1], [0.7, 0.7, 0.7, 0.7]) == pytest.approx(0.05)


def test_ece_weighs_bins_by_their_rows():
    # One bin: 3 rows, all right, sure to 0.6: gap 0.4. Another: 1 row, wrong, sure to 0.9: gap 0.9.
    assert measure_ece([1, 1, 0, 0], [0.6, 0.6, 0.4, 0.9]) == pytest.approx(
        3 / 4 * 0.4 + 1 / 4 * 0.9
    )


def test_ece_has_fifteen_bins_unless_told_otherwise():
    # Sure to 0.62 and right, sure to 0.68 and wrong: two bins of fifteen, but one of ten.
    labels, probabilities = [1, 0], [0.62, 0.68]
    assert measure_ece(labels, probabilities) == pytest.approx((0.38 + 0.68) / 2)
    assert measure_ece(labels, probabilities, 10) == pytest.approx((0.68 - 0.38) / 2)


def test_ece_looks_at_the_predicted_label_not_at_positives():
    # Two rows of P(positive) 0.1 and 0.9, both right: sure to 0.9, right always.
    assert measure_ece([0, 1], [0.1, 0.9]) == pytest.approx(0.1)


def test_ece_of_sure_and_right_is_zero_and_of_sure_and_wrong_is_one():
    assert measure_ece([0, 1], [0.0, 1.0]) == 0.0
    assert measure_ece([1, 0], [0.0, 1.0]) == 1.0


def test_the_reliability_table_has_means_shares_and_counts_by_bin():
    table = measure_reliability([0, 1, 1, 1], [0.02, 0.08, 0.75, 0.8])
    np.testing.assert_allclose(table.edges, np.arange(11) / 10)
    np.testing.assert_array_equal(table.counts, [2, 0, 0, 0, 0, 0, 0, 2, 0, 0])
    np.testing.assert_allclose(table.mean_probability[[0, 7]], [0.05, 0.775])
    np.testing.assert_allclose(table.positive_share[[0, 7]], [0.5, 1.0])
    assert np.isnan(table.mean_probability[[1, 9]]).all()
    assert np.isnan(table.positive_share[[1, 9]]).all()


def test_the_first_and_last_bin_hold_zero_and_one():
    table = measure_reliability([0, 1], [0.0, 1.0])
    assert (table.counts[0], table.counts[-1], table.counts.sum()) == (1, 1, 2)


@given(scored_rows)
def test_the_reliability_table_holds_every_row_once(rows):
    labels, probabilities = rows
    table = measure_reliability(labels, probabilities)
    assert table.counts.sum() == len(labels)
    assert np.nansum(table.positive_share * table.counts) == pytest.approx(labels.sum())
    assert np.nansum(table.mean_probability * table.counts) == pytest.approx(
        probabilities.astype(np.float64).sum()
    )


@pytest.mark.parametrize(
    ("labels", "probabilities", "message"),
    [
        ([], [], r"n at least 1.*labels\.shape=\(0,\)"),
        ([1], [0.5, 0.5], r"shape \(n,\).*probabilities\.shape=\(2,\)"),
        ([[1], [0]], [[0.5], [0.5]], r"labels\.shape=\(2, 1\)"),
        ([1, 0], [[0.5], [0.5]], r"probabilities\.shape=\(2, 1\)"),
        (1, 0.5, r"labels\.shape=\(\)"),
        ([0, 2], [0.1, 0.2], r"label rule first.*from 0 to 2"),
        ([-1, 1], [0.1, 0.2], r"from -1 to 1"),
        ([0.0, 1.0], [0.1, 0.2], r"labels\.dtype=float64"),
        (["positive", "negative"], [0.1, 0.2], r"labels\.dtype=<U8"),
        ([0, 1], ["0.1", "0.2"], r"probabilities\.dtype=<U3"),
        ([0, 1], [0.1, np.nan], r"1 of 2 outside.*probabilities\[1\]=nan"),
        ([0, 1], [np.inf, np.nan], r"2 of 2 outside.*probabilities\[0\]=inf"),
        ([0, 1], [0.1, -0.001], r"probabilities\[1\]=-0\.001"),
        ([0, 1], [1.0001, 0.5], r"probabilities\[0\]=1\.0001"),
    ],
)
def test_what_cannot_be_scored_is_refused_with_what_was_received(labels, probabilities, message):
    with pytest.raises(SentiflowError, match=f"(?s){message}"):
        check_scores(labels, probabilities)


def test_checked_rows_are_int8_and_float64():
    labels, probabilities = check_scores([True, False], np.array([0.1, 0.9], dtype=np.float32))
    assert (labels.dtype, probabilities.dtype) == (np.int8, np.float64)
    np.testing.assert_array_equal(labels, [1, 0])
