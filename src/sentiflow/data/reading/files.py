"""Rows of one file, whatever its format and compression."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from typing import IO, Final

from sentiflow.data.reading.columns import WantedColumns
from sentiflow.data.reading.delimited import read_csv
from sentiflow.data.reading.formats import read_jsonl, read_parquet
from sentiflow.data.reading.json_documents import peek_layout, read_documents
from sentiflow.data.reading.lines import choose_codec
from sentiflow.data.reading.rejecting import Record, report_damage
from sentiflow.data.reading.streams import (
    ByteStream,
    ResumeOffset,
    SourceFile,
    is_tar,
    list_members,
    strip_compression,
    unpack,
)
from sentiflow.data.reviews import Rejection
from sentiflow.errors import SourceError
from sentiflow.settings import DataSettings

FORMATS: Final = {
    ".json": "jsonl",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
}

_PARQUET_MAGIC: Final = b"PAR1"
_HEAD_BYTES: Final = 1 << 12
# More than any reader looks at in front to tell what a file is: behind that, what has been
# appended cannot change how the beginning was understood.
_LEAST_MARK_BYTES: Final = 1 << 15


class Progress:
    """How far a file has been read.

    Attributes:
        bytes_read: of the file as it is stored.
        mark: where reading can go on once the file has grown, known when it has been read to
            its end; None where it cannot.
    """

    def __init__(self, size: int) -> None:
        """Start at the beginning of that many bytes."""
        self.mark: ResumeOffset | None = None
        self._size = size
        self._stream: ByteStream | None = None
        self._share = 0.0

    @property
    def bytes_read(self) -> int:
        """Return how many bytes were read, at most the size of the file if that is known."""
        read = self._stream.bytes_read if self._stream is not None else 0
        return max(min(read, self._size or read), int(self._share * self._size))

    def follow(self, stream: ByteStream) -> None:
        """Count what is read from the stream."""
        self._stream = stream

    def set_resume_offset(self, mark: ResumeOffset) -> None:
        """Keep where reading can go on, if the file is long enough for that."""
        self.mark = mark if mark.offset >= _LEAST_MARK_BYTES else None

    def set_share(self, share: float) -> None:
        """Keep what share of the file has been read, where bytes do not tell."""
        self._share = share


def read_rows(
    file: SourceFile, wanted: WantedColumns, data: DataSettings, progress: Progress
) -> Iterator[Record]:
    """Yield the rows and rejections of one file, whatever its format and compression.

    Args:
        file: from `list_source_files`.
        wanted: the columns to take.
        data: format and encoding.
        progress: told how far the file has been read, and where reading can go on.

    Raises:
        SourceError: as `read`.
    """
    with file.open() as handle:
        stored = ByteStream(_bound_reading(handle, file))
        progress.follow(stored)
        if file.start is not None:
            read_on = read_jsonl if file.start.kind == "jsonl" else read_csv
            yield from read_on(
                stored, file.name, wanted, data, file.start, progress.set_resume_offset
            )
            return
        stream = unpack(stored, file.name)
        if is_tar(stream, file.path):
            yield from _read_tar(stream, file, wanted, data, progress)
            return
        kind = choose_format(stream, file, data)
        # An offset into what has been unpacked says nothing about the file.
        report_offset = progress.set_resume_offset if stream is stored else None
        if kind == "jsonl":
            yield from read_json(stream, file.name, wanted, data, report_offset)
        elif kind == "csv":
            yield from read_csv(stream, file.name, wanted, data, None, report_offset)
        elif stream is not stored:
            yield from _read_packed_parquet(stream, file, wanted, data, progress)
        elif stream.peek(1):
            handle.seek(0)
            yield from read_parquet(handle, file.name, wanted, data, progress.set_share)


def read_json(
    stream: ByteStream,
    file: str,
    wanted: WantedColumns,
    data: DataSettings,
    report_offset: Callable[[ResumeOffset], None] | None = None,
) -> Iterator[Record]:
    """Yield the rows of JSON: one object per line, or laid out in another way."""
    if peek_layout(stream, wanted, data) == "lines":
        yield from read_jsonl(stream, file, wanted, data, None, report_offset)
    else:
        yield from read_documents(stream, file, wanted, data)


def _bound_reading(handle: IO[bytes], file: SourceFile) -> Callable[[int], bytes]:
    """Return what reads the handle's bytes from the file's start to its end."""
    if file.start is not None:
        handle.seek(file.start.offset)
    if file.end is None:
        return handle.read
    left = file.end - (file.start.offset if file.start is not None else 0)

    def read(size: int) -> bytes:
        nonlocal left
        block = handle.read(min(size, left))
        left -= len(block)
        return block

    return read


def _read_packed_parquet(
    stream: ByteStream,
    file: SourceFile,
    wanted: WantedColumns,
    data: DataSettings,
    progress: Progress,
) -> Iterator[Record]:
    """Yield the rows of a compressed Parquet file, which is unpacked to disk first.

    Parquet is read from its end, which a compressed stream cannot do.
    """
    with tempfile.TemporaryFile() as unpacked:
        shutil.copyfileobj(stream, unpacked)
        damage = stream.damage
        line = 1
        if unpacked.tell():
            unpacked.seek(0)
            for record in read_parquet(unpacked, file.name, wanted, data, progress.set_share):
                if isinstance(record, Rejection) and record.rule == "truncated_file":
                    damage = None
                line += 1
                yield record
    if damage is not None:
        yield report_damage(file.name, line, damage, "")


def choose_format(stream: ByteStream, file: SourceFile, data: DataSettings) -> str:
    """Return the format by setting, else by suffix, else by the first bytes."""
    head = stream.peek(_HEAD_BYTES)
    kind: str | None = None if data.format == "auto" else data.format
    name = strip_compression(file.path)
    if kind is None:
        kind = next((kind for suffix, kind in FORMATS.items() if name.endswith(suffix)), None)
    is_parquet = head.startswith(_PARQUET_MAGIC)
    if kind is None:
        text = head.decode(choose_codec(data.encoding, head), "replace")
        is_json = text.lstrip("\ufeff \t\r\n")[:1] in ("{", "[")
        kind = "parquet" if is_parquet else "jsonl" if is_json else "csv"
    elif head and is_parquet != (kind == "parquet"):
        found = "Parquet" if is_parquet else "something else"
        raise SourceError(
            f"The file was to be read as {kind} by its name or data.format. "
            f"Received: file={file.name!r}, which holds {found} by its first bytes. "
            "Set data.format to what it is, or give it the ending of its kind."
        )
    return kind


def _read_tar(
    stream: ByteStream,
    file: SourceFile,
    wanted: WantedColumns,
    data: DataSettings,
    progress: Progress,
) -> Iterator[Record]:
    """Yield the rows of the JSON files in an archive that are meant.

    Those are the ones with `wanted.archive_word` in their names; without any, the only one,
    for which the archive is read a second time.
    """
    if data.format not in ("auto", "jsonl"):
        raise SourceError(
            "Of tar archives, only JSON lines can be read. "
            f"Received: file={file.name!r}, data.format={data.format!r}. Unpack it first."
        )
    others: list[str] = []
    found = reported = False
    for member, packed in list_members(stream):
        if wanted.archive_word in member.rpartition("/")[2].lower():
            found = True
            yield from _read_member(member, packed, file, wanted, data)
            reported = packed.damage is not None
        else:
            others.append(member)
    if stream.damage is not None:
        if not reported:
            yield report_damage(file.name, 1, stream.damage, "")
    elif not found and len(others) == 1:
        with file.open() as handle:
            stored = ByteStream(_bound_reading(handle, file))
            progress.follow(stored)
            for member, packed in list_members(unpack(stored, file.name)):
                yield from _read_member(member, packed, file, wanted, data)
    elif not found:
        raise SourceError(
            f"A tar archive must hold a JSON file with {wanted.archive_word!r} in its name, or "
            f"just one. Received: file={file.name!r}, {len(others)} JSON files, none of that name. "
            "Unpack it and name the right file."
        )


def _read_member(
    member: str, packed: ByteStream, file: SourceFile, wanted: WantedColumns, data: DataSettings
) -> Iterator[Record]:
    name = f"{file.name}::{member}"
    yield from read_json(unpack(packed, name), name, wanted, data)
