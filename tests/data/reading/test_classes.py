import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sentiflow.data.reading.classes import find_class_names
from sentiflow.data.reading.columns import want_reviews
from sentiflow.data.reading.formats import read_parquet
from sentiflow.data.reviews import Rejection
from sentiflow.settings import DataSettings

LABELS = DataSettings.model_validate({"columns": {"label": "label"}})
STARS = DataSettings.model_validate({"columns": {"stars": "label"}})


def describe(names: list[str]) -> dict[bytes, bytes]:
    feature = {"names": names, "_type": "ClassLabel"}
    features = {"text": {"dtype": "string", "_type": "Value"}, "label": feature}
    return {b"huggingface": json.dumps({"info": {"features": features}}).encode()}


def read(values: list[int | None], names: list[str], data: DataSettings) -> list[Any]:
    schema = pa.schema([("text", pa.string()), ("label", pa.int64())], describe(names))
    written = io.BytesIO()
    table = pa.table({"text": ["Good"] * len(values), "label": values}, schema=schema)
    pq.write_table(table, written)
    place = 2 + want_reviews(data.columns).names.index("label")
    read_rows = read_parquet(written, "a.parquet", want_reviews(data.columns), data, lambda _: None)
    return [None if isinstance(row, Rejection) else row[0][place] for row in read_rows]


def test_classes_are_read_by_their_names_whatever_their_order() -> None:
    assert read([0, 1, -1, None], ["positive", "negative"], LABELS) == [
        "positive", "negative", None, None,
    ]  # fmt: skip
    assert read([2, 1], ["negative", "neutral", "positive"], LABELS) == ["positive", "neutral"]


def test_names_that_mean_nothing_here_leave_the_numbers() -> None:
    assert read([0, 1], ["ham", "spam"], LABELS) == [0, 1]
    numbers = LABELS.model_copy(update={"labels": "0/4"})
    assert read([0, 4], ["negative", "positive"], numbers) == [0, 4]


def test_classes_of_stars_are_read_by_their_names() -> None:
    assert read([0, 4], [f"{n} star{'s' * (n > 2)}" for n in range(1, 6)], STARS) == [
        "1 star", "5 stars",
    ]  # fmt: skip
    assert read([0, 4], ["awful", "bad", "so so", "good", "great"], STARS) == [0, 4]


@pytest.mark.parametrize(
    "metadata",
    [None, {}, {b"pandas": b"{}"}, {b"huggingface": b"{"}, {b"huggingface": b"[]"},
     {b"huggingface": b'{"info": null}'}, {b"huggingface": b"\xff"},
     {b"huggingface": b'{"info": {"features": {"label": {"_type": "ClassLabel"}}}}'}],
)  # fmt: skip
def test_metadata_of_another_form_names_no_classes(metadata: dict[bytes, bytes] | None) -> None:
    assert find_class_names(metadata, LABELS) == {}
