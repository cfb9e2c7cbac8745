"""Write answers as Parquet, CSV or JSON lines, as the suffix of the output says."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, cast

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from sentiflow.errors import SentiflowError, UsageError

SUFFIXES: Final = (".parquet", ".csv", ".csv.gz", ".jsonl", ".jsonl.gz")
ANSWER_SCHEMA: Final = pa.schema(
    [
        ("review_id", pa.string()),
        ("business_id", pa.string()),
        ("user_id", pa.string()),
        ("probability", pa.float32()),
        ("label", pa.string()),
        ("model_version", pa.int64()),
    ]
)

# What of the source may stand beside its answers, as it was understood.
KEPT_SCHEMA: Final = pa.schema(
    [
        ("text", pa.string()),
        ("stars", pa.float64()),
        ("given_label", pa.int8()),
        ("date", pa.timestamp("us")),
    ]
)


def choose_schema(keeps_columns: bool) -> pa.Schema:
    """Return the columns of an output, with or without those of its source."""
    return pa.schema([*ANSWER_SCHEMA, *KEPT_SCHEMA]) if keeps_columns else ANSWER_SCHEMA


def check_output(output: Path) -> str:
    """Return the suffix that says how the output is written.

    Raises:
        UsageError: it has another suffix, or its folder is not there.
    """
    kind = next((suffix for suffix in SUFFIXES if output.name.lower().endswith(suffix)), None)
    if kind is None:
        raise UsageError(
            f"--output must end in {', '.join(SUFFIXES)}. Received: {str(output)!r}. "
            "The ending says how it is written."
        )
    if not output.parent.is_dir() or output.is_dir():
        raise UsageError(
            "--output must be a file in a folder that exists. "
            f"Received: {str(output)!r}. Make the folder, or name another file."
        )
    return kind


def join_parts(
    parts: Sequence[Path],
    output: Path,
    kind: str,
    temporary: Path,
    expected: int,
    schema: pa.Schema = ANSWER_SCHEMA,
) -> None:
    """Write the parts one after the other beside the output, then put it in its place.

    Args:
        parts: Parquet files of answers, in order; one at a time is held.
        output: the file to make or replace, in one step.
        kind: one of SUFFIXES.
        temporary: where it is written first, in the output's folder.
        expected: how many answers there must be.
        schema: the columns of the parts.

    Raises:
        SentiflowError: there are more or fewer, or the disk is full.
    """
    rows = 0
    try:
        with temporary.open("wb") as stream:
            with _open_writer(stream, kind, schema) as write:
                for part in parts:
                    answers = pq.read_table(part).replace_schema_metadata(None)
                    rows += answers.num_rows
                    if answers.num_rows:
                        write(answers)
            stream.flush()
            os.fsync(stream.fileno())
        if rows != expected:
            raise SentiflowError(
                f"Every answer must be written. Received: answered={expected}, written={rows}. "
                "This is a fault in sentiflow: please report it."
            )
        os.replace(temporary, output)
    except OSError as error:
        raise SentiflowError(
            f"The output must be writable. Received: output={output}, {error.strerror}. Make "
            "room and run again: what was answered is kept."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _open_writer(
    stream: IO[bytes], kind: str, schema: pa.Schema
) -> Iterator[Callable[[pa.Table], object]]:
    """Give a function that writes answers to the stream in the format of the suffix."""
    if kind == ".parquet":
        with pq.ParquetWriter(stream, schema, compression="zstd") as writer:
            yield writer.write_table
        return
    if kind.endswith(".gz"):
        # Without the time and the name, equal answers are equal bytes.
        with (
            gzip.GzipFile("", "wb", fileobj=stream, mtime=0) as packed,
            _open_writer(cast("IO[bytes]", packed), kind.removesuffix(".gz"), schema) as write,
        ):
            yield write
        return
    if kind == ".csv":
        with csv.CSVWriter(stream, schema) as writer:
            yield writer.write_table
        return
    yield lambda answers: stream.write(_write_lines(answers))


def _write_lines(answers: pa.Table) -> bytes:
    # numpy's float32 is written with the fewest digits that give it back; Python's with more.
    columns = [
        column.to_numpy() if column.type == pa.float32() else column.to_pylist()
        for column in answers.columns
    ]
    names = answers.schema.names
    option = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
    return b"".join(
        orjson.dumps(dict(zip(names, row, strict=True)), option=option)
        for row in zip(*columns, strict=True)
    )
