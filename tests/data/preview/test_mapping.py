"""Which column holds what, by its name and by what stands in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from sentiflow.data.preview.mapping import name_roles, suggest_roles
from sentiflow.settings import ColumnSettings

TEXTS = [f"The soup of day {n} was lovely and warm." for n in range(40)]
TITLES = [f"Day {n}" for n in range(40)]
STARS = [n % 5 + 1 for n in range(40)]
MOODS = [("positive", "negative", "neutral")[n % 3] for n in range(40)]
DAYS = [f"2025-03-{n % 28 + 1:02}" for n in range(40)]
IDS = [f"r{n}" for n in range(40)]
TWEETS = [1467810369 + n for n in range(40)]
SHOPS = [f"shop {n % 4}" for n in range(40)]


def suggest(samples: dict[str, Sequence[Any]], **columns: Any) -> dict[str, str]:
    return {one.key: one.column for one in suggest_roles(samples, ColumnSettings(**columns))}


def test_columns_that_are_there_are_left_alone() -> None:
    assert suggest({"text": TEXTS, "stars": STARS, "review": TITLES, "rating": STARS}) == {}


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ({"Review Text": TEXTS, "Rating": STARS}, {"text": "Review Text", "stars": "Rating"}),
        ({"summary": TITLES, "reviewText": TEXTS, "overall": STARS},
         {"text": "reviewText", "stars": "overall"}),
        ({"id": IDS, "content": TEXTS, "score": STARS, "at": DAYS, "app_id": SHOPS},
         {"text": "content", "stars": "score", "date": "at", "review_id": "id",
          "business_id": "app_id"}),
        ({"review": TEXTS, "sentiment": MOODS}, {"text": "review", "label": "sentiment"}),
        # By values alone: nobody lists what columns are called in every language.
        ({"Texto": TEXTS, "Nota": STARS, "Fecha": DAYS},
         {"text": "Texto", "stars": "Nota", "date": "Fecha"}),
        ({"a": TITLES, "b": TEXTS, "c": MOODS}, {"text": "b", "label": "c"}),
    ],
)  # fmt: skip
def test_columns_are_found_by_names_and_values(
    samples: dict[str, Sequence[Any]], expected: dict[str, str]
) -> None:
    assert suggest(samples) == expected


def test_a_name_does_not_count_where_the_values_are_others() -> None:
    # The rating is a sentence, the text a number, and the score is the only one of its kind.
    found = suggest({"rating": TEXTS, "body": list(range(100, 140)), "points": STARS})
    assert found == {"text": "rating", "stars": "points"}


def test_of_two_columns_that_may_be_the_stars_none_is_suggested() -> None:
    assert suggest({"text": TEXTS, "food": STARS, "service": STARS}) == {}


def test_an_id_that_is_there_twice_is_none() -> None:
    assert suggest({"text": TEXTS, "stars": STARS, "Id": [*range(20), *range(20)]}) == {}
    assert suggest({"text": TEXTS, "stars": STARS, "Id": list(range(40))}) == {"review_id": "Id"}


def test_text_and_stars_that_were_mixed_up_are_found_out() -> None:
    assert suggest({"text": STARS * 2, "stars": TEXTS * 2}) == {"text": "stars", "stars": "text"}


def test_a_label_that_is_set_needs_no_stars() -> None:
    assert suggest({"text": TEXTS, "mood": MOODS, "rating": STARS}, label="mood") == {}
    assert suggest({"text": TEXTS, "mood": MOODS, "rating": STARS}, label="x") == {
        "stars": "rating"
    }


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (([2, 1] * 20, TEXTS), ["label", "text"]),
        ((["4", "0"] * 20, TWEETS, DAYS, ["NO_QUERY"] * 40, SHOPS, TEXTS),
         ["label", "review_id", "date", "column_4", "column_5", "text"]),
        ((TEXTS, STARS), ["text", "stars"]),
        ((TITLES, TITLES), ["column_1", "column_2"]),
    ],
)  # fmt: skip
def test_columns_without_names_are_named_by_their_values(
    values: tuple[Sequence[Any], ...], expected: list[str]
) -> None:
    samples = {str(place): column for place, column in enumerate(values, 1)}
    assert name_roles(samples) == expected
