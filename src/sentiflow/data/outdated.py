"""Keep the newest row of each review id, and tell edits from ids that several reviews share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

_OWNERS = ("user_id", "business_id")


@dataclass(frozen=True)
class Superseded:
    """Of rows that a newer one with their id replaced, those that it is no copy of.

    Attributes:
        by_others: the newer row has another text, user or business.
        by_strangers: it has another user or business, as no edit of a review has.
    """

    by_others: int = 0
    by_strangers: int = 0


def drop_outdated(
    reviews: pd.DataFrame, digests: npt.NDArray[np.object_]
) -> tuple[pd.DataFrame, Superseded]:
    """Keep of each review id the row with the newest date, then the greatest digest.

    A row without a date counts as older than any row with one. The order of the rows
    given does not matter; the rows returned are sorted by digest.

    Args:
        reviews: n reviews with text_digest.
        digests: their row digests, shape (n,), dtype object (bytes).

    Returns:
        At most n reviews with the column `row_digest` added, and what the others were.
    """
    dated = reviews.assign(row_digest=digests)
    # The index reset makes the last of each id a position: newest date, then digest.
    ordered = dated.sort_values(["date", "row_digest"], na_position="first", kind="stable")
    is_outdated = ordered.duplicated("review_id", keep="last").to_numpy()
    kept = ordered.loc[~is_outdated]
    superseded = _compare(ordered.loc[is_outdated], kept) if is_outdated.any() else Superseded()
    return kept.sort_values("row_digest", kind="stable").reset_index(drop=True), superseded


def _compare(outdated: pd.DataFrame, kept: pd.DataFrame) -> Superseded:
    newer = kept.set_index("review_id").loc[outdated["review_id"]]
    is_stranger = np.zeros(len(outdated), dtype=bool)
    for name in _OWNERS:
        before, after = outdated[name].reset_index(drop=True), newer[name].reset_index(drop=True)
        # One that is missing may be the same.
        is_stranger |= (before.ne(after) & before.notna() & after.notna()).to_numpy(dtype=bool)
    is_edited = outdated["text_digest"].to_numpy() != newer["text_digest"].to_numpy()
    return Superseded(int((is_edited | is_stranger).sum()), int(is_stranger.sum()))
