import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit

from sentiflow.model.stack import FEWEST_ROWS, PRIOR, Stack, fit_stack, to_log_odds
from sentiflow.model.wide_layers import StackBranches


def draw_rows(count: int, wide: float, deep: float, bias: float) -> tuple[np.ndarray, ...]:
    """Two branches' log-odds and labels that follow from them by these weights."""
    draw = np.random.default_rng(4)
    one, other = draw.normal(0, 2, (2, count))
    labels = draw.random(count) < expit(wide * one + deep * other + bias)
    return one, other, labels.astype(np.int8)


def test_weights_that_made_the_labels_are_found() -> None:
    stack = fit_stack(*draw_rows(60_000, 0.6, 0.5, -0.3))
    assert (stack.wide, stack.deep, stack.bias) == pytest.approx((0.6, 0.5, -0.3), abs=0.03)


def test_the_fit_is_where_another_search_ends() -> None:
    wide, deep, labels = draw_rows(900, 0.3, 0.9, 0.5)
    stack = fit_stack(wide, deep, labels)

    def measure(weights: np.ndarray) -> float:
        p = Stack(*weights).join(wide, deep)
        pull = 50 * ((weights[0] - PRIOR.wide) ** 2 + (weights[1] - PRIOR.deep) ** 2)
        return float(-np.log(np.where(labels == 1, p, 1 - p)).sum() + pull)

    found = minimize(measure, [0.5, 0.5, 0.0], method="Nelder-Mead", options={"xatol": 1e-7})
    assert (stack.wide, stack.deep, stack.bias) == pytest.approx(tuple(found.x), abs=1e-3)


def test_few_rows_or_one_class_leave_the_weights_as_they_are() -> None:
    wide, deep, labels = draw_rows(FEWEST_ROWS - 1, 2.0, 0.0, 1.0)
    assert fit_stack(wide, deep, labels) == PRIOR
    wide, deep, labels = draw_rows(2 * FEWEST_ROWS, 2.0, 0.0, 1.0)
    assert fit_stack(wide, deep, np.ones_like(labels)) == PRIOR
    assert fit_stack(wide, deep, labels) != PRIOR


def test_a_branch_that_is_wrong_counts_nothing_rather_than_against_itself() -> None:
    wide, deep, labels = draw_rows(20_000, 1.0, -1.0, 0.0)
    assert fit_stack(wide, deep, labels).deep == 0


@pytest.mark.parametrize("certain", [0.0, 1.0])
def test_certain_probabilities_have_finite_log_odds_and_the_graph_joins_alike(
    certain: float,
) -> None:
    positive = np.array([certain, 0.25, 0.9], np.float32)
    probabilities = np.column_stack([1 - positive, positive])
    deep = to_log_odds(probabilities)
    assert np.isfinite(deep).all()
    np.testing.assert_allclose(deep[1:], np.log(positive[1:] / (1 - positive[1:])), rtol=1e-5)
    stack = Stack(0.7, 0.4, -0.2)
    layer = StackBranches()
    layer.assign(stack)
    wide = np.array([0.5, -3.0, 2.0])
    answers = layer(wide.astype(np.float32), probabilities).numpy()
    np.testing.assert_allclose(answers[:, 1], stack.join(wide, deep), atol=5e-7)
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-6)
