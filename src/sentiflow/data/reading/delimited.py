"""Rows out of CSV in any of the usual dialects; what is no record is rejected by line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, cast

from sentiflow.data.reading.columns import WantedColumns
from sentiflow.data.reading.dialect import Dialect, Quoting
from sentiflow.data.reading.lines import SHOWN_CHARACTERS, LineReader, LongLine, show_line
from sentiflow.data.reading.records import Line, Parsed, RecordReader, TooLongError
from sentiflow.data.reading.rejecting import (
    Record,
    reject_long,
    reject_undecodable,
    report_damage,
)
from sentiflow.data.reading.sniffing import SniffedCsv, sniff_csv
from sentiflow.data.reading.streams import ByteStream, ResumeOffset
from sentiflow.data.reviews import Rejection, replace_surrogates
from sentiflow.errors import SourceError
from sentiflow.settings import DataSettings

# Less than what a file must have to be gone on with once it has grown (data/reading/files.py).
HEAD_BYTES: Final = (1 << 15) - 64
# How databases write a missing value, MySQL and Hive and PostgreSQL alike.
_NULL: Final = "\\N"


def read_csv(
    stream: ByteStream,
    file: str,
    wanted: WantedColumns,
    data: DataSettings,
    start: ResumeOffset | None = None,
    report_offset: Callable[[ResumeOffset], None] | None = None,
) -> Iterator[Record]:
    """Yield the rows of a CSV file; quoted values may hold line breaks.

    Its dialect is found by looking at its first lines, see `sniff_csv`.

    Args:
        stream: the plain bytes, from `start` on.
        file: the name that rows and rejections carry.
        wanted: the columns to take.
        data: the encoding, the longest record, and what is set about dialect and header.
        start: where the stream starts in its file; None for the beginning.
        report_offset: called at the end with the last place where reading can go on, if any.

    Raises:
        SourceError: there is no readable header, or it lacks a required column.
    """
    lines = LineReader(stream, data.encoding, data.max_line_bytes, start.offset if start else 0)
    source = _LineSource(lines, start.line if start else 0)
    if start is None:
        sniffed = peek_csv(stream, lines.codec, wanted, data)
        dialect = sniffed.dialect
        if sniffed.has_hint:
            next(iter(source), None)
        header = list(data.column_names)
    else:
        dialect = _restore_dialect(start)
        header = list(start.header)
    boundary = (lines.passed, source.lines_read)
    reader = RecordReader(
        iter(source), dialect, len(header), data.max_line_bytes, data.escape == "auto"
    )
    records = iter(reader)
    if not header:
        header = _read_header(records, file, lines.codec)
        if not dialect.quote:
            header = [name.removeprefix('"').removesuffix('"').strip() for name in header]
        boundary = (lines.passed, source.lines_read)
    if header:
        _check_header(header, file, wanted)
    places = [header.index(name) if name in header else None for name in wanted.names]
    for parsed in records:
        text = parsed.text
        if parsed.values is not None and reader.is_clean and not lines.at_tail:
            boundary = (lines.passed, source.lines_read)
        if (rejection := _reject(parsed, len(header), file, lines.codec)) is not None:
            yield rejection
        else:
            found = cast("list[str]", parsed.values)
            values = [None if place is None else found[place] for place in places]
            if _NULL in text:
                values = [None if value == _NULL else value for value in values]
            yield (file, parsed.lines[0].number, *values), len(text)
    if stream.damage is not None:
        tail = show_line(lines.tail, lines.codec)
        yield report_damage(file, source.lines_read + 1, stream.damage, tail)
    elif report_offset is not None and lines.is_resumable:
        report_offset(_store_offset(boundary, header, dialect))


def peek_csv(
    stream: ByteStream, codec: str, wanted: WantedColumns, data: DataSettings
) -> SniffedCsv:
    """Return how the CSV file that a stream begins is written, without passing any of it."""
    head = stream.peek(HEAD_BYTES)
    text = head.decode(codec, "replace").removeprefix("\ufeff")
    return sniff_csv(text, wanted, data, is_all=len(head) < HEAD_BYTES)


class _LineSource:
    """The lines of a file, numbered and decoded.

    Attributes:
        lines_read: how many physical lines were read so far.
    """

    def __init__(self, lines: LineReader, lines_read: int) -> None:
        self.lines_read = lines_read
        self._fresh = iter(lines)
        self._codec = lines.codec

    def __iter__(self) -> Iterator[Line]:
        codec = self._codec
        for line in self._fresh:
            self.lines_read += 1
            if isinstance(line, LongLine):
                yield Line(self.lines_read, show_line(line, codec), len(line))
                continue
            try:
                yield Line(self.lines_read, line.decode(codec), len(line))
            except UnicodeError:
                text = line.decode(codec, "replace")
                yield Line(self.lines_read, text, len(line), decoded=False)


def _read_header(records: Iterator[Parsed], file: str, codec: str) -> list[str]:
    """Return the names in the first record; none of a file without any record."""
    first = next(records, None)
    if first is None:
        return []
    rejection = _reject(first, len(first.values or ()), file, codec)
    if rejection is not None:
        raise SourceError(
            "A CSV file must begin with a header that names its columns. "
            f"Received: file={file!r}, {rejection.reason} Check the file, or name how it is "
            "written with --set data.format=…, data.encoding=…, data.quote=… or data.escape=…, "
            "and its columns with data.header=false and data.column_names=…"
        )
    return [name.strip() for name in first.values or ()]


def _check_header(header: list[str], file: str, wanted: WantedColumns) -> None:
    """Compare the columns with those that are wanted.

    Raises:
        SourceError: as `WantedColumns.check`.
    """
    try:
        wanted.check(header, file)
    except SourceError as error:
        if len(header) > 1:
            raise
        advice = "Where other signs part the values, name theirs: --set data.delimiter=SIGN."
        raise SourceError(f"{error} {advice}", detail=error.detail) from error


def _reject(parsed: Parsed, fields: int, file: str, codec: str) -> Rejection | None:
    """Return why what was parsed is no row; None where it is one."""
    is_decoded = all(line.decoded for line in parsed.lines)
    if parsed.values is not None and len(parsed.values) == fields and is_decoded:
        return None
    number, raw = parsed.lines[0].number, _show(parsed.text)
    if isinstance(parsed.error, TooLongError):
        return reject_long(file, number, parsed.error.args[0], raw)
    if not is_decoded:
        return reject_undecodable(file, number, codec, raw)
    if parsed.values is None:
        reason = f"The record that starts here is no CSV ({parsed.error})."
        return Rejection(file, number, "not_csv", reason, None, raw)
    reason = f"The record has {len(parsed.values)} fields, but the header has {fields}."
    return Rejection(file, number, "wrong_field_count", reason, None, raw)


def _restore_dialect(start: ResumeOffset) -> Dialect:
    quoting = cast("Quoting", start.quoting)
    return Dialect(start.delimiter, start.quote, start.escape, quoting, start.kinds, start.end)


def _store_offset(boundary: tuple[int, int], header: list[str], dialect: Dialect) -> ResumeOffset:
    offset, line = boundary
    return ResumeOffset(
        "csv",
        offset,
        line,
        header=tuple(header),
        delimiter=dialect.delimiter,
        quote=dialect.quote,
        escape=dialect.escape,
        quoting=dialect.quoting,
        kinds=dialect.kinds,
        end=dialect.end,
    )


def _show(text: str) -> str:
    """Return the beginning of a record for the quarantine."""
    return replace_surrogates(text[:SHOWN_CHARACTERS].rstrip("\r\n"))
