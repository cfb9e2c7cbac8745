"""Rows out of JSON objects, however they are laid out: what is no JSON to others is read too."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from sentiflow.data.reading.columns import WantedColumns

Row = tuple[Any, ...]

_MOST_REPAIRS: Final = 100
# What programs write where they have no number, beside NaN and Infinity, which Python knows.
_NO_VALUE: Final = re.compile(r"[+-]?(?:nan|inf|infinity)\b|None\b|NA\b|undefined\b", re.IGNORECASE)

DECODER: Final = json.JSONDecoder(parse_constant=lambda _: None)


class ObjectRows:
    """The rows that objects make, whose keys are checked as they come.

    Attributes:
        objects: how many there were.
    """

    def __init__(
        self, file: str, wanted: WantedColumns, chunk_rows: int, *, had_objects: bool = False
    ) -> None:
        """Prepare.

        Args:
            file: the name that rows carry.
            wanted: the keys to take from every object.
            chunk_rows: how many objects may come until each required key must have been seen.
            had_objects: whether the keys were checked already, when the file was shorter.
        """
        self.objects = 0
        self._file = file
        self._wanted = wanted
        self._chunk_rows = chunk_rows
        self._unseen = set() if had_objects else set(wanted.required) | set(wanted.named)
        self._keys: dict[str, None] = {}

    def make_row(self, number: int, value: Mapping[str, Any]) -> Row:
        """Return the row of an object.

        Raises:
            SourceError: it is the last one in which a required key could have been.
        """
        self.objects += 1
        if self._unseen:
            self._unseen.difference_update(value)
            self._keys.update(dict.fromkeys(value))
            if self.objects == self._chunk_rows:
                self._wanted.check(list(self._keys), self._file)
                self._unseen.clear()
        get: Callable[[Any], Any] = value.get
        return (self._file, number, *[get(name) for name in self._wanted.names])

    def finish(self) -> None:
        """Check the keys of all objects.

        Raises:
            SourceError: none had a required key.
        """
        if self.objects and self._unseen:
            self._wanted.check(list(self._keys), self._file)


def parse_json(text: str) -> Any:
    """Return the value; what stands for no number (NaN, Infinity, None, …) is null.

    >>> parse_json('{"stars": NaN, "likes": -inf, "text": "nan"}')
    {'stars': None, 'likes': None, 'text': 'nan'}

    Raises:
        ValueError: it is no JSON.
        RecursionError: it goes too deep.
    """
    for _ in range(_MOST_REPAIRS):
        try:
            return DECODER.decode(text)
        except json.JSONDecodeError as error:
            repaired = repair(text, error)
            if repaired is None:
                raise
            text = repaired
    return DECODER.decode(text)


def repair(text: str, error: json.JSONDecodeError) -> str | None:
    """Return the text with null where the error found what stands for no value; None if none."""
    found = _NO_VALUE.match(text, error.pos)
    if found is None or found.end() == len(text):
        # What goes on may be another word.
        return None
    return f"{text[: found.start()]}null{text[found.end() :]}"
