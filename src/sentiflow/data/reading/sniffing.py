"""Find out how a CSV file is written by reading its first lines one way and another."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sentiflow.data.reading.columns import WantedColumns
from sentiflow.data.reading.dialect import (
    DELIMITERS,
    LEAST_PLAIN_LINES,
    Dialect,
    Quoting,
    find_kinds,
)
from sentiflow.data.reading.records import Line, RecordReader, is_quoted_well, split_loosely
from sentiflow.settings import DataSettings

_HINT: Final = re.compile(r'"?sep=(.)"?[\s;,]*', re.IGNORECASE)
# A value in apostrophes, not of one that only begins or only ends with one.
_WRAPPED: Final = re.compile(r"(?:^|[,;\t|\x01])'[^'].*'(?:[,;\t|\x01]|\s*$)")
# No text holds it: a line is one value.
_NO_DELIMITER: Final = "\x1f"
_MAX_BYTES: Final = 1 << 16


@dataclass(frozen=True)
class SniffedCsv:
    """What the first lines of a CSV file show.

    Attributes:
        dialect: how records are written.
        has_hint: whether the first line is no record but names the delimiter (`sep=;`).
        line_ends: what ends the first lines (LF, CRLF, CR), the most frequent first.
    """

    dialect: Dialect
    has_hint: bool
    line_ends: tuple[str, ...]


def sniff_csv(head: str, wanted: WantedColumns, data: DataSettings, *, is_all: bool) -> SniffedCsv:
    """Return how a CSV file is written.

    Settings win over a hint in the first line, and that over what the lines look like. Whether
    quotes mean something, and whether a backslash escapes them, is decided by the records that
    come out of the first lines if they do, and if they do not.

    Args:
        head: the first characters of the file.
        wanted: columns that the header should have.
        data: what is set about the dialect.
        is_all: whether there is no more than the head.
    """
    lines = _split_lines(head)
    if not is_all:
        del lines[-1:]
    hint = _HINT.fullmatch(lines[0].rstrip("\r\n")) if lines else None
    filled = [line for line in lines[1 if hint else 0 :] if not line.isspace()]
    quote = _choose_quote(filled) if data.quote == "auto" else data.quote or ""
    names = list(data.column_names)
    if data.delimiter != "auto":
        delimiter, source = data.delimiter, "data.delimiter says so"
    elif hint:
        delimiter, source = hint[1], "the first line says so"
    elif data.header:
        delimiter = _choose_by_header(filled[0] if filled else "", wanted, quote)
        source = "it splits the header"
    else:
        delimiter = _choose_by_count(filled, len(names), quote)
        source = f"it splits lines into {len(names)} values"
    dialect = Dialect(delimiter, quote, "" if data.escape == "auto" else data.escape or "")
    sample = [Line(number, text, len(text)) for number, text in enumerate(filled, 1)]
    fields = len(names)
    if data.header:
        reader = RecordReader(iter(sample), dialect, max_bytes=_MAX_BYTES)
        header = next(iter(reader), None)
        if header is None or header.values is None:
            return SniffedCsv(replace(dialect, reason=source), hint is not None, _rank_ends(lines))
        fields = len(header.values)
        if fields == 1 and header.values[0].strip() in wanted.required:
            dialect = _weigh_one_column(dialect, sample[len(header.lines) :], data)
            if dialect.quoting == "unquoted":
                return SniffedCsv(dialect, hint is not None, _rank_ends(lines))
        del sample[: len(header.lines)]
    kinds = _find_kinds([line.text for line in sample], dialect, fields)
    dialect = replace(dialect, kinds=kinds, quoting="undecided")
    dialect = replace(dialect, end=_find_end(lines, dialect, fields))
    dialect, why = _weigh(dialect, sample, fields, data, is_all=is_all)
    dialect = replace(dialect, reason=f"{source}; {why}")
    return SniffedCsv(dialect, hint is not None, _rank_ends(lines))


@dataclass
class _Counts:
    """What reading the first lines showed: records that are right only one way or another."""

    helped: int = 0
    hurt: int = 0
    escaped: int = 0
    unescaped: int = 0
    wrapped: int = 0
    records: int = 0


def _weigh(
    dialect: Dialect, sample: list[Line], fields: int, data: DataSettings, *, is_all: bool
) -> tuple[Dialect, str]:
    """Return the dialect with what the sample says of quotes and escapes, and why, in a clause."""
    quote = dialect.quote
    may_escape = data.escape == "auto"
    has_quotes = bool(quote) and any(quote in line.text for line in sample)
    if not has_quotes and may_escape and _needs_escapes(dialect, sample, fields):
        dialect = replace(dialect, escape="\\", quote="")
        return replace(dialect, quoting="unquoted"), "a backslash stands before line breaks"
    if not quote:
        return replace(dialect, quoting="unquoted"), "quotes mean nothing by data.quote"
    if not has_quotes:
        return dialect, "its first lines hold no quotes"
    counts = _count(dialect, sample, fields, may_escape=may_escape, is_all=is_all)
    if counts.escaped > counts.unescaped:
        dialect = replace(dialect, escape="\\")
    helped = counts.helped + counts.escaped
    if 2 * counts.wrapped > counts.records:
        helped += counts.wrapped
    # A record may show it in two ways.
    right = min(helped, counts.records)
    clause = f"of its first {counts.records} records, quotes make {right} right"
    clause += f" and {counts.hurt} wrong" if counts.hurt else ""
    clause += f", a backslash before quotes {counts.escaped}" if counts.escaped else ""
    if data.quote != "auto":
        return replace(dialect, quoting="quoted"), "data.quote says what quotes"
    clear = dialect.can_tell or counts.hurt > 2
    quoting: Quoting = "undecided"
    if counts.hurt > helped and clear:
        quoting = "unquoted"
        dialect = replace(dialect, quote="", escape="")
        if may_escape and _needs_escapes(dialect, sample, fields):
            dialect = replace(dialect, escape="\\")
    elif helped:
        quoting = "quoted"
    return replace(dialect, quoting=quoting), clause


def _find_kinds(lines: Sequence[str], dialect: Dialect, fields: int) -> str:
    """Return what the columns hold by lines without quotes, else by those that quotes leave whole.

    Where every line has quotes, those tell that have as many delimiters as the header; where
    every text has delimiters, those with quotes around it.
    """
    quote = dialect.quote
    alike = [values for line in lines if len(values := dialect.split(line)) == fields]
    plain = [values for values in alike if not (quote and any(quote in value for value in values))]
    found = plain if len(plain) >= LEAST_PLAIN_LINES else alike
    if quote and len(found) < LEAST_PLAIN_LINES:
        split = (split_loosely(line.rstrip("\r\n"), dialect) for line in lines)
        found = [values for values in split if len(values) == fields]
    return find_kinds(found)


def _weigh_one_column(dialect: Dialect, sample: list[Line], data: DataSettings) -> Dialect:
    """Return the dialect of a file with one column: a line is one text where nobody quoted."""
    if (data.delimiter, data.quote) != ("auto", "auto"):
        return dialect
    helped = hurt = 0
    for parsed in RecordReader(iter(sample), dialect, 1, _MAX_BYTES, may_escape=False):
        text = parsed.text.rstrip("\r\n")
        if parsed.values is None or len(parsed.values) > 1 or not is_quoted_well(text, dialect):
            hurt += 1
        elif dialect.quote in text and len(text) != len(parsed.values[0]) + 2:
            helped += 1
        else:
            helped += any(sign in parsed.values[0] for sign in (dialect.delimiter, "\n", "\r"))
    if hurt <= helped:
        return dialect
    reason = f"there is one column; quotes make {helped} of the first lines right and {hurt} wrong"
    end = _find_end([line.text for line in sample], dialect, 1)
    return Dialect(_NO_DELIMITER, "", quoting="unquoted", end=end, reason=reason)


def _count(
    dialect: Dialect, sample: list[Line], fields: int, *, may_escape: bool, is_all: bool
) -> _Counts:
    quote = dialect.quote
    counts = _Counts()
    last = sample[-1].number if sample else 0
    reader = RecordReader(iter(sample), dialect, fields, _MAX_BYTES, may_escape)
    for parsed in reader:
        counts.records += 1
        text = parsed.text
        if quote not in text:
            continue
        is_whole = [dialect.is_whole(line.text, fields) for line in parsed.lines]
        if parsed.reading == "escaped":
            counts.escaped += 1
        elif parsed.reading == "loose":
            counts.wrapped += 1
            counts.helped += 1
        elif parsed.reading == "plain":
            is_wrapped = len(split_loosely(text.rstrip("\r\n"), dialect)) == fields
            counts.wrapped += is_wrapped
            counts.hurt += not is_wrapped
        elif parsed.values is None:
            if not is_all and parsed.reached >= last:
                # The rest of it stands behind the sample.
                break
            counts.hurt += is_whole[0] and (dialect.can_tell or not parsed.is_doubtful)
        elif len(parsed.values) == fields and is_quoted_well(text, dialect):
            counts.wrapped += 1
            counts.unescaped += f"\\{quote}" in text
            counts.helped += not all(is_whole) or quote * 2 in text.replace(quote * 3, "")
    return counts


def _needs_escapes(dialect: Dialect, sample: list[Line], fields: int) -> bool:
    """Say whether more lines are records where a backslash takes the delimiter's meaning."""
    escaped = replace(dialect, escape="\\", quote="", quoting="unquoted")
    if not any(f"\\{sign}" in line.text for line in sample for sign in (dialect.delimiter, "\n")):
        return False
    right = [
        sum(
            parsed.values is not None and len(parsed.values) == fields
            for parsed in RecordReader(iter(sample), one, fields, _MAX_BYTES)
        )
        for one in (escaped, replace(escaped, escape=""))
    ]
    return right[0] > right[1]


def _choose_quote(lines: Sequence[str]) -> str:
    """Return the apostrophe where it stands around a value of nearly every line, else the quote."""
    if not lines or any('"' in line for line in lines):
        return '"'
    wrapped = sum(_WRAPPED.search(line) is not None for line in lines)
    return "'" if wrapped >= 0.9 * len(lines) else '"'


def _choose_by_header(header: str, wanted: WantedColumns, quote: str) -> str:
    """Return the delimiter that splits the header into the wanted columns, else into most."""
    most, chosen = 1, ","
    for delimiter in DELIMITERS:
        names = [name.strip().strip(quote or None) for name in header.split(delimiter)]
        if all(column in names for column in wanted.required):
            return delimiter
        if len(names) > most:
            most, chosen = len(names), delimiter
    return chosen


def _choose_by_count(lines: Sequence[str], fields: int, quote: str) -> str:
    """Return the delimiter that splits most lines into that many values."""

    def count(delimiter: str) -> int:
        rows = csv.reader(lines, delimiter=delimiter, quotechar=quote or None)
        if not quote:
            rows = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE)
        return sum(len(row) == fields for row in _skip_broken(rows))

    return max(DELIMITERS, key=count) if fields > 1 else ","


def _skip_broken(rows: Iterator[list[str]]) -> Iterator[list[str]]:
    try:
        yield from rows
    except csv.Error:
        return


def _find_end(lines: Sequence[str], dialect: Dialect, fields: int) -> str:
    """Return what ends most of the lines that are records by themselves, else of all."""
    whole = [line for line in lines if dialect.is_whole(line, fields)] or lines
    returns = sum(line.endswith("\r") for line in whole)
    return "\r" if returns > len(whole) / 2 else "\n"


def _rank_ends(lines: Sequence[str]) -> tuple[str, ...]:
    names = {"\n": "LF", "\r\n": "CRLF", "\r": "CR"}
    found = [names[line[len(line.rstrip("\r\n")) :]] for line in lines if line[-1:] in "\r\n"]
    return tuple(sorted(set(found), key=lambda end: -found.count(end)))


def _split_lines(text: str) -> list[str]:
    """Return the lines with their breaks; other separators, as U+2028, are part of texts."""
    return re.findall(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z", text)
