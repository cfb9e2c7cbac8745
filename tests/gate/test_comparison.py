"""Two models on the same rows: by hand, against scikit-learn and scipy, and mirrored."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

from sentiflow.errors import SentiflowError
from sentiflow.gate.comparison import (
    Comparison,
    compare,
    compare_accuracy,
    compare_slices,
    merge_rare,
    select_changed,
)
from sentiflow.gate.significance import (
    compute_interval,
    compute_lower_bound,
    compute_smallest_drop,
)

few_examples = settings(max_examples=40, deadline=None)
probability = st.integers(0, 8).map(lambda n: n / 8)
answers = st.lists(st.tuples(st.integers(0, 1), probability, probability), min_size=1, max_size=40)

METRICS = ("accuracy", "roc_auc", "log_loss")
# Challenger right, right (0.5 is positive), right, right, wrong; champion wrong in three.
LABELS = np.array([1, 1, 0, 0, 1], dtype=np.int8)
CHALLENGER = np.array([0.9, 0.5, 0.2, 0.4, 0.1], dtype=np.float32)
CHAMPION = np.array([0.8, 0.4, 0.3, 0.6, 0.3], dtype=np.float32)


@pytest.fixture(autouse=True)
def _no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def unzip(rows: list[tuple[int, float, float]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    labels, challenger, champion = (np.array(column) for column in zip(*rows, strict=True))
    return labels.astype(np.int8), challenger, champion


def make_answers(
    rows: int, challenger_skill: float, champion_skill: float, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two models' answers whose errors are partly shared, as two real models' are."""
    generator = np.random.default_rng(seed)
    labels = (generator.random(rows) < 0.6).astype(np.int8)
    shared = generator.normal(0, 0.8, rows)
    models = []
    for skill in (challenger_skill, champion_skill):
        scores = skill * (2 * labels - 1) + shared + generator.normal(0, 0.6, rows)
        models.append((1 / (1 + np.exp(-3 * scores))).astype(np.float32))
    return labels, models[0], models[1]


def make_discordant(wins: int, losses: int, rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All labels are positive; the first rows are wins, the next losses, the others right."""
    position = np.arange(rows)
    challenger = np.where((position >= wins) & (position < wins + losses), 0.2, 0.8)
    champion = np.where(position < wins, 0.2, 0.8)
    return np.ones(rows, dtype=np.int8), challenger, champion


def test_five_rows_counted_by_hand() -> None:
    comparison = compare(LABELS, CHALLENGER, CHAMPION, resamples=100, seed=0)
    assert comparison.rows == 5
    assert [getattr(comparison, name).metric for name in METRICS] == list(METRICS)
    accuracy = comparison.accuracy
    assert (accuracy.challenger, accuracy.champion) == (0.8, 0.4)
    assert accuracy.value == pytest.approx(0.4)
    # Of six pairs the challenger orders four; the champion three, and one is a tie.
    assert comparison.roc_auc.challenger == pytest.approx(4 / 6)
    assert comparison.roc_auc.champion == pytest.approx(3.5 / 6)
    assert comparison.roc_auc.value == pytest.approx(0.5 / 6)
    challenger_loss = -math.log(0.9 * 0.5 * 0.8 * 0.6 * 0.1) / 5
    champion_loss = -math.log(0.8 * 0.4 * 0.7 * 0.4 * 0.3) / 5
    assert comparison.log_loss.challenger == pytest.approx(challenger_loss, rel=1e-6)
    assert comparison.log_loss.champion == pytest.approx(champion_loss, rel=1e-6)
    assert comparison.log_loss.value == pytest.approx(challenger_loss - champion_loss, rel=1e-6)
    assert (comparison.wins, comparison.losses) == (2, 0)
    assert comparison.p_better == pytest.approx(1 / 4)
    assert comparison.p_worse == 1.0
    assert comparison.churn == pytest.approx(2 / 5)


def test_sure_and_wrong_costs_what_the_nights_metrics_say() -> None:
    comparison = compare([1, 0], [0.0, 1.0], [0.5, 0.5], resamples=1, seed=0)
    assert comparison.log_loss.challenger == pytest.approx(-math.log(1e-7))
    assert comparison.log_loss.champion == pytest.approx(math.log(2))


@few_examples
@given(answers)
def test_the_point_values_are_scikit_learns_and_scipys(
    rows: list[tuple[int, float, float]],
) -> None:
    labels, challenger, champion = unzip(rows)
    comparison = compare(labels, challenger, champion, resamples=1, seed=0)
    for model, probabilities in (("challenger", challenger), ("champion", champion)):
        clipped = np.clip(probabilities, 1e-7, 1 - 1e-7)
        accuracy = accuracy_score(labels, probabilities >= 0.5)
        assert getattr(comparison.accuracy, model) == pytest.approx(accuracy)
        loss = log_loss(labels, clipped, labels=[0, 1])
        assert getattr(comparison.log_loss, model) == pytest.approx(loss)
        if len(set(labels.tolist())) == 2:
            auc = roc_auc_score(labels, probabilities)
            assert getattr(comparison.roc_auc, model) == pytest.approx(auc)
    for name in ("accuracy", "log_loss"):
        difference = getattr(comparison, name)
        assert difference.value == difference.challenger - difference.champion
    right = [(p >= 0.5) == (labels == 1) for p in (challenger, champion)]
    assert comparison.wins == sum(a and not b for a, b in zip(*right, strict=True))
    assert comparison.losses == sum(b and not a for a, b in zip(*right, strict=True))
    if discordant := comparison.wins + comparison.losses:
        better = binomtest(comparison.wins, discordant, alternative="greater").pvalue
        worse = binomtest(comparison.wins, discordant, alternative="less").pvalue
        assert comparison.p_better == pytest.approx(better)
        assert comparison.p_worse == pytest.approx(worse)


@pytest.mark.parametrize("resamples", [1, 2, 60])
def test_the_intervals_are_percentiles_of_a_plain_loop(resamples: int) -> None:
    labels, challenger, champion = make_answers(50, 0.7, 0.5, seed=3)
    comparison = compare(labels, challenger, champion, resamples=resamples, seed=11)
    differences: dict[str, list[float]] = {name: [] for name in METRICS}
    for drawn in np.random.default_rng(11).integers(50, size=(resamples, 50)):
        models = (challenger[drawn].astype(np.float64), champion[drawn].astype(np.float64))
        accuracies = [accuracy_score(labels[drawn], p >= 0.5) for p in models]
        aucs = [roc_auc_score(labels[drawn], p) for p in models]
        losses = [log_loss(labels[drawn], np.clip(p, 1e-7, 1 - 1e-7)) for p in models]
        for name, (ours, theirs) in zip(METRICS, (accuracies, aucs, losses), strict=True):
            differences[name].append(ours - theirs)
    for name in METRICS:
        lower, upper = np.percentile(differences[name], [2.5, 97.5])
        assert getattr(comparison, name).lower == pytest.approx(lower, abs=1e-9)
        assert getattr(comparison, name).upper == pytest.approx(upper, abs=1e-9)
    score_bound = compute_lower_bound(comparison.wins, comparison.losses, 50)
    lower_bound = min(np.percentile(differences["accuracy"], 5), score_bound)
    assert comparison.lower_bound == pytest.approx(lower_bound, abs=1e-9)


def test_the_lower_bound_is_the_lower_of_bootstrap_and_score_bound() -> None:
    labels, challenger, champion = make_discordant(12, 8, 60)
    score_bound = compute_lower_bound(12, 8, 60)
    from_bootstrap = 0
    # A single resample lies on either side of the score bound, as the seed wants.
    for seed in range(60):
        comparison = compare(labels, challenger, champion, resamples=1, seed=seed)
        drawn = comparison.accuracy.lower
        assert comparison.lower_bound == pytest.approx(min(drawn, score_bound), abs=1e-12)
        from_bootstrap += drawn < score_bound
    assert 0 < from_bootstrap < 60


def test_without_a_discordant_row_the_lower_bound_still_allows_for_chance() -> None:
    comparison = compare(*make_discordant(0, 0, 100), resamples=200, seed=0)
    assert (comparison.accuracy.lower, comparison.accuracy.upper) == (0.0, 0.0)
    assert comparison.lower_bound == pytest.approx(-0.04358, abs=1e-5)


@few_examples
@given(answers)
def test_swapping_the_models_mirrors_everything(rows: list[tuple[int, float, float]]) -> None:
    labels, challenger, champion = unzip(rows)
    comparison = compare(labels, challenger, champion, resamples=20, seed=1)
    swapped = compare(labels, champion, challenger, resamples=20, seed=1)
    for name in METRICS:
        ours, theirs = getattr(comparison, name), getattr(swapped, name)
        mirrored = [theirs.champion, theirs.challenger, -theirs.value, -theirs.upper, -theirs.lower]
        values = [ours.challenger, ours.champion, ours.value, ours.lower, ours.upper]
        assert values == pytest.approx(mirrored, abs=1e-9, nan_ok=True)
    assert (comparison.wins, comparison.losses) == (swapped.losses, swapped.wins)
    assert (comparison.p_better, comparison.p_worse) == (swapped.p_worse, swapped.p_better)
    assert (comparison.rows, comparison.churn) == (swapped.rows, swapped.churn)


@few_examples
@given(answers, st.randoms())
def test_the_order_of_rows_does_not_matter(rows: list[tuple[int, float, float]], random) -> None:
    def list_points(comparison: Comparison) -> list[float]:
        values = [comparison.wins, comparison.losses, comparison.churn]
        for name in METRICS:
            difference = getattr(comparison, name)
            values += [difference.challenger, difference.champion, difference.value]
        return [*values, comparison.p_better, comparison.p_worse]

    before = list_points(compare(*unzip(rows), resamples=1, seed=0))
    random.shuffle(rows)
    after = list_points(compare(*unzip(rows), resamples=1, seed=0))
    assert after == pytest.approx(before, abs=1e-12, nan_ok=True)


@few_examples
@given(answers)
def test_a_model_compared_with_itself_differs_in_nothing(
    rows: list[tuple[int, float, float]],
) -> None:
    labels, challenger, _ = unzip(rows)
    comparison = compare(labels, challenger, challenger, resamples=20, seed=1)
    names = METRICS if len(set(labels.tolist())) == 2 else ("accuracy", "log_loss")
    for name in names:
        assert getattr(comparison, name).value == 0.0
    for difference in (comparison.accuracy, comparison.log_loss):
        assert (difference.lower, difference.upper) == (0.0, 0.0)
    assert (comparison.wins, comparison.losses, comparison.churn) == (0, 0, 0.0)
    assert (comparison.p_better, comparison.p_worse) == (1.0, 1.0)
    assert comparison.lower_bound < 0


def test_a_better_challenger_is_found_better_and_a_worse_one_worse() -> None:
    better = compare(*make_answers(1_500, 1.0, 0.6, seed=4), resamples=200, seed=0)
    assert better.accuracy.value > 0
    assert better.accuracy.lower > 0
    assert better.roc_auc.lower > 0
    assert better.log_loss.upper < 0
    assert better.p_better < 0.001
    assert better.p_worse > 0.999
    assert 0 < better.lower_bound < better.accuracy.value
    worse = compare(*make_answers(1_500, 0.6, 1.0, seed=4), resamples=200, seed=0)
    assert worse.accuracy.upper < 0
    assert worse.p_worse < 0.001
    assert worse.lower_bound < worse.accuracy.value < 0


def test_the_interval_holds_the_true_difference_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(8)
    held, bounded = 0, 0
    for night in range(200):
        # A tenth of the rows are wins and a twentieth losses: the true difference is 0.05.
        outcome = generator.choice(3, size=150, p=[0.10, 0.05, 0.85])
        challenger = np.where(outcome == 1, 0.2, 0.8)
        champion = np.where(outcome == 0, 0.2, 0.8)
        labels = np.ones(150, dtype=np.int8)
        comparison = compare(labels, challenger, champion, resamples=200, seed=night)
        held += comparison.accuracy.lower <= 0.05 <= comparison.accuracy.upper
        bounded += comparison.lower_bound <= 0.05
    assert 0.89 <= held / 200 <= 0.99
    assert 0.93 <= bounded / 200 <= 1.0


def test_swapping_equal_models_row_by_row_promotes_no_more_often_than_alpha() -> None:
    labels, challenger, champion = make_answers(300, 0.7, 0.7, seed=5)
    generator = np.random.default_rng(6)
    promotions, higher, nights = 0, 0, 600
    for _ in range(nights):
        swap = generator.random(300) < 0.5
        ours, theirs = np.where(swap, champion, challenger), np.where(swap, challenger, champion)
        comparison = compare(labels, ours, theirs, resamples=1, seed=0)
        promotions += comparison.p_better <= 0.05
        higher += comparison.accuracy.value > 0
    assert 0 < promotions / nights <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / nights)
    assert higher / nights > 0.35


def test_the_same_seed_gives_the_same_comparison() -> None:
    models = make_answers(80, 0.7, 0.6, seed=2)
    first = compare(*models, resamples=50, seed=1)
    assert first == compare(*models, resamples=50, seed=1)
    other = compare(*models, resamples=50, seed=2)
    assert other.log_loss.lower != first.log_loss.lower
    assert other.log_loss.value == first.log_loss.value


@pytest.mark.parametrize("label", [0, 1])
def test_with_one_class_there_is_no_ranking_but_all_else(label: int) -> None:
    labels = np.full(5, label, dtype=np.int8)
    comparison = compare(labels, CHALLENGER, CHAMPION, resamples=20, seed=0)
    ranking = comparison.roc_auc
    values = [ranking.challenger, ranking.champion, ranking.value, ranking.lower, ranking.upper]
    assert all(math.isnan(value) for value in values)
    assert math.isfinite(comparison.accuracy.lower)
    assert math.isfinite(comparison.log_loss.upper)


def test_resamples_with_one_class_are_ignored_for_the_ranking_alone() -> None:
    labels = np.array([1, 0, 0], dtype=np.int8)
    challenger, champion = np.array([0.6, 0.2, 0.7]), np.array([0.6, 0.7, 0.8])
    comparison = compare(labels, challenger, champion, resamples=80, seed=4)
    differences = []
    for drawn in np.random.default_rng(4).integers(3, size=(80, 3)):
        if len(set(labels[drawn].tolist())) == 2:
            ours = roc_auc_score(labels[drawn], challenger[drawn])
            differences.append(ours - roc_auc_score(labels[drawn], champion[drawn]))
    assert 0 < len(differences) < 80
    lower, upper = np.percentile(differences, [2.5, 97.5])
    assert comparison.roc_auc.lower == pytest.approx(lower)
    assert comparison.roc_auc.upper == pytest.approx(upper)


def test_when_no_resample_has_both_classes_the_ranking_has_a_value_but_no_interval() -> None:
    draws = {seed: np.random.default_rng(seed).integers(2, size=(1, 2)) for seed in range(20)}
    seed = next(seed for seed, drawn in draws.items() if len(np.unique(drawn)) == 1)
    comparison = compare([1, 0], [0.9, 0.1], [0.1, 0.9], resamples=1, seed=seed)
    assert comparison.roc_auc.value == 1.0
    assert math.isnan(comparison.roc_auc.lower)
    assert math.isnan(comparison.roc_auc.upper)


def test_a_comparison_is_a_json_value_in_which_nan_is_null() -> None:
    full = compare(LABELS, CHALLENGER, CHAMPION, resamples=20, seed=0)
    values = json.loads(json.dumps(full.as_dict(), allow_nan=False))
    assert values["rows"] == 5
    assert values["accuracy"] == {
        "metric": "accuracy",
        "challenger": 0.8,
        "champion": 0.4,
        "value": full.accuracy.value,
        "lower": full.accuracy.lower,
        "upper": full.accuracy.upper,
    }
    assert values["roc_auc"]["value"] == full.roc_auc.value
    assert values["log_loss"]["value"] == full.log_loss.value
    assert (values["wins"], values["losses"], values["churn"]) == (2, 0, 0.4)
    assert (values["p_better"], values["p_worse"]) == (0.25, 1.0)
    assert values["lower_bound"] == full.lower_bound
    single = compare([1], [0.9], [0.8], resamples=1, seed=0).as_dict()
    assert single["roc_auc"] == {
        "metric": "roc_auc",
        "challenger": None,
        "champion": None,
        "value": None,
        "lower": None,
        "upper": None,
    }
    json.dumps(single, allow_nan=False)


BROKEN_MODELS: list[tuple[Any, str]] = [
    ([0.9, 0.5, math.nan, 0.4, 0.1], r"1 of 5 outside, the first is probabilities\[2\]=nan"),
    ([0.9, 0.5, math.inf, 0.4, 0.1], "1 of 5 outside"),
    ([0.9, 0.5, -0.01, 0.4, 0.1], "1 of 5 outside"),
    ([0.9, 0.5, 1.01, 0.4, 0.1], "1 of 5 outside"),
    ([0.9, 0.5, 0.2, 0.4], r"probabilities.shape=\(4,\)"),
    (["a"] * 5, "probabilities.dtype"),
]


@pytest.mark.parametrize(("broken", "received"), BROKEN_MODELS)
def test_a_broken_model_is_never_compared_and_is_named(broken: Any, received: str) -> None:
    slices = [("stars", "4", np.array([0, 1]))]
    with pytest.raises(SentiflowError, match=f"The challenger cannot.*Received: .*{received}"):
        compare(LABELS, broken, CHAMPION, resamples=10, seed=0)
    with pytest.raises(SentiflowError, match=f"The champion cannot.*Received: .*{received}"):
        compare(LABELS, CHALLENGER, broken, resamples=10, seed=0)
    with pytest.raises(SentiflowError, match=f"The challenger cannot.*Received: .*{received}"):
        compare_slices(slices, LABELS, broken, CHAMPION, 0.05)
    with pytest.raises(SentiflowError, match=f"The champion cannot.*Received: .*{received}"):
        compare_slices(slices, LABELS, CHALLENGER, broken, 0.05)
    with pytest.raises(SentiflowError, match=r"The champion cannot.*Received: "):
        select_changed(CHALLENGER, broken)
    with pytest.raises(SentiflowError, match=r"cannot be compared.*Received: "):
        select_changed(broken, CHAMPION)


@pytest.mark.parametrize(
    "labels", [[1, 1, 0, 0, 2], [1.0, 1.0, 0.0, 0.0, math.nan], [1, 1, 0, 0], [-1, 1, 0, 0, 1]]
)
def test_labels_that_are_none_are_refused(labels: Any) -> None:
    with pytest.raises(SentiflowError, match="Received: "):
        compare(labels, CHALLENGER, CHAMPION, resamples=10, seed=0)
    with pytest.raises(SentiflowError, match="Received: "):
        compare_slices([], labels, CHALLENGER, CHAMPION, 0.05)


def test_no_rows_are_no_comparison() -> None:
    with pytest.raises(SentiflowError, match=r"n at least 1.*Received: "):
        compare([], [], [], resamples=10, seed=0)
    with pytest.raises(SentiflowError, match=r"n at least 1.*Received: "):
        select_changed([], [])


@pytest.mark.parametrize("resamples", [0, -1])
def test_an_interval_needs_a_resample(resamples: int) -> None:
    with pytest.raises(SentiflowError, match=f"Received: resamples={resamples}"):
        compare(LABELS, CHALLENGER, CHAMPION, resamples=resamples, seed=0)


def test_changed_rows_are_those_with_another_label() -> None:
    # 0.5 is positive.
    changed = select_changed([0.5, 0.49, 0.5, 0.9, 0.1], [0.49, 0.5, 0.51, 0.6, 0.2])
    assert changed.tolist() == [0, 1]
    assert changed.dtype == np.int64
    assert select_changed(CHALLENGER, CHAMPION).tolist() == [1, 3]


def part(kind: str, name: str, *positions: int) -> tuple[str, str, np.ndarray]:
    return kind, name, np.array(positions, dtype=np.int64)


def list_parts(slices: list[tuple[str, str, np.ndarray]]) -> list[tuple[str, str, list[int]]]:
    return [(kind, name, rows.tolist()) for kind, name, rows in slices]


def test_rare_years_become_one_and_other_rare_slices_are_left_out() -> None:
    merged = merge_rare(
        [
            part("stars", "1", 0, 1),
            part("year", "2004", 6, 7),
            part("stars", "5", 2, 3, 4),
            part("year", "2005", 5),
            part("year", "2006", 0, 1, 2, 3),
            part("category", "Bars", 8),
        ],
        3,
    )
    assert list_parts(merged) == [
        ("stars", "5", [2, 3, 4]),
        ("year", "2006", [0, 1, 2, 3]),
        ("year", "other years", [5, 6, 7]),
    ]
    assert merged[-1][2].dtype == np.int64


def test_rare_years_that_are_few_together_are_left_out_too() -> None:
    rare = [part("year", "2004", 0), part("year", "2005", 1)]
    merged = merge_rare([*rare, part("stars", "5", 2, 3, 4)], 3)
    assert list_parts(merged) == [("stars", "5", [2, 3, 4])]
    assert list_parts(merge_rare(rare, 2)) == [("year", "other years", [0, 1])]


def test_a_row_counts_once_among_the_other_years() -> None:
    assert merge_rare([part("year", "2004", 0, 1), part("year", "2005", 0, 1)], 3) == []


def test_without_rare_years_nothing_is_merged() -> None:
    assert list_parts(merge_rare([part("year", "2004", 0, 1)], 2)) == [("year", "2004", [0, 1])]
    assert merge_rare([], 2) == []
    assert merge_rare([part("stars", "1", 0)], 2) == []


def test_slices_counted_by_hand() -> None:
    # Rows 0 to 5 are losses, row 6 a win, 7 to 19 right in both; all in the first slice.
    labels = np.ones(20, dtype=np.int8)
    challenger = np.array([0.2] * 6 + [0.5] + [0.9] * 13)
    champion = np.array([0.8] * 6 + [0.4] + [0.9] * 13)
    everything, losses_only, wins_only = compare_slices(
        [
            ("year", "2019", np.arange(20)),
            ("stars", "4", np.arange(8)[::-1]),
            ("stars", "5", np.array([6, 19])),
        ],
        labels,
        challenger,
        champion,
        0.06,
    )
    assert (everything.kind, everything.name, everything.rows) == ("year", "2019", 20)
    assert everything.challenger == pytest.approx(14 / 20)
    assert everything.champion == pytest.approx(19 / 20)
    assert everything.value == pytest.approx(-5 / 20)
    assert (everything.wins, everything.losses) == (1, 6)
    # At least six losses of seven: (7 + 1) / 128.
    assert everything.p_worse == pytest.approx(8 / 128)
    assert everything.smallest_drop == compute_smallest_drop(20, 7 / 20, 0.02)
    assert (losses_only.kind, losses_only.name, losses_only.rows) == ("stars", "4", 8)
    assert losses_only.challenger == pytest.approx(2 / 8)
    assert losses_only.champion == pytest.approx(7 / 8)
    assert losses_only.p_worse == pytest.approx(8 / 128)
    assert (wins_only.wins, wins_only.losses, wins_only.value) == (1, 0, 0.5)
    assert (wins_only.challenger, wins_only.champion) == (1.0, 0.5)
    assert wins_only.p_worse == 1.0
    # Holm over three: three times the smallest, then never less.
    assert everything.p_adjusted == pytest.approx(24 / 128)
    assert losses_only.p_adjusted == pytest.approx(24 / 128)
    assert wins_only.p_adjusted == 1.0
    assert math.isinf(wins_only.smallest_drop)


def test_a_slice_is_a_json_value_in_which_infinity_is_null() -> None:
    (single,) = compare_slices([part("stars", "4", 1)], LABELS, CHALLENGER, CHAMPION, 0.05)
    assert json.loads(json.dumps(single.as_dict(), allow_nan=False)) == {
        "kind": "stars",
        "name": "4",
        "rows": 1,
        "challenger": 1.0,
        "champion": 0.0,
        "value": 1.0,
        "wins": 1,
        "losses": 0,
        "p_worse": 1.0,
        "p_adjusted": 1.0,
        "smallest_drop": None,
    }


def test_a_challenger_worse_in_one_slice_only_is_found_there_alone() -> None:
    labels, challenger, champion = make_discordant(40, 30, 1_000)
    slices = [("stars", "4", np.arange(40, 240)), ("stars", "5", np.arange(240, 1_000))]
    hurt, spared = compare_slices(slices, labels, challenger, champion, 0.05)
    assert compare(labels, challenger, champion, resamples=10, seed=0).p_worse > 0.5
    assert hurt.p_adjusted < 0.001
    assert hurt.value < -hurt.smallest_drop
    assert spared.p_adjusted == 1.0


def test_no_slices_are_no_comparisons() -> None:
    assert compare_slices([], LABELS, CHALLENGER, CHAMPION, 0.05) == ()


def test_a_slice_may_hold_the_first_and_the_last_row() -> None:
    (ends,) = compare_slices([part("stars", "4", 4, 0)], LABELS, CHALLENGER, CHAMPION, 0.05)
    assert ends.rows == 2


@pytest.mark.parametrize("positions", [(), (-1, 0), (0, 5), (1, 1)])
def test_a_slice_of_rows_that_are_not_there_is_refused(positions: tuple[int, ...]) -> None:
    received = f"from 0 to 4, at least one. Received: {len(positions)} positions in slice stars=4"
    slices = [part("stars", "5", 0), part("stars", "4", *positions)]
    with pytest.raises(SentiflowError, match=received):
        compare_slices(slices, LABELS, CHALLENGER, CHAMPION, 0.05)


@pytest.mark.parametrize("alpha", [0.0, math.nan, 1.0])
def test_slices_need_a_level(alpha: float) -> None:
    with pytest.raises(SentiflowError, match="Received: "):
        compare_slices([part("stars", "5", 0)], LABELS, CHALLENGER, CHAMPION, alpha)


def test_the_accuracy_against_the_baseline_is_paired_row_by_row() -> None:
    labels = np.array([1, 1, 1, 0, 0, 0, 1, 0])
    challenger = np.array([0.9, 0.5, 0.2, 0.1, 0.7, 0.3, 0.8, 0.4])  # wrong in rows 2 and 4
    baseline = np.array([0.9, 0.3, 0.2, 0.1, 0.2, 0.6, 0.1, 0.4])  # wrong in rows 1, 2, 5 and 6
    found = compare_accuracy(labels, challenger, baseline)
    assert (found.rows, found.wins, found.losses) == (8, 3, 1)
    assert (found.challenger, found.baseline, found.value) == (0.75, 0.5, 0.25)
    assert (found.lower, found.upper) == compute_interval(3, 1, 8)
    swapped = compare_accuracy(labels, baseline, challenger)
    assert (swapped.value, swapped.lower, swapped.upper) == (-0.25, -found.upper, -found.lower)
    assert set(found.as_dict()) == {field.name for field in fields(found)}


def test_a_baseline_whose_answers_are_none_is_named() -> None:
    with pytest.raises(SentiflowError, match="The baseline cannot be compared"):
        compare_accuracy([1, 0], [0.5, 0.5], [0.5, np.nan])
