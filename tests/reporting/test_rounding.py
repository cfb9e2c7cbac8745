import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentiflow.reporting.rounding import (
    Show,
    show_apart,
    show_megabytes,
    show_milliseconds,
    show_number,
    show_percent,
    show_points,
    show_seconds,
    show_signed,
    show_significant,
)

FINITE = st.floats(-1e6, 1e6, allow_nan=False)
ALL_SHOWS: tuple[Show, ...] = (
    show_number, show_signed, show_points, show_percent, show_milliseconds, show_seconds,
    show_megabytes, show_significant,
)  # fmt: skip


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (show_number(1_234.56, 1), "1,234.6"),
        (show_number(-3), "−3"),
        (show_signed(0.5), "+0.50"),
        (show_signed(-0.5), "−0.50"),
        (show_signed(0.0), "0.00"),
        (show_signed(0.0001), "+0.00"),
        (show_points(-0.013), "−1.30 points"),
        (show_percent(0.925), "92.5 %"),
        (show_milliseconds(6.244), "6.2 ms"),
        (show_seconds(99.96), "100.0 s"),
        (show_megabytes(1.686), "1.7 MB"),
        (show_significant(0.0012345), "0.00123"),
        (show_significant(1.0), "1.00"),
        (show_significant(0.0), "0.00"),
        (show_significant(123.0), "123"),
        (show_significant(1.234e-7), "1.23 × 10⁻⁷"),
        (show_significant(-2.5e12, 2), "−2.5 × 10¹²"),
    ],
)
def test_numbers_are_rounded_as_they_are_read(shown: str, expected: str) -> None:
    assert shown.replace("\u00a0", " ") == expected


@pytest.mark.parametrize("show", ALL_SHOWS)
@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_said_to_be_not_known(show: Show, value: float | None) -> None:
    assert show(value, 2) == "not known"


@pytest.mark.parametrize("show", ALL_SHOWS)
def test_a_unit_is_never_parted_from_its_number(show: Show) -> None:
    assert " " not in show(-12.5, 2)


@given(FINITE, st.integers(0, 6))
def test_a_rounded_number_is_at_most_half_a_digit_off(value: float, decimals: int) -> None:
    read = float(show_signed(value, decimals).replace("−", "-").replace(",", ""))
    assert abs(read - value) <= 0.5 * 10**-decimals + 1e-9


@given(st.floats(0, 1), st.integers(-3, 3), st.sampled_from([show_number, show_significant]))
def test_a_value_that_misses_its_threshold_never_looks_equal_to_it(
    threshold: float, steps: int, show: Show
) -> None:
    value = threshold + steps * 1e-9
    shown, required = show_apart(value, threshold, show, 3)
    assert (shown == required) == (value == threshold)


def test_values_far_apart_keep_the_digits_asked_for() -> None:
    assert show_apart(0.71234, 0.6, show_number, 2) == ("0.71", "0.60")


def test_a_value_that_is_none_keeps_the_threshold_readable() -> None:
    assert show_apart(None, 0.6, show_number, 2) == ("not known", "0.60")
