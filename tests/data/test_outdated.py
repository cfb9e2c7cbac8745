import numpy as np
import pandas as pd

from sentiflow.data.outdated import Superseded, drop_outdated
from sentiflow.data.row_digests import add_digests

DAYS = ("2026-01-01", "2026-01-02")


def make_reviews(*rows: tuple[str, str, str | None, str | None]) -> pd.DataFrame:
    """Return reviews of id, text, user and business, each a day newer than the one before."""
    ids, texts, users, businesses = zip(*rows, strict=True)
    return add_digests(
        pd.DataFrame(
            {
                "review_id": pd.Series(ids, dtype="str"),
                "user_id": pd.Series(users, dtype="str"),
                "business_id": pd.Series(businesses, dtype="str"),
                "stars": 4.0,
                "label": pd.array([pd.NA] * len(rows), dtype="Int8"),
                "text": pd.Series(texts, dtype="str"),
                "date": pd.date_range("2026-01-01", periods=len(rows), unit="us"),
            }
        )
    )


def drop(reviews: pd.DataFrame) -> tuple[list[str], Superseded]:
    digests = reviews.pop("row_digest").to_numpy(dtype=object)
    kept, superseded = drop_outdated(reviews, digests)
    return sorted(kept["text"]), superseded


def test_the_newest_row_of_an_id_is_kept_whatever_the_order() -> None:
    reviews = make_reviews(
        ("a", "old", None, None), ("b", "b", None, None), ("a", "new", None, None)
    )
    for some in (reviews, reviews.iloc[::-1]):
        assert drop(some.copy())[0] == ["b", "new"]


def test_copies_are_no_edits_and_edits_have_the_same_author() -> None:
    copies = make_reviews(*[("a", text, "u", "b") for text in ("Good", "GOOD ", "Good")])
    assert drop(copies)[1] == Superseded()
    edits = make_reviews(*[("a", text, "u", "b") for text in ("Good", "Bad", "Good now")])
    assert drop(edits)[1] == Superseded(by_others=2)
    unknown = make_reviews(("a", "Good", None, "b"), ("a", "Good", "u", None))
    assert drop(unknown)[1] == Superseded()


def test_another_user_or_business_is_no_edit() -> None:
    reviews = make_reviews(
        ("a", "Good", "u", "b"), ("a", "Good", "v", "b"), ("a", "Bad", "v", "b"),
        ("c", "Good", None, "x"), ("c", "Fine", None, "y"),
    )  # fmt: skip
    same_text = make_reviews(("a", "Good", "u", "b"), ("a", "Good", "v", "b"))
    assert drop(same_text)[1] == Superseded(by_others=1, by_strangers=1)
    # Each is compared with the one that is kept.
    assert drop(reviews)[1] == Superseded(by_others=3, by_strangers=2)


def test_what_is_kept_is_sorted_by_digest_whatever_the_dates() -> None:
    reviews = make_reviews(*[(f"id{n}", f"text {n}", None, None) for n in range(40)])
    digests = reviews.pop("row_digest").to_numpy(dtype=object)
    kept, superseded = drop_outdated(reviews, np.array(digests, dtype=object))
    assert kept["row_digest"].tolist() == sorted(digests)
    assert superseded == Superseded()
