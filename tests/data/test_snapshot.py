import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentiflow.data import snapshot as snapshots
from sentiflow.data.row_digests import digest_rows
from sentiflow.data.snapshot import (
    SNAPSHOT_COLUMNS,
    Snapshot,
    SnapshotWriter,
    check_snapshot,
    read_shards,
    read_split,
)
from sentiflow.data.splitting import SPLITS
from sentiflow.errors import ArtifactError
from sentiflow.files import digest_json
from sentiflow.settings import SplitSettings

SCHEME = {"positive_above": 3.0}


def make_reviews(rows: list[tuple[str, str, float, str | None]]) -> pd.DataFrame:
    ids, texts, stars, dates = zip(*rows, strict=True)
    count = len(rows)
    return pd.DataFrame(
        {
            "review_id": pd.Series(ids, dtype="str"),
            "user_id": pd.Series([None] * count, dtype="str"),
            "business_id": pd.Series(["b"] * count, dtype="str"),
            "stars": np.array(stars, dtype=np.float64),
            "label": (np.array(stars) > 3).astype(np.int8),
            "text": pd.Series(texts, dtype="str"),
            "date": pd.to_datetime(pd.Series(dates), format="ISO8601").astype("datetime64[us]"),
        }
    )


def write(home: Path, *chunks: pd.DataFrame) -> Snapshot:
    with SnapshotWriter(home) as writer:
        for chunk in chunks:
            writer.add(chunk)
        return writer.finish(lambda reviews: reviews, SCHEME)


def read_all(snapshot: Snapshot) -> pd.DataFrame:
    return pd.concat(list(read_shards(snapshot, SNAPSHOT_COLUMNS)), ignore_index=True)


def many(count: int) -> list[tuple[str, str, float, str | None]]:
    return [
        (f"id{n}", f"text {n}", float(n % 5 + 1), f"2026-01-{n % 28 + 1:02d}") for n in range(count)
    ]


rows_strategy = st.lists(
    st.tuples(
        st.sampled_from([f"id{n}" for n in range(6)]),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
        st.sampled_from([1.0, 3.0, 5.0]),
        st.sampled_from([None, "2026-01-01", "2026-01-02", "2026-02-01 10:00:00"]),
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=25, deadline=None)
@given(rows_strategy, st.randoms(use_true_random=False), st.integers(1, 5))
def test_the_fingerprint_is_independent_of_row_order_and_chunks(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, str, float, str | None]],
    order: random.Random,
    chunk: int,
) -> None:
    shuffled = rows.copy()
    order.shuffle(shuffled)
    first = write(tmp_path_factory.mktemp("a"), make_reviews(rows))
    second = write(
        tmp_path_factory.mktemp("b"),
        *(make_reviews(shuffled[at : at + chunk]) for at in range(0, len(shuffled), chunk)),
    )
    assert first.fingerprint == second.fingerprint
    assert read_all(first).equals(read_all(second))


@settings(max_examples=25, deadline=None)
@given(rows_strategy)
def test_of_each_id_the_newest_row_is_kept(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, float, str | None]]
) -> None:
    kept = read_all(write(tmp_path_factory.mktemp("s"), make_reviews(rows)))
    # A slow oracle: the greatest (has a date, date, digest) of each id, one row at a time.
    reviews = make_reviews(rows).assign(categories=None)
    newest: dict[str, tuple[str, bytes]] = {}
    for (review_id, _, _, day), digest in zip(rows, digest_rows(reviews), strict=True):
        newest[review_id] = max(newest.get(review_id, ("", b"")), (day or "", digest))
    assert sorted(kept["review_id"]) == sorted(newest)
    digests = dict(zip(kept["review_id"], digest_rows(kept), strict=True))
    assert digests == {review_id: digest for review_id, (_, digest) in newest.items()}


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("text", "text 7."),
        ("stars", 2.5),
        ("user_id", "someone"),
        ("business_id", None),
        ("date", pd.Timestamp("2026-01-08 00:00:01")),
        ("review_id", "id7b"),
    ],
)
def test_one_changed_field_changes_the_fingerprint(
    tmp_path: Path, column: str, value: object
) -> None:
    reviews = make_reviews(many(20))
    changed = reviews.copy()
    changed.loc[7, column] = value
    assert write(tmp_path, reviews).fingerprint != write(tmp_path, changed).fingerprint


def test_a_row_given_twice_does_not_cancel_itself_out(tmp_path: Path) -> None:
    three, one = make_reviews(many(3)), make_reviews(many(1))
    assert write(tmp_path, three, three).fingerprint == write(tmp_path, three).fingerprint
    assert write(tmp_path, three, three).fingerprint != write(tmp_path, one).fingerprint


def test_the_label_rule_is_part_of_the_content(tmp_path: Path) -> None:
    with SnapshotWriter(tmp_path) as writer:
        writer.add(make_reviews(many(5)))
        other = writer.finish(lambda reviews: reviews, {"positive_above": 4.0})
    assert write(tmp_path, make_reviews(many(5))).fingerprint != other.fingerprint


def test_the_same_content_is_not_written_twice(tmp_path: Path) -> None:
    first = write(tmp_path, make_reviews(many(50)))
    stamps = [path.stat().st_mtime_ns for path in first.paths]
    assert write(tmp_path, make_reviews(many(50)[::-1])) == first
    assert [path.stat().st_mtime_ns for path in first.paths] == stamps


def test_a_damaged_shard_is_noticed_and_written_anew(tmp_path: Path) -> None:
    snapshot = write(tmp_path, make_reviews(many(50)))
    content = bytearray(snapshot.paths[0].read_bytes())
    content[len(content) // 2] ^= 1
    snapshot.paths[0].write_bytes(bytes(content))
    with pytest.raises(ArtifactError, match="as they were written"):
        check_snapshot(snapshot)
    check_snapshot(write(tmp_path, make_reviews(many(50))))


def test_nothing_unfinished_is_left_when_writing_fails(tmp_path: Path) -> None:
    def fail() -> None:
        with SnapshotWriter(tmp_path) as writer:
            writer.add(make_reviews(many(5)))
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk"):
        fail()
    assert list((tmp_path / "snapshots").iterdir()) == []


def test_rows_are_cut_into_shards_and_the_sides_hold_every_row_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "SHARD_ROWS", 40)
    snapshot = write(tmp_path, make_reviews(many(300)))
    assert len(snapshot.shards) > 3
    sides = [
        read_split(snapshot, SplitSettings(), side, ["review_id"])["review_id"] for side in SPLITS
    ]
    assert sorted(pd.concat(sides)) == sorted(f"id{n}" for n in range(300))
    assert all(len(side) > 0 for side in sides)


def test_an_empty_snapshot_can_be_read(tmp_path: Path) -> None:
    snapshot = write(tmp_path)
    assert snapshot.rows == 0
    assert list(read_split(snapshot, SplitSettings(), "train", ["text"]).columns) == ["text"]


def test_the_fingerprint_is_the_sum_of_the_row_digests_with_rows_and_scheme(tmp_path: Path) -> None:
    reviews = make_reviews(many(90))
    digests = digest_rows(reviews.assign(categories=None))
    total = sum(int.from_bytes(digest, "big") for digest in digests) % 2**256
    content = {"format": 1, "rows": 90, "sum": f"{total:064x}", "scheme": SCHEME}
    assert write(tmp_path, reviews).fingerprint == digest_json(content)
