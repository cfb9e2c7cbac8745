"""Read, type and check what is new in the source files, and keep it as segments."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from sentiflow.data.checks.validation import RowChecker
from sentiflow.data.ingest.file_state import digest_beginnings, read_file_state
from sentiflow.data.ingest.manifest import KnownFile, Plan, name_file
from sentiflow.data.ingest.segments import Segment, SegmentStore, SegmentWriter, end_at
from sentiflow.data.reading.sources import RawChunk, read_each
from sentiflow.data.reading.streams import ResumeOffset, SourceFile
from sentiflow.data.reviews import Rejection, type_reviews
from sentiflow.data.row_digests import add_digests
from sentiflow.progress import report_progress
from sentiflow.settings import DataSettings

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Gathered:
    """What the source files hold, whether it was read now or before.

    Attributes:
        segments: of each file, in the files' order.
        known: what is to be remembered of the files, by key.
    """

    segments: tuple[tuple[Segment, ...], ...]
    known: dict[str, KnownFile]


class FileReading:
    """The reading of what is new in one file, from its plan to what is remembered of it."""

    def __init__(self, plan: Plan) -> None:
        """Prepare; nothing is read yet."""
        self.file = plan.file
        self._known = plan.known
        self._file_state = plan.file_state
        self._sha256 = plan.sha256

    @property
    def may_be_remembered(self) -> bool:
        """Whether a later night can recognise this file; one behind a URL it cannot."""
        return self._file_state is not None

    @property
    def size(self) -> int:
        """How many bytes are to be read, as far as the plan can tell; 0 if unknown."""
        mark = self._known.mark if self._known is not None else None
        size = self._file_state.size if self._file_state is not None else self.file.size
        return size - (mark.offset if mark else 0)

    def start(self) -> SourceFile:
        """Return the file to read: what is new of it, up to where it ends now.

        What is appended meanwhile is left for the next time, so that the digest is that of
        the bytes that are read.
        """
        if self._file_state is not None and self._sha256 is None:
            # The plan may be older than the reading of the files before this one.
            self._file_state = read_file_state(self.file)
            if self._file_state is not None:
                (self._sha256,) = digest_beginnings(self.file, (self._file_state.size,))
        if self._file_state is None:
            return self.file
        mark = self._known.mark if self._known is not None else None
        return replace(self.file, size=self.size, start=mark, end=self._file_state.size)

    def list_earlier(self, store: SegmentStore) -> tuple[list[Segment], list[Segment]]:
        """Return the earlier segments that stay, and those to copy into the new one."""
        if self._known is None or self._known.mark is None:
            return [], []
        *earlier, last = self._known.segments
        last = end_at(last, self._known.mark.line)
        return (earlier, [last]) if store.is_small(last) else ([*earlier, last], [])

    def remember(
        self, segments: tuple[Segment, ...], mark: ResumeOffset | None
    ) -> KnownFile | None:
        """Return what to remember of the file; None where that could be wrong.

        Args:
            segments: what the whole file gave.
            mark: where reading can go on.
        """
        if self._file_state is None or self._sha256 is None:
            return None
        now = read_file_state(self.file)
        is_same = now is not None and now.stamp == self._file_state.stamp
        if not is_same and mark is None:
            # It was written to meanwhile, and not every reader goes from start to end.
            return None
        stamp = self._file_state.lasting if is_same else None
        return KnownFile(stamp, self._file_state.size, self._sha256, segments, mark)


def gather(plans: Sequence[Plan], store: SegmentStore, data: DataSettings) -> Gathered:
    """Read what is new in all files, and return it with the segments that are known.

    Memory holds one chunk at a time. A chunk may hold rows of many files, so that many small
    files cost no more checks than a large one.

    Args:
        plans: one per file, with segments that are whole.
        store: where segments are kept.
        data: how files are read.

    Raises:
        SourceError: a source cannot be read at all.
        SegmentGone: a segment that the plans count on was removed meanwhile.
    """
    readings = [FileReading(plan) for plan in plans if not plan.is_unchanged]
    segments, marks, rows = _read_new(readings, store, data)
    done = iter(zip(readings, segments, marks, strict=True))
    every: list[tuple[Segment, ...]] = []
    known: dict[str, KnownFile] = {}
    for plan in plans:
        remembered = plan.known
        if plan.is_unchanged and plan.known is not None:
            every.append(plan.known.segments)
        else:
            reading, new, mark = next(done)
            every.append(new)
            remembered = reading.remember(new, mark)
        if remembered is not None:
            known[name_file(plan.file)] = remembered
    logger.info(
        "ingest: %s of %s files unchanged, %s new rows read",
        *(f"{count:,}" for count in (len(plans) - len(readings), len(plans), rows)),
    )
    return Gathered(tuple(every), known)


def _read_new(
    readings: Sequence[FileReading], store: SegmentStore, data: DataSettings
) -> tuple[list[tuple[Segment, ...]], list[ResumeOffset | None], int]:
    """Read what is new; return segments and offset of each file, and how many rows were read."""
    segments: dict[int, list[Segment]] = {}
    marks: dict[int, ResumeOffset | None] = {}
    writers: dict[int, SegmentWriter] = {}
    rows = rejected = 0

    def open_segment_writer(position: int) -> SegmentWriter:
        if position not in writers:
            writers[position] = store.open_writer(keep=readings[position].may_be_remembered)
            if position not in segments:
                segments[position], copied = readings[position].list_earlier(store)
                for segment in copied:
                    writers[position].copy(store, segment)
        return writers[position]

    sizes = [reading.size for reading in readings]
    total = sum(sizes) if all(sizes) else 0
    # Preparing the checks costs seconds, which a night without new rows need not spend.
    checker: RowChecker | None = None
    for chunk in read_each((reading.start() for reading in readings), data, total):
        checker = checker or RowChecker(data)
        for position, reviews, rejections in _check(chunk, checker, data):
            open_segment_writer(position).add(reviews, rejections)
            rows += len(reviews) + len(rejections)
            rejected += len(rejections)
        for position, mark in chunk.ended.items():
            segment = open_segment_writer(position).finish()
            segments[position].append(segment)
            del writers[position]
            marks[position] = mark
        message = f"{rows:,} rows read, {rejected:,} quarantined"
        report_progress("ingest", chunk.bytes_read, chunk.bytes_total, message)
    # Files with one name, as two URLs whose secrets are hidden, are taken for one.
    for position, writer in writers.items():
        segments[position].append(writer.finish())
    positions = range(len(readings))
    return [tuple(segments[at]) for at in positions], [marks[at] for at in positions], rows


def _check(
    chunk: RawChunk, checker: RowChecker, data: DataSettings
) -> Iterator[tuple[int, pd.DataFrame, list[Rejection]]]:
    """Type and check a chunk; yield the rows and rejections of each file, by its position.

    Rejections are in the order of their lines, wherever chunks begin and end.
    """
    typed = type_reviews(chunk.raw_reviews, data)
    typed["position"] = chunk.raw_reviews["file"].map(chunk.positions)
    reviews, rejections = checker.check(typed)
    reviews = add_digests(reviews)
    order = {name: index for index, name in enumerate(chunk.positions)}
    rejected: defaultdict[int, list[Rejection]] = defaultdict(list)
    for rejection in sorted(
        [*chunk.rejections, *rejections], key=lambda one: (order[one.file], one.line)
    ):
        rejected[chunk.positions[rejection.file]].append(rejection)
    passed = dict(iter(reviews.groupby("position")))
    for position in dict.fromkeys(chunk.positions.values()):
        yield position, passed.get(position, reviews[:0]), rejected[position]
