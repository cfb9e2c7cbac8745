"""Keep a night's reviews as content-addressed Parquet shards.

Chunks are staged by a hash of the review id into PARTITIONS files, so that rows with the
same id meet in one partition and no more than one partition is ever held in memory. Each
partition is then cleaned of outdated rows, labelled, filtered, sorted by row digest and
appended to shards. The fingerprint does not depend on the order of rows or files.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sentiflow.data.outdated import Superseded, drop_outdated
from sentiflow.data.row_digests import KEPT_SCHEMA, ROW_DIGEST, TEXT_DIGEST, add_digests
from sentiflow.data.splitting import SPLITS, assign_buckets, name_splits
from sentiflow.errors import ArtifactError, describe_error
from sentiflow.files import (
    digest_file,
    digest_json,
    make_temporary_prefix,
    new_folder,
    read_json,
    write_json,
)
from sentiflow.settings import SplitSettings

PARTITIONS: Final = 64
SHARD_ROWS: Final = 50_000
FORMAT: Final = 1

_SHARD: Final = KEPT_SCHEMA.append(TEXT_DIGEST)
_STAGED: Final = _SHARD.append(ROW_DIGEST)
SNAPSHOT_COLUMNS: Final = tuple(_SHARD.names)

Prepare = Callable[[pd.DataFrame], pd.DataFrame]


@dataclass(frozen=True)
class Snapshot:
    """A night's reviews on disk.

    Attributes:
        fingerprint: SHA-256 content identity of the rows, hexadecimal.
        folder: where the shards and manifest.json lie.
        shards: file names of the Parquet shards, in order.
        rows: number of reviews in all shards.
    """

    fingerprint: str
    folder: str
    shards: tuple[str, ...]
    rows: int

    @property
    def paths(self) -> tuple[Path, ...]:
        """The shards' paths, in order."""
        return tuple(Path(self.folder) / shard for shard in self.shards)


class SnapshotWriter:
    """Collect chunks of reviews and turn them into a snapshot.

    Use as a context manager; the staging folder is removed when the block ends.

    Attributes:
        staged_rows: how many rows were added.
        superseded: of each partition, known once it is finished.
    """

    def __init__(self, home: Path) -> None:
        """Stage under `home`/snapshots, where the snapshot will lie too."""
        self._root = home / "snapshots"
        self._writers: dict[int, pq.ParquetWriter] = {}
        self._staging = Path()
        self.staged_rows = 0
        self.superseded: list[Superseded] = []

    def __enter__(self) -> SnapshotWriter:
        """Make the staging folder."""
        self._root.mkdir(parents=True, exist_ok=True)
        self._staging = Path(tempfile.mkdtemp(prefix=make_temporary_prefix(), dir=self._root))
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the staging folder."""
        self._close_writers()
        shutil.rmtree(self._staging, ignore_errors=True)

    def add(self, reviews: pd.DataFrame) -> None:
        """Stage one chunk of checked reviews.

        Args:
            reviews: REVIEW_COLUMNS and, where they are known, categories and the columns of
                `add_digests`.
        """
        if reviews.empty:
            return
        reviews = add_digests(reviews)
        hashed = pd.util.hash_array(reviews["review_id"].to_numpy(dtype=object), categorize=False)
        partitions = (hashed % PARTITIONS).astype(np.int64)
        order = np.argsort(partitions, kind="stable")
        table = pa.Table.from_pandas(
            reviews[_STAGED.names].iloc[order], schema=_STAGED, preserve_index=False
        )
        edges = np.searchsorted(partitions[order], np.arange(PARTITIONS + 1))
        for partition in range(PARTITIONS):
            start, end = int(edges[partition]), int(edges[partition + 1])
            if start == end:
                continue
            if partition not in self._writers:
                self._writers[partition] = pq.ParquetWriter(
                    self._staging / f"{partition:02d}.parquet", _STAGED, compression="lz4"
                )
            self._writers[partition].write_table(table.slice(start, end - start))
        self.staged_rows += len(reviews)

    def finish(self, prepare: Prepare, scheme: dict[str, Any]) -> Snapshot:
        """Write the shards, unless a snapshot with the same content lies there already.

        Args:
            prepare: called with each partition once outdated rows are gone and the
                columns row_digest and text_digest are there; labels and filters it and may
                count. It must treat each row alike wherever it stands.
            scheme: what, beside the rows, decides the content (the label rule).

        Returns:
            The snapshot, in its final place.
        """
        self._close_writers()
        shards_folder = self._staging / "shards"
        shards_folder.mkdir()
        total, rows = 0, 0
        shards: list[dict[str, Any]] = []
        waiting: list[pd.DataFrame] = []
        for partition in range(PARTITIONS):
            staged = self._staging / f"{partition:02d}.parquet"
            if not staged.exists():
                continue
            reviews = pq.read_table(staged).to_pandas()
            staged.unlink()
            digests = reviews.pop("row_digest").to_numpy(dtype=object)
            reviews, superseded = drop_outdated(reviews, digests)
            self.superseded.append(superseded)
            reviews = prepare(reviews)
            total += sum(int.from_bytes(digest, "big") for digest in reviews["row_digest"])
            rows += len(reviews)
            waiting.append(reviews.drop(columns="row_digest"))
            if sum(map(len, waiting)) >= SHARD_ROWS:
                shards.append(_write_shard(waiting, shards_folder, len(shards)))
                waiting = []
        if sum(map(len, waiting)):
            shards.append(_write_shard(waiting, shards_folder, len(shards)))

        content = {
            "format": FORMAT,
            "rows": rows,
            "sum": f"{total % 2**256:064x}",
            "scheme": scheme,
        }
        fingerprint = digest_json(content)
        snapshot = Snapshot(
            fingerprint=fingerprint,
            folder=str(self._root / fingerprint),
            shards=tuple(shard["file"] for shard in shards),
            rows=rows,
        )
        if not _is_whole(snapshot):
            with new_folder(Path(snapshot.folder)) as folder:
                for shard in shards:
                    shutil.move(shards_folder / shard["file"], folder / shard["file"])
                write_json(
                    folder / "manifest.json",
                    {"fingerprint": fingerprint, "content": content, "shards": shards},
                )
        else:
            # Pruning takes the folder's time for the time of its last use.
            os.utime(snapshot.folder)
        return snapshot

    def _close_writers(self) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()


def _write_shard(waiting: Sequence[pd.DataFrame], folder: Path, index: int) -> dict[str, Any]:
    reviews = pd.concat(waiting, ignore_index=True)
    table = pa.Table.from_pandas(
        reviews[list(SNAPSHOT_COLUMNS)], schema=_SHARD, preserve_index=False
    )
    return store_shard(table, folder, index)


def store_shard(table: pa.Table, folder: Path, index: int) -> dict[str, Any]:
    """Write a shard, named by its position and content, and return its manifest entry."""
    path = folder / f"shard-{index:04d}.parquet"
    pq.write_table(table, path, compression="zstd")
    digest = digest_file(path)
    named = path.with_name(f"shard-{index:04d}-{digest[:12]}.parquet")
    path.rename(named)
    return {"file": named.name, "rows": table.num_rows, "sha256": digest}


def _is_whole(snapshot: Snapshot) -> bool:
    manifest = Path(snapshot.folder) / "manifest.json"
    if not manifest.exists():
        return False
    shards = read_json(manifest)["shards"]
    return (
        all(
            path.exists() and digest_file(path) == shard["sha256"]
            for shard, path in ((shard, manifest.parent / shard["file"]) for shard in shards)
        )
        and tuple(shard["file"] for shard in shards) == snapshot.shards
    )


def open_snapshot(folder: Path) -> Snapshot:
    """Return the snapshot that lies in a folder; `check_snapshot` says whether it is whole.

    Raises:
        ArtifactError: its manifest is missing or cannot be read.
    """
    manifest = read_json(folder / "manifest.json")
    return Snapshot(
        fingerprint=manifest["fingerprint"],
        folder=str(folder),
        shards=tuple(shard["file"] for shard in manifest["shards"]),
        rows=manifest["content"]["rows"],
    )


def check_snapshot(snapshot: Snapshot) -> None:
    """Make sure that every shard is there with the bytes that were written.

    Raises:
        ArtifactError: a shard is missing or damaged.
    """
    if not _is_whole(snapshot):
        raise ArtifactError(
            "A snapshot's shards must be as they were written. "
            f"Received: folder={snapshot.folder}. Remove that folder and run again."
        )


def read_shards(snapshot: Snapshot, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
    """Yield the reviews shard by shard, with the columns asked for (of SNAPSHOT_COLUMNS)."""
    for path in snapshot.paths:
        yield pq.read_table(path, columns=list(columns)).to_pandas()


def read_split(
    snapshot: Snapshot, split: SplitSettings, side: str, columns: Sequence[str]
) -> pd.DataFrame:
    """Return the reviews of one side: `train`, `validation` or `test`.

    Raises:
        ArtifactError: a shard cannot be read.
    """
    wanted = SPLITS.index(side)
    extra = [] if "text_digest" in columns else ["text_digest"]
    parts = []
    try:
        for reviews in read_shards(snapshot, [*columns, *extra]):
            buckets = assign_buckets(reviews["text_digest"].to_numpy(dtype=np.uint64))
            parts.append(reviews.loc[name_splits(buckets, split) == wanted, list(columns)])
    except (OSError, pa.ArrowException) as error:
        raise ArtifactError(
            f"A snapshot must be readable. Received: folder={snapshot.folder}, "
            f"{describe_error(error)}. "
            "Remove that folder and run again."
        ) from error
    if not parts:
        return pd.DataFrame({column: [] for column in columns})
    whole: pd.DataFrame = pd.concat(parts, ignore_index=True)
    return whole
