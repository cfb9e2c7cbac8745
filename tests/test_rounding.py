import math
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentiflow.rounding import (
    NOT_KNOWN,
    Show,
    Unit,
    show_apart,
    show_in_unit,
    show_megabytes,
    show_milliseconds,
    show_number,
    show_percent,
    show_points,
    show_seconds,
    show_signed,
    show_significant,
    trim_zeros,
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


def test_every_unit_is_shown_in_its_own_way() -> None:
    plain = show_in_unit(0.5, 2.0, "parsecs")
    assert plain == ("0.5000", "2.0000") == show_in_unit(0.5, 2.0, "number")
    shown = {unit: show_in_unit(0.5, 2.0, unit) for unit in get_args(Unit)}
    assert len(set(shown.values())) == len(shown)
    assert {show_in_unit(None, 2.0, unit)[0] for unit in shown} == {NOT_KNOWN}


@pytest.mark.parametrize(
    ("text", "trimmed"),
    [
        ("0.6000", "0.6"), ("−1.50 points", "−1.5 points"), ("250.0 ms", "250 ms"),
        ("1.0 × 10⁻⁵", "1 × 10⁻⁵"), ("1,000", "1,000"), ("0.0", "0"), ("0.6004", "0.6004"),
        ("30 nights", "30 nights"),
    ],
)  # fmt: skip
def test_only_zeros_that_end_a_fraction_go(text: str, trimmed: str) -> None:
    assert trim_zeros(text) == trimmed
