"""Which files of a folder hold reviews: not what tools keep beside them, nor other data."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final

from sentiflow.data.reading.columns import WantedColumns
from sentiflow.data.reading.files import Progress, read_rows
from sentiflow.data.reading.streams import JSON_SUFFIXES, SourceFile, strip_compression
from sentiflow.data.reviews import Rejection
from sentiflow.errors import SourceError
from sentiflow.settings import DataSettings

_LOOKED_AT: Final = 50
_SHOWN_NAMES: Final = 5
_SHOWN_CHARACTERS: Final = 80
# What Hugging Face, Kaggle, Iceberg and others call the description of data beside it.
_DESCRIPTIONS: Final = frozenset(
    [
        "dataset_infos",
        "dataset_info",
        "dataset_dict",
        "state",
        "metadata",
        "schema",
        "config",
        "croissant",
        "datapackage",
        "package",
        "manifest",
    ]
)


def is_private(names: Sequence[str]) -> bool:
    """Say whether a file is a tool's own by the names of it and of the folders it lies in.

    Spark, Hive and Arrow pass over the same: `_SUCCESS`, `_temporary`, `_delta_log`, `.crc`. A
    folder of a partition is data, whatever its column is called.

    >>> is_private(["_year=2024", "a.parquet"]), is_private(["_delta_log", "0.json"])
    (False, True)
    """
    return any(name.startswith(".") or (name.startswith("_") and "=" not in name) for name in names)


def choose_reviews(
    files: Sequence[SourceFile],
    wanted: WantedColumns,
    data: DataSettings,
    warn: Callable[[str], object],
) -> list[SourceFile]:
    """Return the files of a folder without JSON files that surely hold something else.

    Those lack a column that is required, and either only others have `wanted.archive_word` in
    their names, as in Yelp's download, or theirs is that of a description of the data.

    Args:
        files: of one folder or pattern.
        wanted: the columns to take.
        data: how they are read.
        warn: told in a sentence what was passed over.
    """
    named = [file for file in files if _is_json(file) and wanted.archive_word in _name(file)]
    others = [
        file
        for file in files
        if _is_json(file)
        and file not in named
        and (named or (not _DESCRIPTIONS.isdisjoint(_name(file).split(".")) and len(files) > 1))
    ]
    if not others or (named and not has_columns(named[0], wanted, data)):
        return list(files)
    passed = [file for file in others if not has_columns(file, wanted, data)]
    if passed:
        shown = [os.path.basename(file.path)[:_SHOWN_CHARACTERS] for file in passed]
        more = f" and {len(shown) - _SHOWN_NAMES} more" if len(shown) > _SHOWN_NAMES else ""
        warn(
            f"{len(passed)} files without the columns {' and '.join(wanted.required)} were passed "
            f"over: {', '.join(shown[:_SHOWN_NAMES])}{more}. Name one with --data if it is meant."
        )
    return [file for file in files if file not in passed]


def has_columns(file: SourceFile, wanted: WantedColumns, data: DataSettings) -> bool:
    """Say whether the first rows of a file have the required columns; yes if that is open."""
    needed = [2 + wanted.names.index(column) for column in wanted.required]
    few = data.model_copy(update={"chunk_rows": _LOOKED_AT})
    try:
        records = read_rows(file, replace(wanted, named={}), few, Progress(file.size))
        for record in islice(records, _LOOKED_AT):
            if not isinstance(record, Rejection) and all(
                record[0][place] is not None for place in needed
            ):
                return True
    except SourceError:
        return False
    return True


def _name(file: SourceFile) -> str:
    return os.path.basename(file.path).lower()


def _is_json(file: SourceFile) -> bool:
    return strip_compression(file.path).endswith(JSON_SUFFIXES)
