import os
import time
from pathlib import Path

import pandas as pd
import pytest

from sentiflow.data.ingest.segments import (
    Segment,
    SegmentGone,
    SegmentStore,
    end_at,
    list_file_names,
)
from sentiflow.data.reviews import Rejection
from sentiflow.data.row_digests import add_digests


def make_reviews(lines: list[int]) -> pd.DataFrame:
    count = len(lines)
    reviews = pd.DataFrame(
        {
            "line": lines,
            "review_id": pd.Series([f"id{line}" for line in lines], dtype="str"),
            "user_id": pd.Series([None] * count, dtype="str"),
            "business_id": pd.Series(["b"] * count, dtype="str"),
            "stars": [None if line % 2 else 4.0 for line in lines],
            "label": pd.array([1 if line % 2 else None for line in lines], dtype="Int8"),
            "text": pd.Series([f"é {line}" for line in lines], dtype="str"),
            "date": pd.Series([pd.Timestamp("2026-01-02"), *[pd.NaT] * (count - 1)]).astype(
                "datetime64[us]"
            ),
        }
    )
    return add_digests(reviews).assign(marks=pd.Series(range(count), dtype="int16"))


def reject(line: int) -> Rejection:
    return Rejection("f", line, "rule", "Why.", None, "raw é")


def read(store: SegmentStore, segment: Segment) -> tuple[list[int], list[int]]:
    lines = [line for table in store.read_rows(segment) for line in table["line"].to_pylist()]
    return lines, [rejection.line for rejection in store.read_rejections(segment)]


def test_rows_and_rejections_come_back_as_they_were(home: Path) -> None:
    reviews = make_reviews([1, 2, 4])
    with SegmentStore(home, keep=True) as store:
        writer = store.open_writer()
        writer.add(reviews, [reject(3)])
        segment = writer.finish()
        (table,) = store.read_rows(segment)
        names = [name for name in reviews.columns if name != "categories"]
        assert table.to_pydict() == {
            name: [None if pd.isna(value) else value for value in reviews[name]] for name in names
        } | {"row_digest": reviews["row_digest"].tolist()}
        assert list(store.read_rejections(segment)) == [reject(3)]
    with SegmentStore(home, keep=True) as again:
        assert again.claim(segment)
        assert read(again, segment) == ([1, 2, 4], [3])


def test_lines_behind_the_end_do_not_count_and_are_not_copied(home: Path) -> None:
    with SegmentStore(home, keep=True) as store:
        writer = store.open_writer()
        writer.add(make_reviews([1, 2, 5]), [reject(3), reject(6)])
        segment = end_at(writer.finish(), 3)
        assert read(store, segment) == ([1, 2], [3])
        longer = store.open_writer()
        longer.copy(store, segment)
        longer.add(make_reviews([4]), [])
        assert read(store, longer.finish()) == ([1, 2, 4], [3])


def test_a_piece_is_whole_only_with_the_bytes_it_had(home: Path) -> None:
    with SegmentStore(home, keep=True) as store:
        writer = store.open_writer()
        writer.add(make_reviews([1]), [reject(2)])
        segment = writer.finish()
        for path in store.list_files(segment):
            content = path.read_bytes()
            path.write_bytes(content + b"x")
            assert not store.claim(segment)
            path.write_bytes(content)
        assert store.claim(segment)
        store.list_files(segment)[0].unlink()
        assert not store.claim(segment)
        nothing = store.open_writer().finish()
        assert nothing == Segment(None, None)
        assert store.claim(nothing)


def test_what_no_one_needs_goes_once_no_night_has_used_it_for_half_a_day(home: Path) -> None:
    with SegmentStore(home, keep=True) as store:
        written = []
        for line, hours in ((1, 13), (2, 13), (3, 13), (4, 11)):
            writer = store.open_writer()
            writer.add(make_reviews([line]), [])
            written.append(writer.finish())
            used = time.time() - 3_600 * hours
            os.utime(store.list_files(written[-1])[0], (used, used))
        old, needed, planned_on, recent = written
        assert store.claim(planned_on)
        store.remove_others(list_file_names(needed))
        assert [read(store, segment)[0] for segment in (needed, planned_on, recent)] == [
            [2],
            [3],
            [4],
        ]
        with pytest.raises(SegmentGone):
            read(store, old)


def test_pieces_that_are_not_to_be_kept_are_gone_at_the_end(home: Path) -> None:
    with SegmentStore(home, keep=False) as store:
        writer = store.open_writer()
        writer.add(make_reviews([1]), [reject(2)])
        unfinished = store.open_writer()
        unfinished.add(make_reviews([1]), [])
        assert read(store, writer.finish()) == ([1], [2])
    assert list((home / "ingest").iterdir()) == []
    with SegmentStore(home, keep=True) as store:
        writer = store.open_writer(keep=False)
        writer.add(make_reviews([1]), [reject(2)])
        assert read(store, writer.finish()) == ([1], [2])
    assert list((home / "ingest" / "pieces").iterdir()) == []


def test_a_full_disk_leaves_nothing_unfinished(home: Path) -> None:
    def write_to_a_full_disk() -> None:
        with SegmentStore(home, keep=True) as store, open("/dev/full", "wb") as full:
            writer = store.open_writer()
            writer.add(make_reviews([1]), [reject(2)])
            assert writer._rejections is not None
            # What is still in memory cannot be written when the file is closed.
            os.dup2(full.fileno(), writer._rejections.fileno())
            writer.finish()

    with pytest.raises(OSError, match="No space left"):
        write_to_a_full_disk()
    assert [path.name for path in (home / "ingest").iterdir()] == ["pieces"]
