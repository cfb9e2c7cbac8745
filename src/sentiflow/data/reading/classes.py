"""The names of classes that a data set of Hugging Face keeps in the metadata of its Parquet."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from sentiflow.data.values.labels import choose_class_names
from sentiflow.data.values.stars import read_stars
from sentiflow.settings import DataSettings
from sentiflow.settings.notations import read_scale

_METADATA: Final = b"huggingface"


def find_class_names(
    metadata: Mapping[bytes, bytes] | None, data: DataSettings
) -> dict[str, Sequence[str]]:
    """Return the names that stand for the numbers of a column, by the column.

    They do where all of them are understood: as labels, or as stars ("1 star").

    Args:
        metadata: of the file's schema.
        data: says which columns hold labels and stars, and how they are written.
    """
    columns = data.columns
    chosen: dict[str, Sequence[str]] = {}
    for column, names in _read_class_names(metadata).items():
        if column == columns.label:
            stand = choose_class_names(names, data.label_meanings) is not None
        elif column == columns.stars:
            stars = read_stars(np.array(names, dtype=object), read_scale(data.stars_scale))
            stand = bool(np.isfinite(stars).all())
        else:
            stand = False
        if stand:
            chosen[column] = names
    return chosen


def name_classes(values: list[Any], names: Sequence[str]) -> list[Any]:
    """Return numbers as the names of their classes, and -1, which stands for none, as None.

    >>> name_classes([1, 0, -1, None, 7], ["neg", "pos"])
    ['pos', 'neg', None, None, 7]
    """
    named: dict[Any, Any] = {**dict(enumerate(names)), -1: None}
    return [named.get(value, value) if type(value) is int else value for value in values]


def _read_class_names(metadata: Mapping[bytes, bytes] | None) -> dict[str, list[str]]:
    """Return all classes' names by column; none where the metadata is of another form."""
    try:
        described = json.loads((metadata or {})[_METADATA])
        features = described["info"]["features"]
        return {
            str(column): [str(name) for name in feature["names"]]
            for column, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
        }
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return {}
