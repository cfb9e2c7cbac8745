"""Lines out of bytes, in any encoding, without ever holding more than one long line.

Lines are split as bytes and decoded one by one, so that a byte that does not belong to the
encoding costs one line and not the rest of the file.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, zip_longest
from typing import Final

import numpy as np

from sentiflow.data.reading.streams import BLOCK_BYTES, ByteStream
from sentiflow.data.reviews import replace_surrogates
from sentiflow.errors import SourceError

SHOWN_CHARACTERS: Final = 2_000

_BYTE_ORDER_MARKS: Final = {
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32-le": codecs.BOM_UTF32_LE,
    "utf-32-be": codecs.BOM_UTF32_BE,
}


_WIDE_MARKS: Final = dict(sorted(_BYTE_ORDER_MARKS.items(), key=lambda item: -len(item[1])))


@dataclass(frozen=True)
class LongLine:
    """A line that is longer than allowed; only its first bytes are known.

    Attributes:
        beginning: the first bytes.
        length: how many bytes there are.
    """

    beginning: bytes
    length: int

    def __len__(self) -> int:
        """Return how many bytes the whole line has."""
        return self.length


class LineReader:
    """The lines of a stream as bytes, each with what ends it: LF, CRLF or CR alone.

    Iterate over it once.

    Attributes:
        codec: the name of the encoding, with its byte order where that matters.
        tail: what stands behind the last line break, known once that has been passed. It is
            a line of its own unless it is empty or the stream is damaged.
        at_tail: whether the line given out last is the tail.
        passed: bytes of the file up to the last line break passed.
    """

    def __init__(
        self, stream: ByteStream, encoding: str, max_line_bytes: int, start: int = 0
    ) -> None:
        """Find out the byte order and pass the byte order mark.

        Args:
            stream: the plain bytes.
            encoding: any text encoding known to Python.
            max_line_bytes: longer lines come out as a LongLine.
            start: the offset of the stream's first byte in its file, a line's beginning.

        Raises:
            SourceError: the encoding is not known or not one of text.
        """
        self.codec = choose_codec(encoding, b"" if start else stream.peek(4))
        self.tail: bytes | LongLine = b""
        self.at_tail = False
        self._stream = stream
        self._max_line_bytes = max_line_bytes
        self._lf, self._cr = "\n".encode(self.codec), "\r".encode(self.codec)
        self.passed = start
        mark = _BYTE_ORDER_MARKS.get(self.codec, codecs.BOM_UTF8)
        # Within a file, the same bytes are part of a line.
        if not start and stream.peek(len(mark)) == mark:
            self.passed = len(stream.read(len(mark)))

    @property
    def is_resumable(self) -> bool:
        """Whether a reader can begin at any line: not where the byte order must be known."""
        return len(self._lf) == 1

    def __iter__(self) -> Iterator[bytes | LongLine]:
        """Yield every line with its break, the last one too when no line break ends it."""
        longest = self._max_line_bytes
        started: list[bytes] = []
        length = 0
        while block := self._read_block():
            lines = self._split(block)
            rest = b"" if self._ends_in_break(block) else lines.pop()
            for line in lines:
                self.passed += length + len(line)
                if started:
                    started.append(line)
                    yield self._finish(started, length + len(line))
                    started, length = [], 0
                else:
                    yield self._finish([line], len(line)) if len(line) > longest else line
            if rest and length <= longest:
                started.append(rest)
            length += len(rest)
        self.tail = self._finish(started, length)
        if self.tail and self._stream.damage is None:
            self.at_tail = True
            yield self.tail

    def _finish(self, parts: list[bytes], length: int) -> bytes | LongLine:
        """Return the line that the parts make; of a long one they are only the beginning."""
        for ending in (self._cr + self._lf, self._lf, self._cr):
            if parts and parts[-1].endswith(ending):
                length -= len(ending)
                break
        line = b"".join(parts)
        if length > self._max_line_bytes:
            return LongLine(line[: SHOWN_CHARACTERS * 4], length)
        return line

    def _read_block(self) -> bytes:
        """Return the next bytes, filled up so that no unit and no line break is halved."""
        unit = len(self._lf)
        block = self._stream.read(BLOCK_BYTES)
        while block and (odd := len(block) % unit):
            more = self._stream.read(unit - odd)
            if not more:
                return block
            block += more
        if block.endswith(self._cr) and self._stream.peek(unit) == self._lf:
            block += self._stream.read(unit)
        return block

    def _ends_in_break(self, block: bytes) -> bool:
        """Say whether the last line of a block has ended, whatever may still be appended.

        Behind a carriage return at the end of the stream a line feed may follow one day.
        """
        if len(block) % len(self._lf):
            return False
        if block.endswith(self._lf):
            return True
        return block.endswith(self._cr) and bool(self._stream.peek(1))

    def _split(self, block: bytes) -> list[bytes]:
        """Return the block's lines with their breaks: CRLF, LF, or CR alone."""
        unit = len(self._lf)
        if unit == 1:
            if (self._cr, self._lf) == (b"\r", b"\n"):
                return block.splitlines(keepends=True)
            pieces = re.split(b"(%b%b|%b|%b)" % (self._cr, self._lf, self._lf, self._cr), block)
            return [
                line + ending
                for line, ending in zip_longest(pieces[::2], pieces[1::2], fillvalue=b"")
                if line or ending
            ]
        # In UTF-16 and UTF-32 the bytes of a line break may also be halves of two other
        # characters: only those at a whole unit count.
        whole = len(block) - len(block) % unit
        units = np.frombuffer(block[:whole], dtype=f"u{unit}")
        line_feeds, returns = (
            units == np.frombuffer(sign, dtype=f"u{unit}")[0] for sign in (self._lf, self._cr)
        )
        returns[:-1] &= ~line_feeds[1:]
        ends = ((np.flatnonzero(line_feeds | returns) + 1) * unit).tolist()
        bounds = list(dict.fromkeys([0, *ends, len(block)]))
        return [block[start:end] for start, end in pairwise(bounds)]


def choose_codec(encoding: str, head: bytes = b"") -> str:
    r"""Return Python's name of the encoding, with the byte order that the head shows.

    What begins with the byte order mark of UTF-16 or UTF-32 is taken for that and not for UTF-8.

    >>> choose_codec("UTF8"), choose_codec("utf-16", b"\xfe\xff")
    ('utf-8', 'utf-16-be')

    Raises:
        SourceError: the encoding is not known or not one of text.
    """
    try:
        codec = codecs.lookup(encoding).name
        if codec == "utf-8":
            # No UTF-8 begins so.
            wide = (name for name, mark in _WIDE_MARKS.items() if head.startswith(mark))
            codec = next(wide, codec)
        if codec in ("utf-16", "utf-32"):
            big = _BYTE_ORDER_MARKS[f"{codec}-be"]
            codec = f"{codec}-be" if head.startswith(big) else f"{codec}-le"
        codec = codec.removesuffix("-sig")
        widths = {"utf-16": 2, "utf-32": 4}
        if len("\n".encode(codec)) != widths.get(codec[:6], 1):
            raise LookupError("it does not write a line break as one character")
        # idna cannot show bytes that it does not understand, and no review is written in it.
        b"\xff".decode(codec, "replace")
    except (LookupError, ValueError) as error:
        raise SourceError(
            "data.encoding must be the name of a text encoding, such as utf-8, latin-1, cp1252 "
            f"or utf-16. Received: data.encoding={encoding!r} ({error}). "
            "Name another with --set data.encoding=NAME."
        ) from error
    return codec


def show_line(line: bytes | LongLine, codec: str) -> str:
    """Return the first 2,000 characters of a line for the quarantine, whatever its bytes."""
    if isinstance(line, LongLine):
        line = line.beginning
    shown = line[: SHOWN_CHARACTERS * 4].decode(codec, "replace")
    return replace_surrogates(shown[:SHOWN_CHARACTERS].rstrip("\r\n"))
