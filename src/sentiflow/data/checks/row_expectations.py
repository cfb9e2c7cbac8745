"""What is expected of every row; the first that a row fails quarantines it."""

from __future__ import annotations

from typing import Final

from sentiflow.data.checks.expectation import RowExpectation
from sentiflow.settings import DataSettings
from sentiflow.settings.notations import USUAL_LABELS, USUAL_SCALE

MAX_ID_CHARACTERS: Final = 255
MAX_TEXT_CHARACTERS: Final = 100_000

_NOT_NULL: Final = "expect_column_values_to_not_be_null"
_LENGTHS: Final = "expect_column_value_lengths_to_be_between"


def list_row_expectations(data: DataSettings) -> tuple[RowExpectation, ...]:
    """Return what is expected of every row; the first that fails names the rejection.

    Great Expectations skips null values in all but the not-null checks, so a column's
    not-null check always stands beside its others.
    """
    target: tuple[RowExpectation, ...]
    if data.columns.label is None:
        target = (
            RowExpectation(_NOT_NULL, "stars", "The stars are missing or not a number."),
            RowExpectation(
                "expect_column_values_to_be_between",
                "stars",
                f"The stars are not between {_write_scale(data)}.",
                {"min_value": 1, "max_value": 5},
            ),
        )
    else:
        target = (
            RowExpectation(
                _NOT_NULL, "label", f"The label is missing or not one of {_write_labels(data)}."
            ),
        )
    return (
        RowExpectation(_NOT_NULL, "review_id", "The review id is missing."),
        RowExpectation(
            _LENGTHS,
            "review_id",
            f"The review id is longer than {MAX_ID_CHARACTERS} characters.",
            {"max_value": MAX_ID_CHARACTERS},
        ),
        *list_text_expectations(),
        RowExpectation(
            "expect_column_values_to_match_regex",
            "text",
            "The text is empty.",
            {"regex": r"\S"},
        ),
        *target,
    )


def _write_scale(data: DataSettings) -> str:
    low, _, high = data.stars_scale.rpartition("-")
    named = "" if data.stars_scale == USUAL_SCALE else " (data.stars_scale)"
    return f"{low} and {high}{named}"


def _write_labels(data: DataSettings) -> str:
    """Return which labels there can be, in few words; none that a person chose."""
    if data.labels == USUAL_LABELS:
        return "0/1, pos/neg, True/False"
    return f"{data.labels} (data.labels)" if isinstance(data.labels, str) else "data.labels"


def list_text_expectations() -> tuple[RowExpectation, ...]:
    """Return what is expected of a row that is only to be answered: a text.

    It may be empty: `predict` and the service answer that too, by what the model thinks of no
    word at all.
    """
    return (
        RowExpectation(_NOT_NULL, "text", "The text is missing or not a text."),
        RowExpectation(
            _LENGTHS,
            "text",
            f"The text is longer than {MAX_TEXT_CHARACTERS:,} characters.",
            {"max_value": MAX_TEXT_CHARACTERS},
        ),
    )
