import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sentiflow.data.ingest import Ingested, read_sources
from sentiflow.data.snapshot import SNAPSHOT_COLUMNS, read_shards
from sentiflow.errors import UsageError
from sentiflow.settings import Settings, load_settings

NIGHT = date(2026, 6, 30)
Write = Callable[..., Path]
Review = Callable[..., dict[str, Any]]


def read(path: Path, home: Path, businesses: Path | None = None, *overrides: str) -> Ingested:
    settings: Settings = load_settings(None, overrides)
    return read_sources([str(path)], str(businesses) if businesses else None, settings, NIGHT, home)


def load(ingested: Ingested) -> pd.DataFrame:
    return pd.concat(list(read_shards(ingested.snapshot, SNAPSHOT_COLUMNS)))


def test_every_row_is_accounted_for(home: Path, write_reviews: Write, review: Review) -> None:
    reviews = [review(n) for n in range(100)]
    reviews[3]["stars"] = 9
    reviews[4]["text"] = "  "
    reviews[5]["date"] = "2027-01-01"
    reviews[6] = {**reviews[7], "date": "2020-01-01"}
    path = write_reviews(reviews)
    with path.open("a") as stream:
        stream.write('{"review_id": "half a li')
    profile = read(path, home).profile
    assert profile.rows_read == 101
    assert profile.quarantined == 3
    assert profile.left_out_after_night == 1
    assert profile.superseded == 1
    assert profile.rows == 96 == profile.unique_ids
    assert profile.unaccounted_rows == 0


def test_the_quarantine_names_file_line_and_reason_of_each_row(
    home: Path, write_reviews: Write, review: Review
) -> None:
    path = write_reviews([review(1), review(2, stars=7), review(3)])
    ingested = read(path, home)
    (entry,) = [json.loads(line) for line in Path(ingested.quarantine).read_text().splitlines()]
    assert entry["file"].endswith("reviews.jsonl")
    assert entry["line"] == 2
    assert entry["review_id"] == "review-2"
    assert "stars" in entry["reason"]
    assert entry["rule"].startswith("expect_column_values_to_be_between")


def test_a_newer_neutral_review_supersedes_an_older_one_before_it_is_left_out(
    home: Path, write_reviews: Write, review: Review
) -> None:
    path = write_reviews(
        [
            review(1, stars=5, date="2026-01-01"),
            review(1, stars=3, date="2026-02-01"),
            review(2, stars=1),
        ]
    )
    ingested = read(path, home, None, "data.neutral=leave_out")
    assert load(ingested)["review_id"].tolist() == ["review-2"]
    assert (ingested.profile.superseded, ingested.profile.left_out_neutral) == (1, 1)


def test_a_row_after_the_night_does_not_supersede_what_was_known_then(
    home: Path, write_reviews: Write, review: Review
) -> None:
    path = write_reviews(
        [review(1, stars=5, date="2026-06-30 23:59:59"), review(1, stars=1, date="2026-07-01")]
    )
    assert load(read(path, home))["stars"].tolist() == [5.0]


def test_a_category_keeps_its_businesses_only(
    home: Path, write_reviews: Write, review: Review
) -> None:
    path = write_reviews([review(n) for n in range(50)])
    businesses = write_reviews(
        [
            {"business_id": "business-0", "categories": "Restaurants, Thai"},
            {"business_id": "business-1", "categories": "Car Wash"},
        ],
        "businesses.jsonl",
    )
    ingested = read(path, home, businesses, "data.category=Restaurants")
    assert set(load(ingested)["business_id"]) == {"business-0"}
    assert ingested.profile.left_out_category == 40
    assert ingested.profile.join_coverage == pytest.approx(0.4)
    assert ingested.profile.unaccounted_rows == 0


def test_the_label_rule_is_a_setting(home: Path, write_reviews: Write, review: Review) -> None:
    path = write_reviews([review(n, stars=float(n % 5 + 1)) for n in range(10)])
    labels = {
        above: load(read(path, home, None, f"data.positive_above={above}"))["label"].sum()
        for above in (2, 3, 4)
    }
    assert labels == {2: 6, 3: 4, 4: 2}


def test_a_missing_file_is_a_usage_error(home: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="exist"):
        read(tmp_path / "nowhere.jsonl", home)
