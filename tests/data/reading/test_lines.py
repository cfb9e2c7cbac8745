import io
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentiflow.data.reading.lines import LineReader, LongLine, choose_codec, show_line
from sentiflow.data.reading.streams import BLOCK_BYTES, ByteStream
from sentiflow.errors import SourceError

# U+0A0A and U+010A hold the byte of a line break in UTF-16 and UTF-32.
TEXTS = st.text(st.sampled_from("ab é\r\x85\u2028\u0a0a\u010a\u0d0a👍"), max_size=12)
BYTE_ENCODINGS = ["utf-8", "latin-1", "cp1252", "ascii", "cp037", "shift_jis", "gb18030"]
WIDE_ENCODINGS = ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]


def read_lines(
    content: bytes, encoding: str = "utf-8", longest: int = 4_000, step: int = BLOCK_BYTES
) -> list[bytes | LongLine]:
    """Return all lines, where the stream gives at most `step` bytes at a time."""
    source = io.BytesIO(content)
    stream = ByteStream(lambda size: source.read(min(size, step)))
    return list(LineReader(stream, encoding, longest))


def test_the_last_line_needs_no_line_break() -> None:
    assert read_lines(b"one\ntwo") == [b"one\n", b"two"]
    assert read_lines(b"one\ntwo\n") == [b"one\n", b"two\n"]
    assert read_lines(b"") == []


def test_a_line_ends_in_lf_in_crlf_or_in_cr_alone() -> None:
    lines = [b"one\n", b"\r\n", b"two\r", b"\r", b"three\r\n", b"\n", b"four\r"]
    for step in (1, 2, BLOCK_BYTES):
        assert read_lines(b"".join(lines), step=step) == lines


def test_behind_a_carriage_return_at_the_end_a_line_feed_may_follow_one_day() -> None:
    lines = LineReader(ByteStream(io.BytesIO(b"one\rtwo\r").read), "utf-8", 1_000)
    assert [(line, lines.at_tail) for line in lines] == [(b"one\r", False), (b"two\r", True)]
    assert lines.passed == len(b"one\r")


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_a_byte_order_mark_that_no_utf_8_has_tells_the_encoding(codec: str) -> None:
    assert choose_codec("utf-8", "\ufeffa".encode(codec)) == codec


def test_it_is_known_whether_a_line_break_ends_the_last_line() -> None:
    for content, expected in ((b"one\ntwo", [False, True]), (b"one\ntwo\n", [False, False])):
        lines = LineReader(ByteStream(io.BytesIO(content).read), "utf-8", 1_000)
        assert [lines.at_tail for _ in lines] == expected


def test_the_part_of_a_line_before_a_damage_is_no_line() -> None:
    blocks = iter([b"one\ntw", b"o and"])

    def read(size: int) -> bytes:
        block = next(blocks, None)
        if block is None:
            raise EOFError("the end is missing")
        return block

    lines = LineReader(ByteStream(read), "utf-8", 1_000)
    assert list(lines) == [b"one\n"]
    assert lines.tail == b"two and"


@settings(deadline=None)
@given(st.binary(max_size=60), st.integers(1, 7))
def test_lines_are_those_of_pythons_reader_however_the_bytes_arrive(
    content: bytes, step: int
) -> None:
    # A byte order mark of a wide encoding would be believed.
    content = b"-" + content
    expected = io.TextIOWrapper(io.BytesIO(content), "latin-1", newline="").readlines()
    assert read_lines(content, step=step) == [line.encode("latin-1") for line in expected]


@pytest.mark.parametrize("encoding", BYTE_ENCODINGS + WIDE_ENCODINGS)
@settings(deadline=None)
@given(texts=st.lists(TEXTS), step=st.sampled_from([1, 2, 3, 5, 64]), closed=st.booleans())
def test_lines_are_split_right_in_every_encoding(
    encoding: str, texts: list[str], step: int, closed: bool
) -> None:
    if encoding in BYTE_ENCODINGS:
        texts = [text.encode(encoding, "ignore").decode(encoding) for text in texts]
    content = "\n".join(texts) + "\n" * closed
    if not texts:
        content = ""
    expected = io.StringIO(content, newline="").readlines()
    encoded = content.encode(encoding)
    reader = LineReader(ByteStream(io.BytesIO(encoded).read), encoding, 4_000)
    lines = read_lines(encoded, encoding, step=step)
    assert [bytes(line).decode(reader.codec) for line in lines] == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-8", b"\xef\xbb\xbf"),
        ("utf-8-sig", b"\xef\xbb\xbf"),
        ("utf-16-le", b"\xff\xfe"),
        ("utf-16", b"\xfe\xff"),
        ("utf-32-be", b"\x00\x00\xfe\xff"),
        ("utf-32", b"\xff\xfe\x00\x00"),
    ],
)
def test_a_byte_order_mark_is_no_part_of_the_first_line(encoding: str, mark: bytes) -> None:
    codec = choose_codec(encoding, mark)
    assert read_lines(mark + "one\n".encode(codec), encoding) == ["one\n".encode(codec)]


@pytest.mark.parametrize("step", [1, 7, BLOCK_BYTES])
def test_only_a_line_longer_than_allowed_comes_out_as_long(step: int) -> None:
    content = b"a" * 10 + b"\n" + b"b" * 11 + b"\n" + b"c\n" + b"d" * 11
    assert read_lines(content, longest=10, step=step) == [
        b"a" * 10 + b"\n",
        LongLine(b"b" * 11 + b"\n", 11),
        b"c\n",
        LongLine(b"d" * 11, 11),
    ]


def test_a_long_line_is_never_held_whole() -> None:
    blocks = iter([b"x" * BLOCK_BYTES] * 500 + [b"\nshort\n"])
    lines = LineReader(ByteStream(lambda size: next(blocks, b"")), "utf-8", 1_000)
    tracemalloc.start()
    long, short = lines
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(long, LongLine)
    assert len(long) == 500 * BLOCK_BYTES
    assert len(long.beginning) <= 8_000
    assert short == b"short\n"
    assert peak < 10 * BLOCK_BYTES


@pytest.mark.parametrize(
    "encoding", ["no-such", "", "hex", "rot13", "idna", "punycode", "undefined", "utf-8\0"]
)
def test_an_encoding_that_is_none_is_refused_by_name(encoding: str) -> None:
    with pytest.raises(SourceError, match=r"--set data\.encoding=") as caught:
        choose_codec(encoding)
    assert repr(encoding) in str(caught.value)


@settings(deadline=None)
@given(st.binary(), st.sampled_from(BYTE_ENCODINGS + WIDE_ENCODINGS + ["utf-7"]))
def test_any_bytes_can_be_shown_in_the_quarantine(line: bytes, encoding: str) -> None:
    shown = show_line(line, choose_codec(encoding))
    shown.encode("utf-8")
    assert "\n" not in shown.rstrip("\n")[-1:]


def test_what_is_shown_has_at_most_two_thousand_characters() -> None:
    assert show_line(b"a" * 3_000, "utf-8") == "a" * 2_000
    assert show_line("👍".encode() * 3_000, "utf-8") == "👍" * 2_000
    assert show_line(LongLine(b"a" * 8_000, 10**9), "utf-8") == "a" * 2_000
