import datetime
import io
import json
import logging
import re
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sentiflow.data.reading.columns import WantedColumns
from sentiflow.data.reading.formats import read_jsonl, read_parquet
from sentiflow.data.reading.rejecting import Record
from sentiflow.data.reading.streams import ByteStream, ResumeOffset
from sentiflow.data.reviews import Rejection
from sentiflow.errors import SourceError
from sentiflow.settings import DataSettings

WANTED = WantedColumns(
    names=("text", "stars", None),
    required={"text": "Name it with --set data.columns.text=COLUMN.", "stars": "Name it."},
    named={},
    archive_word="review",
)
GOOD = b'{"text": "Good", "stars": 5.0}'
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=4,
)
SOME_LINES = (
    st.binary(max_size=20)
    | st.text().map(str.encode)
    | st.dictionaries(st.sampled_from(["text", "stars", "é"]), JSON_VALUES).map(
        lambda value: json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    )
    | JSON_VALUES.map(lambda value: json.dumps(value).encode())
    | st.integers(0, 30).map(lambda end: GOOD[:end])
    | st.sampled_from([b"", b" ", b"\r", b"[", b"NaN", b'{"text": NaN}', b"\xef\xbb\xbf{}"])
).map(lambda line: line.replace(b"\n", b""))


def split_records(records: list[Record]) -> tuple[list[tuple[Any, ...]], list[Rejection]]:
    """Return rows without their size, and rejections."""
    rows = [record[0] for record in records if not isinstance(record, Rejection)]
    return rows, [record for record in records if isinstance(record, Rejection)]


def read_lines(
    content: bytes, wanted: WantedColumns = WANTED, **settings: Any
) -> tuple[list[tuple[Any, ...]], list[Rejection]]:
    stream = ByteStream(io.BytesIO(content).read)
    return split_records(list(read_jsonl(stream, "f", wanted, DataSettings(**settings))))


def read_table(
    content: bytes, wanted: WantedColumns = WANTED, **settings: Any
) -> tuple[list[tuple[Any, ...]], list[Rejection]]:
    records = read_parquet(
        io.BytesIO(content), "f", wanted, DataSettings(**settings), lambda share: None
    )
    return split_records(list(records))


def write_table(columns: dict[str, Any], **options: Any) -> bytes:
    written = io.BytesIO()
    pq.write_table(pa.table(columns), written, **options)
    return written.getvalue()


def reject_slowly(content: bytes) -> list[tuple[int, str | None]]:
    """Return number and rule (None: a row) of every line, by the standard library alone."""
    outcomes: list[tuple[int, str | None]] = []
    lines = io.TextIOWrapper(io.BytesIO(content), "latin-1", newline="").readlines()
    for number, line in enumerate(lines, start=1):
        try:
            text = line.encode("latin-1").decode("utf-8")
            if text.strip():
                value = json.loads(text)
                rule = None if isinstance(value, dict) else "not_an_object"
                outcomes.append((number, rule))
        except UnicodeDecodeError:
            outcomes.append((number, "not_decodable"))
        except ValueError:
            outcomes.append((number, "not_json"))
    return outcomes


@settings(deadline=None)
@given(st.lists(SOME_LINES, max_size=12), st.booleans())
def test_any_bytes_in_any_line_are_accounted_for(lines: list[bytes], closed: bool) -> None:
    # A word by itself, as INF or None, is rejected as well, for one reason or the other.
    assume(not any(re.fullmatch(rb"\W*[A-Za-z]+\W*", line) for line in lines))
    content = b"\n".join([GOOD, *lines]) + b"\n" * closed
    rows, rejections = read_lines(content)
    outcomes = [(row[1], None) for row in rows]
    outcomes += [(rejection.line, rejection.rule) for rejection in rejections]
    assert sorted(outcomes, key=lambda outcome: outcome[0]) == reject_slowly(content)


def test_a_row_holds_the_wanted_values_as_they_were_read() -> None:
    rows, rejections = read_lines(GOOD + b'\n\n{"stars": [1], "other": 2}\r\n{"text": null}')
    assert rows == [("f", 1, "Good", 5.0, None), ("f", 3, None, [1], None), ("f", 4, *[None] * 3)]
    assert rejections == []


@pytest.mark.parametrize(
    ("line", "rule", "word"),
    [
        (b"{text}", "not_json", "JSON"),
        (b'{"text": NaN', "not_json", "JSON"),
        (b'{"text": nano}', "not_json", "JSON"),
        (b"NaN", "not_an_object", "NoneType"),
        (b'{"text": "a\x00b"}', "not_json", "data.encoding"),
        (b"[" * 3_000, "not_json", "JSON"),
        (b'{"stars": 1' + b"0" * 5_000 + b"e}", "not_json", "JSON"),
        (b'"text"', "not_an_object", "str"),
        (b"[1]", "not_an_object", "list"),
        (b"null", "not_an_object", "NoneType"),
        (b'{"text": "caf\xe9"}', "not_decodable", "data.encoding"),
        (b"\xff\xfe", "not_decodable", "data.encoding"),
        (b'{"text": "' + b"a" * 1_000 + b'"}', "line_too_long", "data.max_line_bytes"),
    ],
)
def test_a_line_that_is_no_object_is_quarantined_with_its_number_and_reason(
    line: bytes, rule: str, word: str
) -> None:
    limit = 1_000 if rule == "line_too_long" else 10_000
    rows, rejections = read_lines(GOOD + b"\n" + line + b"\n" + GOOD, max_line_bytes=limit)
    assert [row[1] for row in rows] == [1, 3]
    (rejection,) = rejections
    assert (rejection.file, rejection.line, rejection.rule) == ("f", 2, rule)
    assert word in rejection.reason
    assert rejection.reason.endswith(".")
    assert rejection.raw == line.decode("utf-8", "replace")[:2_000]


def test_a_reason_never_quotes_the_text() -> None:
    for line in (b'{"text": "secret', b'{"secret": tru}', b'"secret"', b'{"text": "secret\xff"}'):
        _, (rejection,) = read_lines(GOOD + b"\n" + line + b"\n")
        assert "secret" not in rejection.reason
        assert "secret" in rejection.raw


def test_a_truncated_last_line_is_quarantined_with_its_number() -> None:
    _, (rejection,) = read_lines(GOOD + b"\n" + GOOD[:-4])
    assert (rejection.line, rejection.rule) == (2, "not_json")
    assert "last line looks truncated" in rejection.reason
    _, (closed,) = read_lines(GOOD + b"\n" + GOOD[:-4] + b"\n")
    assert "truncated" not in closed.reason


def test_a_whole_last_line_needs_no_line_break() -> None:
    rows, rejections = read_lines(GOOD + b"\n" + GOOD)
    assert [row[1] for row in rows] == [1, 2]
    assert rejections == []


def test_a_lone_surrogate_is_no_reason_to_reject() -> None:
    rows, _ = read_lines(b'{"text": "caf\\ud800", "stars": 5}')
    assert rows[0][2] == "caf\ud800"


@pytest.mark.parametrize(
    "encoding", ["latin-1", "cp1252", "utf-16", "utf-16-be", "utf-32", "cp037", "utf-8-sig"]
)
def test_other_encodings_give_the_same_rows(encoding: str) -> None:
    lines = ['{"text": "café", "stars": 1}', "", "   ", '{"text": "über"}', "{not json}\r", "[]"]
    encoded = "\n".join(lines).encode(encoding)
    rows, rejections = read_lines(encoded, encoding=encoding)
    assert [row[1:4] for row in rows] == [(1, "café", 1), (4, "über", None)]
    found = [(rejection.line, rejection.rule, rejection.raw) for rejection in rejections]
    assert found == [(5, "not_json", "{not json}"), (6, "not_an_object", "[]")]


def test_half_a_character_costs_one_line_of_utf_16() -> None:
    good, lone = GOOD.decode().encode("utf-16-le"), b"\x00\xd8"
    content = (good, b'"\x00' + lone + b'"\x00', good)
    rows, (rejection,) = read_lines(b"\n\x00".join(content), encoding="utf-16-le")
    assert [row[1] for row in rows] == [1, 3]
    assert (rejection.line, rejection.rule) == (2, "not_decodable")


@pytest.mark.parametrize("content", [b"", b"\n", b" \r\n\n", b"\xef\xbb\xbf"])
def test_a_file_without_a_line_has_no_rows(content: bytes) -> None:
    assert read_lines(content) == ([], [])


@pytest.mark.parametrize(
    "word",
    ["NaN", "Infinity", "-Infinity", "nan", "-nan", "inf", "-inf", "None", "NA", "undefined"],
)
def test_what_stands_for_no_number_is_null_where_it_is_read_and_nothing_elsewhere(
    word: str,
) -> None:
    content = f'{{"text": "NaN, inf", "more": [{word}, {{"x":{word}}}], "stars": {word}}}\n'
    rows, rejections = read_lines(content.encode() * 2 + GOOD)
    assert [row[2:4] for row in rows] == [("NaN, inf", None)] * 2 + [("Good", 5.0)]
    assert rejections == []


def test_lines_end_in_any_way_and_in_several_in_one_file() -> None:
    for encoding in ("utf-8", "utf-16"):
        content = (
            GOOD.decode() + "\r" + GOOD.decode() + "\r\n" + GOOD.decode() + "\n" + GOOD.decode()
        )
        rows, rejections = read_lines((content + "\r").encode(encoding))
        assert [row[1:4] for row in rows] == [(line, "Good", 5.0) for line in (1, 2, 3, 4)]
        assert rejections == []


def test_a_broken_first_line_is_no_other_layout() -> None:
    rows, rejections = read_lines(b"{\n" + GOOD)
    assert len(rows) == len(rejections) == 1


def test_objects_without_the_text_are_refused_and_only_the_asker_sees_their_keys() -> None:
    content = b'{"review": "a", "stars": 1}\n{"review": "b", "more": 2}\n'
    with pytest.raises(SourceError, match=r"--set data\.columns\.text=COLUMN") as caught:
        read_lines(content)
    assert "3 columns" in str(caught.value)
    assert caught.value.detail == "Its columns: review, stars, more."


def test_the_first_chunk_decides_whether_a_key_is_missing() -> None:
    other = b'{"other": 1}\n'
    rows, _ = read_lines(other * 2 + GOOD, chunk_rows=3)
    assert len(rows) == 3
    with pytest.raises(SourceError, match="'text'"):
        read_lines(other * 3 + GOOD, chunk_rows=3)


def test_lines_that_are_no_objects_do_not_count_as_objects_without_the_text() -> None:
    rows, rejections = read_lines(b"oops\n" * 5, chunk_rows=2)
    assert (rows, len(rejections)) == ([], 5)


def test_an_optional_column_that_the_user_named_is_missed_aloud(
    caplog: pytest.LogCaptureFixture,
) -> None:
    wanted = WantedColumns(("text", "when"), {"text": ""}, {"when": "data.columns.date"}, "review")
    with caplog.at_level(logging.WARNING):
        read_lines(GOOD + b"\n" + GOOD, wanted)
        assert "'when' (data.columns.date)" in caplog.text
        caplog.clear()
        read_lines(GOOD + b'\n{"text": "a", "when": null}', wanted)
        assert not caplog.text


def test_a_parquet_file_gives_its_rows_in_order() -> None:
    texts = [f"text {number}" for number in range(7_000)]
    content = write_table({"stars": list(range(7_000)), "more": texts, "text": texts})
    rows, rejections = read_table(content)
    assert rows == [("f", number + 1, texts[number], number, None) for number in range(7_000)]
    assert rejections == []


def test_the_share_of_the_rows_that_were_read_is_reported() -> None:
    shares: list[float] = []
    content = write_table({"text": ["a"] * 2_500, "stars": [1] * 2_500})
    list(read_parquet(io.BytesIO(content), "f", WANTED, DataSettings(), shares.append))
    assert shares == [0.4, 0.8, 1.0]


def test_a_parquet_row_that_is_too_long_is_quarantined() -> None:
    content = write_table({"text": ["a" * 1_001, "b" * 1_000], "stars": [1, 2]})
    rows, (rejection,) = read_table(content, max_line_bytes=1_000)
    assert [row[3] for row in rows] == [2]
    assert (rejection.line, rejection.rule, rejection.raw) == (1, "line_too_long", "a" * 1_001)


def test_parquet_values_of_any_type_are_read() -> None:
    day = datetime.date(2012, 1, 1)
    columns = {
        "text": pa.array(["a", None, "a"]).dictionary_encode(),
        "stars": pa.array([1.5, None, 3], pa.float32()),
        "day": pa.array([day, None, day]),
        "time": pa.array([0, None, 1], pa.timestamp("us", "UTC")),
        "list": pa.array([[1], None, []]),
    }
    wanted = WantedColumns(tuple(columns), {}, {}, "review")
    rows, _ = read_table(write_table(columns), wanted)
    time = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    assert rows[0][2:5] == ("a", 1.5, day)
    assert rows[0][5] == time
    assert rows[0][6] == [1]
    assert rows[1][2:] == (None,) * 5


def test_a_date_beyond_pythons_calendar_is_read_as_something_that_is_no_date() -> None:
    wanted = WantedColumns(("date",), {}, {}, "review")
    content = write_table({"date": pa.array([0, 10**8], pa.int32()).cast(pa.date32())})
    rows, _ = read_table(content, wanted)
    assert [row[2] for row in rows] == [datetime.date(1970, 1, 1), False]


def test_parquet_bytes_are_text_in_the_given_encoding() -> None:
    content = write_table({"text": [b"caf\xe9", b"cafe"], "stars": [1, 2]})
    rows, _ = read_table(content, encoding="latin-1")
    assert [row[2] for row in rows] == ["café", "cafe"]
    rows, (rejection,) = read_table(content)
    assert [row[1] for row in rows] == [2]
    assert (rejection.line, rejection.rule) == (1, "not_decodable")
    assert "data.encoding" in rejection.reason


def test_parquet_text_that_is_no_utf_8_costs_its_row() -> None:
    # Writers are not made to check, and pyarrow does not check when it reads.
    dirty = pa.array([b"caf\xe9", b"cafe"]).view(pa.string())
    rows, (rejection,) = read_table(write_table({"text": dirty, "stars": [1, 2]}))
    assert [row[2] for row in rows] == ["cafe"]
    assert (rejection.line, rejection.rule, rejection.raw) == (1, "not_decodable", "caf\ufffd")


def test_a_parquet_file_without_the_columns_is_refused_with_the_one_that_may_be_meant() -> None:
    with pytest.raises(SourceError, match=r"2 columns.* column 1\?") as caught:
        read_table(write_table({"review": ["a"], "stars": [1]}))
    assert caught.value.detail == "Its columns: review, stars."


def test_a_column_that_is_there_twice_is_refused() -> None:
    table = pa.Table.from_arrays([pa.array(["a"])] * 3, names=["text", "stars", "text"])
    written = io.BytesIO()
    pq.write_table(table, written)
    with pytest.raises(SourceError, match=r"'text' must be there once.*numbers 1, 3"):
        read_table(written.getvalue())


@settings(deadline=None)
@given(st.integers(4, 2_000))
def test_a_parquet_file_cut_anywhere_is_one_truncated_file(cut: int) -> None:
    content = write_table({"text": ["Good"] * 99, "stars": list(range(99))})
    rows, rejections = read_table(content[: min(cut, len(content) - 1)])
    assert rows == []
    assert [(rejection.line, rejection.rule) for rejection in rejections] == [(1, "truncated_file")]


def test_the_rows_before_a_damaged_page_of_parquet_count() -> None:
    texts = [f"text {number} " * 20 for number in range(20_000)]
    content = bytearray(
        write_table({"text": texts, "stars": texts}, row_group_size=5_000, use_dictionary=False)
    )
    place = pq.ParquetFile(io.BytesIO(content)).metadata.row_group(2).column(0).data_page_offset
    content[place : place + 400] = b"\xff" * 400
    rows, (rejection,) = read_table(bytes(content))
    assert len(rows) == 10_000
    assert (rejection.line, rejection.rule) == (10_001, "truncated_file")
    assert "\n" not in rejection.reason


def test_an_empty_parquet_table_has_no_rows() -> None:
    content = write_table({"text": pa.array([], pa.string()), "stars": pa.array([], pa.int8())})
    assert read_table(content) == ([], [])


def read_part(
    content: bytes, start: ResumeOffset | None = None
) -> tuple[list[Record], list[ResumeOffset]]:
    """Read a file from its start, or from a mark; return the records and the mark at the end."""
    marks: list[ResumeOffset] = []
    stream = ByteStream(io.BytesIO(content[start.offset if start else 0 :]).read)
    data = DataSettings(max_line_bytes=1_000)
    return list(read_jsonl(stream, "f", WANTED, data, start, marks.append)), marks


@settings(deadline=None)
@given(lines=st.lists(SOME_LINES, max_size=8), cut=st.floats(0, 1))
def test_going_on_at_the_mark_gives_the_lines_of_the_whole_file(
    lines: list[bytes], cut: float
) -> None:
    content = b"\n".join([GOOD, *lines])
    shown = len(GOOD) + 1 + int(cut * (len(content) - len(GOOD) - 1))
    before, (mark,) = read_part(content[:shown])
    after, _ = read_part(content, mark)
    whole, _ = read_part(content)
    kept = [
        record
        for record in before
        if (record.line if isinstance(record, Rejection) else record[0][1]) <= mark.line
    ]
    # NaN, which JSON values may hold, is not equal to itself.
    assert repr(kept + after) == repr(whole)
    # What a carriage return ends at the end may go on with a line feed.
    last_break = re.match(rb".*(?:\n|\r(?=.))", content[:shown], re.DOTALL)
    assert mark.offset == (last_break.end() if last_break else 0)


def test_keys_that_no_line_has_yet_had_are_still_required_of_the_next_ones() -> None:
    broken = b"oops\n"
    _, (mark,) = read_part(broken)
    assert not mark.has_objects
    with pytest.raises(SourceError, match="text"):
        read_part(broken + b'{"stars": 5}\n', mark)
