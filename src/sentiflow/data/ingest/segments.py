"""Keep checked rows and rejections of source files, so that they need not be read again.

A segment is what one reading of one file gave, from its beginning or from where it had grown.
Its files are named by their content, and only believed when they still have it. Nights over the
same sources share them, so the time of a file's last change is that of its last use, and no
night removes what was used of late.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Final

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from sentiflow.data.reviews import REVIEW_SCHEMA, Rejection
from sentiflow.data.row_digests import ROW_DIGEST, TEXT_DIGEST
from sentiflow.files import digest_file, make_temporary_prefix

# A segment smaller than this is copied into the one that goes on from it, so that a file that
# grows a little every night does not end up in a thousand segments.
SMALL_BYTES: Final = 8_000_000

# Longer than an ingest may take, and less than from one night to the next.
_IN_USE_SECONDS: Final = 12 * 3_600

_ROWS: Final = pa.schema(
    [
        pa.field("line", pa.int64()),
        *REVIEW_SCHEMA,
        TEXT_DIGEST,
        ROW_DIGEST,
        pa.field("marks", pa.int16()),
    ]
)


@dataclass(frozen=True)
class Segment:
    """Rows and rejections of one file, in the order of its lines.

    Attributes:
        rows: SHA-256 of the file of rows; None where there is none.
        rejections: SHA-256 of the file of rejections; None where there is none.
        until: the last line that counts; None where all do. What stands behind it was at the
            end of the file then, and has been read again since.
    """

    rows: str | None
    rejections: str | None
    until: int | None = None


class SegmentGone(Exception):
    """A segment was removed after a night had counted on it."""


class SegmentStore:
    """The segments under one home.

    Use as a context manager; what is unfinished is removed when the block ends, and with it
    the segments that are not to be kept.
    """

    def __init__(self, home: Path, keep: bool) -> None:
        """Work under `home`/ingest.

        Args:
            home: SENTIFLOW_HOME.
            keep: whether any segments outlast the block.
        """
        self._root = home / "ingest"
        self._keep = keep
        self._unfinished = self._own = self._shared = Path()
        self._writers: list[SegmentWriter] = []

    def __enter__(self) -> SegmentStore:
        """Make the folders."""
        self._root.mkdir(parents=True, exist_ok=True)
        self._unfinished = Path(tempfile.mkdtemp(prefix=make_temporary_prefix(), dir=self._root))
        self._own = self._unfinished / "pieces"
        self._own.mkdir()
        # What is stored keeps its word: segments lie in `pieces`.
        self._shared = self._root / "pieces" if self._keep else self._own
        self._shared.mkdir(exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        """Remove what is unfinished."""
        for writer in self._writers:
            # On a full disk what is unfinished cannot even be closed; it goes all the same.
            with suppress(OSError, pa.ArrowException):
                writer.close()
        shutil.rmtree(self._unfinished, ignore_errors=True)

    def open_writer(self, *, keep: bool = True) -> SegmentWriter:
        """Return a writer of a new segment; unless it is to be kept, it goes with the block."""
        folder = Path(tempfile.mkdtemp(dir=self._unfinished))
        writer = SegmentWriter(folder, self._shared if keep else self._own)
        self._writers.append(writer)
        return writer

    def claim(self, segment: Segment) -> bool:
        """Say whether the segment's files are there as they were written, and keep them there.

        They count as used from now on, so that no other night removes them.
        """
        try:
            for path in self.list_files(segment):
                os.utime(path)
                if digest_file(path) != path.stem:
                    return False
        except FileNotFoundError:
            return False
        return True

    def is_small(self, segment: Segment) -> bool:
        """Say whether the segment is so small that it is to be copied into the next one.

        Raises:
            SegmentGone: it is not there any more.
        """
        with _tell_gone():
            return sum(path.stat().st_size for path in self.list_files(segment)) < SMALL_BYTES

    def list_files(self, segment: Segment) -> list[Path]:
        """Return the paths of the segment's rows and rejections, where it has any."""
        return [self._find(name) for name in list_file_names(segment)]

    def read_rows(self, segment: Segment) -> Iterator[pa.Table]:
        """Yield the rows that count, some thousands at a time.

        Columns are line, REVIEW_COLUMNS, those of `row_digests.add_digests`, whose row_digest is
        that of a row without categories, and marks.

        Raises:
            SegmentGone: they are not there any more.
        """
        if segment.rows is None:
            return
        with _tell_gone():
            # Not mapped into memory: its pages would count as the process's own.
            opened = pa.OSFile(str(self._find(f"{segment.rows}.arrow")))
        with opened as source:
            reader = pa.ipc.open_file(source)
            for index in range(reader.num_record_batches):
                table = pa.Table.from_batches([reader.get_batch(index)])
                if segment.until is not None:
                    table = table.filter(pc.less_equal(table["line"], segment.until))
                if table.num_rows:
                    yield table

    def read_rejections(self, segment: Segment) -> Iterator[Rejection]:
        """Yield the rejections that count.

        Raises:
            SegmentGone: they are not there any more.
        """
        if segment.rejections is None:
            return
        with _tell_gone():
            opened = self._find(f"{segment.rejections}.jsonl").open("rb")
        with opened as stream:
            for line in stream:
                rejection = Rejection(**json.loads(line))
                if segment.until is None or rejection.line <= segment.until:
                    yield rejection

    def remove_others(self, needed: Container[str]) -> None:
        """Remove the files of segments that nothing needs and that no night may be using.

        Args:
            needed: the names of those that stay.
        """
        until = time.time() - _IN_USE_SECONDS
        for path in self._shared.glob("[!.]*"):
            # Another night may be removing it too.
            with suppress(FileNotFoundError):
                if path.name not in needed and path.stat().st_mtime <= until:
                    path.unlink()

    def _find(self, name: str) -> Path:
        own = self._own / name
        return own if own.exists() else self._shared / name


class SegmentWriter:
    """Write one segment, chunk by chunk."""

    def __init__(self, folder: Path, segments: Path) -> None:
        """Write into an empty folder; `finish` moves the files to `segments`."""
        self._folder = folder
        self._target = segments
        self._rows: pa.ipc.RecordBatchFileWriter | None = None
        self._rejections: IO[bytes] | None = None

    def add(self, reviews: pd.DataFrame, rejections: Iterable[Rejection]) -> None:
        """Append checked reviews, with their digests, and rejections."""
        if len(reviews):
            table = pa.Table.from_pandas(reviews[_ROWS.names], schema=_ROWS, preserve_index=False)
            self._add_table(table)
        self._add_rejections(rejections)

    def copy(self, store: SegmentStore, segment: Segment) -> None:
        """Append what counts of another segment."""
        for table in store.read_rows(segment):
            self._add_table(table)
        self._add_rejections(store.read_rejections(segment))

    def finish(self) -> Segment:
        """Give the files their final names and return the segment."""
        self.close()
        segment = Segment(rows=self._move("arrow"), rejections=self._move("jsonl"))
        self._folder.rmdir()
        return segment

    def close(self) -> None:
        """Close the files, finished or not."""
        for open_file in (self._rows, self._rejections):
            if open_file is not None:
                open_file.close()
        self._rows = self._rejections = None

    def _add_table(self, table: pa.Table) -> None:
        if self._rows is None:
            options = pa.ipc.IpcWriteOptions(compression="zstd")
            path = str(self._folder / "rows.arrow")
            self._rows = pa.ipc.new_file(path, _ROWS, options=options)
        self._rows.write_table(table.combine_chunks())

    def _add_rejections(self, rejections: Iterable[Rejection]) -> None:
        for rejection in rejections:
            if self._rejections is None:
                self._rejections = (self._folder / "rejections.jsonl").open("wb")
            self._rejections.write(json.dumps(asdict(rejection)).encode() + b"\n")

    def _move(self, suffix: str) -> str | None:
        name = "rows" if suffix == "arrow" else "rejections"
        path = self._folder / f"{name}.{suffix}"
        if not path.exists():
            return None
        digest = digest_file(path)
        os.replace(path, self._target / f"{digest}.{suffix}")
        return digest


@contextmanager
def _tell_gone() -> Iterator[None]:
    """Raise SegmentGone where a segment's file is missing."""
    try:
        yield
    except FileNotFoundError as error:
        raise SegmentGone(str(error)) from error


def end_at(segment: Segment, line: int) -> Segment:
    """Return the segment without what stands behind a line."""
    return replace(segment, until=line)


def list_file_names(segment: Segment) -> list[str]:
    """Return the names of the segment's files in the folder of all segments."""
    names = ((segment.rows, "arrow"), (segment.rejections, "jsonl"))
    return [f"{digest}.{suffix}" for digest, suffix in names if digest is not None]
