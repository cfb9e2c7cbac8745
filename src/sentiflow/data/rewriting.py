"""Write a snapshot anew without some of its rows, holding one shard at a time."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sentiflow.data.row_digests import digest_rows
from sentiflow.data.snapshot import check_snapshot, open_snapshot, store_shard
from sentiflow.errors import ArtifactError
from sentiflow.files import digest_json, new_folder, read_json, write_json

Ids = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Rewritten:
    """A snapshot that was written anew.

    Attributes:
        before: the fingerprint with the rows.
        after: the fingerprint without them.
        rows: how many were removed.
    """

    before: str
    after: str
    rows: int


def count_rows_of(folder: Path, ids: Ids) -> int:
    """Return how many rows of a snapshot have one of the ids; reads the id columns only.

    Args:
        folder: the snapshot's.
        ids: the values to look for, by column.

    Raises:
        ArtifactError: the snapshot is damaged.
    """
    snapshot = open_snapshot(folder)
    check_snapshot(snapshot)
    hits = (
        pc.sum(_select_hits(pq.read_table(path, columns=list(ids)), ids)).as_py() or 0
        for path in snapshot.paths
    )
    return sum(map(int, hits))


def _select_hits(reviews: pa.Table, ids: Ids) -> pa.ChunkedArray:
    hits = [
        pc.is_in(reviews[name], value_set=pa.array(wanted, type=reviews[name].type))
        for name, wanted in ids.items()
    ]
    found = hits[0]
    for others in hits[1:]:
        found = pc.or_(found, others)
    return found


def rewrite_without(folder: Path, ids: Ids) -> Rewritten:
    """Write a snapshot without the rows that have one of the ids, beside the old one.

    Its fingerprint is the one it would have had if the rows had never been read: their
    digests are taken out of the sum that the others stay in.

    Args:
        folder: the snapshot's; left as it is.
        ids: the values to look for, by column.

    Raises:
        ArtifactError: the snapshot's rows are not those of its fingerprint.
    """
    manifest = read_json(folder / "manifest.json")
    content = manifest["content"]
    reads_labels = _tell_label_source(folder, manifest)
    removed = total = 0
    for shard in manifest["shards"]:
        reviews = pq.read_table(folder / shard["file"])
        gone = reviews.filter(_select_hits(reviews, ids)).to_pandas()
        removed += len(gone)
        total += _add_digests(gone, reads_labels)
    content = {
        **content,
        "rows": content["rows"] - removed,
        "sum": f"{(int(content['sum'], 16) - total) % 2**256:064x}",
    }
    fingerprint = digest_json(content)
    with new_folder(folder.with_name(fingerprint)) as temporary:
        shards = []
        for index, shard in enumerate(manifest["shards"]):
            reviews = pq.read_table(folder / shard["file"])
            hits = _select_hits(reviews, ids)
            if not pc.any(hits).as_py():
                shutil.copyfile(folder / shard["file"], temporary / shard["file"])
                shards.append(shard)
                continue
            kept = reviews.filter(pc.invert(hits))
            if kept.num_rows:
                shards.append(store_shard(kept, temporary, index))
        write_json(
            temporary / "manifest.json",
            {"fingerprint": fingerprint, "content": content, "shards": shards},
        )
    check_snapshot(open_snapshot(folder.with_name(fingerprint)))
    return Rewritten(before=manifest["fingerprint"], after=fingerprint, rows=removed)


def _tell_label_source(folder: Path, manifest: dict[str, Any]) -> bool:
    """Say whether the labels were read; those made of stars are not part of the digests.

    The manifest does not say, but only one of the two adds up to its sum.

    Raises:
        ArtifactError: neither does.
    """
    for reads_labels in (False, True):
        total = 0
        for shard in manifest["shards"]:
            total += _add_digests(pq.read_table(folder / shard["file"]).to_pandas(), reads_labels)
        if f"{total % 2**256:064x}" == manifest["content"]["sum"]:
            return reads_labels
    raise ArtifactError(
        "A snapshot's rows must add up to its fingerprint. Received: "
        f"folder={folder}. Remove that folder and run again."
    )


def _add_digests(reviews: pd.DataFrame, reads_labels: bool) -> int:
    if not reads_labels:
        reviews = reviews.assign(label=pd.array([pd.NA] * len(reviews), dtype="Int8"))
    return sum(int.from_bytes(digest, "big") for digest in digest_rows(reviews))
