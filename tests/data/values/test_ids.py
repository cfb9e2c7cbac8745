from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sentiflow.data.values.ids import read_ids as read_column
from sentiflow.data.values.missing import MISSING_WORDS, find_unreadable, is_missing


def make_column(values: list[Any]) -> np.ndarray[Any, Any]:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def read_ids(values: np.ndarray[Any, Any]) -> list[str | None]:
    ids = read_column(values)
    return [None if missing else value for value, missing in zip(ids, ids.isna(), strict=True)]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("a", "a"), (" a", " a"), (7, "7"), (7.0, "7"), ("7", "7"), (7.5, "7.5"), (0, "0"),
        (Decimal("8"), "8"), (np.int64(9), "9"), ("Nan", "Nan"), ("nullable", "nullable"),
        ({"$oid": "5f1d"}, "5f1d"), ({"$numberLong": "12"}, "12"),
    ],
)  # fmt: skip
def test_ids_are_texts_or_numbers(written: Any, read: str) -> None:
    assert read_ids(make_column([written])) == [read]


NO_IDS = [
    None, "", " \t", float("nan"), np.float64("nan"), pd.NA, pd.NaT, Decimal("nan"),
    "NULL", "null", "None", "nan", "NaN", "N/A", "<NA>", "(null)", " NULL ", "\\N",
]  # fmt: skip


def test_what_says_that_there_is_none_is_no_id_whatever_wrote_it() -> None:
    assert read_ids(make_column(NO_IDS)) == [None] * len(NO_IDS)
    assert all(map(is_missing, NO_IDS))
    assert read_ids(make_column(sorted(MISSING_WORDS))) == [None] * len(MISSING_WORDS)


def test_what_is_there_and_no_id_is_unreadable() -> None:
    values = make_column([True, [], {"a": 1}, {"$oid": 1}, float("inf"), 10**5000, None, "NULL"])
    ids = read_ids(values)
    assert ids == [None] * 8
    unreadable = find_unreadable(values, np.array([value is None for value in ids]))
    assert unreadable.tolist() == [True] * 6 + [False] * 2
