"""Which categories a review's business has, so that reviews of restaurants can be kept alone."""

from __future__ import annotations

import logging
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from sentiflow.data.reading.columns import WantedColumns
from sentiflow.data.reading.files import Progress, read_rows
from sentiflow.data.reading.listing import list_source_files
from sentiflow.data.reviews import Rejection, replace_surrogates
from sentiflow.errors import SourceError
from sentiflow.settings import DataSettings

logger = logging.getLogger(__name__)

_ADVICE: Final = "Name Yelp's businesses file with --businesses, or rename the column."
BUSINESS_COLUMNS: Final = WantedColumns(
    names=("business_id", "categories"),
    required={"business_id": _ADVICE, "categories": _ADVICE},
    named={},
    archive_word="business",
)


def read_categories(path: str, data: DataSettings) -> pd.Series[str]:
    """Read the categories of every business from JSON lines, CSV or Parquet.

    Args:
        path: file, glob, folder or URL, in a format that is told by its name or its content
            (`data.format` is that of the reviews); the columns business_id and categories.
        data: the encoding.

    Returns:
        Categories as text such as "Restaurants, Pizza" (dtype str, missing where a business
        has none), with the business ids as index, each once: the last line about it counts.

    Raises:
        SourceError: it cannot be read to its end, lacks a column, or more of its lines than
            `data.max_rejected_share` are broken: a part of the businesses would leave out
            reviews without a trace.
    """
    settings = data.model_copy(update={"format": "auto"})
    categories: dict[str, str | None] = {}
    lines = broken = 0
    for file in list_source_files([path], settings, wanted=BUSINESS_COLUMNS):
        for record in read_rows(file, BUSINESS_COLUMNS, settings, Progress(file.size)):
            lines += 1
            if isinstance(record, Rejection):
                broken += 1
                if record.rule == "truncated_file":
                    raise SourceError(
                        "The businesses must be readable to their end. "
                        f"Received: file={record.file!r}, line={record.line}: {record.reason} "
                        "Fetch the file again."
                    )
                continue
            business_id, value = record[0][2:]
            if isinstance(business_id, str) and business_id:
                categories[replace_surrogates(business_id)] = _format_categories(value)
    if broken > lines * data.max_rejected_share:
        raise SourceError(
            f"At most {data.max_rejected_share:.0%} of the lines of the businesses may be broken. "
            f"Received: {broken} of {lines} in {path!r}. Check the file and data.encoding."
        )
    if broken:
        logger.warning("%d of %d lines of the businesses are broken", broken, lines)
    index = pd.Index(list(categories), dtype="str", name="business_id")
    return pd.Series(list(categories.values()), index=index, dtype="str", name="categories")


def join_categories(reviews: pd.DataFrame, categories: pd.Series[str]) -> pd.Series[str]:
    """Return the categories of every review's business, missing where they are not known.

    Args:
        reviews: needs the column business_id.
        categories: from `read_categories`.

    Returns:
        Categories with the index of the reviews, dtype str.
    """
    return reviews["business_id"].map(categories).astype("str").rename("categories")


def is_in_category(categories: pd.Series[str], category: str) -> npt.NDArray[np.bool_]:
    """Say which rows have the category among their comma-separated ones, in any case.

    A category that holds a comma itself ("Beer, Wine & Spirits") is found too.

    >>> is_in_category(pd.Series(["Pizza, Restaurants", "Pet Restaurants", None]), "restaurants")
    array([ True, False, False])

    Args:
        categories: n texts, missing where there are none.
        category: one name.

    Returns:
        Array of shape (n,), dtype bool.
    """
    # Businesses recur, so only the distinct texts are looked at.
    codes, distinct = pd.factorize(categories)
    sought = _fold(category)
    found = np.array([sought in _fold(str(text)) for text in distinct], dtype=bool)
    return np.append(found, False)[codes]


def _fold(names: str) -> str:
    """Return the names in one case with a line break around each, so that whole names match."""
    return "\n" + "\n".join(name.strip().casefold() for name in names.split(",")) + "\n"


def _format_categories(value: Any) -> str | None:
    """Return the categories as text; older files of Yelp hold lists of names."""
    if isinstance(value, list):
        value = ", ".join(name for name in value if isinstance(name, str))
    return replace_surrogates(value) if isinstance(value, str) and value else None
