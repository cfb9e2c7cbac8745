import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentiflow.data.splitting import assign_buckets, digest_texts, name_splits, normalize_text
from sentiflow.settings import SplitSettings

GOLDEN_BUCKETS = [1977, 2596, 4342]


def test_digests_have_not_moved_since_the_first_trained_run() -> None:
    digests = digest_texts(["Great food!", "", "Crème brûlée 😀"])
    expected = [
        int.from_bytes(hashlib.sha256(b"sentiflow-split-1\0" + text.encode()).digest()[:8], "big")
        for text in ("great food!", "", "crème brûlée 😀")
    ]
    assert digests.tolist() == expected
    # A golden value too: a change of salt would change both sides of the line above.
    buckets = assign_buckets(digests)
    assert (buckets.tolist(), buckets.dtype) == (GOLDEN_BUCKETS, np.int16)


def test_half_a_surrogate_pair_has_a_digest_of_its_own() -> None:
    salted = b"sentiflow-split-1\0half \xed\xa0\xbd"
    expected = int.from_bytes(hashlib.sha256(salted).digest()[:8], "big")
    assert digest_texts(["Half \ud83d"]).tolist() == [expected]


def test_copies_that_differ_in_case_and_white_space_share_a_bucket() -> None:
    digests = digest_texts(["Great  FOOD\n", " great food", "great\tfood"])
    assert len(set(digests.tolist())) == 1


@given(st.text())
def test_normalizing_twice_changes_nothing(text: str) -> None:
    once = normalize_text(text)
    assert normalize_text(once) == once


@given(st.lists(st.text(), max_size=20), st.lists(st.text(), max_size=20))
def test_a_review_never_changes_side_when_rows_arrive(old: list[str], new: list[str]) -> None:
    split = SplitSettings()
    before = name_splits(assign_buckets(digest_texts(old)), split)
    after = name_splits(assign_buckets(digest_texts(new + old)), split)
    assert after[len(new) :].tolist() == before.tolist()


@pytest.mark.parametrize(
    ("test_share", "validation_share"), [(0.15, 0.1), (0.3, 0.05), (0.01, 0.4)]
)
def test_each_side_holds_its_share_of_the_buckets(
    test_share: float, validation_share: float
) -> None:
    split = SplitSettings(test_share=test_share, validation_share=validation_share)
    sides = name_splits(np.arange(10_000, dtype=np.int16), split)
    assert np.bincount(sides).tolist() == [
        10_000 - round(10_000 * test_share) - round(10_000 * validation_share),
        round(10_000 * validation_share),
        round(10_000 * test_share),
    ]
    assert sides[-1] == 2, "test takes the top buckets"
    assert np.all(np.diff(sides) >= 0), "validation lies between train and test"


def test_a_greater_test_share_leaves_the_old_test_rows_in_test() -> None:
    buckets = np.arange(10_000, dtype=np.int16)
    small = name_splits(buckets, SplitSettings(test_share=0.1))
    large = name_splits(buckets, SplitSettings(test_share=0.2))
    assert np.all(large[small == 2] == 2)
