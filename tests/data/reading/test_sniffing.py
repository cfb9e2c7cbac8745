import csv
import io
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentiflow.data.reading.columns import WantedColumns
from sentiflow.data.reading.delimited import read_csv
from sentiflow.data.reading.sniffing import SniffedCsv, sniff_csv
from sentiflow.data.reading.streams import ByteStream, ResumeOffset
from sentiflow.data.reviews import Rejection
from sentiflow.settings import DataSettings

COLUMNS = ["review_id", "stars", "text", "date"]
WANTED = WantedColumns(tuple(COLUMNS), {"text": "Name it.", "stars": "Name it."}, {}, "review")


def make_rows(count: int = 400) -> list[list[str]]:
    chance = random.Random(1)
    return [
        [
            f"r{number:05d}",
            chance.choice("12345"),
            " ".join(f"The soup was number {chance.randrange(10**6)}." for _ in range(3)),
            f"2024-01-{chance.randint(1, 28):02d}",
        ]
        for number in range(count)
    ]


def write(rows: list[list[str]], end: str = "\n", **options: Any) -> str:
    """Return the rows as Python's own writer writes them."""
    content = io.StringIO(newline="")
    csv.writer(content, lineterminator=end, **options).writerows([COLUMNS, *rows])
    return content.getvalue()


def join(rows: list[list[str]], end: str = "\n", delimiter: str = "\t") -> str:
    """Return the rows as a program writes them that knows no quotes."""
    return "".join(delimiter.join(row) + end for row in [COLUMNS, *rows])


def change(rows: list[list[str]], every: int, at: int, form: str) -> list[list[str]]:
    return [
        [*row[:2], form.format(row[2]), row[3]] if number % every == at else row
        for number, row in enumerate(rows)
    ]


def sniff(content: str, **settings: Any) -> SniffedCsv:
    return sniff_csv(content, WANTED, DataSettings(**settings), is_all=True)


def read(content: str | bytes, **settings: Any) -> tuple[list[list[Any]], list[Rejection]]:
    stream = ByteStream(io.BytesIO(content.encode() if isinstance(content, str) else content).read)
    records = list(read_csv(stream, "f", WANTED, DataSettings(**settings)))
    rows = [list(record[0][2:]) for record in records if not isinstance(record, Rejection)]
    return rows, [record for record in records if isinstance(record, Rejection)]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("delimiter", ["\t", "|", ";", ","])
def test_no_row_vanishes_between_two_quotes_that_mean_nothing(delimiter: str, end: str) -> None:
    rows = change(change(make_rows(), 100, 10, '"{}'), 100, 60, '{} The screen is 42"')
    content = join(rows, end, delimiter)
    assert sniff(content).dialect.quoting == "unquoted"
    assert read(content) == (rows, [])


def test_no_row_vanishes_where_the_first_quote_comes_late() -> None:
    rows = make_rows(1_000)
    rows = change(change(rows, 1_000, 600, '"{}'), 1_000, 950, '{} The screen is 42"')
    content = join(rows)
    assert sniff(content[:30_000]).dialect.quoting == "undecided"
    assert read(content) == (rows, [])


def test_a_quote_that_nothing_closes_costs_no_row_where_quotes_mean_nothing() -> None:
    rows = change(make_rows(1_000), 2_000, 700, '"{}')
    assert read(join(rows)) == (rows, [])


@pytest.mark.parametrize("delimiter", ["\t", "|", ";", ","])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_texts_of_many_lines_in_quotes_stay_whole(delimiter: str, end: str, quoting: int) -> None:
    rows = change(make_rows(), 4, 1, 'Pros: a, b, c\r\nCons: d; e\tf|g\n\n{}\r"Bye", all')
    content = write(rows, end, delimiter=delimiter, quoting=quoting)
    assert sniff(content).dialect.quoting == "quoted"
    assert read(content) == (rows, [])


def test_lines_of_a_text_that_look_like_records_are_part_of_it_where_quotes_are_needed() -> None:
    rows = change(make_rows(), 5, 1, 'He said "{}", and more')
    rows = change(rows, 50, 7, "As a table:\nr1,5,soup,2024-01-01\nr2,1,bread,2024-01-02\nok")
    assert read(write(rows)) == (rows, [])


@settings(deadline=None, max_examples=150)
@given(
    texts=st.lists(
        st.text(st.sampled_from("ab ,;\t|\"\n\r'\\.é\u2028👍"), min_size=1, max_size=30),
        max_size=30,
    ),
    delimiter=st.sampled_from(",\t;|"),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]),
    step=st.sampled_from([1, 3, 64, 1 << 16]),
)
def test_whatever_pythons_writer_writes_comes_back(
    texts: list[str], delimiter: str, end: str, quoting: int, encoding: str, step: int
) -> None:
    if end != "\r\n" and quoting == csv.QUOTE_MINIMAL:
        # Python's writer then leaves the other line break without quotes.
        texts = [text.replace("\n" if end == "\r" else "\r", "+") for text in texts]
    plain = make_rows(8)
    rows = [*plain, *([f"x{n}", "3", text, "2024-02-02"] for n, text in enumerate(texts))]
    content = write(rows, end, delimiter=delimiter, quoting=quoting).encode(encoding)
    source = io.BytesIO(content)
    stream = ByteStream(lambda size: source.read(min(size, step)))
    records = list(read_csv(stream, "f", WANTED, DataSettings()))
    found = [record if isinstance(record, Rejection) else list(record[0][2:]) for record in records]
    assert found == rows


@pytest.mark.parametrize("apart", [1, 5, 30])
def test_no_row_vanishes_between_two_stray_quotes_where_others_are_needed(apart: int) -> None:
    rows = change(make_rows(), 3, 1, "{}, and more")
    strays = {300: '"{}', 300 + apart * 3: '{}"'}
    lines = write(rows).splitlines(keepends=True)
    for number, form in strays.items():
        text = rows[number][2]
        lines[number + 1] = lines[number + 1].replace(text, form.format(text))
    found, rejections = read("".join(lines))
    assert len(found) + len(rejections) == len(rows)
    assert [one.line for one in rejections] == [302]


def test_a_line_feed_without_quotes_is_part_of_a_value_where_carriage_returns_end_records() -> None:
    rows = change(make_rows(), 4, 1, "One\n{}")
    assert read(join(rows, "\r")) == (rows, [])
    rows = change(make_rows(), 4, 1, "One\r{}")
    assert read(join(rows)) == (rows, [])


def test_a_file_may_change_its_line_ends() -> None:
    rows = change(make_rows(), 4, 1, "One,\n{}")
    parts = [write(rows[at : at + 100], end) for at, end in ((0, "\n"), (100, "\r"), (200, "\r\n"))]
    first, *others = parts
    content = first + "".join(part.partition("date")[2].lstrip("\r\n") for part in others)
    assert read(content) == (rows[:300], [])


@pytest.mark.parametrize("every", [4, 399])
def test_a_backslash_before_quotes_escapes_them_where_it_makes_records(every: int) -> None:
    rows = change(make_rows(), every, every - 1, 'A "great", well. {}\n"Bye"')
    content = write(rows, quoting=csv.QUOTE_ALL).replace('""', '\\"')
    assert sniff(content).dialect.escape == "\\"
    assert read(content) == (rows, [])
    rows = change(rows, 7, 3, "{} C:\\")
    content = write(rows)
    assert sniff(content).dialect.escape == ""
    assert read(content) == (rows, [])


def test_one_broken_record_does_not_make_backslashes_escapes() -> None:
    rows = change(make_rows(), 3, 1, '{} the \\"owner\\", he')
    lines = write(rows, quoting=csv.QUOTE_ALL).splitlines(keepends=True)
    lines[40] = '"r00039","5","A \\"great\\" one","2024-01-01"\n'
    found, rejections = read("".join(lines))
    assert (len(found), rejections) == (len(rows), [])
    assert found[:39] + found[40:] == rows[:39] + rows[40:]


def test_a_backslash_before_anything_else_is_one_of_the_text() -> None:
    rows = change(make_rows(), 4, 1, 'C:\\new "x" {}')
    content = write(rows, quoting=csv.QUOTE_ALL).replace('""', '\\"')
    assert read(content) == (rows, [])


def test_databases_write_line_breaks_and_missing_values_with_a_backslash() -> None:
    rows = change(make_rows(), 4, 1, "One\\\n{}")
    rows[5][3] = "\\N"
    found, rejections = read(join(rows))
    assert rejections == []
    assert [row[2] for row in found] == [row[2].replace("\\\n", "\n") for row in rows]
    assert found[5][3] is None


@pytest.mark.parametrize(
    ("hint", "delimiter"),
    [("sep=;", ";"), ('"SEP=;"', ";"), ("sep=\t", "\t"), ("\ufeffsep=|", "|")],
)
def test_a_first_line_may_name_the_delimiter(hint: str, delimiter: str) -> None:
    rows = make_rows(20)
    content = f"{hint}\r\n{write(rows, delimiter=delimiter)}"
    assert read(content) == (rows, [])


def test_a_file_without_a_header_is_read_by_the_names_that_are_set() -> None:
    rows = change(make_rows(50), 4, 1, 'a, "b"\n{}')
    for delimiter in ",\t;|":
        content = write(rows, delimiter=delimiter).partition("\n")[2]
        assert read(content, header=False, column_names=COLUMNS) == (rows, [])


def test_what_is_set_wins_over_what_it_looks_like() -> None:
    rows = make_rows(20)
    content = write(rows, delimiter="^", quotechar="'", quoting=csv.QUOTE_ALL)
    assert read(content, delimiter="^", quote="'") == (rows, [])
    content = join([[row[0], row[1], f'"{row[2]}"', row[3]] for row in rows])
    assert [row[2][0] for row in read(content, quote=None)[0]] == ['"'] * 20
    assert [row[2][0] for row in read(content)[0]] == ["T"] * 20


def test_reading_on_goes_on_in_the_dialect() -> None:
    rows = change(change(make_rows(), 100, 10, '"{}'), 100, 60, '{} The screen is 42"')
    content = join(rows, "\r").encode()
    marks: list[ResumeOffset] = []
    stream = ByteStream(io.BytesIO(content).read)
    list(read_csv(stream, "f", WANTED, DataSettings(), None, marks.append))
    (mark,) = marks
    assert (mark.quoting, mark.quote, mark.end, mark.kinds) == ("unquoted", "", "\r", "w9tw")
    more = join(rows[10:], "\r").encode().partition(b"\r")[2]
    rest = ByteStream(io.BytesIO((content + more)[mark.offset :]).read)
    records = list(read_csv(rest, "f", WANTED, DataSettings(), mark))
    assert len(records) == 400 - (mark.line - 1) + 390
    assert not any(isinstance(record, Rejection) for record in records)


def test_a_place_that_was_kept_before_dialects_were_is_still_one_to_read_on_from() -> None:
    mark = ResumeOffset("csv", 0, 1, header=("text", "stars"), delimiter=",")
    stream = ByteStream(io.BytesIO(b'"a, b",5\n').read)
    assert list(read_csv(stream, "f", WANTED, DataSettings(), mark)) == [
        (("f", 2, None, "5", "a, b", None), 9)
    ]


def read_texts(content: str) -> tuple[list[Any], list[Rejection]]:
    wanted = WantedColumns(("text",), {"text": "Name it."}, {}, "review")
    stream = ByteStream(io.BytesIO(content.encode()).read)
    records = list(read_csv(stream, "f", wanted, DataSettings()))
    rows = [record[0][2] for record in records if not isinstance(record, Rejection)]
    return rows, [record for record in records if isinstance(record, Rejection)]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_file_of_one_column_may_be_a_text_per_line(end: str) -> None:
    texts = [row[2].replace(".", ", or so.") for row in make_rows(200)]
    texts[50], texts[90], texts[120] = f'"{texts[50]}', f'{texts[90]} 42"', f'"Yes" {texts[120]}'
    assert read_texts(end.join(["text", *texts, ""])) == (texts, [])
    quoted = io.StringIO(newline="")
    texts = [f"{text}\n{text}" if number % 3 else text for number, text in enumerate(texts)]
    csv.writer(quoted, lineterminator=end, quoting=csv.QUOTE_ALL).writerows(
        [["text"], *([text] for text in texts)]
    )
    assert read_texts(quoted.getvalue()) == (texts, [])


def test_apostrophes_around_values_are_quotes_and_within_texts_are_none() -> None:
    rows = change(make_rows(), 4, 1, "It's good, isn't it?\n{}")
    for quoting in (csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC):
        content = write(rows, quotechar="'", quoting=quoting)
        assert sniff(content).dialect.quote == "'"
        assert read(content) == (rows, [])
    rows = change(change(make_rows(), 3, 1, "'{}"), 4, 2, "{} It's the dogs'")
    assert read(join(rows)) == (rows, [])


def test_names_in_quotes_are_names_where_quotes_mean_nothing() -> None:
    rows = change(change(make_rows(), 50, 10, '"{}'), 50, 30, '{} 42"')
    header, _, body = join(rows).partition("\n")
    content = "\t".join(f'"{name}"' for name in header.split("\t")) + "\n" + body
    assert read(content) == (rows, [])


def test_no_row_vanishes_where_every_line_has_quotes_that_mean_nothing() -> None:
    rows = change(make_rows(), 2, 0, '"{}')
    rows = change(rows, 2, 1, '{} 42" "so"')
    assert read(join(rows)) == (rows, [])


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
@pytest.mark.parametrize("every", [1, 3, 350])
@pytest.mark.parametrize("wraps_all", [True, False])
def test_quotes_of_a_text_within_its_quotes_are_its_own(
    delimiter: str, every: int, wraps_all: bool
) -> None:
    rows = change(make_rows(), every, every - 1, 'A "great" soup; so, "good". {}')
    lines = [
        [f'"{value}"' if wraps_all or column == 2 else value for column, value in enumerate(row)]
        for row in rows
    ]
    assert read(join(lines, delimiter=delimiter)) == (rows, [])
