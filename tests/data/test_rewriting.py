"""A snapshot rewritten is the snapshot that would have been written without the rows."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentiflow.data import snapshot as snapshots
from sentiflow.data.reviews import label_reviews
from sentiflow.data.rewriting import count_rows_of, rewrite_without
from sentiflow.data.snapshot import (
    SNAPSHOT_COLUMNS,
    Snapshot,
    SnapshotWriter,
    check_snapshot,
    open_snapshot,
    read_shards,
)
from sentiflow.errors import ArtifactError
from sentiflow.settings import DataSettings

READ_LABELS = DataSettings.model_validate({"columns": {"stars": None, "label": "label"}})


def make_reviews(count: int, users: int = 5) -> pd.DataFrame:
    numbers = range(count)
    return pd.DataFrame(
        {
            "review_id": pd.Series([f"id{n}" for n in numbers], dtype="str"),
            "user_id": pd.Series(
                [None if n % 11 == 3 else f"u{n % users}" for n in numbers], dtype="str"
            ),
            "business_id": pd.Series([None] * count, dtype="str"),
            "stars": np.array([float(n % 5 + 1) for n in numbers]),
            "label": pd.array([pd.NA] * count, dtype="Int8"),
            "text": pd.Series([f"text {n} é" for n in numbers], dtype="str"),
            "date": pd.to_datetime(
                pd.Series([None if n % 7 == 0 else "2026-01-01" for n in numbers])
            ).astype("datetime64[us]"),
        }
    )


def write(home: Path, reviews: pd.DataFrame, data: DataSettings | None = None) -> Snapshot:
    """Write as ingest does: digested as read, labelled afterwards."""
    data = data or DataSettings()
    if data.columns.label is not None:
        labels = pd.array((reviews["stars"] > 2).astype("int8"), dtype="Int8")
        reviews = reviews.assign(label=labels, stars=np.nan)
    with SnapshotWriter(home) as writer:
        writer.add(reviews)
        return writer.finish(lambda staged: label_reviews(staged, data)[0], {"rule": 1})


def read_all(snapshot: Snapshot) -> pd.DataFrame:
    parts = list(read_shards(snapshot, SNAPSHOT_COLUMNS))
    if not parts:
        return pd.DataFrame(columns=list(SNAPSHOT_COLUMNS))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def write_thirty(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[bool], tuple[pd.DataFrame, Path]]:
    """Thirty reviews and the folder of their snapshot, written once with labels and once not."""

    @cache
    def write_once(reads_labels: bool) -> tuple[pd.DataFrame, Path]:
        reviews = make_reviews(30)
        data = READ_LABELS if reads_labels else DataSettings()
        return reviews, Path(write(tmp_path_factory.mktemp("whole"), reviews, data).folder)

    return write_once


@pytest.mark.parametrize("data", [DataSettings(), READ_LABELS], ids=["stars", "labels"])
@settings(max_examples=6, deadline=None)
@given(
    st.sets(st.integers(0, 29).map(lambda n: f"id{n}"), max_size=5),
    st.sets(st.sampled_from(["u0", "u3", "nobody"]), max_size=2),
)
def test_the_fingerprint_is_the_one_of_a_snapshot_that_never_had_the_rows(
    tmp_path_factory: pytest.TempPathFactory,
    write_thirty: Callable[[bool], tuple[pd.DataFrame, Path]],
    data: DataSettings,
    review_ids: set[str],
    user_ids: set[str],
) -> None:
    reviews, folder = write_thirty(data.columns.label is not None)
    ids = {"review_id": sorted(review_ids), "user_id": sorted(user_ids)}
    is_gone = reviews["review_id"].isin(review_ids) | reviews["user_id"].isin(user_ids)
    without = write(tmp_path_factory.mktemp("without"), reviews[~is_gone], data)

    assert count_rows_of(folder, ids) == is_gone.sum()
    rewritten = rewrite_without(folder, ids)
    assert rewritten.after == without.fingerprint
    assert rewritten.rows == is_gone.sum()
    new = open_snapshot(folder.with_name(rewritten.after))
    check_snapshot(new)
    assert new.rows == without.rows == len(reviews) - is_gone.sum()
    pd.testing.assert_frame_equal(read_all(new), read_all(without))


def test_shards_without_such_rows_are_kept_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "SHARD_ROWS", 20)
    old = write(tmp_path, make_reviews(200))
    check_snapshot(old)
    new = open_snapshot(
        Path(old.folder).with_name(rewrite_without(Path(old.folder), {"review_id": ["id7"]}).after)
    )
    assert len(new.shards) == len(old.shards) > 4
    assert len(set(new.shards) - set(old.shards)) == 1
    expected = read_all(old).query("review_id != 'id7'").reset_index(drop=True)
    pd.testing.assert_frame_equal(read_all(new), expected)
    check_snapshot(old)


def test_a_shard_left_without_rows_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "SHARD_ROWS", 20)
    old = write(tmp_path, make_reviews(200))
    first = next(read_shards(old, ["review_id"]))["review_id"].tolist()
    rewritten = rewrite_without(Path(old.folder), {"review_id": first})
    new = open_snapshot(Path(old.folder).with_name(rewritten.after))
    check_snapshot(new)
    assert len(new.shards) == len(old.shards) - 1
    assert new.rows == 200 - len(first)


def test_a_damaged_snapshot_is_told_and_not_rewritten(tmp_path: Path) -> None:
    snapshot = write(tmp_path, make_reviews(20))
    content = bytearray(snapshot.paths[0].read_bytes())
    content[len(content) // 2] ^= 1
    snapshot.paths[0].write_bytes(bytes(content))
    with pytest.raises(ArtifactError, match="as they were written"):
        count_rows_of(Path(snapshot.folder), {"review_id": ["id1"]})


def test_rows_that_are_not_those_of_the_fingerprint_are_refused(tmp_path: Path) -> None:
    folder = Path(write(tmp_path, make_reviews(20)).folder)
    manifest = folder / "manifest.json"
    text = manifest.read_text()
    digit = text.index('"sum": "') + len('"sum": "')
    changed = "0" if text[digit] != "0" else "1"
    manifest.write_text(text[:digit] + changed + text[digit + 1 :])
    with pytest.raises(ArtifactError, match="add up to its fingerprint"):
        rewrite_without(folder, {"review_id": ["id1"]})
