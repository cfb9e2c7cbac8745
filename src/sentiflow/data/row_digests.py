"""Give every row an identity of its content, and one of its text."""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from sentiflow.data.reviews import REVIEW_SCHEMA
from sentiflow.data.splitting import digest_texts

# What a snapshot keeps of a review, and what the row digest is over.
KEPT_SCHEMA: Final = REVIEW_SCHEMA.append(pa.field("categories", pa.string()))
TEXT_DIGEST: Final = pa.field("text_digest", pa.uint64())
ROW_DIGEST: Final = pa.field("row_digest", pa.binary(32))


def digest_rows(reviews: pd.DataFrame) -> list[bytes]:
    """Return the SHA-256 of each row over every column that is kept; n digests of 32 bytes.

    Each field is written with its length before it, so that no two rows can share an
    encoding; a missing value has a mark of its own.
    """
    columns = []
    for name in KEPT_SCHEMA.names:
        column = reviews[name]
        if name == "date":
            micros = column.astype("datetime64[us]")
            column = pd.Series(micros.astype("int64").astype(str)).where(micros.notna().to_numpy())
        elif name in ("stars", "label"):
            column = column.astype("Float64").astype(str).where(column.notna())
        columns.append(
            [
                None if missing else value
                for value, missing in zip(column, column.isna(), strict=True)
            ]
        )
    digests = []
    for row in zip(*columns, strict=True):
        digest = hashlib.sha256()
        for value in row:
            if value is None:
                digest.update(b"-")
            else:
                field = value.encode("utf-8", "surrogatepass")
                digest.update(b"%d:" % len(field))
                digest.update(field)
        digests.append(digest.digest())
    return digests


def add_digests(reviews: pd.DataFrame) -> pd.DataFrame:
    """Return the reviews with row_digest and text_digest, where they are not there yet.

    Args:
        reviews: n checked reviews; without the column categories, none is known.
    """
    if "categories" not in reviews:
        reviews = reviews.assign(categories=pd.Series(pd.NA, index=reviews.index, dtype="str"))
    if "row_digest" in reviews:
        return reviews
    return reviews.assign(
        row_digest=np.array(digest_rows(reviews), dtype=object),
        text_digest=digest_texts(reviews["text"]),
    )


def digest_anew(reviews: pd.DataFrame, changed: npt.NDArray[np.bool_]) -> pd.DataFrame:
    """Return the reviews with the row digests of those that were changed since.

    Args:
        reviews: n reviews with the columns of `add_digests`.
        changed: which of them, shape (n,).
    """
    digests = reviews["row_digest"].to_numpy(dtype=object, copy=True)
    digests[changed] = np.array(digest_rows(reviews.loc[changed]), dtype=object)
    return reviews.assign(row_digest=digests)
