"""Rows out of JSON lines and Parquet; what is no row becomes a rejection with its line.

The reader of CSV is in delimited.py, that of other JSON in json_documents.py; what all of them
yield is in rejecting.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import IO, Any, Final

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from sentiflow.data.reading.classes import find_class_names, name_classes
from sentiflow.data.reading.columns import WantedColumns
from sentiflow.data.reading.json_rows import ObjectRows, Row, parse_json
from sentiflow.data.reading.lines import (
    SHOWN_CHARACTERS,
    LineReader,
    LongLine,
    choose_codec,
    show_line,
)
from sentiflow.data.reading.rejecting import (
    Record,
    reject_long,
    reject_undecodable,
    report_damage,
)
from sentiflow.data.reading.streams import ByteStream, ResumeOffset
from sentiflow.data.reviews import Rejection, replace_surrogates
from sentiflow.errors import describe_error
from sentiflow.settings import DataSettings

_BATCH_ROWS: Final = 1_000


def read_jsonl(
    stream: ByteStream,
    file: str,
    wanted: WantedColumns,
    data: DataSettings,
    start: ResumeOffset | None = None,
    report_offset: Callable[[ResumeOffset], None] | None = None,
) -> Iterator[Record]:
    """Yield the rows of a file with one JSON object per line; blank lines are passed over.

    Args:
        stream: the plain bytes, from `start` on.
        file: the name that rows and rejections carry.
        wanted: the keys to take from every object.
        data: the encoding, the longest line and the chunk size.
        start: where the stream starts in its file; None for the beginning.
        report_offset: called at the end with the place behind the last line break, if reading
            can go on there.

    Raises:
        SourceError: none of the first `data.chunk_rows` objects has a required key.
    """
    lines = LineReader(stream, data.encoding, data.max_line_bytes, start.offset if start else 0)
    had_objects = start is not None and start.has_objects
    # Of a file that has grown, the beginning was checked when it was read.
    rows = ObjectRows(file, wanted, data.chunk_rows, had_objects=had_objects)
    earlier = number = start.line if start else 0
    for number, line in enumerate(lines, start=earlier + 1):
        value = _parse_line(line, number, lines, file)
        if isinstance(value, dict):
            yield rows.make_row(number, value), len(line)
        elif value is not None:
            yield value
    if stream.damage is not None:
        yield report_damage(file, number + 1, stream.damage, show_line(lines.tail, lines.codec))
    elif report_offset is not None and lines.is_resumable:
        whole = number - int(lines.at_tail)
        report_offset(ResumeOffset("jsonl", lines.passed, whole, had_objects or rows.objects > 0))
    rows.finish()


def read_parquet(
    handle: IO[bytes],
    file: str,
    wanted: WantedColumns,
    data: DataSettings,
    report_share: Callable[[float], None],
) -> Iterator[Record]:
    """Yield the rows of a Parquet file, a few pages at a time.

    Args:
        handle: the file, which must be seekable.
        file: the name that rows and rejections carry.
        wanted: the columns to take.
        data: the encoding, which counts for columns of bytes only, and the longest row.
        report_share: called with the share of the rows that has been read, 0 to 1.

    Raises:
        SourceError: a required column is missing.
    """
    number = 0
    codec = choose_codec(data.encoding)
    try:
        # Without pre_buffer and with a buffer, pages are read one by one: a file made of one
        # large row group would otherwise be held whole.
        table = pq.ParquetFile(handle, pre_buffer=False, buffer_size=1 << 20)
        received = table.schema_arrow.names
        wanted.check(received, file)
        names = [name if name in received else None for name in wanted.names]
        present = list(dict.fromkeys(name for name in names if name is not None))
        classes = find_class_names(table.schema_arrow.metadata, data)
        for batch in table.iter_batches(_BATCH_ROWS, columns=present):
            columns: dict[str | None, list[Any]] = {None: [None] * batch.num_rows}
            for name in present:
                columns[name] = _list_values(batch.column(name), codec)
                if name in classes:
                    columns[name] = name_classes(columns[name], classes[name])
            for values in zip(*(columns[name] for name in names), strict=True):
                number += 1
                yield _check_row((file, number, *values), codec, data)
            report_share(number / table.metadata.num_rows)
    except (pa.ArrowException, OSError, EOFError) as error:
        yield report_damage(file, number + 1, describe_error(error), "")


def _parse_line(
    line: bytes | LongLine, number: int, lines: LineReader, file: str
) -> dict[str, Any] | Rejection | None:
    """Return the line's object, a Rejection where it holds none, or None where it is blank."""
    codec = lines.codec
    if isinstance(line, LongLine):
        return reject_long(file, number, len(line), show_line(line, codec))
    try:
        value = orjson.loads(line if codec == "utf-8" else line.decode(codec))
    except ValueError:
        # Both kinds of error end here, and the lines are few: look again, but closely.
        try:
            text = line.decode(codec)
        except UnicodeError:
            return reject_undecodable(file, number, codec, show_line(line, codec))
        if not text or text.isspace():
            return None
        try:
            # The standard library takes what orjson refuses: lone surrogates, NaN.
            value = parse_json(text)
        except (ValueError, RecursionError) as error:
            reason = _explain_no_json(error, text, lines.at_tail)
            return Rejection(file, number, "not_json", reason, None, show_line(line, codec))
    if isinstance(value, dict):
        return value
    reason = f"The line is JSON but no object: {type(value).__name__}."
    return Rejection(file, number, "not_an_object", reason, None, show_line(line, codec))


def _explain_no_json(error: Exception, text: str, at_tail: bool) -> str:
    """Return why the line is no JSON, in a sentence that quotes nothing from it."""
    place = f" at character {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else ""
    what = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
    clause = f"{what}{place}"
    if "\0" in text:
        clause += "; it holds NUL bytes, as UTF-16 does: see data.encoding"
    if at_tail:
        return f"The last line looks truncated: no line break ends it and it is no JSON ({clause})."
    return f"The line is no JSON ({clause})."


def _list_values(column: pa.Array, codec: str) -> list[Any]:
    """Return the column as Python values; bytes are text, or stay bytes if they are not."""
    try:
        values = column.to_pylist()
    except (ValueError, OverflowError):
        values = [_read_scalar(scalar) for scalar in column]
    return [_decode(value, codec) if isinstance(value, bytes) else value for value in values]


def _read_scalar(scalar: pa.Scalar[Any]) -> Any:
    """Return the value; bytes where it is no UTF-8, False where Python has no such date."""
    try:
        return scalar.as_py()
    except UnicodeDecodeError:
        return scalar.cast(pa.large_binary()).as_py()
    except (ValueError, OverflowError):
        return False


def _decode(value: bytes, codec: str) -> str | bytes:
    try:
        return value.decode(codec)
    except UnicodeError:
        return value


def _check_row(row: Row, codec: str, data: DataSettings) -> Record:
    """Return the row with its size, or its rejection if a value is undecoded or too long."""
    texts = [value for value in row[2:] if isinstance(value, str | bytes)]
    undecoded = [value for value in texts if isinstance(value, bytes)]
    if undecoded:
        return reject_undecodable(row[0], row[1], codec, show_line(undecoded[0], codec))
    size = sum(map(len, texts))
    if size > data.max_line_bytes:
        raw = replace_surrogates(str(max(texts, key=len))[:SHOWN_CHARACTERS])
        return reject_long(row[0], row[1], size, raw)
    return row, size
