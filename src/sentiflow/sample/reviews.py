"""Write the embedded sample: made-up reviews in the shape of a Yelp file.

A seeded grammar (`grammar`) writes every text. Stars are given as often as real Yelp
reviewers give them, texts are half as long as theirs, and the dates fall into six months of
2025. Of every forty lines one is flawed, in each way that ingestion must survive in turn, one
repeats an earlier review, and the last line of the file is cut short: quarantine and
validation have work on the very first night.

What it cannot show: how well a model reads real reviews. The numbers of a night on the sample
say that the pipeline works and that a network can learn order, nothing about any customer.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import random
from collections import deque
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final, TypeAlias

import orjson

from sentiflow.errors import UsageError
from sentiflow.files import make_temporary_prefix
from sentiflow.sample.grammar import Draw, Grammar, load_grammar, write_text

SAMPLE_ROWS: Final = 6_000
SAMPLE_SEED: Final = 2018
FIRST_DATE: Final = date(2025, 3, 1)
LAST_DATE: Final = date(2025, 8, 31)

Row: TypeAlias = dict[str, Any]

# Out of a thousand reviews on real Yelp, so many have 1, 2, 3, 4 and 5 stars.
_STARS: Final = (1,) * 112 + (2,) * 94 + (3,) * 140 + (4,) * 296 + (5,) * 358

_DAYS: Final = tuple(
    (FIRST_DATE + timedelta(days)).isoformat() for days in range((LAST_DATE - FIRST_DATE).days + 1)
)
_BUSINESSES: Final = 500
_USERS: Final = 20_000
_MISSING_SHARE: Final = 0.004

# One flawed line in the first half of every block of lines, one repeated in the second.
_BLOCK_LINES: Final = 40
# A shorter file ends with a whole line: someone who asks for ten reviews wants ten.
_TRUNCATED_FROM: Final = 100


def write_sample(path: Path, rows: int = SAMPLE_ROWS, seed: int = SAMPLE_SEED) -> int:
    """Write the embedded sample to a file, which appears only once it is complete.

    Args:
        path: the file to write; compressed when its name ends in `.gz`.
        rows: the number of lines, flawed ones included.
        seed: the same seed gives the same bytes, on every supported version of Python.

    Returns:
        The number of lines written.

    Raises:
        UsageError: rows is less than 1, or there can be no such file.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(make_temporary_prefix() + path.name)
        try:
            _write_lines(unfinished, generate_lines(rows, seed), compress=path.suffix == ".gz")
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    except (IsADirectoryError, NotADirectoryError, FileExistsError, PermissionError) as error:
        raise UsageError(
            "The sample must be written to a file in a folder that can be written to. "
            f"Received: path={str(path)!r} ({error.strerror}). Name another file."
        ) from error
    return rows


def _write_lines(path: Path, lines: Iterator[bytes], *, compress: bool) -> None:
    """Write the lines, the same bytes every time: a compressed file gets no name and no date."""
    with path.open("wb") as file:
        if compress:
            with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as compressed:
                compressed.writelines(lines)
        else:
            file.writelines(lines)


def generate_lines(rows: int, seed: int) -> Iterator[bytes]:
    """Yield the lines of a sample one by one, holding only a few of them at a time.

    A longer sample of the same seed begins with the lines of a shorter one, but for the
    shorter one's last.

    Args:
        rows: the number of lines, flawed ones included.
        seed: the seed of everything random.

    Yields:
        One line of JSON with its line break; the last of 100 or more is cut short.

    Raises:
        UsageError: rows is less than 1.
    """
    if rows < 1:
        raise UsageError(
            f"A sample must have at least one row. Received: rows={rows}. Ask for 1 or more."
        )
    draw = random.Random(seed).random
    grammar = load_grammar()
    businesses = [_make_id(seed, "business", number) for number in range(_BUSINESSES)]
    flaws = tuple(FLAWS.values())
    # What may be repeated: sound rows of this block and the one before.
    recent: deque[Row] = deque(maxlen=_BLOCK_LINES)
    half = _BLOCK_LINES // 2
    flawed_at = repeated_at = 0
    for number in range(rows):
        block, place = divmod(number, _BLOCK_LINES)
        if place == 0:
            flawed_at, repeated_at = int(draw() * half), half + int(draw() * half)
        row = _write_row(grammar, businesses, seed, number, draw)
        if number == rows - 1 and rows >= _TRUNCATED_FROM:
            yield cut_short(row)
        elif place == flawed_at:
            yield flaws[block % len(flaws)](row) + b"\n"
        elif place == repeated_at:
            repeat = _precede if block % 2 else _copy
            yield orjson.dumps(repeat(row, recent[int(draw() * len(recent))], draw)) + b"\n"
        else:
            yield orjson.dumps(row) + b"\n"
            if row["date"] is not None and row["date"][:10] > _DAYS[0]:
                recent.append(row)


def _write_row(grammar: Grammar, businesses: list[str], seed: int, number: int, draw: Draw) -> Row:
    """Return a sound review with the fields of a Yelp file."""
    # Squares: a few businesses and users have many reviews, most have few.
    business = int(draw() ** 2 * _BUSINESSES)
    user = int(draw() ** 2 * _USERS)
    stars = _STARS[int(draw() * len(_STARS))]
    kind = grammar.kinds[business % len(grammar.kinds)]
    return {
        "review_id": _make_id(seed, "review", number),
        "user_id": None if draw() < _MISSING_SHARE else _make_id(seed, "user", user),
        "business_id": businesses[business],
        "stars": float(stars),
        "useful": int(draw() ** 4 * 9),
        "funny": int(draw() ** 6 * 7),
        "cool": int(draw() ** 6 * 8),
        "text": write_text(grammar, kind, stars, draw),
        "date": None if draw() < _MISSING_SHARE else _format_date(len(_DAYS), draw),
    }


def _make_id(seed: int, what: str, number: int) -> str:
    """Return 22 URL-safe characters: 128 bits, so that no two of a sample are ever equal."""
    digest = hashlib.blake2b(f"{seed}:{what}:{number}".encode(), digest_size=16).digest()
    return base64.urlsafe_b64encode(digest)[:22].decode("ascii")


def _format_date(days: int, draw: Draw) -> str:
    """Return one of the first so many days, in one of the two formats that Yelp has used."""
    day = _DAYS[int(draw() * days)]
    if draw() < 0.65:
        return day
    second = int(draw() * 86_400)
    return f"{day} {second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"


def _precede(row: Row, earlier_line: Row, draw: Draw) -> Row:
    """Return the row as an older state of a review that was written before it in the file."""
    days = _DAYS.index(earlier_line["date"][:10])
    same = {name: earlier_line[name] for name in ("review_id", "user_id", "business_id")}
    return row | same | {"date": _format_date(days, draw)}


def _copy(row: Row, earlier_line: Row, _: Draw) -> Row:
    """Return the row with the text and stars of another: someone who posted it twice."""
    return row | {"text": earlier_line["text"], "stars": earlier_line["stars"]}


def cut_short(row: Row) -> bytes:
    """Return the first part of a line, as a writer leaves it that is killed in the middle."""
    line = orjson.dumps(row)
    # Between two characters: bytes that are no UTF-8 are a flaw of their own.
    return line[: len(line) * 3 // 4].decode(errors="ignore").encode()


def _without(field: str) -> Callable[[Row], bytes]:
    return lambda row: orjson.dumps({name: row[name] for name in row if name != field})


def _with(field: str, value: object) -> Callable[[Row], bytes]:
    return lambda row: orjson.dumps(row | {field: value})


FLAWS: Final[dict[str, Callable[[Row], bytes]]] = {
    "not JSON": lambda row: repr(row).encode(),
    "not UTF-8": lambda row: (
        orjson.dumps(row | {"text": "At the café: " + row["text"]})
        .decode()
        .encode("cp1252", "replace")
    ),
    "not an object": lambda row: orjson.dumps(list(row.values())),
    "no text": _without("text"),
    "null text": _with("text", None),
    "a number for a text": _with("text", 20.18),
    "a list for a text": _with("text", ["nice", "place"]),
    "empty text": _with("text", ""),
    "blank text": _with("text", " \n\t "),
    "no stars": _without("stars"),
    "0 stars": _with("stars", 0.0),
    "6 stars": _with("stars", 6.0),
    "stars in words": _with("stars", "five"),
    "a truth for stars": _with("stars", True),
    "minus one star": _with("stars", -1.0),
}
"""Every way in which a line of the sample can be unusable, and how it gets that way."""
