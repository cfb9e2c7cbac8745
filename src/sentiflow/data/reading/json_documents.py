"""Rows out of JSON that is not one object per line: an array, spread objects, pandas' tables.

An array and objects one after another are read in pieces, however long they are. Where a whole
table is one object, its columns are known only at its end, so it must be short.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal

from sentiflow.data.reading.columns import WantedColumns
from sentiflow.data.reading.json_rows import DECODER, ObjectRows, repair
from sentiflow.data.reading.lines import choose_codec
from sentiflow.data.reading.rejecting import Record, reject_undecodable, report_damage
from sentiflow.data.reading.streams import BLOCK_BYTES, ByteStream
from sentiflow.data.reviews import Rejection, replace_surrogates
from sentiflow.errors import SourceError
from sentiflow.settings import DataSettings

Layout = Literal["lines", "array", "objects"]

MOST_TABLE_BYTES: Final = 64_000_000
HEAD_BYTES: Final = (1 << 15) - 64

_SPACE: Final = re.compile(r"[\s\ufeff]*")
_BETWEEN: Final = re.compile(r"[\s,]*")
# One object that holds many: {"reviews": [{…, {"text": {"0": …, {"0": {"text": …
_TABLE: Final = re.compile(r'\{\s*"[^"]*"\s*:\s*(?:\[|\{\s*"[^"]*"\s*:)')
_SPREAD: Final = re.compile(r'\{\s*[\r\n]\s*"')
_NOT_UTF_8: Final = re.compile("[\udc80-\udcff]")


def find_layout(head: str, wanted: WantedColumns) -> Layout:
    """Return how the objects of a file are laid out, by its first characters.

    Args:
        head: of them, as many as tell.
        wanted: columns that a row has.
    """
    text = head[_SPACE.match(head).end() :]  # type: ignore[union-attr]
    if text.startswith("["):
        return "array"
    if not text.startswith("{"):
        return "lines"
    first, has_more, rest = _part_at_break(text)
    try:
        value = DECODER.decode(first)
    except (ValueError, RecursionError):
        is_cut = not has_more
        return "objects" if _SPREAD.match(text) or (is_cut and _TABLE.match(text)) else "lines"
    is_one = not rest.strip()
    return "objects" if is_one and list_table_rows(value, wanted) is not None else "lines"


def peek_layout(stream: ByteStream, wanted: WantedColumns, data: DataSettings) -> Layout:
    """Return how the objects of a stream are laid out, without passing any of it."""
    head = stream.peek(HEAD_BYTES)
    return find_layout(head.decode(choose_codec(data.encoding, head), "replace"), wanted)


def read_documents(
    stream: ByteStream, file: str, wanted: WantedColumns, data: DataSettings
) -> Iterator[Record]:
    """Yield the rows of an array of objects, of objects one after another, or of one table.

    Their lines are the places of the objects, from 1. Behind what is no JSON nothing can be
    told apart any more: it is one rejection, as a damage of the file is.

    Raises:
        SourceError: it holds something else, a table that is too long, or no required column.
    """
    codec = choose_codec(data.encoding, stream.peek(4))
    rows = ObjectRows(file, wanted, data.chunk_rows)
    number = 0
    damage = None
    documents = _Documents(stream, codec, data.max_line_bytes)
    try:
        for value, size in documents:
            if not isinstance(value, dict):
                if not number:
                    raise _refuse(file, "an array of something else than objects")
                number += 1
                reason = f"The element is no object: {type(value).__name__}."
                yield Rejection(file, number, "not_an_object", reason, None, "")
                continue
            found = [value]
            if not number and not documents.is_array:
                found = list_table_rows(value, wanted) or found
            for each in found:
                number += 1
                yield _check(rows.make_row(number, each), size // len(found), codec)
    except (ValueError, RecursionError) as error:
        if not number:
            raise _refuse(file, "something that is no JSON") from error
        place = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        damage = f"behind object {number} it is no JSON: {place}"
    if (damage := stream.damage or damage) is not None:
        yield report_damage(file, number + 1, damage, "")
    rows.finish()


def list_table_rows(value: Any, wanted: WantedColumns) -> list[Any] | None:
    """Return the rows of an object that is a table: pandas' orientations, or a list under a key.

    Args:
        value: the object.
        wanted: columns; an object that has one as a plain value is a row itself. Where it
            requires none, only the layout tells.
    """
    if not isinstance(value, dict) or any(
        isinstance(value.get(name), str | int | float) for name in wanted.required
    ):
        return None
    columns, data = value.get("columns"), value.get("data")
    if isinstance(columns, list) and isinstance(data, list):
        rows = [row for row in data if isinstance(row, list) and len(row) == len(columns)]
        return [dict(zip(columns, row, strict=True)) for row in rows] or None
    parts = list(value.values())
    if parts and all(isinstance(part, dict) and part for part in parts):
        if _has_all(value, wanted) or all(map(str.isdecimal, parts[0])):
            keys = dict.fromkeys(key for part in parts for key in part)
            return [{name: part.get(key) for name, part in value.items()} for key in keys]
        is_index = _has_all(parts[0], wanted) or all(map(str.isdecimal, value))
        return parts if is_index else None
    if parts and all(isinstance(part, list) for part in parts):
        lengths = {len(part) for part in parts}
        if len(lengths) == 1 and not any(isinstance(each, dict) for part in parts for each in part):
            return [dict(zip(value, row, strict=True)) for row in zip(*parts, strict=True)]
    lists = [part for part in parts if _is_list_of_objects(part)]
    return [row for row in lists[0] if isinstance(row, dict)] if len(lists) == 1 else None


def _has_all(keys: Mapping[str, Any], wanted: WantedColumns) -> bool:
    return bool(wanted.required) and all(name in keys for name in wanted.required)


def _is_list_of_objects(part: Any) -> bool:
    return isinstance(part, list) and bool(part) and isinstance(part[0], dict)


class _Documents:
    """The objects of a stream with their sizes; iterate over it once.

    Attributes:
        is_array: whether they are the elements of an array.
    """

    def __init__(self, stream: ByteStream, codec: str, max_bytes: int) -> None:
        errors = "surrogateescape" if len("\n".encode(codec)) == 1 else "replace"
        self.is_array = False
        self._decode: Callable[[bytes, bool], str] = codecs.getincrementaldecoder(codec)(
            errors
        ).decode
        self._stream = stream
        self._max_bytes = max_bytes
        self._text = ""
        self._at = 0
        self._has_ended = False

    def __iter__(self) -> Iterator[tuple[Any, int]]:
        self._pass(_SPACE)
        self.is_array = self._text.startswith("[", self._at)
        self._at += self.is_array
        is_first = True
        while True:
            self._pass(_BETWEEN)
            if self._at == len(self._text):
                if self.is_array and self._stream.damage is None:
                    raise ValueError("the array has no end")
                return
            if self.is_array and self._text[self._at] == "]":
                self._at += 1
                self._pass(_SPACE)
                if self._at < len(self._text):
                    raise ValueError("something stands behind the array")
                return
            # Only one that stands alone may be a whole table.
            most = MOST_TABLE_BYTES if is_first and not self.is_array else self._max_bytes
            value, end = self._decode_next(most)
            if value is None and end is None:
                return
            size, self._at, is_first = (end or self._at) - self._at, end or self._at, False
            yield value, size

    def _decode_next(self, most: int) -> tuple[Any, int | None]:
        """Return the value that begins here, and where it ends; None where the stream is cut."""
        while True:
            try:
                value, end = DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                repaired = repair(self._text, error)
                if repaired is not None:
                    self._text = repaired
                    continue
                held = len(self._text) - self._at
                if held > most:
                    raise ValueError(f"an object is longer than {most:,} characters") from error
                if not self._read_on(max(held, BLOCK_BYTES)):
                    if self._stream.damage is not None:
                        return None, None
                    raise
                continue
            if isinstance(value, dict | list) or end < len(self._text) or not self._read_on(1):
                return value, end

    def _pass(self, pattern: re.Pattern[str]) -> None:
        """Go on behind what the pattern matches."""
        while True:
            found = pattern.match(self._text, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._text) or not self._read_on(1):
                return

    def _read_on(self, size: int) -> bool:
        """Hold at least so many more characters; say no where there are no more."""
        parts = [self._text[self._at :]]
        read = 0
        while read < size and not self._has_ended:
            block = self._stream.read(BLOCK_BYTES)
            self._has_ended = not block
            parts.append(self._decode(block, not block))
            read += len(parts[-1])
        self._text, self._at = "".join(parts), 0
        return read > 0


def _check(row: tuple[Any, ...], size: int, codec: str) -> Record:
    """Return the row with its size, or its rejection where a value has undecodable bytes."""
    for value in row[2:]:
        if isinstance(value, str) and _NOT_UTF_8.search(value):
            return reject_undecodable(row[0], row[1], codec, replace_surrogates(value[:2_000]))
    return row, size


def _part_at_break(text: str) -> tuple[str, bool, str]:
    """Return the first line, whether a line break ends it, and what follows."""
    found = re.search(r"[\r\n]", text)
    return (
        (text, False, "") if found is None else (text[: found.start()], True, text[found.end() :])
    )


def _refuse(file: str, what: str) -> SourceError:
    return SourceError(
        "JSON files must hold one object per line, an array of objects, or a table as pandas "
        f"writes it, of at most {MOST_TABLE_BYTES // 1_000_000} MB. "
        f"Received: file={file!r}, {what}. "
        "Convert it to one object per line, for example with pandas: "
        "to_json('reviews.jsonl', orient='records', lines=True)."
    )
