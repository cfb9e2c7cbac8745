"""How the records of a CSV file are written, and what a line that is one by itself looks like."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

Quoting = Literal["quoted", "unquoted", "undecided"]

DELIMITERS: Final = (",", "\t", ";", "|", "\x01")
LEAST_PLAIN_LINES: Final = 5

# Delimiters that texts hold rarely: as many of them as the header has can be no accident.
_RARE: Final = frozenset("\t|\x01")
_USUAL_SHARE: Final = 0.9
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+(?:[.,][0-9]*)?|[.,][0-9]+)(?:[eE][+-]?[0-9]+)?")
_NUMERIC, _WORD, _ANY = "9wt"


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the records of a file are written.

    Attributes:
        delimiter: what stands between two values.
        quote: what may stand around a value; "" where quotes mean nothing.
        escape: what takes the meaning of the character behind it; "" for nothing.
        quoting: `quoted` where quotes are needed to read the first lines right; `unquoted`
            where they are part of the texts; `undecided` where neither shows: then quotes count
            unless a line is a record by itself only without them.
        kinds: of each column, what its values are in lines without a quote: "9" numbers, "w"
            words without a space, "t" any text. Empty where there are too few such lines.
        end: what surely ends a line of the file: a line feed (with CR before it, too) or a carriage
            return. The other may be a character of a text that was written without quotes.
        reason: why it was chosen, in a clause; "" where it was kept from an earlier reading.
    """

    delimiter: str = ","
    quote: str = '"'
    escape: str = ""
    quoting: Quoting = "quoted"
    kinds: str = ""
    end: str = "\n"
    reason: str = ""

    @property
    def can_tell(self) -> bool:
        """Whether a line that is a record by itself can be told from a part of a text."""
        return len(self.kinds) > 1 and (
            self.delimiter in _RARE or any(kind != _ANY for kind in self.kinds)
        )

    @property
    def is_strict(self) -> bool:
        """Whether no text looks like a record by accident: several columns hold no texts."""
        return sum(kind != _ANY for kind in self.kinds) > 1

    def split(self, line: str) -> list[str]:
        """Return the values of a line in which quotes mean nothing."""
        return line.rstrip("\r\n").split(self.delimiter)

    def is_whole(self, line: str, fields: int) -> bool:
        """Say whether the line is a record by itself when quotes mean nothing."""
        values = self.split(line)
        return len(values) == fields and (len(self.kinds) != fields or self.fit_kinds(values))

    def fit_kinds(self, values: Sequence[str]) -> bool:
        """Say whether every value is of the kind of its column."""
        return all(map(_fits, self.kinds, values))


def find_kinds(rows: Sequence[Sequence[str]]) -> str:
    """Return what the values of each column are, "" where there are too few rows to tell.

    >>> find_kinds([["r1", "5", "Good soup"]] * 5)
    'w9t'
    """
    return (
        "".join(map(_find_kind, zip(*rows, strict=True))) if len(rows) >= LEAST_PLAIN_LINES else ""
    )


def _find_kind(values: Sequence[str]) -> str:
    for kind in (_NUMERIC, _WORD):
        if sum(_fits(kind, value) for value in values) >= _USUAL_SHARE * len(values):
            return kind
    return _ANY


def _fits(kind: str, value: str) -> bool:
    """Say whether the value is of the kind; an empty one is none."""
    if kind == _ANY:
        return True
    value = value.strip(' "')
    if kind == _NUMERIC:
        return _NUMBER.fullmatch(value) is not None
    return bool(value) and not any(map(str.isspace, value))
