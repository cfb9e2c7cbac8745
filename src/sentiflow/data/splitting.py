"""Assign every review to train, validation or test by a hash of its text.

The bucket of a review depends on its normalized text alone, so it never moves as
rows arrive, and exact copies always share a side. The normalizer and the salt are
constants with a version: they were committed before the first trained run, and a
change of either is another lineage.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt

from sentiflow.settings import SplitSettings

BUCKETS: Final = 10_000
NORMALIZER_VERSION: Final = "1"
_SALT: Final = b"sentiflow-split-1\0"

SPLITS: Final = ("train", "validation", "test")


def normalize_text(text: str) -> str:
    r"""Return the text lower-cased with every run of white space folded to one space.

    >>> normalize_text("  Great\n FOOD ")
    'great food'
    """
    return " ".join(text.lower().split())


def digest_texts(texts: Iterable[str]) -> npt.NDArray[np.uint64]:
    """Return one salted 64-bit digest per text; equal normalized texts get equal digests.

    Args:
        texts: n texts; lone surrogates are allowed.

    Returns:
        Array of shape (n,), dtype uint64: the first eight bytes of SHA-256.
    """
    digests = b"".join(
        hashlib.sha256(_SALT + normalize_text(text).encode("utf-8", "surrogatepass")).digest()[:8]
        for text in texts
    )
    return np.frombuffer(digests, dtype=">u8").astype(np.uint64)


def assign_buckets(digests: npt.NDArray[np.uint64]) -> npt.NDArray[np.int16]:
    """Return the bucket, 0 to 9,999, of each text digest; shape (n,), dtype int16."""
    return (digests % np.uint64(BUCKETS)).astype(np.int16)


def name_splits(buckets: npt.NDArray[np.int16], split: SplitSettings) -> npt.NDArray[np.int8]:
    """Return the side of each bucket as an index into SPLITS.

    Test takes the top buckets, validation the ones below it, train the rest.

    Args:
        buckets: shape (n,), values 0 to 9,999.
        split: the shares of test and validation.

    Returns:
        Array of shape (n,), dtype int8: 0 train, 1 validation, 2 test.
    """
    test_from = BUCKETS - round(BUCKETS * split.test_share)
    validation_from = test_from - round(BUCKETS * split.validation_share)
    return np.searchsorted(
        np.array([validation_from, test_from]), buckets.astype(np.int64), side="right"
    ).astype(np.int8)


def assign_folds(digests: npt.NDArray[np.uint64], folds: int) -> npt.NDArray[np.int8]:
    """Return the fold, 0 to folds - 1, of each text digest; exact copies share one; int8 (n,)."""
    return (digests // np.uint64(BUCKETS) % np.uint64(folds)).astype(np.int8)
