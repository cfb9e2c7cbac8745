import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentiflow.data.reading.businesses import is_in_category, join_categories, read_categories
from sentiflow.errors import SourceError
from sentiflow.settings import DataSettings

DATA = DataSettings()


def write_lines(path: Path, *businesses: Any) -> str:
    path.write_text("".join(json.dumps(business) + "\n" for business in businesses))
    return str(path)


def make_business(name: Any, categories: Any) -> dict[str, Any]:
    return {"business_id": name, "name": "A place", "categories": categories}


def test_categories_are_read_by_business(tmp_path: Path) -> None:
    path = write_lines(
        tmp_path / "businesses.jsonl",
        make_business("a", "Pizza, Restaurants"),
        make_business("b", None),
        make_business("c", ["Pets", "Vets"]),
        make_business("d", 5),
        make_business(None, "Lost"),
        make_business("a", "Pizza"),
    )
    categories = read_categories(path, DATA)
    assert categories.index.tolist() == ["a", "b", "c", "d"]
    assert categories.loc[["a", "c"]].tolist() == ["Pizza", "Pets, Vets"]
    assert categories.loc[["b", "d"]].isna().all()
    assert (str(categories.dtype), str(categories.index.dtype)) == ("str", "str")


@pytest.mark.parametrize("name", ["b.csv", "b.parquet", "b.csv.gz"])
def test_other_formats_are_told_by_their_names_whatever_that_of_the_reviews(
    tmp_path: Path, name: str
) -> None:
    table = pd.DataFrame({"business_id": ["a"], "categories": ["Pizza, Bars"]})
    write = table.to_parquet if "parquet" in name else table.to_csv
    write(tmp_path / name, index=False)
    categories = read_categories(str(tmp_path / name), DataSettings(format="jsonl"))
    assert categories.to_dict() == {"a": "Pizza, Bars"}


def test_a_file_that_is_not_there_or_lacks_a_column_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="not there"):
        read_categories(str(tmp_path / "none.jsonl"), DATA)
    path = write_lines(tmp_path / "b.jsonl", {"business_id": "a", "kind": "Pizza"})
    with pytest.raises(SourceError, match=r"'categories' is required.*2 columns"):
        read_categories(path, DATA)


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "b.parquet"
    path.write_bytes(b"PAR1")
    with pytest.raises(SourceError, match="readable to their end"):
        read_categories(str(path), DATA)


def test_few_broken_lines_are_passed_over_and_many_are_refused(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "b.jsonl", *[make_business(str(n), "Pizza") for n in range(9)])
    with open(path, "a") as file:
        file.write("oops\n")
    assert len(read_categories(path, DataSettings(max_rejected_share=0.1))) == 9
    with pytest.raises(SourceError, match="1 of 10"):
        read_categories(path, DataSettings(max_rejected_share=0.09))


def test_an_empty_file_has_no_businesses(tmp_path: Path) -> None:
    categories = read_categories(write_lines(tmp_path / "b.jsonl"), DATA)
    assert len(categories) == 0
    joined = join_categories(pd.DataFrame({"business_id": ["a"]}), categories)
    assert joined.isna().all()
    assert not is_in_category(joined, "Pizza").any()


def test_reviews_get_the_categories_of_their_business() -> None:
    ids = pd.Index(["a", "b"], dtype="str", name="business_id")
    categories = pd.Series(["Pizza", None], index=ids, dtype="str")
    column = pd.Series(["b", "a", "z", None, "a"], dtype="str", index=[9, 8, 7, 6, 5])
    reviews = column.to_frame("business_id")
    joined = join_categories(reviews, categories)
    assert joined.index.tolist() == [9, 8, 7, 6, 5]
    assert joined.where(joined.notna(), "-").tolist() == ["-", "Pizza", "-", "-", "Pizza"]
    assert str(joined.dtype) == "str"
    empty = join_categories(reviews.iloc[:0], categories)
    assert (len(empty), str(empty.dtype)) == (0, "str")


@pytest.mark.parametrize(
    ("categories", "category", "expected"),
    [
        ("Pizza, Restaurants", "restaurants", True),
        ("Pizza,Restaurants", "PIZZA", True),
        ("Pet Restaurants", "Restaurants", False),
        ("Restaurants Supplies", "Restaurants", False),
        ("Beer, Wine & Spirits, Food", "Beer, Wine & Spirits", True),
        ("Beer, Wine & Spirits, Food", "Food", True),
        ("Wine & Spirits, Beer", "Beer, Wine & Spirits", False),
        ("Pizza", " pizza ", True),
        ("", "Pizza", False),
        (None, "Pizza", False),
        ("Straße", "STRASSE", True),
        ("nan", "Pizza", False),
        (None, "nan", False),
    ],
)
def test_a_category_is_found_as_a_whole_name_in_any_case(
    categories: str | None, category: str, expected: bool
) -> None:
    column = pd.Series([categories, "Other", categories], dtype="str")
    found = is_in_category(column, category)
    assert found.dtype == np.bool_
    assert found.tolist() == [expected, False, expected]


@settings(deadline=None)
@given(st.lists(st.none() | st.lists(st.sampled_from(["A", "b", "C d"])).map(", ".join)))
def test_every_row_is_judged_by_its_own_names(texts: list[str | None]) -> None:
    found = is_in_category(pd.Series(texts, dtype="str"), "a")
    assert found.tolist() == ["A" in (text or "").split(", ") for text in texts]


@pytest.mark.real_reviews
def test_real_businesses_are_read(real_businesses: Path) -> None:
    categories = read_categories(str(real_businesses), DATA)
    assert len(categories) == 17_851
    assert is_in_category(categories, "restaurants").sum() > 1_000
