"""The counts of a night: what is derived from them and what they refuse to be."""

import json
from dataclasses import asdict
from typing import Any

import pytest

from sentiflow.data.profile import Profile
from sentiflow.errors import ArtifactError

COUNTS: dict[str, Any] = {
    "rows_read": 100,
    "quarantined": 5,
    "superseded": 4,
    "left_out_after_night": 3,
    "left_out_neutral": 2,
    "left_out_category": 1,
    "rows": 85,
    "unique_ids": 85,
    "positive_rows": 51,
    "total_words": 850,
    "shortest_characters": 2,
    "longest_characters": 900,
    "missing_dates": 17,
    "missing_user_ids": 1,
    "missing_business_ids": 0,
    "earliest_date": "2023-12-31",
    "latest_date": "2024-01-31",
    "train_rows": 60,
    "train_positive_rows": 36,
    "validation_rows": 10,
    "validation_positive_rows": 6,
    "test_rows": 15,
    "test_positive_rows": 9,
    "truncated_files": 0,
    "undecodable": 2,
    "rejected_by_rule": {"not_decodable": 2, "not_json": 3},
    "join_coverage": 0.5,
}


def test_shares_and_means_are_of_the_rows_they_name() -> None:
    profile = Profile(**COUNTS)
    assert profile.left_out == 6
    assert profile.rejected_share == pytest.approx(0.05)
    assert profile.after_night_share == pytest.approx(0.03)
    assert profile.positive_share == pytest.approx(0.6)
    assert profile.smaller_class_share == pytest.approx(0.4)
    assert profile.mean_words == pytest.approx(10.0)
    assert profile.missing_date_share == pytest.approx(0.2)


def test_the_rarer_class_may_be_the_positive_one() -> None:
    assert Profile(**{**COUNTS, "positive_rows": 17}).smaller_class_share == pytest.approx(0.2)


def test_every_row_read_is_accounted_for() -> None:
    assert Profile(**COUNTS).unaccounted_rows == 0


@pytest.mark.parametrize(
    "name",
    [
        "quarantined",
        "superseded",
        "left_out_after_night",
        "left_out_neutral",
        "left_out_category",
        "train_rows",
        "validation_rows",
        "test_rows",
    ],
)
def test_a_row_missing_from_any_count_is_unaccounted_for(name: str) -> None:
    assert Profile(**{**COUNTS, name: COUNTS[name] - 1}).unaccounted_rows == 1


def test_shares_of_nothing_are_none_rather_than_an_error() -> None:
    profile = Profile(**{**COUNTS, "rows_read": 0, "rows": 0})
    assert profile.rejected_share is None
    assert profile.after_night_share is None
    assert profile.positive_share is None
    assert profile.smaller_class_share is None
    assert profile.mean_words is None
    assert profile.missing_date_share is None


def test_a_profile_survives_json() -> None:
    profile = Profile(**COUNTS)
    assert Profile(**json.loads(json.dumps(asdict(profile)))) == profile


@pytest.mark.parametrize("count", [None, float("nan"), 85.0, -1, True, "85"])
def test_a_count_that_is_no_count_is_refused_by_name(count: object) -> None:
    with pytest.raises(ArtifactError, match=r"whole numbers.*Received: rows="):
        Profile(**{**COUNTS, "rows": count})


def test_a_rule_with_a_count_that_is_no_count_is_refused_by_name() -> None:
    with pytest.raises(ArtifactError, match=r"Received: rejected_by_rule\.not_json=None"):
        Profile(**{**COUNTS, "rejected_by_rule": {"not_json": None}})


@pytest.mark.parametrize("day", ["31.01.2024", "20240131", "2024-01-31T10:00:00", 20240131, ""])
@pytest.mark.parametrize("name", ["earliest_date", "latest_date"])
def test_a_date_that_is_not_iso_is_refused_by_name(name: str, day: object) -> None:
    with pytest.raises(ArtifactError, match=f"ISO dates.*Received: {name}="):
        Profile(**{**COUNTS, name: day})


@pytest.mark.parametrize("coverage", [float("nan"), -0.1, 1.1, "0.5", 1])
def test_a_coverage_that_is_no_share_is_refused(coverage: object) -> None:
    with pytest.raises(ArtifactError, match="Received: join_coverage="):
        Profile(**{**COUNTS, "join_coverage": coverage})


@pytest.mark.parametrize("coverage", [None, 0.0, 1.0])
def test_a_coverage_may_be_unknown_nothing_or_everything(coverage: float | None) -> None:
    assert Profile(**{**COUNTS, "join_coverage": coverage}).join_coverage == coverage


def test_a_night_without_any_date_is_a_profile() -> None:
    assert Profile(**{**COUNTS, "earliest_date": None, "latest_date": None}).latest_date is None
