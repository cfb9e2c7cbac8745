import io
import json
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentiflow.data.reading import json_documents
from sentiflow.data.reading.columns import WantedColumns
from sentiflow.data.reading.files import read_json
from sentiflow.data.reading.json_documents import find_layout
from sentiflow.data.reading.streams import BLOCK_BYTES, ByteStream
from sentiflow.data.reviews import Rejection
from sentiflow.errors import SourceError
from sentiflow.settings import DataSettings

WANTED = WantedColumns(("text", "stars"), {"text": "Name it.", "stars": "Name it."}, {}, "review")
REVIEWS = [
    {"text": f'Soup {number}, [so] {{so}} "good"', "stars": number % 5, "tags": [{"a": 1}, []]}
    for number in range(300)
]
ROWS = [(number, review["text"], review["stars"]) for number, review in enumerate(REVIEWS, 1)]


def read(
    content: str | bytes, step: int = BLOCK_BYTES, **settings: Any
) -> tuple[list[tuple[Any, ...]], list[Rejection]]:
    source = io.BytesIO(content.encode() if isinstance(content, str) else content)
    stream = ByteStream(lambda size: source.read(min(size, step)))
    records = list(read_json(stream, "f", WANTED, DataSettings(**settings)))
    rows = [record[0][1:] for record in records if not isinstance(record, Rejection)]
    return rows, [record for record in records if isinstance(record, Rejection)]


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(REVIEWS),
        json.dumps(REVIEWS, indent=2),
        "\ufeff \r\n[\r" + ",\r".join(map(json.dumps, REVIEWS)) + "\r]\r",
        "\n".join(json.dumps(review, indent=2) for review in REVIEWS),
        "[\n" + json.dumps(REVIEWS)[1:-1] + "\n,]\n",
    ],
    ids=["one line", "indented", "byte order mark and CR", "spread objects", "comma at the end"],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_an_array_and_spread_objects_give_the_rows_of_their_objects(
    content: str, encoding: str
) -> None:
    if encoding == "utf-16":
        content = content.removeprefix("\ufeff")
    for step in (7, BLOCK_BYTES):
        assert read(content.encode(encoding), step) == (ROWS, [])


@pytest.mark.parametrize("orientation", ["records", "split", "columns", "index", "table"])
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("count", [1, 2, 300])
def test_what_pandas_writes_is_read_in_every_orientation(
    orientation: Any, indent: int | None, count: int
) -> None:
    content = pd.DataFrame(REVIEWS[:count]).to_json(orient=orientation, indent=indent)
    assert read(content) == (ROWS[:count], [])


@pytest.mark.parametrize("key", ["reviews", "data", "results"])
def test_a_list_of_objects_under_a_key_gives_its_rows(key: str) -> None:
    for indent in (None, 1):
        assert read(json.dumps({"count": 300, key: REVIEWS}, indent=indent)) == (ROWS, [])
    lists = {name: [review[name] for review in REVIEWS] for name in ("text", "stars")}
    assert read(json.dumps(lists)) == (ROWS, [])


def test_objects_line_by_line_stay_lines_whatever_stands_in_them() -> None:
    for first in ({"votes": {"funny": 0}}, {"helpful": [2, 3]}, {"images": [{"a": 1}]}):
        lines = [json.dumps({**first, **review}) for review in REVIEWS]
        assert find_layout("\n".join(lines[:9]), WANTED) == "lines"
        assert read("\n".join(lines)) == (ROWS, [])
        assert read(lines[0]) == (ROWS[:1], [])


@settings(deadline=None)
@given(cut=st.integers(1, 3_000), step=st.sampled_from([3, 100, BLOCK_BYTES]))
def test_a_cut_array_gives_the_rows_before_the_cut_and_one_rejection(cut: int, step: int) -> None:
    content = json.dumps(REVIEWS[:40])[:-1]
    kept = content[: len(content) - cut]
    whole = (
        40
        if cut == 0
        else sum(len(json.dumps(REVIEWS[: count + 1])) - 1 <= len(kept) for count in range(40))
    )
    if not whole:
        return
    rows, rejections = read(kept, step)
    assert rows == ROWS[:whole]
    assert [(one.rule, one.line) for one in rejections] == [("truncated_file", whole + 1)]


def test_an_element_that_is_no_object_costs_itself_alone() -> None:
    content = json.dumps([REVIEWS[0], 7, None, REVIEWS[1]])
    rows, rejections = read(content)
    assert [row[1] for row in rows] == [REVIEWS[0]["text"], REVIEWS[1]["text"]]
    assert [(one.line, one.rule) for one in rejections] == [
        (2, "not_an_object"),
        (3, "not_an_object"),
    ]


def test_an_undecodable_byte_costs_its_object_alone() -> None:
    content = json.dumps(REVIEWS[:3]).encode().replace(b"Soup 1", b"Soup \xe9")
    rows, (rejection,) = read(content)
    assert [row[0] for row in rows] == [1, 3]
    assert (rejection.line, rejection.rule) == (2, "not_decodable")


def test_nan_in_an_array_is_null() -> None:
    content = json.dumps([{**REVIEWS[0], "more": float("nan")}, {"text": "a", "stars": 1}])
    assert read(content) == ([ROWS[0], (2, "a", 1)], [])
    content = content.replace("NaN", "nan").replace('"stars": 1', '"stars": -inf')
    assert read(content) == ([ROWS[0], (2, "a", None)], [])


@pytest.mark.parametrize("content", ["[1, 2]", '["text", 5]\n["more", 1]', "[[1]]", "[oops"])
def test_an_array_of_something_else_is_refused_with_what_to_do(content: str) -> None:
    with pytest.raises(SourceError, match="one object per line") as caught:
        read(content)
    assert "lines=True" in str(caught.value)


def test_a_table_in_one_object_may_only_be_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_documents, "MOST_TABLE_BYTES", 1_000_000)
    long = [{"text": "a" * 10_000, "stars": 5}] * 200
    assert len(read(json.dumps(long))[0]) == 200
    with pytest.raises(SourceError, match="at most 1 MB"):
        read(pd.DataFrame(long).to_json(orient="columns"))


def test_an_array_without_the_columns_is_refused_as_lines_are() -> None:
    with pytest.raises(SourceError, match="'stars'"):
        read('[{"text": "a"}]')
