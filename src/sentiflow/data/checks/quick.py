"""Judge rows and counts as Great Expectations would, without its seconds of loading.

For a look before a night; what counts in a night is what Great Expectations says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from sentiflow.data.checks.expectation import RowExpectation, TableExpectation
from sentiflow.data.checks.table_report import TableReport, describe_outcome, describe_unchecked


def _find_nulls(column: pd.Series[Any], _: Mapping[str, Any]) -> pd.Series[bool]:
    return column.isna()


def _find_outside(column: pd.Series[Any], bounds: Mapping[str, Any]) -> pd.Series[bool]:
    outside = pd.Series(False, index=column.index)
    if (least := bounds.get("min_value")) is not None:
        outside |= (column < least).fillna(False).astype(bool)
    if (most := bounds.get("max_value")) is not None:
        outside |= (column > most).fillna(False).astype(bool)
    return outside


def _find_lengths(column: pd.Series[Any], bounds: Mapping[str, Any]) -> pd.Series[bool]:
    return _find_outside(column.str.len(), bounds)


def _find_unmatched(column: pd.Series[Any], arguments: Mapping[str, Any]) -> pd.Series[bool]:
    return ~column.str.contains(arguments["regex"], regex=True).astype(bool) & column.notna()


def _find_others(column: pd.Series[Any], arguments: Mapping[str, Any]) -> pd.Series[bool]:
    return ~column.isin(arguments["value_set"]) & column.notna()


# By Great Expectations' name: which values of a column fail.
FINDERS: Final[Mapping[str, Callable[[pd.Series[Any], Mapping[str, Any]], pd.Series[bool]]]] = {
    "expect_column_values_to_not_be_null": _find_nulls,
    "expect_column_values_to_be_between": _find_outside,
    "expect_column_value_lengths_to_be_between": _find_lengths,
    "expect_column_values_to_match_regex": _find_unmatched,
    "expect_column_values_to_be_in_set": _find_others,
}


def find_failures(
    reviews: pd.DataFrame, expectations: Sequence[RowExpectation]
) -> npt.NDArray[np.int64]:
    """Return the position of the first expectation that each row fails, or -1; shape (n,).

    Args:
        reviews: n typed reviews, columns as `type_reviews` gives them.
        expectations: of kinds in FINDERS.
    """
    first_failed = np.full(len(reviews), -1, dtype=np.int64)
    for position in reversed(range(len(expectations))):
        expected = expectations[position]
        fails = FINDERS[expected.kind](reviews[expected.column], expected.arguments)
        first_failed[fails.to_numpy(dtype=bool)] = position
    return first_failed


def judge_table(expectations: Sequence[TableExpectation]) -> TableReport:
    """Return the outcome of each table expectation that can be checked."""
    return TableReport(
        outcomes=tuple(
            describe_outcome(expected, passed=_is_met(expected))
            for expected in expectations
            if expected.unless is None
        ),
        unchecked=tuple(
            describe_unchecked(expected) for expected in expectations if expected.unless is not None
        ),
    )


def _is_met(expected: TableExpectation) -> bool:
    value: Any = expected.value
    return (
        value is not None
        and (expected.at_least is None or value >= expected.at_least)
        and (expected.at_most is None or value <= expected.at_most)
    )
