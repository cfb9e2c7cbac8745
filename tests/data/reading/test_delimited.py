import csv
import io
import re
import time
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sentiflow.data.reading import delimited
from sentiflow.data.reading.columns import WantedColumns
from sentiflow.data.reading.delimited import read_csv
from sentiflow.data.reading.rejecting import Record
from sentiflow.data.reading.streams import ByteStream, ResumeOffset
from sentiflow.data.reviews import Rejection
from sentiflow.errors import SourceError
from sentiflow.settings import DataSettings

WANTED = WantedColumns(
    names=("text", "stars", "date"),
    required={"text": "Name it with --set data.columns.text=COLUMN.", "stars": "Name it."},
    named={},
    archive_word="review",
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('",;\t\r\n '))
SCRAPS = st.lists(
    st.sampled_from(['"', '""', ",", "\n", "\r", "a", "é", " ", "\ufeff", "\0", '",', ',"']),
    max_size=40,
).map("".join)


def read_records(content: bytes, **settings: Any) -> list[Record]:
    stream = ByteStream(io.BytesIO(content).read)
    return list(read_csv(stream, "f", WANTED, DataSettings(**settings)))


def read_table(content: bytes, **settings: Any) -> tuple[list[tuple[Any, ...]], list[Rejection]]:
    """Return rows without file and size, and rejections."""
    records = read_records(content, **settings)
    rows = [record[0][1:] for record in records if not isinstance(record, Rejection)]
    return rows, [record for record in records if isinstance(record, Rejection)]


def find_rejections(content: str, **settings: Any) -> list[tuple[int, str]]:
    rejections = read_table(content.encode(), **settings)[1]
    return [(rejection.line, rejection.rule) for rejection in rejections]


def test_rows_hold_the_wanted_columns_as_text() -> None:
    rows, rejections = read_table(b"stars,more,text\n5,x,Good\n1,,Bad\n")
    assert rows == [(2, "Good", "5", None), (3, "Bad", "1", None)]
    assert rejections == []


def test_quoted_line_breaks_belong_to_the_value_and_count_as_lines() -> None:
    rows, _ = read_table(b'text,stars\r\n"one\r\ntwo\n\nfour",5\r\n\r\n"say ""hi""",1')
    assert rows == [(2, "one\r\ntwo\n\nfour", "5", None), (7, 'say "hi"', "1", None)]


def holds_records(text: str, delimiter: str) -> bool:
    """Say whether a line of the text may be taken for a record of two values."""
    lines = re.split(r"\r\n|\r|\n", text)
    return len(lines) > 1 and any(delimiter in line for line in lines)


@settings(deadline=None)
@given(
    st.lists(st.tuples(TEXTS, st.text("12345", min_size=1))),
    st.sampled_from([",", "\t", ";", "|"]),
)
def test_any_text_comes_back_as_it_was_written(
    written: list[tuple[str, str]], delimiter: str
) -> None:
    # In so few rows nothing tells such a text from records that begin and end with a quote.
    assume(not any(holds_records(text, delimiter) for text, _ in written))
    content = io.StringIO()
    writer = csv.writer(content, delimiter=delimiter)
    writer.writerows([("text", "stars"), *written])
    rows, rejections = read_table(content.getvalue().encode())
    assert [row[1:3] for row in rows] == written
    assert rejections == []


@settings(deadline=None)
@given(
    st.lists(st.tuples(TEXTS, st.text("12345", min_size=1))),
    st.sampled_from(["utf-16", "utf-32-be"]),
)
def test_wide_encodings_change_nothing(written: list[tuple[str, str]], encoding: str) -> None:
    content = io.StringIO()
    csv.writer(content).writerows([("text", "stars"), *written])
    rows, _ = read_table(content.getvalue().encode(encoding), encoding=encoding)
    assert [row[1:3] for row in rows] == written


@settings(deadline=None)
@given(SCRAPS)
def test_any_scraps_are_read_without_failing_and_in_order(scraps: str) -> None:
    content = "text,stars\n" + scraps
    records = read_records(content.encode())
    lines = [record.line if isinstance(record, Rejection) else record[0][1] for record in records]
    assert lines == sorted(set(lines))
    if '"' not in scraps and "\r" not in scraps:
        filled = [number for number, line in enumerate(content.split("\n"), 1) if line.strip()]
        assert lines == filled[1:]


@settings(deadline=None)
@given(SCRAPS)
def test_what_is_csv_as_a_whole_is_read_as_pythons_own_reader_does(scraps: str) -> None:
    content = "text,stars\n" + scraps
    try:
        expected = list(csv.reader(io.StringIO(content, newline="\n"), strict=True))[1:]
    except csv.Error:
        return
    rows, rejections = read_table(content.encode())
    assert [list(row[1:3]) for row in rows] == [row for row in expected if len(row) == 2]
    assert {rejection.rule for rejection in rejections} <= {"wrong_field_count"}


def test_a_wrong_number_of_fields_is_quarantined() -> None:
    rows, rejections = read_table(b'text,stars\nGood\nGood,5,more\nBad,1\n"a\nb",1,2\nBad,2\n')
    assert [row[0] for row in rows] == [4, 7]
    found = [(rejection.line, rejection.rule) for rejection in rejections]
    assert found == [(line, "wrong_field_count") for line in (2, 3, 5)]
    assert "1 fields, but the header has 2" in rejections[0].reason
    assert rejections[2].raw == '"a\nb",1,2'


def test_a_stray_quote_costs_its_own_line_only() -> None:
    content = 'text,stars\n"never closed,5\nGood,5\n"Bad, really",1\nFine,4\n'
    rows, rejections = read_table(content.encode())
    assert [row[:2] for row in rows] == [(3, "Good"), (4, "Bad, really"), (5, "Fine")]
    assert [(rejection.line, rejection.rule) for rejection in rejections] == [(2, "not_csv")]
    assert "closed" not in rejections[0].reason


def test_a_quote_that_is_never_closed_does_not_swallow_the_rest_of_the_file() -> None:
    # Quotes are needed to read the second row, so the third is a broken one.
    content = 'text,stars\n"a, b",5\n"never closed,5\n' + "Good,5\n" * 3_000
    for limit in (4_000_000, 1_000):
        rows, rejections = read_table(content.encode(), max_line_bytes=limit)
        assert len(rows) == 3_001
        assert [rejection.line for rejection in rejections] == [3]


def test_quotes_on_every_line_cost_linear_time() -> None:
    content = "text,stars\n" + 'a","\n' * 20_000
    start = time.process_time()
    rows, rejections = read_table(content.encode(), max_line_bytes=20_000)
    assert len(rows) + len(rejections) == 20_000
    # 5,000 lines fit into a record: read again for each of them it would take minutes.
    assert time.process_time() - start < 20


def test_the_end_of_a_broken_record_is_not_taken_for_a_row() -> None:
    content = 'text,stars\n"one\n"two" three\nfour",5\n"Good ""really""",5\n'
    rows, rejections = read_table(content.encode())
    assert rows == [(5, 'Good "really"', "5", None)]
    assert [rejection.line for rejection in rejections] == [2, 3, 4]


def test_quotes_inside_of_a_value_without_quotes_are_part_of_it() -> None:
    rows, _ = read_table(b'text\tstars\nsay "hi" now\t5\n')
    assert rows == [(2, 'say "hi" now', "5", None)]


def test_a_carriage_return_in_a_value_without_quotes_is_part_of_it() -> None:
    # pandas writes texts of web forms so.
    rows, rejections = read_table(b"text,stars\nGo\rod,5\nBad,1\n")
    assert (rows, rejections) == ([(2, "Go\rod", "5", None), (4, "Bad", "1", None)], [])


def test_a_line_or_record_that_is_too_long_is_quarantined() -> None:
    long = "a" * 1_001
    content = f'text,stars\n{long},1\nGood,5\n"{"b" * 600}\n{"c" * 600}",1\nBad,1\n'
    rows, rejections = read_table(content.encode(), max_line_bytes=1_000)
    assert [row[0] for row in rows] == [3, 6]
    found = [(rejection.line, rejection.rule) for rejection in rejections]
    assert found == [(2, "line_too_long"), (4, "line_too_long"), (5, "not_csv")]
    assert all(len(rejection.raw) <= 2_000 for rejection in rejections)


def test_a_value_may_be_longer_than_pythons_own_limit() -> None:
    rows, rejections = read_table(f"text,stars\n{'a' * 200_000},1\n".encode())
    assert [len(row[1]) for row in rows] == [200_000]
    assert rejections == []


def test_an_undecodable_byte_costs_its_record_only() -> None:
    rows, rejections = read_table(b'text,stars\ncaf\xe9,5\n"one\ncaf\xe9",5\nGood,5\n')
    assert [row[0] for row in rows] == [5]
    found = [(rejection.line, rejection.rule, rejection.raw) for rejection in rejections]
    assert found == [
        (2, "not_decodable", "caf\ufffd,5"),
        (3, "not_decodable", '"one\ncaf\ufffd",5'),
    ]
    _, (rejection,) = read_table(b'text,stars\n"caf\xe9" au lait,5\n')
    assert rejection.rule == "not_decodable"
    rows, _ = read_table(b"text,stars\ncaf\xe9,5\n", encoding="latin-1")
    assert rows[0][1] == "café"


def test_a_damaged_file_gives_the_rows_before_the_damage() -> None:
    blocks = iter([b"text,stars\nGood,5\nBa"])

    def read(size: int) -> bytes:
        for block in blocks:
            return block
        raise EOFError("no end")

    records = list(read_csv(ByteStream(read), "f", WANTED, DataSettings()))
    assert records[0] == (("f", 2, "Good", "5", None), 7)
    (rejection,) = records[1:]
    assert isinstance(rejection, Rejection)
    assert (rejection.line, rejection.rule, rejection.raw) == (3, "truncated_file", "Ba")


@pytest.mark.parametrize("content", [b"", b"\n\r\n", b"\xef\xbb\xbf", b"text,stars\n"])
def test_a_file_without_a_record_has_no_rows(content: bytes) -> None:
    assert read_table(content) == ([], [])


def test_a_byte_order_mark_and_spaces_are_no_part_of_the_header() -> None:
    rows, _ = read_table(b'\xef\xbb\xbf"text", stars \nGood,5\n')
    assert rows == [(2, "Good", "5", None)]


def test_a_header_without_the_columns_is_refused_and_says_which_may_be_meant() -> None:
    with pytest.raises(SourceError, match=r"2 columns, none of that name\. .*column 1\?") as caught:
        read_table(b"Review;Stars\nGood;5\n")
    assert caught.value.detail == "Its columns: Review, Stars."
    assert "--set data.columns.text=COLUMN" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b'"text,stars\n', b"te\xffxt,stars\n", b"a" * 2_000])
def test_a_header_that_cannot_be_read_is_refused(content: bytes) -> None:
    with pytest.raises(SourceError, match="header"):
        read_table(content, max_line_bytes=1_000)


def read_part(
    content: bytes, start: ResumeOffset | None = None, head: bytes = b"text,stars,date\n"
) -> tuple[list[Record], list[ResumeOffset]]:
    """Read a file from its start, or from a mark; return the records and the mark at the end.

    Nothing behind the head tells how the file is written: short files are never read on.
    """
    marks: list[ResumeOffset] = []
    offset = start.offset if start else 0
    stream = ByteStream(io.BytesIO(content[offset:]).read)
    data = DataSettings(max_line_bytes=1_000)
    with patch.object(delimited, "HEAD_BYTES", len(head)):
        return list(read_csv(stream, "f", WANTED, data, start, marks.append)), marks


def read_first_lines(records: list[Record], line: int) -> list[Record]:
    return [
        record
        for record in records
        if (record.line if isinstance(record, Rejection) else record[0][1]) <= line
    ]


@settings(max_examples=150, deadline=None)
@given(
    scraps=SCRAPS,
    rows=st.lists(st.sampled_from(["a,5,b\n", '"x\ny",5,\n', "\n", "a,b\n", "é\r\n"]), max_size=9),
    more=SCRAPS,
    cut=st.floats(0, 1),
    head=st.sampled_from([b"text,stars,date\n", b"text,stars,date\n" + b"a,5,b\n" * 6]),
)
def test_going_on_at_the_mark_gives_the_records_of_the_whole_file(
    scraps: str, rows: list[str], more: str, cut: float, head: bytes
) -> None:
    content = head + (scraps + "".join(rows) + more + "".join(rows)).encode()
    shown = len(head) + int(cut * (len(content) - len(head)))
    before, (mark,) = read_part(content[:shown], head=head)
    after, _ = read_part(content, mark, head)
    whole, _ = read_part(content, head=head)
    assert read_first_lines(before, mark.line) + after == whole
    assert mark.offset <= shown


def test_the_mark_stands_behind_the_last_whole_record() -> None:
    content = b'text,stars,date\nGood,5,\n"Two\nlines",4,\n'
    for rest in (b"", b"Half", b'"open,\nfor,\nlong\n'):
        _, (mark,) = read_part(content + rest)
        assert (mark.offset, mark.line) == (len(content), 4)
        assert (mark.header, mark.delimiter) == (("text", "stars", "date"), ",")


@pytest.mark.parametrize(
    ("shown", "more"),
    [
        # An open quote took everything up to the end, which is not the end of it any more.
        ('"open\na,5,b\n', '",5,c\n'),
        # A quote opens in lines that are read a second time.
        ('"open\n' + "a,5,b\n" * 9 + '"late\n' + "a,5,b\n" * 9, '",5,c\n'),
        # Behind a broken record, a quote within a value makes another one.
        ('a,"b"c,5\nx,y\n', 'there"!,5,c\n'),
    ],
)
def test_the_mark_stands_before_what_more_lines_could_change(shown: str, more: str) -> None:
    header = b"text,stars,date\n"
    before, (mark,) = read_part(header + shown.encode())
    whole, _ = read_part(header + (shown + more).encode())
    after, _ = read_part(header + (shown + more).encode(), mark)
    assert read_first_lines(before, mark.line) + after == whole
    assert mark.offset == len(header)


def test_there_is_no_mark_in_utf_16_nor_behind_a_damage() -> None:
    marks: list[ResumeOffset] = []
    content = "text,stars,date\nGood,5,\n".encode("utf-16")
    stream = ByteStream(io.BytesIO(content).read)
    list(read_csv(stream, "f", WANTED, DataSettings(encoding="utf-16"), None, marks.append))

    def break_off(size: int) -> bytes:
        raise OSError("gone")

    stream = ByteStream(break_off)
    list(read_csv(stream, "f", WANTED, DataSettings(), None, marks.append))
    assert marks == []
