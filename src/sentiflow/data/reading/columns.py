"""Which columns a source must have, and what may be said of those it has instead.

A file's first row may be a review, and so may the key of an object. So an error tells how many
columns there are and where one stands that may be meant; it never quotes them. On the terminal
of who asked, names that look like names are shown too.
"""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sentiflow.data.reviews import REVIEW_COLUMNS
from sentiflow.errors import SourceError
from sentiflow.settings import ColumnSettings

_SHOWN_COLUMNS: Final = 30
_MOST_CHARACTERS: Final = 40
_MOST_WORDS: Final = 3
# Letters, digits and what joins them, at least one letter; no full stop behind a word, no comma.
_NAME: Final = re.compile(r"(?=.*[^\W\d_])[\w@$#][\w@$#%/()\[\]:. +-]*(?<![. ])")
_LIKENESS: Final = 0.8
# How other exports call what sentiflow calls so.
_OTHER_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "text": ("review", "reviewtext", "reviewbody", "content", "body", "comment", "message"),
    "stars": ("rating", "score", "overall", "starrating", "reviewrating"),
    "label": ("sentiment", "polarity", "target", "class"),
    "business_id": ("business", "businessid", "productid", "asin"),
    "categories": ("category",),
}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class WantedColumns:
    """The columns to read from a source, and which of them it must have.

    Attributes:
        names: one column of the source per value of a row; None yields None.
        required: columns that must be there, each with what to do when it is not.
        named: optional columns that the user named, each with its settings key.
        archive_word: which file of a tar archive is meant: the one with this in its name.
    """

    names: tuple[str | None, ...]
    required: Mapping[str, str]
    named: Mapping[str, str]
    archive_word: str

    def check(self, received: Sequence[str], file: str) -> None:
        """Compare with the columns that a file has; warn about named ones it lacks.

        Raises:
            SourceError: a required column is missing, or a wanted one is there twice.
        """
        for column, advice in self.required.items():
            if column not in received:
                raise SourceError(
                    f"A column named {column!r} is required. Received: file={file!r}, "
                    f"{_count(len(received))}, none of that name. "
                    f"{_suggest(column, received)}{advice}",
                    detail=show_names(received),
                )
        for name in self.names:
            places = [place for place, column in enumerate(received, 1) if column == name]
            if name is not None and len(places) > 1:
                raise SourceError(
                    f"The column {name!r} must be there once. Received: file={file!r}, "
                    f"{_count(len(received))}, numbers {', '.join(map(str, places))} have that "
                    "name. Rename all but one.",
                    detail=show_names(received),
                )
        for column, key in self.named.items():
            if column not in received:
                logger.warning("%s has no column %r (%s): taken as missing", file, column, key)


def want_reviews(columns: ColumnSettings, *, needs_target: bool = True) -> WantedColumns:
    """Return the columns of a review in the order of REVIEW_COLUMNS, and which must exist."""
    names = {key: getattr(columns, key) for key in REVIEW_COLUMNS}
    target = "stars" if columns.label is None else "label"
    required = {
        names[key]: f"Name the column of the {key} with --set data.columns.{key}=COLUMN."
        for key in (("text", target) if needs_target else ("text",))
    }
    defaults = ColumnSettings()
    named = {
        name: f"data.columns.{key}"
        for key, name in names.items()
        if name is not None and name not in required and name != getattr(defaults, key)
    }
    return WantedColumns(tuple(names.values()), required, named, archive_word="review")


def show_names(received: Sequence[str]) -> str | None:
    """Return the columns for the terminal of who asked; None where they may be values.

    >>> show_names(["Review", "Stars"])
    'Its columns: Review, Stars.'
    >>> show_names(["2", "The soup was lovely."]) is None
    True
    """
    if not look_like_names(received):
        return None
    more = len(received) - _SHOWN_COLUMNS
    shown = [*received[:_SHOWN_COLUMNS], *([f"and {more} more"] if more > 0 else [])]
    return f"Its columns: {', '.join(shown)}."


def look_like_names(received: Sequence[str]) -> bool:
    """Return whether columns look like names and not like the values of a row.

    Names are short, of few words, no numbers and no sentences, and each is there once.
    """
    return len(set(received)) == len(received) > 0 and all(map(_is_name, received))


def _is_name(column: str) -> bool:
    return (
        len(column) <= _MOST_CHARACTERS
        and len(column.split()) <= _MOST_WORDS
        and _NAME.fullmatch(column) is not None
    )


def _suggest(wanted: str, received: Sequence[str]) -> str:
    """Return what may be meant instead, by its place, in a sentence with a space behind."""
    if not look_like_names(received):
        return (
            "There seems to be no header: what stands for the names looks like values. Begin the "
            "file with a line that names its columns, or name them: --set data.header=false --set "
            "data.column_names=NAME,NAME,… "
        )
    sought = {_fold(wanted), *_OTHER_NAMES.get(wanted, ())}
    folded = [_fold(column) for column in received]
    places = [place for place, column in enumerate(folded, 1) if column in sought]
    if not places:
        alike = difflib.get_close_matches(_fold(wanted), folded, 1, _LIKENESS)
        places = [folded.index(name) + 1 for name in alike]
    return f"Did you mean column {places[0]}? " if places else ""


def _fold(name: str) -> str:
    return re.sub(r"[\W_]", "", name).casefold()


def _count(columns: int) -> str:
    return "1 column" if columns == 1 else f"{columns} columns"
