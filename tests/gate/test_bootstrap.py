"""Weighted metrics against scikit-learn, and resampling against a plain loop."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

from sentiflow.gate import bootstrap
from sentiflow.gate.bootstrap import Scorer, resample_differences

# scikit-learn checks its input for milliseconds.
few_examples = settings(max_examples=40, deadline=None)
# Of eleven probabilities many are equal, so that ties are usual.
rows_with_weights = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 10).map(lambda n: n / 10), st.integers(0, 3)),
    min_size=2,
    max_size=40,
).filter(lambda rows: len({label for label, _, weight in rows if weight}) == 2)


def make_answers(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = (generator.random(rows) < 0.6).astype(np.int8)
    scores = np.stack([0.3 + 0.4 * labels + generator.normal(0, 0.25, rows) for _ in range(2)])
    challenger, champion = np.clip(scores, 0, 1).round(1)
    return labels, challenger, champion


@few_examples
@given(rows_with_weights)
def test_weighted_metrics_are_scikit_learns(rows: list[tuple[int, float, int]]) -> None:
    labels, probabilities, weights = (np.array(column) for column in zip(*rows, strict=True))
    many = np.stack([weights, np.ones(len(rows))], axis=1).astype(np.float64)
    scored = Scorer(labels.astype(np.int8), probabilities).score(many)
    assert scored.shape == (3, 2)
    clipped = np.clip(probabilities, 1e-7, 1 - 1e-7)
    for column, sample_weight in enumerate(many.T):
        expected = [
            accuracy_score(labels, probabilities >= 0.5, sample_weight=sample_weight),
            roc_auc_score(labels, probabilities, sample_weight=sample_weight),
            log_loss(labels, clipped, sample_weight=sample_weight, labels=[0, 1]),
        ]
        assert scored[:, column].tolist() == pytest.approx(expected, abs=1e-9)


def test_one_pair_in_the_right_order_is_a_perfect_ranking() -> None:
    once = np.ones((2, 1))
    assert Scorer(np.array([1, 0], np.int8), np.array([0.9, 0.1])).score(once)[1, 0] == 1.0
    assert Scorer(np.array([1, 0], np.int8), np.array([0.1, 0.9])).score(once)[1, 0] == 0.0
    assert Scorer(np.array([1, 0], np.int8), np.array([0.5, 0.5])).score(once)[1, 0] == 0.5


def test_a_weighting_with_one_class_has_no_ranking() -> None:
    scored = Scorer(np.array([1, 0], np.int8), np.array([0.9, 0.1])).score(
        np.array([[2.0, 0.0, 1.0], [0.0, 2.0, 1.0]])
    )
    assert np.isnan(scored[1]).tolist() == [True, True, False]


@pytest.mark.parametrize("cells", [1, 90, 320_000])
def test_resampling_is_a_plain_loop_over_drawn_rows_whatever_the_block(
    cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "BLOCK_CELLS", cells)
    labels, challenger, champion = make_answers(40, seed=1)
    scorers = (Scorer(labels, challenger), Scorer(labels, champion))
    differences = resample_differences(scorers, 40, 25, seed=7)
    for resample, drawn in enumerate(np.random.default_rng(7).integers(40, size=(25, 40))):
        expected = []
        for probabilities in (challenger[drawn], champion[drawn]):
            clipped = np.clip(probabilities, 1e-7, 1 - 1e-7)
            expected.append(
                [
                    accuracy_score(labels[drawn], probabilities >= 0.5),
                    roc_auc_score(labels[drawn], probabilities),
                    log_loss(labels[drawn], clipped, labels=[0, 1]),
                ]
            )
        by_hand = np.subtract(*expected)
        assert differences[:, resample] == pytest.approx(by_hand, abs=1e-9)


@pytest.mark.parametrize(
    ("limit", "cells"),
    [(100, [100, 100, 40]), (19, [20] * 12)],
    ids=["five resamples at once", "one, where the rows are more"],
)
def test_blocks_hold_no_more_cells_than_the_limit_or_one_resample(
    limit: int, cells: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    class NotingScorer(Scorer):
        """Notes how many cells it was given at once."""

        cells: list[int]

        def score(self, weights: np.ndarray) -> np.ndarray:
            self.cells.append(weights.size)
            return super().score(weights)

    monkeypatch.setattr(bootstrap, "BLOCK_CELLS", limit)
    labels, challenger, champion = make_answers(20, seed=2)
    scorers = (NotingScorer(labels, challenger), NotingScorer(labels, champion))
    for scorer in scorers:
        scorer.cells = []
    resample_differences(scorers, 20, 12, seed=0)
    assert scorers[0].cells == scorers[1].cells == cells


def test_the_seed_alone_decides_what_is_drawn() -> None:
    labels, challenger, champion = make_answers(30, seed=3)
    scorers = (Scorer(labels, challenger), Scorer(labels, champion))
    first = resample_differences(scorers, 30, 50, seed=1)
    assert np.array_equal(first, resample_differences(scorers, 30, 50, seed=1))
    assert not np.array_equal(first, resample_differences(scorers, 30, 50, seed=2))


def test_sure_and_wrong_costs_much_but_not_infinity() -> None:
    scorer = Scorer(np.array([1, 0], np.int8), np.array([0.0, 1.0]))
    assert scorer.score(np.ones((2, 1)))[2, 0] == pytest.approx(-math.log(1e-7))
