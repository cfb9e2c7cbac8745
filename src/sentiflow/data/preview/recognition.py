"""Tell from the first bytes and rows of a file what it is and which columns it has."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import IO, Any, Final, cast

from fsspec.spec import AbstractFileSystem

from sentiflow.data.reading.columns import WantedColumns, look_like_names, want_reviews
from sentiflow.data.reading.delimited import peek_csv
from sentiflow.data.reading.dialect import Dialect
from sentiflow.data.reading.files import Progress, choose_format, read_rows
from sentiflow.data.reading.json_documents import peek_layout
from sentiflow.data.reading.lines import choose_codec
from sentiflow.data.reading.streams import (
    ByteStream,
    SourceFile,
    is_tar,
    list_members,
    strip_compression,
    unpack,
)
from sentiflow.data.reviews import Rejection
from sentiflow.settings import DataSettings

_ARCHIVE_WORD: Final = "review"
_HEAD_BYTES: Final = 1 << 20
_SAMPLE_ROWS: Final = 500
_COMPRESSIONS: Final = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz"}
_BYTE_ORDER_MARKS: Final = {
    b"\xef\xbb\xbf": "utf-8",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
# What the characters of a text in each mostly are, as far as they are not ASCII: Latin letters in
# cp1252 are Cyrillic ones by themselves, Chinese ones partly Korean.
_OTHER_SCRIPTS: Final = {
    "shift_jis": ("[\u3040-\u30ff]", 0.3),
    "euc_kr": ("[\uac00-\ud7af]", 0.95),
    "gb18030": ("[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]", 0.9),
    "cp1251": ("[\u0430-\u044f\u0451](?=[\u0430-\u044f\u0451])", 0.5),
}
# No key of an object and no column: reading then tells at the end which there are.
_NO_COLUMN: Final = "\0"


@dataclass(frozen=True)
class Recognized:
    """What a file is.

    Attributes:
        name: the file's.
        size: its bytes as stored; 0 if unknown.
        format: `jsonl`, `csv`, `parquet` or `tar`; None of an empty file.
        layout: of JSON, how its objects are laid out: `lines`, `array` or `objects` (one after
            another, or one that is a table).
        compression: `gzip`, `bzip2` or `xz`; None for none.
        encoding: by which its texts are read; None of Parquet.
        likely_encoding: another one, where the first bytes do not belong to that one.
        line_ends: `LF`, `CRLF`, `CR`, or several joined by `+`; None of Parquet and without any.
        delimiter: of a CSV file.
        dialect: how its records are written, and why that was found.
        columns: their names in order; of JSON the keys of the first objects.
        has_header: whether the names look like names; always so of JSON and Parquet.
        problem: why it cannot be looked into; None where it can.
    """

    name: str
    size: int
    format: str | None
    layout: str | None = None
    compression: str | None = None
    encoding: str | None = None
    likely_encoding: str | None = None
    line_ends: str | None = None
    delimiter: str | None = None
    dialect: Dialect | None = None
    columns: tuple[str, ...] = ()
    has_header: bool = True
    problem: str | None = None


@dataclass(frozen=True)
class _Recorder(WantedColumns):
    """Wanted columns that are satisfied with any, and remember those that are there."""

    received: list[str] = field(default_factory=list)

    def check(self, received: Sequence[str], file: str) -> None:  # noqa: ARG002
        """Remember the columns."""
        if not self.received:
            self.received.extend(received)


def recognize_file(file: SourceFile, data: DataSettings) -> tuple[Recognized, SourceFile]:
    """Look at the head of a file, and return what it is and a file of that head alone.

    It is opened once, but for Parquet, which is read from its end.

    Args:
        file: from `list_source_files`.
        data: how it is to be read.

    Raises:
        SourceError: it cannot be opened, or is of a layout that cannot be read.
    """
    with file.open() as handle:
        stored = ByteStream(handle.read)
        start = stored.peek(8)
        compression = next(
            (name for magic, name in _COMPRESSIONS.items() if start.startswith(magic)), None
        )
        stream = unpack(stored, file.name)
        found = Recognized(file.name, file.size, None, compression=compression)
        if not stream.peek(1):
            return found, file
        if is_tar(stream, file.path):
            found = replace(found, format="tar")
            stream = _open_reviews(stream)
        else:
            found = replace(found, format=choose_format(stream, file, data))
        if found.format != "parquet":
            head = stream.peek(_HEAD_BYTES)
            found = _describe_text(found, head, data)
            name = file.path if found.format != "tar" else f"{file.path}.jsonl"
            if found.format == "jsonl":
                layout = peek_layout(stream, want_reviews(data.columns), data)
                found = replace(found, layout=layout)
            # Where a whole table is one object, its beginning alone is nothing.
            file = file if found.layout == "objects" else _keep_head(file, name, head)
    if found.likely_encoding is not None:
        data = data.model_copy(update={"encoding": found.likely_encoding})
    columns = _list_columns(file, found, data)
    # One name may be there twice, which is another mistake.
    has_header = found.format != "csv" or look_like_names(tuple(dict.fromkeys(columns)))
    return replace(found, columns=columns, has_header=has_header), file


class _Head:
    """A file system with the beginning of one file, as `SourceFile` opens it."""

    protocol = "head"

    def __init__(self, head: bytes) -> None:
        self._head = head

    def open(self, _: str, __: str) -> IO[bytes]:
        return io.BytesIO(self._head)


def _keep_head(file: SourceFile, path: str, head: bytes) -> SourceFile:
    """Return the unpacked beginning of a file as a file; a line that is cut is left out."""
    if len(head) == _HEAD_BYTES:
        head = head[: max(head.rfind(b"\n"), head.rfind(b"\r")) + 1] or head
    filesystem = cast("AbstractFileSystem", _Head(head))
    return SourceFile(file.name, filesystem, strip_compression(path), len(head))


def _open_reviews(archive: ByteStream) -> ByteStream:
    """Return the bytes of the JSON file of an archive that holds the reviews, or of its first."""
    first = b""
    for member, packed in list_members(archive):
        unpacked = unpack(packed, member)
        if _ARCHIVE_WORD in member.rpartition("/")[2].lower():
            return ByteStream(io.BytesIO(unpacked.peek(_HEAD_BYTES)).read)
        first = first or unpacked.peek(_HEAD_BYTES)
    return ByteStream(io.BytesIO(first).read)


def read_samples(
    file: SourceFile, found: Recognized, data: DataSettings
) -> Mapping[str, Sequence[Any]]:
    """Return the values of the first rows of a file as they are read, by column.

    Of a file without a header the columns are named by their places, "1", "2", ….

    Raises:
        SourceError: as `recognize_file`.
    """
    if found.likely_encoding is not None:
        data = data.model_copy(update={"encoding": found.likely_encoding})
    columns = found.columns
    if not found.has_header and not data.header:
        columns = data.column_names
    elif not found.has_header:
        columns = tuple(str(place) for place in range(1, len(columns) + 1))
        data = data.model_copy(update={"header": False, "column_names": columns})
    if found.format == "parquet":
        # Of two columns with one name none can be asked for.
        columns = tuple(name for name in columns if columns.count(name) == 1)
    columns = tuple(dict.fromkeys(columns))
    # Required, so that the delimiter is the one that gives these columns.
    wanted = _Recorder(columns, dict.fromkeys(columns, ""), {}, archive_word=_ARCHIVE_WORD)
    records = islice(read_rows(file, wanted, data, Progress(file.size)), _SAMPLE_ROWS)
    rows = [record[0][2:] for record in records if not isinstance(record, Rejection)]
    values = list(zip(*rows, strict=True)) or [()] * len(columns)
    return dict(zip(columns, values, strict=True))


def _describe_text(found: Recognized, head: bytes, data: DataSettings) -> Recognized:
    codec = choose_codec(data.encoding, head)
    likely = _guess_encoding(head, codec)
    text = head.decode(likely or codec, "replace").removeprefix("\ufeff")
    dialect = None
    if found.format == "csv":
        stream = ByteStream(io.BytesIO(head).read)
        dialect = peek_csv(stream, likely or codec, want_reviews(data.columns), data).dialect
    return replace(
        found,
        encoding=codec,
        likely_encoding=likely,
        line_ends=_name_line_ends(text),
        delimiter=dialect.delimiter if dialect is not None else None,
        dialect=dialect,
    )


def _guess_encoding(head: bytes, codec: str) -> str | None:
    """Return the encoding that the bytes seem to be in, where it is not the one given."""
    marked = next((name for mark, name in _BYTE_ORDER_MARKS.items() if head.startswith(mark)), None)
    if marked is not None:
        return None if codec.startswith(marked) else marked
    # Nearly any bytes are characters of UTF-16, but hardly any text in it is UTF-8.
    if codec.startswith(("utf-16", "utf-32")) and _decodes(head, "utf-8"):
        return "utf-8"
    if _decodes(head, codec):
        return None
    if head[1:200:2].count(0) > 60 or head[0:200:2].count(0) > 60:
        return "utf-16-le" if head[1:200:2].count(0) > 60 else "utf-16-be"
    if _decodes(head, "utf-8"):
        return "utf-8"
    for name, (letters, share) in _OTHER_SCRIPTS.items():
        text = head.decode(name, "ignore")
        others = len(re.findall(r"[^\x00-\x7f]", text))
        if _decodes(head, name) and len(re.findall(letters, text)) > share * others:
            return name
    # Where cp1252 has letters and quotes, latin-1 has control characters that nobody writes.
    return "cp1252" if _decodes(head, "cp1252") else "latin-1"


def _decodes(head: bytes, codec: str) -> bool:
    """Say whether the bytes belong to an encoding; the last character may be cut."""
    for cut in range(4):
        try:
            text = head[: len(head) - cut].decode(codec)
        except UnicodeError:
            continue
        return "\0" not in text
    return False


def _name_line_ends(text: str) -> str | None:
    pairs = text.count("\r\n")
    counts = {"LF": text.count("\n") - pairs, "CRLF": pairs, "CR": text.rstrip("\r").count("\r")}
    counts["CR"] = max(counts["CR"] - pairs, 0)
    return "+".join(name for name, count in counts.items() if count) or None


def _list_columns(file: SourceFile, found: Recognized, data: DataSettings) -> tuple[str, ...]:
    required = (
        {_NO_COLUMN: ""}
        if found.format in ("jsonl", "tar")
        else want_reviews(data.columns).required
    )
    recorder = _Recorder((), required, {}, archive_word=_ARCHIVE_WORD)
    rows = read_rows(
        file, recorder, data.model_copy(update={"chunk_rows": _SAMPLE_ROWS}), Progress(file.size)
    )
    for _ in islice(rows, _SAMPLE_ROWS + 1):
        pass
    return tuple(recorder.received)
