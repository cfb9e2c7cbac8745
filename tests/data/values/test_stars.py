from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentiflow.data.values.stars import read_stars, suggest_scale
from sentiflow.settings.notations import Scale, read_scale


def read(values: list[Any], scale: str = "1-5") -> list[float | None]:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return [None if np.isnan(star) else star for star in read_stars(column, read_scale(scale))]


@pytest.mark.parametrize(
    ("scale", "written", "stars"),
    [
        ("1-5", [4, "4", 4.0, " 4.0 ", "4,0", Decimal(4), np.int64(4), "4e0"], 4),
        ("1-5", ["4,5", "4.5 out of 5", "4.5/5", "★★★★½", "4.5 stars"], 4.5),
        ("1-5", ["4.0 out of 5 stars", "4 / 5", "4 of 5", "Rated 4.0 out of 5", "4-star"], 4),
        ("1-5", ["★★★★☆", "★★★★", "⭐⭐⭐⭐", "⭐️⭐️⭐️⭐️", "★ ★ ★ ★ ☆"], 4),
        ("1-5", ["1/10", "1 out of 10"], 1),
        ("1-5", ["10/10", "100%", "5/5", "10.0 out of 10"], 5),
        ("0-4", [0, "0"], 1),
        ("0-4", [2, "2.0", "2/4"], 3),
        ("0-4", [4, "4 out of 4"], 5),
        ("1-10", [10, "10/10"], 5),
        ("1-10", [5.5], 3),
        ("0-10", [5, "5/10", "5 out of 10"], 3),
        ("0-1", [0.5, "0,5"], 3),
        ("0-100", [75, "75%", "75 %"], 4),
        ("1 to 5", [4, "4/5"], 4),
    ],
)
def test_stars_are_read_from_one_to_five(scale: str, written: list[Any], stars: float) -> None:
    assert read(written, scale) == pytest.approx([stars] * len(written))
    # One by one too: a column of texts alone is read in another way than a mixed one.
    assert [read([value], scale)[0] for value in written] == pytest.approx([stars] * len(written))


NO_STARS = ["five", "", True, False, np.True_, None, [5], {"stars": 5}, "0x5", "1_0", "٣", "☆☆x",
            "nan", "inf", "4 out of many", "a 4", "4 5", "2020-01-05"]  # fmt: skip


def test_what_is_no_number_of_stars_is_missing() -> None:
    assert read(NO_STARS) == [None] * len(NO_STARS)
    texts = [value for value in NO_STARS if isinstance(value, str)]
    assert read(texts) == [None] * len(texts)


@pytest.mark.parametrize(
    ("scale", "outside"), [("1-5", [0, 6, "0/5"]), ("0-4", [5, -1]), ("1-10", [0, 11])]
)
def test_what_lies_outside_the_scale_lies_outside_of_one_to_five(
    scale: str, outside: list[Any]
) -> None:
    assert not any(1 <= (star or 0) <= 5 for star in read(outside, scale))


@given(
    st.integers(-100, 100).map(lambda tenths: tenths / 10),
    st.sampled_from(["0-4", "1-10", "0-1", "-5-5", "1-5"]),
)
def test_the_ends_and_the_middle_of_a_scale_are_those_of_stars(number: float, text: str) -> None:
    scale = read_scale(text)
    middle = (scale.low + scale.high) / 2
    assert read([scale.low, middle, scale.high], text) == [1, 3, 5]
    (star,) = read([number], text)
    assert star is not None
    assert (scale.low <= number <= scale.high) == (1 <= star <= 5)


@pytest.mark.parametrize("text", ["5", "5-1", "1-1", "one-five", "1-5 stars", "", "0/4"])
def test_a_scale_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="1-10"):
        read_scale(text)


def test_a_scale_is_written_in_one_way() -> None:
    assert str(read_scale(" 0.0 to 4 ")) == "0-4"
    assert read_scale("-5-5") == Scale(-5, 5)


@pytest.mark.parametrize(
    ("least", "most", "scale"),
    [(1, 5, None), (0, 4, "0-4"), (0, 5, "0-5"), (1, 10, "1-10"), (0.2, 0.9, "0-1"),
     (0, 100, "0-100"), (-1, 1, None), (1, 9_000, None)],
)  # fmt: skip
def test_numbers_name_the_scale_that_fits(least: float, most: float, scale: str | None) -> None:
    assert suggest_scale(least, most) == (scale and f"--set data.stars_scale={scale}")
