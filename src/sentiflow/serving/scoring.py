"""Answer every review of any source with the champion, and go on where a killed run stopped.

A source is read in chunks. The answers of a finished chunk lie as a part file in a folder of
the job; once all parts are there they are joined into the output in one step. Run again after
a kill, the job finds its parts by its identity and predicts only what is missing.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sentiflow.data.checks.validation import RowChecker
from sentiflow.data.quarantine import QuarantineWriter
from sentiflow.data.reading.listing import list_source_files
from sentiflow.data.reading.sources import read
from sentiflow.data.reading.streams import SourceFile
from sentiflow.data.reviews import type_reviews
from sentiflow.errors import (
    ArtifactError,
    SentiflowError,
    SourceError,
    UsageError,
    describe_error,
)
from sentiflow.files import TEMPORARY_PREFIX, digest_json, hide_secrets, new_file
from sentiflow.model.labels import name_labels
from sentiflow.progress import report_progress
from sentiflow.serving.answers import check_output, choose_schema, join_parts
from sentiflow.settings import DataSettings, Settings

FORMAT: Final = 1
_IDS: Final = ("review_id", "business_id", "user_id")
_DIGEST: Final = b"sentiflow.digest"
# Settings that change which rows are read, or where one chunk ends.
_READING: Final = {"columns", "format", "encoding", "chunk_rows", "max_line_bytes"}

Predict = Callable[[Sequence[str]], npt.NDArray[np.float32]]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scored:
    """What came of a scoring.

    Attributes:
        rows_read: rows of the sources, those that are none (a broken line) included.
        scored: rows of the output.
        quarantined: rows that could not be answered.
        quarantine: JSON-lines file of them, or None when there are none.
        resumed_rows: rows of the output that an earlier, interrupted run had answered.
        seconds: time this run took.
        reviews_per_second: rows answered by this run, per second of it.
        output: the output's path.
    """

    rows_read: int
    scored: int
    quarantined: int
    quarantine: str | None
    resumed_rows: int
    seconds: float
    reviews_per_second: float
    output: str

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON value."""
        return asdict(self)


def score_sources(
    predict: Predict,
    model: str,
    model_version: int,
    data: Sequence[str],
    output: Path,
    settings: Settings,
    home: Path,
    *,
    keeps_columns: bool = False,
) -> Scored:
    """Answer every row of the sources, in their order, into one file.

    Only the text counts: a source without stars, labels or dates, or with bad ones, is
    answered all the same. No row is outdated here: of rows with one id each is
    answered. Every row read is in the output or in quarantine, which is checked. A missing
    review id is derived from the content, as a night derives it.

    Memory holds one chunk (`data.chunk_rows`). An interrupted run of the same model version,
    files and reading settings is gone on with, whatever its output was called; a changed
    source or model starts afresh.

    Args:
        predict: texts in, P(positive) out; n texts give shape (n,), dtype float32.
        model: the registered model's name.
        model_version: its version, which every row of the output carries.
        data: files, globs, folders or URLs.
        output: the file to write, replaced in one step; its suffix, of
            answers.SUFFIXES, says how.
        settings: of data, how the sources are read.
        home: SENTIFLOW_HOME.
        keeps_columns: put text, stars, label and date of the source beside the answers.

    Raises:
        UsageError: the output cannot be written, or this very job runs already.
        SourceError: a source cannot be read at all, or has no column of texts.
        ArtifactError: the model's answers are no probabilities.
        SentiflowError: a row was lost, or the disk is full.
    """
    started = time.monotonic()
    kind = check_output(output)
    files = list_source_files(data, settings.data)
    _refuse_source_as_output(files, output)
    checker = RowChecker(settings.data, text_only=True)
    schema = choose_schema(keeps_columns)
    job = _name_job(model, model_version, files, settings.data, schema)
    rows_read = scored = resumed = 0
    parts: list[Path] = []

    with _hold_folder(home / "scoring" / job) as folder, QuarantineWriter(home) as quarantine:
        for chunk in read(files, settings.data, needs_target=False):
            rows_read += len(chunk.raw_reviews) + len(chunk.rejections)
            quarantine.add(chunk.rejections)
            reviews, rejections = checker.check(type_reviews(chunk.raw_reviews, settings.data))
            quarantine.add(rejections)
            part = folder / f"part-{len(parts):06d}.parquet"
            digest = _digest_reviews(reviews)
            if _is_finished(part, digest):
                resumed += len(reviews)
            else:
                answers = _answer(reviews, predict, model, model_version, schema)
                _write_part(part, answers, digest)
            parts.append(part)
            scored += len(reviews)
            message = f"{scored:,} reviews answered, {quarantine.by_rule.total():,} quarantined"
            report_progress("score", chunk.bytes_read, chunk.bytes_total, message)

        quarantined = quarantine.by_rule.total()
        if rows_read != scored + quarantined:
            raise _lost_rows(f"rows_read={rows_read}, scored={scored}, quarantined={quarantined}")
        # First, so that an output is never there without the rows it lacks.
        quarantine_file = str(quarantine.finish()) if quarantined else None
        # One name per job: what a kill leaves here is written over by the next run.
        temporary = output.with_name(f"{TEMPORARY_PREFIX}{job[:16]}-{output.name}")
        join_parts(parts, output, kind, temporary, scored, schema)
        shutil.rmtree(folder)

    seconds = time.monotonic() - started
    logger.info("score: %s reviews in %s", f"{scored:,}", output)
    return Scored(
        rows_read=rows_read,
        scored=scored,
        quarantined=quarantined,
        quarantine=quarantine_file,
        resumed_rows=resumed,
        seconds=round(seconds, 3),
        reviews_per_second=round((scored - resumed) / max(seconds, 1e-9), 1),
        output=str(output),
    )


def _refuse_source_as_output(files: Sequence[SourceFile], output: Path) -> None:
    target = os.path.realpath(output)
    for file in files:
        if os.path.realpath(file.path) == target:
            raise UsageError(
                f"--output must not be one of the sources. Received: {str(output)!r}. "
                "Name another file: the source would be lost."
            )


def _name_job(
    model: str,
    model_version: int,
    files: Sequence[SourceFile],
    data: DataSettings,
    schema: pa.Schema,
) -> str:
    """Return the digest of all that decides the answers, so far as it can be told cheaply.

    A file's size and the times its file system gives stand for its content. Where they do
    not change with it, as of many web servers, the digest of each chunk still does.
    """
    sources = []
    for file in files:
        try:
            identity = file.filesystem.ukey(file.path)
        except Exception as error:
            # Every kind of file system raises errors of its own.
            raise SourceError(
                f"The file must be readable. Received: {file.name!r} ({describe_error(error)}). "
                "Check that it still exists.",
                detail=hide_secrets(str(error)),
            ) from error
        sources.append([file.name, file.size, str(identity)])
    reading = data.model_dump(mode="json", include=_READING)
    return digest_json([FORMAT, model, model_version, sources, reading, schema.names])


@contextmanager
def _hold_folder(folder: Path) -> Iterator[Path]:
    """Give a folder that no other process holds; a kill lets go of it, its files stay.

    Raises:
        UsageError: another process holds it.
    """
    handle = _lock(folder)
    while handle is None:
        handle = _lock(folder)
    try:
        yield folder
    finally:
        os.close(handle)


def _lock(folder: Path) -> int | None:
    """Return an open handle that holds the folder; None if it was removed on the way."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise UsageError(
            "The same sources must not be scored twice at once with one model version. "
            f"Received: folder={folder}, held by another process. Wait for it to end."
        ) from None
    # Whoever held it may have ended, and removed it, since it was opened.
    if folder.is_dir() and os.path.samestat(os.fstat(handle), folder.stat()):
        return handle
    os.close(handle)
    return None


def _digest_reviews(reviews: pd.DataFrame) -> bytes:
    """Return what a finished part must have been made of: the ids and texts, in order."""
    columns = [reviews[name].tolist() for name in (*_IDS, "text")]
    return hashlib.sha256(orjson.dumps(columns)).hexdigest().encode()


def _is_finished(part: Path, digest: bytes) -> bool:
    """Say whether a part holds the answers to exactly these reviews."""
    if not part.exists():
        return False
    try:
        metadata = pq.read_schema(part).metadata
    except (OSError, pa.ArrowException):
        # After a power cut a file can be there without its content.
        return False
    return metadata is not None and metadata.get(_DIGEST) == digest


def _answer(
    reviews: pd.DataFrame, predict: Predict, model: str, model_version: int, schema: pa.Schema
) -> pa.Table:
    probabilities = np.empty(0, dtype=np.float32)
    if len(reviews):
        probabilities = np.asarray(predict(reviews["text"].tolist()), dtype=np.float32)
    # Written so that NaN fails too.
    is_sound = (probabilities >= 0) & (probabilities <= 1)
    if probabilities.shape != (len(reviews),) or not is_sound.all():
        raise ArtifactError(
            "A model must answer every text with a probability from 0 to 1. "
            f"Received: model={model}, version={model_version}, texts={len(reviews)}, "
            f"shape={probabilities.shape}, others={int((~is_sound).sum())}. "
            "Score with another version (--model)."
        )
    columns: list[Any] = [pa.array(reviews[name], type=pa.string()) for name in _IDS]
    columns += [
        pa.array(probabilities),
        pa.array(name_labels(probabilities), type=pa.string()),
        pa.array(np.full(len(reviews), model_version, dtype=np.int64)),
    ]
    kept = schema.names[len(columns) :]
    columns += [
        pa.array(reviews["label" if name == "given_label" else name], type=schema.field(name).type)
        for name in kept
    ]
    return pa.table(columns, schema=schema)


def _write_part(part: Path, answers: pa.Table, digest: bytes) -> None:
    """Write a finished chunk, in one step: a part that is there is whole."""
    try:
        with new_file(part) as stream:
            pq.write_table(answers.replace_schema_metadata({_DIGEST: digest}), stream)
    except OSError as error:
        raise SentiflowError(
            f"Finished answers must be kept. Received: folder={part.parent}, {error.strerror}. "
            "Make room and run again: what was answered is kept."
        ) from error


def _lost_rows(received: str) -> SentiflowError:
    return SentiflowError(
        f"Every row must be answered or quarantined. Received: {received}. "
        "This is a fault in sentiflow: please report it."
    )
