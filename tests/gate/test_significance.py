"""Tests, bounds and power, against scipy, exact sums and values worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import binom, binomtest, norm

from sentiflow.errors import SentiflowError
from sentiflow.gate.significance import (
    adjust_holm,
    compute_interval,
    compute_lower_bound,
    compute_mcnemar_p,
    compute_smallest_drop,
    measure_power,
)

Z95 = 1.6448536269514722
Z975 = 1.959963984540054
Z80 = 0.8416212335729143


@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemars_p_is_the_binomial_tests(successes: int, failures: int) -> None:
    if successes + failures == 0:
        assert compute_mcnemar_p(0, 0) == 1.0
    else:
        expected = binomtest(successes, successes + failures, 0.5, alternative="greater").pvalue
        assert compute_mcnemar_p(successes, failures) == pytest.approx(expected, rel=1e-9)


def test_mcnemars_p_counted_by_hand() -> None:
    assert compute_mcnemar_p(3, 0) == pytest.approx(1 / 8)
    assert compute_mcnemar_p(2, 1) == pytest.approx(4 / 8)
    assert compute_mcnemar_p(1, 2) == pytest.approx(7 / 8)
    assert compute_mcnemar_p(0, 3) == 1.0


def holm_in_five_lines(p_values: list[float]) -> list[float]:
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, (len(p_values) - rank) * p_values[index])
        adjusted[index] = min(1.0, highest)
    return adjusted


@given(st.lists(st.floats(0, 1), max_size=20))
def test_holms_p_values_are_those_of_five_lines(p_values: list[float]) -> None:
    assert adjust_holm(p_values).tolist() == pytest.approx(holm_in_five_lines(p_values))


def test_holm_multiplies_by_what_is_left_never_falls_and_stops_at_one() -> None:
    assert adjust_holm([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert adjust_holm([0.0, 1.0, 0.6]).tolist() == [0.0, 1.0, 1.0]
    assert adjust_holm([]).shape == (0,)


@pytest.mark.parametrize("dtype", [np.int64, np.float32])
def test_holm_reckons_in_floats_whatever_it_is_given(dtype: type) -> None:
    adjusted = adjust_holm(np.array([0, 1], dtype=dtype))
    assert (adjusted.dtype, adjusted.tolist()) == (np.dtype(np.float64), [0.0, 1.0])


@pytest.mark.parametrize("wrong", [math.nan, -0.001, 1.001])
def test_holm_refuses_what_is_no_p_value(wrong: float) -> None:
    with pytest.raises(SentiflowError, match=r"from 0 to 1\. Received: p_values="):
        adjust_holm([0.5, wrong])


def measure_restricted_z(wins: int, losses: int, rows: int, difference: float) -> float:
    """Tango's statistic with the correction, its likelihood maximized by search."""

    def measure_surprise(loss_share: float) -> float:
        shares = np.array([loss_share + difference, loss_share, 1 - 2 * loss_share - difference])
        counts = np.array([wins, losses, rows - wins - losses])
        return -float(np.sum(counts * np.log(np.maximum(shares, 1e-300))))

    least, most = max(0.0, -difference), (1 - difference) / 2
    loss_share = minimize_scalar(
        measure_surprise, bounds=(least, most), method="bounded", options={"xatol": 1e-12}
    ).x
    variance = 2 * loss_share + difference - difference**2
    return (wins - losses - 1 - rows * difference) / math.sqrt(rows * variance)


@pytest.mark.parametrize(
    ("wins", "losses", "rows"),
    [(2, 0, 5), (0, 1, 30), (3, 9, 200), (9, 3, 200), (50, 50, 1500), (30, 5, 40), (5, 0, 5)],
)
def test_at_the_lower_bound_the_score_test_just_fails(wins: int, losses: int, rows: int) -> None:
    bound = compute_lower_bound(wins, losses, rows)
    assert bound < (wins - losses) / rows
    assert measure_restricted_z(wins, losses, rows, bound) == pytest.approx(Z95, abs=1e-4)


@pytest.mark.parametrize(
    ("wins", "losses", "rows"), [(3, 9, 200), (50, 50, 1500), (91, 142, 3070), (640, 900, 21024)]
)
def test_at_both_ends_of_the_interval_the_score_test_just_fails(
    wins: int, losses: int, rows: int
) -> None:
    lower, upper = compute_interval(wins, losses, rows)
    assert lower < (wins - losses) / rows < upper
    assert measure_restricted_z(wins, losses, rows, lower) == pytest.approx(Z975, abs=1e-4)
    assert measure_restricted_z(losses, wins, rows, -upper) == pytest.approx(Z975, abs=1e-4)


def test_the_interval_of_a_night_in_hundredths() -> None:
    ends = [round(100 * end, 2) for end in compute_interval(91, 142, 3_070)]
    assert ends == [-2.68, -0.66]
    assert compute_interval(0, 4, 4)[0] == -1.0
    assert compute_interval(4, 0, 4)[1] == 1.0
    assert compute_interval(5, 5, 100)[0] == -compute_interval(5, 5, 100)[1]


@pytest.mark.parametrize("rows", [3, 100, 10_000])
def test_without_a_discordant_row_the_bound_is_a_quadratics_root(rows: int) -> None:
    # (n d - 1)^2 = z^2 n d (1 - d), where d is the drop.
    bound = compute_lower_bound(0, 0, rows)
    roots = np.roots([rows**2 + Z95**2 * rows, -(2 * rows + Z95**2 * rows), 1])
    assert bound == pytest.approx(-max(roots), abs=1e-9)


def test_the_bound_of_a_hundred_equal_answers() -> None:
    assert compute_lower_bound(0, 0, 100) == pytest.approx(-0.04358, abs=1e-5)


def test_the_bound_is_minus_one_when_every_row_but_one_is_lost() -> None:
    assert compute_lower_bound(0, 4, 4) == -1.0
    assert compute_lower_bound(0, 1, 1) == -1.0
    assert compute_lower_bound(0, 3, 4) == -1.0
    assert -1 < compute_lower_bound(0, 2, 4) < -0.75
    assert -1 < compute_lower_bound(1, 3, 4) < -0.75


def test_one_row_proves_nothing() -> None:
    assert compute_lower_bound(0, 0, 1) == -1.0
    assert compute_lower_bound(1, 0, 1) < 0


def test_the_lower_bound_is_wrong_in_at_most_five_percent_even_with_few_discordant_rows() -> None:
    rows = 60
    pairs = [(w, m - w) for m in range(rows + 1) for w in range(m + 1)]
    bounds = np.array([compute_lower_bound(w, losses, rows) for w, losses in pairs])
    wins, losses = np.array(pairs).T
    for discordant in (0.01, 0.03, 0.06, 0.1, 0.3):
        for share in (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0):
            chances = binom.pmf(wins + losses, rows, discordant)
            chances = chances * binom.pmf(wins, wins + losses, share)
            true = discordant * (2 * share - 1)
            assert chances[bounds > true].sum() <= 0.05, (discordant, share)


def test_the_power_agrees_with_simulated_nights_of_equal_models() -> None:
    rows, discordant, margin = 2_000, 0.08, 0.0125
    generator = np.random.default_rng(5)
    discordants = generator.binomial(rows, discordant, 4_000)
    wins = generator.binomial(discordants, 0.5)
    pairs, counts = np.unique(np.stack([wins, discordants - wins]), axis=1, return_counts=True)
    passed = [compute_lower_bound(int(w), int(losses), rows) > -margin for w, losses in pairs.T]
    simulated = counts[passed].sum() / 4_000
    assert 0.4 < simulated < 0.8
    assert measure_power(rows, discordant, margin, 0.05) == pytest.approx(simulated, abs=0.03)


def test_without_discordance_the_lower_bound_must_lie_above_the_margin_not_on_it() -> None:
    # The quadratic's root for 100 rows is the margin: what is spare is 0, give or take a rounding.
    margin = -compute_lower_bound(0, 0, 100)
    assert measure_power(100, 0.0, margin - 1e-9, 0.05) == 0.0
    assert measure_power(100, 0.0, margin + 1e-9, 0.05) == 1.0


@pytest.mark.parametrize("rows", [1, 50, 300, 434, 435, 436, 437, 438, 439, 440, 1_000])
def test_without_discordance_the_power_is_whether_the_bound_passes(rows: int) -> None:
    power = measure_power(rows, 0.0, 0.01, 0.05)
    assert power == (1.0 if compute_lower_bound(0, 0, rows) > -0.01 else 0.0)


def test_without_a_margin_the_power_is_little_more_than_nothing() -> None:
    # Variance n s = 100: z and the continuity of one row in ten.
    assert measure_power(10_000, 0.01, 0.0, 0.05) == pytest.approx(norm.cdf(-Z95 - 0.1))


def test_the_power_of_a_usual_night() -> None:
    # The share of losses q solves 2 q^2 - (s - 2 d) q - s / 2 * d (1 - d) = 0 at d = -0.01.
    q = (math.sqrt(0.12**2 - 8 * 0.05 * 0.01 * 1.01) + 0.12) / 4
    variance = 2 * q - 0.01 * 1.01
    spare = 10_000 * 0.01 - 1 - Z95 * math.sqrt(10_000 * variance)
    power = measure_power(10_000, 0.1, 0.01, 0.05)
    assert power == pytest.approx(norm.cdf(spare / math.sqrt(1_000)))
    assert power == pytest.approx(0.9305, abs=0.0001)


def test_a_stricter_level_has_less_power() -> None:
    assert measure_power(2_000, 0.08, 0.01, 0.01) < measure_power(2_000, 0.08, 0.01, 0.05)


def find_connors_rows(drop: float, discordant: float, alpha: float, power: float) -> float:
    spread = norm.isf(alpha) * math.sqrt(discordant)
    return ((spread + norm.ppf(power) * math.sqrt(discordant - drop**2)) / drop) ** 2


@given(
    st.integers(60, 20_000),
    st.floats(0.0, 0.5),
    st.sampled_from([0.05, 0.05 / 15, 0.001]),
    st.sampled_from([0.5, 0.8, 0.9]),
)
def test_connors_number_of_rows_for_the_smallest_drop_is_the_rows(
    rows: int, discordant: float, alpha: float, power: float
) -> None:
    approximate = compute_smallest_drop(rows, discordant, alpha, power) - 1 / rows
    needed = find_connors_rows(approximate, max(discordant, approximate), alpha, power)
    assert needed == pytest.approx(rows, rel=1e-6)


@pytest.mark.parametrize("alpha", [0.05, 0.05 / 15])
@pytest.mark.parametrize("discordant", [0.0, 0.05, 0.2])
@pytest.mark.parametrize("rows", [100, 300, 1_500])
def test_the_exact_test_sees_the_smallest_drop_in_eight_of_ten_nights(
    rows: int, discordant: float, alpha: float
) -> None:
    drop = compute_smallest_drop(rows, discordant, alpha)
    discordant = max(discordant, drop)
    m = np.arange(int(binom.ppf(1 - 1e-9, rows, discordant)) + 1)
    enough = binom.isf(alpha, m, 0.5) + 1
    seen = binom.sf(enough - 1, m, (discordant + drop) / (2 * discordant))
    power = float(np.sum(binom.pmf(m, rows, discordant) * seen))
    assert 0.8 <= power <= 0.95


def test_the_smallest_drop_of_a_slice_of_a_hundred_rows() -> None:
    factor = (10 * Z95 + Z80 * math.sqrt(100 + Z80**2 - Z95**2)) / (100 + Z80**2)
    assert compute_smallest_drop(100, 0.2, 0.05) == pytest.approx(factor * math.sqrt(0.2) + 0.01)
    assert compute_smallest_drop(100, 0.2, 0.05) == pytest.approx(0.12, abs=0.0005)
    assert compute_smallest_drop(100, 0.0, 0.05) == pytest.approx(factor**2 + 0.01)


@pytest.mark.parametrize(
    ("rows", "alpha", "power"),
    [(1, 0.05, 0.8), (4, 0.05, 0.8), (7, 0.001, 0.8), (9, 0.001, 0.95), (31, 1e-8, 0.99)],
)
def test_too_few_rows_see_no_drop_at_all(rows: int, alpha: float, power: float) -> None:
    assert compute_smallest_drop(rows, 0.1, alpha, power) == math.inf


def test_few_rows_see_only_a_drop_of_most() -> None:
    assert 0.55 < compute_smallest_drop(10, 0.0, 0.05) < 0.65
    assert 0.5 < compute_smallest_drop(29, 0.0, 0.001) < 0.55


def test_a_drop_of_everything_is_the_most_that_can_be_seen() -> None:
    drops = [compute_smallest_drop(rows, 1.0, 0.05) for rows in range(1, 30)]
    finite = [drop for drop in drops if math.isfinite(drop)]
    assert 0 < len(finite) < len(drops)
    assert 0.8 < max(finite) <= 1.0


@pytest.mark.parametrize(
    ("rows", "discordant", "alpha"),
    [
        (0, 0.1, 0.05),
        (10, -0.01, 0.05),
        (10, 1.01, 0.05),
        (10, math.nan, 0.05),
        (10, 0.1, 0.0),
        (10, 0.1, 0.5),
        (10, 0.1, math.nan),
    ],
)
def test_an_impossible_design_is_refused(rows: int, discordant: float, alpha: float) -> None:
    message = (
        "^A test needs at least 1 row, a share of discordant rows from 0 to 1 and a level above 0 "
        rf"and below 0\.5\. Received: rows={rows}, discordant_share={discordant}, alpha={alpha}$"
    )
    with pytest.raises(SentiflowError, match=message):
        measure_power(rows, discordant, 0.01, alpha)
    with pytest.raises(SentiflowError, match=message):
        compute_smallest_drop(rows, discordant, alpha)


def test_the_edges_of_a_design_are_allowed() -> None:
    assert measure_power(1, 1.0, 0.0, 0.499) > 0
    assert compute_smallest_drop(100, 1.0, 0.499, 0.5) > 0


@pytest.mark.parametrize("margin", [-0.01, 1.0, math.nan])
def test_an_impossible_margin_is_refused(margin: float) -> None:
    with pytest.raises(SentiflowError, match=f"Received: margin={margin}"):
        measure_power(100, 0.1, margin, 0.05)


@pytest.mark.parametrize("power", [0.49, 1.0, math.nan])
def test_an_impossible_power_is_refused(power: float) -> None:
    with pytest.raises(SentiflowError, match=f"Received: power={power}"):
        compute_smallest_drop(100, 0.1, 0.05, power)
