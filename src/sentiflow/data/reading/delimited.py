"""Rows out of CSV with any of the usual delimiters; what is no record is rejected by line."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from sentiflow.data.reading.columns import WantedColumns
from sentiflow.data.reading.formats import (
    Record,
    reject_long,
    reject_undecodable,
    report_damage,
)
from sentiflow.data.reading.lines import SHOWN_CHARACTERS, LineReader, LongLine, show_line
from sentiflow.data.reading.streams import ByteStream, ResumeOffset
from sentiflow.data.reviews import Rejection, replace_surrogates
from sentiflow.errors import SourceError
from sentiflow.settings import DataSettings

_DELIMITERS: Final = (",", "\t", ";", "|")
_HEAD_BYTES: Final = 1 << 14
_MAX_READINGS: Final = 8


def read_csv(
    stream: ByteStream,
    file: str,
    wanted: WantedColumns,
    data: DataSettings,
    start: ResumeOffset | None = None,
    report_offset: Callable[[ResumeOffset], None] | None = None,
) -> Iterator[Record]:
    """Yield the rows of a CSV file with a header; quoted values may hold line breaks.

    The delimiter is the one that splits the header into the wanted columns.

    Args:
        stream: the plain bytes, from `start` on.
        file: the name that rows and rejections carry.
        wanted: the columns to take.
        data: the encoding, and the longest record.
        start: where the stream starts in its file; None for the beginning.
        report_offset: called at the end with the last place where reading can go on, if any.

    Raises:
        SourceError: there is no readable header, or it lacks a required column.
    """
    lines = LineReader(stream, data.encoding, data.max_line_bytes, start.offset if start else 0)
    if start is None:
        head = stream.peek(_HEAD_BYTES).decode(lines.codec, "replace")
        delimiter = choose_delimiter(head, wanted)
    else:
        delimiter = start.delimiter
    reader = _RecordReader(lines, delimiter, file, data.max_line_bytes, start)
    records = iter(reader)
    header = list(start.header) if start else _read_header(records, file)
    if header:
        wanted.check(header, file)
    places = [header.index(name) if name in header else None for name in wanted.names]
    for record in records:
        if isinstance(record, Rejection):
            yield record
        elif len(record.values) != len(header):
            reason = (
                f"The record has {len(record.values)} fields, but the header has {len(header)}."
            )
            yield Rejection(
                file, record.line, "wrong_field_count", reason, None, _show(record.text)
            )
        else:
            values = [None if place is None else record.values[place] for place in places]
            yield (file, record.line, *values), len(record.text)
    if stream.damage is not None:
        tail = show_line(lines.tail, lines.codec)
        yield report_damage(file, reader.lines_read + 1, stream.damage, tail)
    elif report_offset is not None and lines.is_resumable:
        offset, line = reader.boundary
        report_offset(ResumeOffset("csv", offset, line, header=tuple(header), delimiter=delimiter))


def _read_header(records: Iterator[_CsvRecord | Rejection], file: str) -> list[str]:
    """Return the names in the first record; none of a file without any record."""
    first = next(records, None)
    if isinstance(first, Rejection):
        raise SourceError(
            "A CSV file must begin with a header that names its columns. "
            f"Received: file={file!r}, {first.reason} "
            "Check the file, or name its kind with --set data.format=… or data.encoding=…"
        )
    return [name.strip() for name in first.values] if first else []


@dataclass(frozen=True, slots=True)
class _Line:
    """A physical line: its number, its text with the line break, and how it came to be."""

    number: int
    text: str
    length: int
    decoded: bool = True
    readings: int = 1


@dataclass(frozen=True, slots=True)
class _CsvRecord:
    """A record: the line it starts on, its values, and its text."""

    line: int
    values: list[str]
    text: str


class _TooLongError(Exception):
    """The record in progress is longer than allowed."""


class _RecordReader:
    """Records out of lines, or a Rejection for every line that is part of none.

    A stray quote makes everything up to the next quote one value. So of a record that does
    not parse only the first line is rejected, and the lines after it are read again.

    Attributes:
        lines_read: how many physical lines were read so far.
        boundary: bytes and lines up to the end of the last record behind which a reader can
            begin: one that ends in a line break, with nothing doubtful before it, and for
            which the end of the file played no part.
    """

    def __init__(
        self,
        lines: LineReader,
        delimiter: str,
        file: str,
        max_bytes: int,
        start: ResumeOffset | None,
    ) -> None:
        self.lines_read = start.line if start else 0
        self.boundary = (lines.passed, self.lines_read)
        self._fields = len(start.header) if start else 0
        self._lines = lines
        self._has_ended = False
        self._fresh = iter(lines)
        self._again: deque[_Line] = deque()
        self._current: list[_Line] = []
        self._codec = lines.codec
        self._delimiter = delimiter
        self._file = file
        self._max_bytes = max_bytes

    def __iter__(self) -> Iterator[_CsvRecord | Rejection]:
        # The limit is one of the process and not of a reader, so it is only ever raised; what
        # bounds a record here is max_bytes.
        csv.field_size_limit(max(csv.field_size_limit(), self._max_bytes))
        parser = self._start_parser()
        fields = self._fields
        doubtful = False
        while True:
            self._current = []
            try:
                values = next(parser)
                text = "".join([line.text for line in self._current])
                # Behind a broken record may stand the rest of it, such as `and so on",5`, which
                # would be a row by its number of fields. Elsewhere, quotes inside of values
                # without quotes around them are common and harmless.
                if doubtful and not _is_quoted_well(text, self._delimiter):
                    raise csv.Error("a quote stands in a value without quotes around it")
            except StopIteration:
                return
            except (csv.Error, _TooLongError) as error:
                yield from self._reject(error)
                doubtful = True
                parser = self._start_parser()
                continue
            number = self._current[0].number
            if len(values) <= 1 and not text.strip():
                continue
            fields = fields or len(values)
            doubtful = doubtful and len(values) != fields
            if not (doubtful or self._again or self._has_ended or self._lines.at_tail):
                self.boundary = (self._lines.passed, self.lines_read)
            if all(line.decoded for line in self._current):
                yield _CsvRecord(number, values, text)
            else:
                yield reject_undecodable(self._file, number, self._codec, _show(text))

    def _start_parser(self) -> Iterator[list[str]]:
        # strict, because otherwise a stray quote changes texts without a trace.
        return csv.reader(self._feed(), delimiter=self._delimiter, strict=True)

    def _feed(self) -> Iterator[str]:
        """Yield the text of every line to the parser, as long as the record is short enough."""
        length = 0
        while True:
            if not self._current:
                length = 0
            if self._again:
                line = self._again.popleft()
            else:
                fresh = next(self._fresh, None)
                if fresh is None:
                    self._has_ended = True
                    return
                line = self._number(fresh)
            self._current.append(line)
            length += line.length
            if length > self._max_bytes:
                raise _TooLongError(length)
            yield line.text

    def _number(self, line: bytes | LongLine) -> _Line:
        """Return the fresh line decoded, with the next number."""
        self.lines_read += 1
        if isinstance(line, LongLine):
            return _Line(self.lines_read, show_line(line, self._codec), len(line))
        try:
            return _Line(self.lines_read, line.decode(self._codec) + "\n", len(line))
        except UnicodeError:
            text = line.decode(self._codec, "replace") + "\n"
            return _Line(self.lines_read, text, len(line), decoded=False)

    def _reject(self, error: Exception) -> Iterator[Rejection]:
        """Yield a rejection of the first line of the record; have the others read again."""
        first, *others = self._current
        # Files exist in which every line opens a quote: without an end to it, reading the
        # lines again and again would take time in the square of the file's size.
        hopeless = any(line.readings >= _MAX_READINGS for line in others)
        for line in self._current if hopeless else [first]:
            raw = _show(line.text)
            if isinstance(error, _TooLongError):
                yield reject_long(self._file, line.number, error.args[0], raw)
            elif not line.decoded:
                yield reject_undecodable(self._file, line.number, self._codec, raw)
            else:
                reason = f"The record that starts here is no CSV ({error})."
                yield Rejection(self._file, line.number, "not_csv", reason, None, raw)
        if not hopeless:
            again = [replace(line, readings=line.readings + 1) for line in others]
            self._again.extendleft(reversed(again))


def choose_delimiter(head: str, wanted: WantedColumns) -> str:
    """Return the delimiter that splits the header into the wanted columns, else into most."""
    header = next((line for line in head.splitlines() if line.strip()), "")
    most, chosen = 1, ","
    for delimiter in _DELIMITERS:
        names = [name.strip().strip('"') for name in header.split(delimiter)]
        if all(column in names for column in wanted.required):
            return delimiter
        if len(names) > most:
            most, chosen = len(names), delimiter
    return chosen


def _is_quoted_well(text: str, delimiter: str) -> bool:
    """Say whether quotes stand only around whole values, or doubled inside of those.

    >>> _is_quoted_well('1,"hi ""there""!",2', ","), _is_quoted_well('there""!",2', ",")
    (True, False)
    """
    first, *others = text.rstrip("\r\n").split('"')
    if not others:
        return True
    *between, last = others[1::2] or [first]
    return (
        len(others) % 2 == 0
        and (not first or first.endswith(delimiter))
        and (not last or last.startswith(delimiter))
        and all(not gap or (gap[0] == delimiter == gap[-1]) for gap in between)
    )


def _show(text: str) -> str:
    """Return the beginning of a record for the quarantine."""
    return replace_surrogates(text[:SHOWN_CHARACTERS].rstrip("\r\n"))
