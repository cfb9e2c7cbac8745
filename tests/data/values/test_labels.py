from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentiflow.data.values.labels import (
    KNOWN_LABELS,
    NEUTRAL,
    OTHER,
    choose_class_names,
    count_labels,
    read_labels,
    suggest_labels,
)
from sentiflow.settings import DataSettings
from sentiflow.settings.notations import LABEL_PRESETS


def make_column(values: list[Any]) -> np.ndarray[Any, Any]:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def read(values: list[Any], labels: Any = "0/1") -> tuple[list[int | None], list[str | None]]:
    data = DataSettings.model_validate({"labels": labels})
    numbers, unknown = read_labels(make_column(values), data.label_meanings)
    return [
        None if missing else int(number)
        for number, missing in zip(numbers, numbers.isna(), strict=True)
    ], unknown.astype(object).where(unknown.notna(), None).tolist()


@pytest.mark.parametrize(
    ("labels", "positive", "negative", "neutral", "unknown"),
    [
        ("0/1", [1, 1.0, "1", "1.0", "pos", " Positive ", True, np.int64(1), Decimal(1)],
         [0, "0", "NEG", "negative", False, np.False_], ["neutral", "Neu"], [2, -1, "4", "yes"]),
        ("0/4", [4, "4", 4.0], [0, "0"], [2, "2"], [1, 3, "pos"]),
        ("1/2", [2, "2"], [1, "1.0"], [], [0, 3, True]),
        ("-1/1", [1], [-1, "-1"], [], [0]),
        ("-1/0/1", [1, "+1"], [-1.0], [0], [2]),
        ("0/1/2", [2], [0], [1], [3]),
        ("yes/no", ["Yes", "y"], ["no", "N"], [], [1, "maybe"]),
        ("label_0/1", ["LABEL_1"], ["label_0"], [], ["LABEL_2", 1]),
        ("LABEL_0/1/2", ["LABEL_2"], ["LABEL_0"], ["LABEL_1"], ["LABEL_3"]),
        ({"positive": ["Good", 5], "negative": ["bad", False], "neutral": ["so so"]},
         ["GOOD", "5", 5.0], ["Bad ", "false"], ["So So"], [1, 0, "positive", "so-so"]),
    ],
)  # fmt: skip
def test_every_way_to_label_is_read(
    labels: Any, positive: list[Any], negative: list[Any], neutral: list[Any], unknown: list[Any]
) -> None:
    values = [*positive, *negative, *neutral, *unknown]
    expected = [1] * len(positive) + [0] * len(negative) + [NEUTRAL] * len(neutral)
    numbers, not_understood = read(values, labels)
    assert numbers == [*expected, *[None] * len(unknown)]
    assert [word is not None for word in not_understood] == [number is None for number in numbers]


@pytest.mark.parametrize("missing", [None, float("nan"), "", "NULL", "None"])
def test_a_missing_label_is_not_an_unknown_one(missing: Any) -> None:
    assert read([missing, "pos"]) == ([None, 1], [None, None])


def test_of_an_unknown_label_only_what_is_in_a_preset_is_told() -> None:
    values = [4, "LABEL_1", "The soup was lovely.", [1], {}, 0.5]
    assert read(values)[1] == ["4", "label_1", *[OTHER] * 4]
    assert count_labels(make_column([*values, "4", None])) == {"4": 2, "label_1": 1, OTHER: 4}


@pytest.mark.parametrize("preset", LABEL_PRESETS)
def test_the_labels_of_every_preset_name_it(preset: str) -> None:
    one = LABEL_PRESETS[preset]
    words = one.positive | one.negative | one.neutral
    assert suggest_labels(words) == f"--set data.labels={preset}"
    assert read(sorted(words), preset)[1] == [None] * len(words)


def test_labels_that_fit_nothing_name_nothing() -> None:
    assert suggest_labels({"0", "4", OTHER}) is None
    assert suggest_labels({"7"}) is None
    assert "data.columns.stars" in str(suggest_labels({"1", "2", "3", "4", "5"}))


@pytest.mark.parametrize(
    ("names", "labels", "stand"),
    [
        (["neg", "pos"], "0/1", True),
        (["negative", "neutral", "positive"], "0/1", True),
        (["bad", "good"], "0/1", False),
        (["neg", "pos"], "0/4", False),
        (["LABEL_0", "LABEL_1"], "LABEL_0/1", True),
    ],
)
def test_classes_are_called_by_their_names_where_all_are_understood(
    names: list[str], labels: str, stand: bool
) -> None:
    chosen = choose_class_names(names, DataSettings(labels=labels).label_meanings)
    assert chosen == (names if stand else None)


@given(st.lists(st.none() | st.text() | st.integers() | st.floats() | st.booleans(), max_size=9))
def test_every_value_is_understood_missing_or_unknown(values: list[Any]) -> None:
    numbers, unknown = read(values)
    assert len(numbers) == len(unknown) == len(values)
    for number, word in zip(numbers, unknown, strict=True):
        assert word is None or (number is None and word in KNOWN_LABELS | {OTHER})


@pytest.mark.parametrize(
    "labels",
    ["0/5", {"positive": ["a"]}, {"positive": [], "negative": ["b"]},
     {"positive": ["a"], "negative": [" A "]}, {"positive": [1], "negative": ["1.0"]}],
)  # fmt: skip
def test_labels_that_cannot_be_are_refused(labels: Any) -> None:
    with pytest.raises(ValueError, match="labels"):
        DataSettings.model_validate({"labels": labels})
