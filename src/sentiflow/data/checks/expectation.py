"""One thing expected of every row, or of a whole night."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

Bound = float | date


@dataclass(frozen=True)
class RowExpectation:
    """One thing expected of every row.

    Attributes:
        kind: the expectation's name in Great Expectations.
        column: the column of the typed reviews it looks at.
        reason: the sentence a rejected row carries; it never holds any of the row's text.
        arguments: what Great Expectations needs beside the column.
    """

    kind: str
    column: str
    reason: str
    arguments: Mapping[str, object] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The rule's name in a rejection, such as expect_column_values_to_not_be_null:text."""
        return f"{self.kind}:{self.column}"


@dataclass(frozen=True)
class TableExpectation:
    """One thing expected of a whole night: a value between bounds.

    Attributes:
        name: short stable name.
        required: what is required, as a sentence without its full stop.
        received: what is there, as name=value.
        advice: what to do when it fails, in whole sentences.
        value: the value that is compared; None, when it is compared, fails.
        at_least: the lower bound, itself allowed; None for none.
        at_most: the upper bound, itself allowed; None for none.
        critical: whether the night's data is rejected when it fails.
        unless: why it cannot be checked tonight; None when it can.
    """

    name: str
    required: str
    received: str
    advice: str
    value: Bound | None
    at_least: Bound | None = None
    at_most: Bound | None = None
    critical: bool = True
    unless: str | None = None
