from decimal import Decimal
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentiflow.data.reviews import (
    RAW_COLUMNS,
    REVIEW_COLUMNS,
    Marks,
    label_reviews,
    replace_surrogates,
    type_reviews,
)
from sentiflow.settings import ColumnSettings, DataSettings

STARS = DataSettings()
LABELS = DataSettings(columns=ColumnSettings(stars=None, label="sentiment"))

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["2012-01-01", "2012-01-01 20:37:56", "5", "five", "\ud800", " ", "pos"])
    | st.dates().map(str)
    | st.datetimes(timezones=st.none() | st.timezones()).map(str)
)
JSON_VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5
)


def make_raw(**columns: list[Any]) -> pd.DataFrame:
    """Return rows as the readers make them, with None in the columns that are not given."""
    rows = len(next(iter(columns.values())))
    raw: dict[str, Any] = {"file": ["reviews.jsonl"] * rows, "line": list(range(1, rows + 1))}
    for name in REVIEW_COLUMNS:
        raw[name] = pd.Series(columns.get(name, [None] * rows), dtype=object)
    return pd.DataFrame(raw)[list(RAW_COLUMNS)]


def type_column(name: str, values: list[Any], data: DataSettings = STARS) -> list[Any]:
    """Return one typed column as a list, None where it is null."""
    column = type_reviews(make_raw(**{name: values}), data)[name].astype(object)
    return column.where(column.notna(), None).tolist()


def test_the_columns_and_types_are_the_same_with_and_without_rows() -> None:
    raw = make_raw(text=["Good"], stars=[5.0], date=["2012-01-01"], review_id=["a"])
    expected = {
        "file": "str",
        "line": "int64",
        "review_id": "str",
        "user_id": "str",
        "business_id": "str",
        "stars": "float64",
        "label": "Int8",
        "text": "str",
        "date": "datetime64[us]",
        "marks": "int16",
        "unknown_label": "str",
    }
    for some in (raw, raw.iloc[:0]):
        reviews = type_reviews(some, STARS)
        assert {name: str(kind) for name, kind in reviews.dtypes.items()} == expected


def test_the_index_of_the_rows_is_kept() -> None:
    raw = make_raw(text=["one", "two", "three"]).iloc[[2, 0]]
    reviews = type_reviews(raw, STARS)
    assert reviews.index.tolist() == [2, 0]
    assert reviews["text"].tolist() == ["three", "one"]
    assert reviews["line"].tolist() == [3, 1]


def test_stars_are_numbers_or_numeric_strings_and_nothing_else() -> None:
    values = [4, 4.5, "5", " 2.0 ", "1e0", Decimal("3"), np.float32(2), np.int64(1)]
    assert type_column("stars", values) == [4, 4.5, 5, 2, 1, 3, 2, 1]
    ill_typed = ["five", "", True, False, np.True_, None, [5], {"stars": 5}, "0x5", "1_0", "٣"]
    assert type_column("stars", ill_typed) == [None] * len(ill_typed)


def test_stars_that_are_not_finite_are_missing() -> None:
    values = [float("inf"), float("-inf"), float("nan")]
    assert type_column("stars", values) == [None] * 3
    assert type_column("stars", [*values, "inf", "nan", 10**400]) == [None] * 6


def test_labels_are_read_from_all_the_usual_words() -> None:
    positive = [1, 1.0, "1", "1.0", "pos", "Positive", True, "TRUE", " true ", np.int64(1)]
    negative = [0, 0.0, "0", "0.0", "NEG", "negative", False, "False", np.False_]
    neither = [2, -1, 0.5, "", "maybe", None, float("nan"), [1], {}]
    assert type_column("label", positive, LABELS) == [1] * len(positive)
    assert type_column("label", negative, LABELS) == [0] * len(negative)
    assert type_column("label", neither, LABELS) == [None] * len(neither)


def test_labels_are_null_when_no_column_is_named_for_them() -> None:
    assert type_column("label", [1, 0, "pos"], STARS) == [None] * 3


def test_text_is_kept_as_it_is_and_anything_else_is_missing() -> None:
    texts = ["", " spaced\n", "naïve 👍", "\x00"]
    assert type_column("text", texts) == texts
    assert type_column("text", [5, True, None, ["a"], b"bytes"]) == [None] * 5


def test_lone_surrogates_are_replaced_in_texts_and_ids() -> None:
    raw = make_raw(text=["caf\ud800", "fine"], user_id=["\udfff", "u"], review_id=["a\udc00", "b"])
    reviews = type_reviews(raw, STARS)
    assert reviews["text"].tolist() == ["caf\ufffd", "fine"]
    assert reviews["user_id"].tolist() == ["\ufffd", "u"]
    assert reviews["review_id"].tolist() == ["a\ufffd", "b"]


def test_a_date_that_cannot_be_read_costs_the_date_and_is_marked() -> None:
    dates = ["2012-01-01", "soon", None, "05/01/2012", "13/01/2012", "01/13/2012"]
    reviews = type_reviews(make_raw(date=dates), STARS)
    assert reviews["date"].notna().tolist() == [True] + [False] * 5
    assert [Marks(mark) & ~Marks.DERIVED_ID for mark in reviews["marks"]] == [
        Marks(0),
        Marks.DATE,
        Marks(0),
        Marks.DATE | Marks.EITHER_FIRST,
        Marks.DATE | Marks.DAY_FIRST,
        Marks.DATE | Marks.MONTH_FIRST,
    ]


def test_how_dates_are_written_may_be_said() -> None:
    data = DataSettings(date_format="DD/MM/YYYY")
    assert type_column("date", ["05/01/2012"], data) == [pd.Timestamp("2012-01-05")]


def test_ids_and_stars_that_cannot_be_read_are_marked_and_missing_ones_are_not() -> None:
    values = ["5", "NULL", "", None, [], True]
    raw = make_raw(review_id=values, user_id=values, business_id=values, stars=values)
    raw["label"] = 1
    ids = Marks.REVIEW_ID | Marks.USER_ID | Marks.BUSINESS_ID
    with_labels = type_reviews(raw, LABELS)["marks"].tolist()
    derived = Marks.DERIVED_ID
    assert with_labels == [0, derived, derived, derived, *[derived | ids | Marks.STARS] * 2]
    # As the target, stars that are not there cost the row: nothing is to be counted.
    assert type_reviews(raw, STARS)["marks"].tolist()[-1] == derived | ids


def test_ids_may_be_numbers_and_empty_ones_are_missing() -> None:
    values = ["a", 7, 7.0, 7.5, Decimal("8"), "", " ", None, True, [], float("nan"), 10**5000]
    expected = ["a", "7", "7", "7.5", "8", *[None] * 7]
    assert type_column("user_id", values) == expected
    assert type_column("business_id", values) == expected


def test_a_missing_review_id_is_derived_from_the_content() -> None:
    raw = make_raw(review_id=["kept", None, "", [1], None], text=["a", "a", "a", "a", "b"])
    kept, *derived, other = type_reviews(raw, STARS)["review_id"]
    assert kept == "kept"
    assert len(set(derived)) == 1
    assert other not in derived
    assert {len(review_id) for review_id in [*derived, other]} == {22}


def test_derived_ids_do_not_depend_on_how_the_source_writes_its_values() -> None:
    of_json = make_raw(text=["Good"], stars=[4], date=["2012-01-01T00:00:00Z"], user_id=[7])
    of_csv = make_raw(text=["Good"], stars=["4.0"], date=["2012-01-01"], user_id=["7"])
    of_csv["line"] = 99
    of_csv["file"] = "other.csv"
    derived = [type_reviews(raw, STARS)["review_id"].item() for raw in (of_json, of_csv)]
    assert derived[0] == derived[1]


@pytest.mark.parametrize(
    "change",
    [{"text": "Bad"}, {"stars": 2}, {"date": "2013-01-01"}, {"user_id": "v"}, {"business_id": "b"}],
)
def test_derived_ids_differ_when_any_value_differs(change: dict[str, Any]) -> None:
    values = {"text": "Good", "stars": 4, "date": "2012-01-01", "user_id": "u"}
    first = make_raw(**{name: [value] for name, value in values.items()})
    second = make_raw(**{name: [value] for name, value in (values | change).items()})
    ids = {type_reviews(raw, STARS)["review_id"].item() for raw in (first, second)}
    assert len(ids) == 2


def test_derived_ids_never_change_between_versions() -> None:
    # Written down, because a change would make every old row without an id a new one.
    raw = make_raw(text=["Good"], stars=[4.0], date=["2012-01-01"])
    assert type_reviews(raw, STARS)["review_id"].item() == "UMuf1INPa5TyZBZWWauYSg"


@settings(deadline=None)
@given(st.lists(JSON_VALUES, max_size=8))
def test_any_value_in_any_field_keeps_its_row_and_can_be_written(values: list[Any]) -> None:
    raw = make_raw(**dict.fromkeys(REVIEW_COLUMNS, values))
    reviews = type_reviews(raw, LABELS)
    assert reviews["line"].tolist() == raw["line"].tolist()
    assert reviews["review_id"].notna().all()
    assert np.isfinite(reviews["stars"].dropna()).all()
    for name in ("review_id", "user_id", "business_id", "text"):
        for value in reviews[name].dropna():
            value.encode("utf-8")
    assert reviews["text"].notna().tolist() == [isinstance(value, str) for value in values]


@settings(deadline=None)
@given(st.text(st.characters(min_codepoint=0xD7FF, max_codepoint=0xE001)))
def test_replacing_surrogates_changes_nothing_else(text: str) -> None:
    replaced = replace_surrogates(text)
    assert len(replaced) == len(text)
    for before, after in zip(text, replaced, strict=True):
        assert after == ("\ufffd" if "\ud800" <= before <= "\udfff" else before)


def make_reviews(stars: list[float]) -> pd.DataFrame:
    return type_reviews(make_raw(stars=stars, text=["Good"] * len(stars)), STARS)


def test_more_than_three_stars_are_positive() -> None:
    reviews, left_out = label_reviews(make_reviews([1, 2, 3, 3.5, 4, 5]), STARS)
    assert reviews["label"].tolist() == [0, 0, 0, 1, 1, 1]
    assert reviews["label"].dtype == np.int8
    assert left_out == 0


def test_the_bound_of_positive_can_be_moved() -> None:
    reviews, _ = label_reviews(make_reviews([3, 4, 5]), DataSettings(positive_above=4.0))
    assert reviews["label"].tolist() == [0, 0, 1]


def test_three_stars_can_be_left_out() -> None:
    settings = DataSettings(neutral="leave_out")
    reviews, left_out = label_reviews(make_reviews([1, 3, 5, 3]), settings)
    assert reviews["stars"].tolist() == [1, 5]
    assert reviews["label"].tolist() == [0, 1]
    assert reviews.index.tolist() == [0, 1]
    assert left_out == 2


def test_labels_that_were_read_stand_and_stars_play_no_part() -> None:
    settings = DataSettings(columns=ColumnSettings(label="sentiment"), neutral="leave_out")
    raw = make_raw(label=["pos", "neg"], stars=[1, 3], text=["a", "b"])
    reviews, left_out = label_reviews(type_reviews(raw, settings), settings)
    assert reviews["label"].tolist() == [1, 0]
    assert reviews["label"].dtype == np.int8
    assert left_out == 0


@pytest.mark.parametrize(
    ("neutral", "positive_above", "labels", "left_out"),
    [("keep", 3.0, [1, 0, 0], 0), ("keep", 2.5, [1, 1, 0], 0), ("leave_out", 3.0, [1, 0], 1)],
)
def test_a_neutral_label_counts_as_three_stars_do(
    neutral: Literal["keep", "leave_out"], positive_above: float, labels: list[int], left_out: int
) -> None:
    data = DataSettings(
        columns=ColumnSettings(label="x"), neutral=neutral, positive_above=positive_above
    )
    raw = make_raw(label=["positive", "neutral", "negative"], text=["a"] * 3)
    reviews, dropped = label_reviews(type_reviews(raw, data), data)
    assert (reviews["label"].tolist(), dropped) == (labels, left_out)
    assert reviews["label"].dtype == np.int8


def test_reviews_without_stars_cannot_be_labelled() -> None:
    with pytest.raises(ValueError, match="rows_without_stars=1"):
        label_reviews(make_reviews([5, None]), STARS)  # type: ignore[list-item]
