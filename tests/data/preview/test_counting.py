"""A look at the rows comes to what a night comes to."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from sentiflow.data.ingest.ingest import read_sources
from sentiflow.data.preview.counting import Counted, count_rows
from sentiflow.data.reading.businesses import read_categories
from sentiflow.data.reading.listing import list_source_files
from sentiflow.errors import SourceError
from sentiflow.settings import load_settings

NIGHT = date(2026, 6, 30)
Write = Callable[..., Path]
Review = Callable[..., dict[str, Any]]


def count(
    *paths: Path, overrides: tuple[str, ...] = (), most: int | None = None, **more: Any
) -> Counted:
    settings = load_settings(None, overrides)
    files = list_source_files([str(path) for path in paths], settings.data)
    return count_rows(files, settings, NIGHT, more.get("categories"), most)


@pytest.mark.parametrize(
    "overrides",
    [(), ("data.neutral=leave_out",), ("data.columns.label=label",), ("data.category=Pizza",)],
)
def test_the_counts_are_those_of_a_night(
    home: Path, write_reviews: Write, review: Review, tmp_path: Path, overrides: tuple[str, ...]
) -> None:
    reviews = [review(n, label=("pos", "neg", "?")[n % 3]) for n in range(120)]
    reviews[3]["stars"] = 9
    reviews[4]["text"] = "  "
    reviews[5]["date"] = "2027-01-01"
    reviews[6] = {**reviews[7], "date": "2020-01-01", "stars": 1}
    reviews[8] = {key: value for key, value in reviews[9].items() if key != "review_id"}
    reviews[10] = reviews[8]
    path = write_reviews(reviews)
    with path.open("a") as stream:
        stream.write('{"review_id": "half a li')
    businesses = tmp_path / "businesses.jsonl"
    businesses.write_text(
        "".join(
            json.dumps({"business_id": f"business-{n}", "categories": ("Pizza", "Pets")[n % 2]})
            + "\n"
            for n in range(4)
        )
    )
    settings = load_settings(None, overrides)
    night = read_sources([str(path)], str(businesses), settings, NIGHT, home)
    counted = count(
        path, overrides=overrides, categories=read_categories(str(businesses), settings.data)
    )
    assert counted.profile == night.profile
    assert counted.is_whole
    assert not counted.profile.unaccounted_rows


def test_the_rows_asked_for_come_from_all_files_in_equal_parts(
    write_reviews: Write, review: Review
) -> None:
    paths = [
        write_reviews([review(n) for n in range(start, start + rows)], f"{start}.jsonl")
        for start, rows in ((0, 100), (100, 5), (200, 100))
    ]
    counted = count(*paths, most=45)
    assert [counted.files[str(path)] for path in paths] == [20, 5, 20]
    assert not counted.is_whole
    assert count(*paths, most=205).is_whole
    assert count(*paths).profile.rows == 205


def test_rejected_rows_are_told_by_rule_with_the_first_places(
    write_reviews: Write, review: Review
) -> None:
    reviews = [review(n, **({"stars": 0} if n % 2 else {})) for n in range(20)]
    reviews[2]["text"] = None
    counted = count(write_reviews(reviews))
    (stars, text) = counted.rejected.values()
    assert (stars.rows, text.rows) == (10, 1)
    assert [line for _, line in stars.places] == [2, 4, 6]
    assert "stars" in stars.reason


def test_rows_that_share_an_id_are_told_from_copies_without_one(
    write_reviews: Write, review: Review
) -> None:
    first, second = (
        write_reviews([review(n + start, review_id=n) for n in range(10)], f"{start}.jsonl")
        for start in (0, 50)
    )
    counted = count(first, second)
    assert (counted.profile.superseded_by_others, counted.files_sharing_ids) == (10, 2)
    nameless = write_reviews([{**review(1), "review_id": None}] * 3, "copies.jsonl")
    copies = count(nameless)
    assert (copies.profile.superseded, copies.profile.superseded_by_others) == (2, 0)
    assert copies.files_sharing_ids == 0


def test_nothing_is_counted_of_files_that_cannot_be_read(
    write_reviews: Write, review: Review
) -> None:
    path = write_reviews([review(1)])
    with pytest.raises(SourceError, match="'Review' is required"):
        count(path, overrides=("data.columns.text=Review",))
