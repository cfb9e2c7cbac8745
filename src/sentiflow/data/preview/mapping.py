"""Tell from names and values which column of a source holds what."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from sentiflow.data.preview.values import (
    are_dates,
    list_present,
    read_number,
    tell_labels,
    tell_scale,
)
from sentiflow.settings import ColumnSettings

Samples = Mapping[str, Sequence[Any]]

# How public sets and exports call what sentiflow calls so, folded to letters and digits; the
# likeliest first.
NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "text": (
        "text", "reviewtext", "review", "reviewbody", "reviewcontent", "content", "body",
        "comment", "comments", "message", "tweet", "sentence", "feedback", "description",
        "verbatim", "reviewstext",
    ),
    "stars": (
        "stars", "star", "rating", "ratings", "starrating", "overall", "score", "reviewrating",
        "reviewscore", "reviewstars", "overallrating", "reviewsrating", "label",
    ),
    "label": (
        "label", "labels", "sentiment", "airlinesentiment", "polarity", "target", "class",
        "category", "sentimentlabel", "y",
    ),
    "date": (
        "date", "reviewdate", "timestamp", "datetime", "time", "createdat", "created", "at",
        "unixreviewtime", "reviewtime", "tweetcreated", "publishedat", "published", "submittedat",
        "posted", "postedat", "submissiondate", "reviewsdate",
    ),
    "review_id": (
        "reviewid", "id", "tweetid", "uuid", "commentid", "guid", "reviewsid",
    ),
    "business_id": (
        "businessid", "business", "parentasin", "asin", "productid", "product", "appid", "app",
        "itemid", "hotelid", "hotelname", "airline", "storeid", "shop",
    ),
    "user_id": (
        "userid", "reviewerid", "authorid", "customerid", "username", "reviewername", "user",
        "author", "name",
    ),
}  # fmt: skip
MIN_WORDS: Final = 3
_MOSTLY: Final = 0.8
# Of 1990, in seconds; a compact date such as 20240131 is more than an eighth of it.
_SMALLEST_TIME: Final = 19_000_000
# 0 to 10.
_MOST_STARS: Final = 11


@dataclass(frozen=True)
class Role:
    """Which column holds what.

    Attributes:
        key: of `ColumnSettings`: text, stars, label, …
        column: the name of the column.
    """

    key: str
    column: str


def suggest_roles(samples: Samples, columns: ColumnSettings) -> list[Role]:
    """Return the columns that seem to hold what the settings look for in vain.

    Args:
        samples: the values of the first rows, by column.
        columns: as they are set; one that is there and may hold what it should is left alone.
    """
    found: list[Role] = []
    held = {
        key: column
        for key in NAMES
        if (column := getattr(columns, key)) in samples
        and not (key in _UNLIKE and _UNLIKE[key](samples[column]))
    }
    left = {name: values for name, values in samples.items() if name not in held.values()}
    has_target = "label" in held or (columns.label is None and "stars" in held)
    for key in NAMES:
        if key in held or (key in ("stars", "label") and has_target):
            continue
        column = _choose(key, left)
        if column is not None:
            found.append(Role(key, column))
            left.pop(column)
            has_target = has_target or key in ("stars", "label")
    return found


def name_roles(samples: Samples) -> list[str]:
    """Return names for columns that have none, by what their values look like.

    >>> name_roles({"1": ["2", "1"], "2": ["What a lovely soup.", "Never come back here."]})
    ['label', 'text']
    """
    found = {role.column: role.key for role in suggest_roles(samples, _NOWHERE)}
    return [found.get(column, f"column_{place}") for place, column in enumerate(samples, 1)]


_NOWHERE: Final = ColumnSettings(
    **dict.fromkeys(("review_id", "text", "stars", "label", "date", "business_id", "user_id"), "\0")
)


def _choose(key: str, left: Samples) -> str | None:
    """Return the column that is called so and holds it, else for some the one that looks so."""
    fits = _FITS[key]
    folded: dict[str, str] = {}
    for column in left:
        folded.setdefault(fold(column), column)
    for name in NAMES[key]:
        if name in folded and fits(left[folded[name]]):
            return folded[name]
    if key == "text":
        return _choose_longest(left)
    if key in ("stars", "label", "date") or (key == "review_id" and _have_no_names(left)):
        unnamed = [column for column, values in left.items() if fits(values)]
        if key == "stars":
            unnamed = [column for column in unnamed if 1 < len(set(left[column])) <= _MOST_STARS]
        if key == "date" and len(unnamed) > 1:
            # Ids of tweets are numbers of the size of times.
            unnamed = [column for column in unnamed if not _are_numbers(left[column])]
        return unnamed[0] if len(unnamed) == 1 else None
    return None


def _have_no_names(samples: Samples) -> bool:
    return all(column.isdigit() for column in samples)


def _choose_longest(left: Samples) -> str | None:
    words = {column: count_words(values) for column, values in left.items() if _holds_texts(values)}
    return max(words, key=lambda column: words[column], default=None)


def count_words(values: Sequence[Any]) -> float:
    """Return how many words the median text has; 0 where there is none."""
    counts = [len(value.split()) for value in values if isinstance(value, str) and value.strip()]
    return median(counts) if counts else 0.0


def fold(name: str) -> str:
    """Return a name's letters and digits in one case.

    >>> fold("Review Text"), fold("review_text")
    ('reviewtext', 'reviewtext')
    """
    return re.sub(r"[\W_]", "", name).casefold()


def _holds_texts(values: Sequence[Any]) -> bool:
    present = list_present(values)
    texts = [value for value in present if isinstance(value, str)]
    return (
        bool(present)
        and len(texts) >= _MOSTLY * len(present)
        and count_words(texts) >= MIN_WORDS
        and not are_dates(texts)
    )


def _holds_named_texts(values: Sequence[Any]) -> bool:
    """Say whether values may be the texts of a column that is called so: one word is enough."""
    present = list_present(values)
    texts = [value for value in present if isinstance(value, str) and read_number(value) is None]
    return bool(present) and len(texts) >= _MOSTLY * len(present)


def _holds_stars(values: Sequence[Any]) -> bool:
    # 0 and 1 alone, or 1 and 2, are a label by whatever name.
    return tell_scale(values) is not None and tell_labels(values) is None


def _holds_labels(values: Sequence[Any]) -> bool:
    return tell_labels(values) is not None


def _holds_ids(values: Sequence[Any]) -> bool:
    """Say whether values are ids: in one word each, and none of them there twice."""
    present = list(map(str, list_present(values)))
    return (
        bool(present)
        and len(set(present)) == len(present) == len(values)
        and not any(map(str.isspace, "".join(present)))
    )


def _holds_names(values: Sequence[Any]) -> bool:
    return bool(list_present(values)) and count_words(values) <= MIN_WORDS


def _holds_dates(values: Sequence[Any]) -> bool:
    return are_dates(values) and not _are_small(values)


def _are_small(values: Sequence[Any]) -> bool:
    """Say whether values are numbers that count something, as days or helpful votes."""
    numbers = [
        number for value in list_present(values) if (number := read_number(value)) is not None
    ]
    return len(numbers) > 0 and max(numbers) < _SMALLEST_TIME


def _are_numbers(values: Sequence[Any]) -> bool:
    present = list_present(values)
    return len(present) > _MOST_STARS and all(read_number(value) is not None for value in present)


def _are_sentences(values: Sequence[Any]) -> bool:
    return len(values) > _MOST_STARS and tell_scale(values) is None and _holds_texts(values)


# What shows that a column which is there is another one than is meant.
_UNLIKE: Final[Mapping[str, Callable[[Sequence[Any]], bool]]] = {
    "text": _are_numbers,
    "stars": _are_sentences,
    "label": _are_sentences,
}
_FITS: Final[Mapping[str, Callable[[Sequence[Any]], bool]]] = {
    "text": _holds_named_texts,
    "stars": _holds_stars,
    "label": _holds_labels,
    "date": _holds_dates,
    "review_id": _holds_ids,
    "business_id": _holds_names,
    "user_id": _holds_names,
}
