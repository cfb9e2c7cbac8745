"""Records of CSV out of lines, none of which vanishes in another record.

What does not parse is read again with less: with escapes before quotes, line by line without
quotes, and what is still no record is rejected, its first line alone.
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from sentiflow.data.reading.dialect import Dialect

_MAX_READINGS: Final = 8
# A text has seldom so many lines, and never so many that look like records of the file.
_MANY_LINES: Final = 8
_CHECKED_EVERY: Final = 64
_MOST_JOINED: Final = 64
_BACKSLASH: Final = "\\"


@dataclass(frozen=True, slots=True)
class Line:
    """A physical line: its number, its text with the line break, and how it came to be."""

    number: int
    text: str
    length: int
    decoded: bool = True
    readings: int = 1


@dataclass(slots=True)
class Parsed:
    """A record, or the lines that are none; not frozen, as there is one for every row.

    Attributes:
        lines: what it was made of.
        values: its values; None where it is no record.
        error: why it is none.
        reading: how it was read: by the dialect, as a line in which quotes mean nothing, with
            escapes before quotes, or as a line that has quotes of the text within its quotes.
        is_doubtful: whether a broken record stands before it, of which it may be the rest.
        reached: the number of the last line that was looked at for it.
    """

    lines: list[Line]
    values: list[str] | None
    error: Exception | None = None
    reading: Literal["dialect", "plain", "escaped", "loose"] = "dialect"
    is_doubtful: bool = False
    reached: int = 0

    @property
    def text(self) -> str:
        """The text of all its lines."""
        lines = self.lines
        return lines[0].text if len(lines) == 1 else "".join([line.text for line in lines])


class TooLongError(Exception):
    """The record in progress is longer than allowed."""


class SwallowedError(Exception):
    """The record in progress is made of lines that are records by themselves."""


@dataclass
class RecordReader:
    """The records of some lines; iterate over it once.

    Attributes:
        source: the lines.
        dialect: how records are written.
        fields: how many values a record has; 0 if the first record tells.
        max_bytes: what a record may have at most.
        may_escape: whether escapes are tried where a record is none without.
        is_clean: whether reading can begin behind the record given out last: nothing before
            it is doubtful, and what comes after it played no part.
    """

    source: Iterator[Line]
    dialect: Dialect
    fields: int = 0
    max_bytes: int = 4_000_000
    may_escape: bool = True
    is_clean: bool = True
    _again: deque[Line] = field(default_factory=deque)
    _current: list[Line] = field(default_factory=list)
    _has_ended: bool = False

    def __iter__(self) -> Iterator[Parsed]:
        """Yield every record, and a rejected line for every one that is part of none."""
        # The limit is one of the process and not of a reader, so it is only ever raised; what
        # bounds a record here is max_bytes.
        csv.field_size_limit(max(csv.field_size_limit(), self.max_bytes))
        parser = self._start_parser(self.dialect)
        is_doubtful = False
        while (parsed := self._parse(parser)) is not None:
            if not is_doubtful and self._is_plain(parsed):
                self.is_clean = not (self._again or self._has_ended)
                yield parsed
                continue
            if parsed.values is None or self._is_suspect(parsed, is_doubtful):
                found = self._mend(parsed, is_doubtful)
                parser = self._start_parser(self.dialect)
            elif parsed.reading == "plain":
                found = [parsed]
                parser = self._start_parser(self.dialect)
            else:
                found = [parsed]
            for record in found:
                values = record.values
                if values is not None and len(values) <= 1 and not record.text.strip():
                    continue
                self.fields = self.fields or len(values or ())
                record.is_doubtful = is_doubtful
                is_doubtful = (is_doubtful or values is None) and (
                    values is None or len(values) != self.fields
                )
                self.is_clean = not (is_doubtful or self._again or self._has_ended)
                yield record

    def _is_plain(self, parsed: Parsed) -> bool:
        """Say whether there is nothing to ask of a record: most are so."""
        quote = self.dialect.quote
        return (
            parsed.values is not None
            and len(parsed.values) == self.fields > 1
            and len(parsed.lines) == 1
            and parsed.reading == "dialect"
            and not (quote and quote in parsed.lines[0].text)
        )

    def _start_parser(self, dialect: Dialect) -> Iterator[list[str]]:
        # strict, because otherwise a stray quote is dropped from a text without a trace.
        return csv.reader(
            self._feed(dialect),
            delimiter=dialect.delimiter,
            quotechar=dialect.quote or None,
            quoting=csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE,
            escapechar=dialect.escape or None,
            strict=True,
        )

    def _parse(self, parser: Iterator[list[str]]) -> Parsed | None:
        """Return the next record; None where there are no more lines."""
        self._current = []
        try:
            return Parsed(self._current, next(parser))
        except StopIteration:
            return None
        except _JoinedError as joined:
            return Parsed([joined.line], self.dialect.split(joined.line.text), None, "plain")
        except (csv.Error, TooLongError, SwallowedError) as error:
            return Parsed(self._current, None, error)

    def _feed(self, dialect: Dialect) -> Iterator[str]:
        """Yield the text of every line to the parser, as long as the record is short enough."""
        lone = _find_lone_escapes(dialect)
        length = 0
        while (line := self._take_line()) is not None:
            if not self._current:
                length = 0
                if not line.text.endswith(dialect.end):
                    self._join_lines(line)
            self._current.append(line)
            length += line.length
            if length > self.max_bytes:
                raise TooLongError(length)
            if not len(self._current) % _CHECKED_EVERY and self._swallows(self._current):
                raise SwallowedError("it holds lines that are records by themselves")
            text = line.text
            yield text if lone is None else lone.sub(_double, text)

    def _take_line(self) -> Line | None:
        if self._again:
            return self._again.popleft()
        line = next(self.source, None)
        self._has_ended = line is None
        return line

    def _join_lines(self, first: Line) -> None:
        """Raise _JoinedError if what ends the line is a character of a value.

        A carriage return ends records in spreadsheets' files, but stands in texts where a program
        wrote what came out of a web form without quotes.
        """
        dialect, fields = self.dialect, self.fields
        if not fields or first.text.isspace() or (dialect.quote and dialect.quote in first.text):
            return
        taken: list[Line] = []
        text, length = first.text, first.length
        while len(taken) < _MOST_JOINED and (line := self._take_line()) is not None:
            taken.append(line)
            stands_alone = line.text.isspace() or dialect.is_whole(line.text, fields)
            if len(taken) == 1 and stands_alone and dialect.is_whole(first.text, fields):
                break
            text += line.text
            length += line.length
            if (dialect.quote and dialect.quote in line.text) or length > self.max_bytes:
                break
            if dialect.is_whole(text, fields):
                decoded = all(part.decoded for part in (first, *taken))
                raise _JoinedError(Line(first.number, text, length, decoded, first.readings))
            if line.text.endswith(dialect.end):
                break
        self._again.extendleft(reversed(taken))

    def _swallows(self, lines: list[Line], *, is_wrong: bool = False) -> bool:
        """Say whether lines taken for one record are records by themselves for the most part."""
        dialect = self.dialect
        if len(lines) < 2 or not dialect.can_tell or not dialect.quote:
            return False
        whole = [dialect.is_whole(line.text, self.fields) for line in lines]
        if sum(whole[1:]) * 2 <= len(lines) - 1:
            return False
        if is_wrong or len(lines) > _MANY_LINES:
            return True
        # A text of few lines may look like records of two columns, hardly like those of four.
        if dialect.quoting == "undecided":
            return whole[0] and whole[-1]
        return all(whole) and dialect.is_strict

    def _is_suspect(self, parsed: Parsed, is_doubtful: bool) -> bool:
        """Say whether a record that parses may be none, or another one."""
        quote = self.dialect.quote
        if not quote or not self.fields or (len(parsed.lines) == 1 and quote not in parsed.text):
            return False
        is_wrong = len(parsed.values or ()) != self.fields
        # Behind a broken record may stand the rest of it, such as `and so on",5`, which would be
        # a row by its number of fields. Elsewhere, quotes inside of values without quotes
        # around them are common and harmless.
        return (
            is_wrong
            or self._swallows(parsed.lines)
            or (is_doubtful and not is_quoted_well(parsed.text, self.dialect))
        )

    def _mend(self, parsed: Parsed, is_doubtful: bool) -> list[Parsed]:
        """Return what the lines are when they are read another way; at least one is taken."""
        dialect = self.dialect
        is_record = (
            parsed.values is not None
            and not self._swallows(parsed.lines, is_wrong=len(parsed.values) != self.fields)
            and not (is_doubtful and not is_quoted_well(parsed.text, dialect))
        )
        lines = [replace(line, readings=line.readings + 1) for line in parsed.lines]
        hopeless = any(line.readings > _MAX_READINGS for line in lines[1:])
        self._again.extendleft(reversed(lines))
        if not hopeless and (escaped := self._try_escapes(parsed)) is not None:
            return [escaped]
        first = lines[0]
        reads_plain = dialect.quoting == "undecided" and not is_doubtful and dialect.can_tell
        is_plain = reads_plain and dialect.is_whole(first.text, self.fields)
        if is_plain and not (is_record and len(lines) > 1):
            self._again.popleft()
            return [Parsed([first], dialect.split(first.text), None, "plain")]
        if is_record:
            return [replace(parsed, lines=[self._again.popleft() for _ in lines])]
        if parsed.error is not None and (values := self._split_loosely(first, is_doubtful)):
            self._again.popleft()
            return [Parsed([first], values, None, "loose")]
        # Files exist in which every line opens a quote: without an end to it, reading the
        # lines again and again would take time in the square of the file's size.
        taken = [self._again.popleft() for _ in (lines if hopeless else [first])]
        error = parsed.error or csv.Error(_explain(parsed, is_doubtful))
        return [
            Parsed([line], dialect.split(line.text), None, "plain")
            if reads_plain and dialect.is_whole(line.text, self.fields)
            else Parsed([line], None, error, reached=lines[-1].number)
            for line in taken
        ]

    def _split_loosely(self, line: Line, is_doubtful: bool) -> list[str] | None:
        """Return the values of a line whose writer put quotes around texts with quotes in them.

        None where it is no record by itself so, or may be a part of one.
        """
        dialect = self.dialect
        if is_doubtful or not dialect.can_tell or dialect.escape:
            return None
        values = split_loosely(line.text.rstrip("\r\n"), dialect)
        is_whole = len(values) == self.fields and dialect.fit_kinds(values)
        return values if is_whole else None

    def _try_escapes(self, parsed: Parsed) -> Parsed | None:
        """Return the record that the lines are when a backslash escapes quotes; None if none."""
        dialect = self.dialect
        sign = _BACKSLASH + dialect.quote
        if not (self.may_escape and dialect.quote and self.fields) or dialect.escape:
            return None
        if sign not in parsed.text:
            return None
        other = self._parse(self._start_parser(replace(dialect, escape=_BACKSLASH)))
        if other is None:
            return None
        if (
            other.values is not None
            and len(other.values) == self.fields
            and sign in other.text
            and not self._swallows(other.lines)
        ):
            return replace(other, reading="escaped")
        again = [replace(line, readings=line.readings + 1) for line in other.lines]
        self._again.extendleft(reversed(again))
        return None


class _JoinedError(Exception):
    """The next record is one line with line breaks in a value without quotes."""

    def __init__(self, line: Line) -> None:
        super().__init__(line.number)
        self.line = line


def is_quoted_well(text: str, dialect: Dialect) -> bool:
    """Say whether quotes stand only around whole values, or doubled inside of those.

    >>> is_quoted_well('1,"hi ""there""!",2', Dialect()), is_quoted_well('there""!",2', Dialect())
    (True, False)
    """
    delimiter = dialect.delimiter
    first, *others = text.rstrip("\r\n").split(dialect.quote)
    if not others:
        return True
    *between, last = others[1::2] or [first]
    return (
        len(others) % 2 == 0
        and (not first or first.endswith(delimiter))
        and (not last or last.startswith(delimiter))
        and all(not gap or (gap[0] == delimiter == gap[-1]) for gap in between)
    )


def split_loosely(text: str, dialect: Dialect) -> list[str]:
    """Return the values of a line, where a quote ends one only before a delimiter or the end.

    >>> split_loosely('r1,"She said "hi" to me, once",5', Dialect())
    ['r1', 'She said "hi" to me, once', '5']
    """
    quote, delimiter = dialect.quote, dialect.delimiter
    values = []
    at = 0
    while at <= len(text):
        if text.startswith(quote, at):
            end = text.find(quote + delimiter, at + 1)
            if end < 0:
                end = len(text) - 1 if text.endswith(quote) and len(text) > at + 1 else -1
            if end < 0:
                return []
            values.append(text[at + 1 : end].replace(quote * 2, quote))
            at = end + 2
        else:
            end = text.find(delimiter, at)
            end = len(text) if end < 0 else end
            values.append(text[at:end])
            at = end + 1
    return values


def _find_lone_escapes(dialect: Dialect) -> re.Pattern[str] | None:
    r"""Return what finds escapes that escape nothing, which Python's reader would drop.

    A backslash before another letter is one of the text: `C:\new` stays what it is.
    """
    if not dialect.escape:
        return None
    escape = re.escape(dialect.escape)
    escaped = re.escape(dialect.escape + (dialect.quote or f"{dialect.delimiter}\r\n"))
    return re.compile(rf"(?:{escape}[{escaped}])|({escape})")


def _double(found: re.Match[str]) -> str:
    lone: str | None = found[1]
    return lone * 2 if lone else found[0]


def _explain(parsed: Parsed, is_doubtful: bool) -> str:
    if is_doubtful:
        return "a quote stands in a value without quotes around it"
    return f"a quote opens here, and {len(parsed.lines) - 1} more lines would be one value with it"
