"""Lines out of bytes, in any encoding, without ever holding more than one long line.

Lines are split as bytes and decoded one by one, so that a byte that does not belong to the
encoding costs one line and not the rest of the file.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
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
    """The lines of a stream as bytes, without their line breaks.

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
        self._newline = "\n".encode(self.codec)
        self.passed = start
        mark = _BYTE_ORDER_MARKS.get(self.codec, codecs.BOM_UTF8)
        # Within a file, the same bytes are part of a line.
        if not start and stream.peek(len(mark)) == mark:
            self.passed = len(stream.read(len(mark)))

    @property
    def is_resumable(self) -> bool:
        """Whether a reader can begin at any line: not where the byte order must be known."""
        return len(self._newline) == 1

    def __iter__(self) -> Iterator[bytes | LongLine]:
        """Yield every line, the last one too when no line break ends it."""
        longest, unit = self._max_line_bytes, len(self._newline)
        started: list[bytes] = []
        length = 0
        while block := self._read_block():
            first, *others = self._split(block)
            if length <= longest:
                started.append(first)
            length += len(first)
            if not others:
                continue
            self.passed += length + unit
            yield self._finish(started, length)
            *whole, rest = others
            for line in whole:
                self.passed += len(line) + unit
                yield self._finish([line], len(line)) if len(line) > longest else line
            started, length = [rest], len(rest)
        self.tail = self._finish(started, length)
        if self.tail and self._stream.damage is None:
            self.at_tail = True
            yield self.tail

    def _finish(self, parts: list[bytes], length: int) -> bytes | LongLine:
        """Return the line that the parts make; of a long one they are only the beginning."""
        line = b"".join(parts)
        if length > self._max_line_bytes:
            return LongLine(line[: SHOWN_CHARACTERS * 4], length)
        return line

    def _read_block(self) -> bytes:
        """Return the next bytes, filled up to whole units, so that a break is never halved."""
        block = self._stream.read(BLOCK_BYTES)
        while block and (odd := len(block) % len(self._newline)):
            more = self._stream.read(len(self._newline) - odd)
            if not more:
                break
            block += more
        return block

    def _split(self, block: bytes) -> list[bytes]:
        unit = len(self._newline)
        if unit == 1:
            return block.split(self._newline)
        # In UTF-16 and UTF-32 the bytes of a line break may also be halves of two other
        # characters: only those at a whole unit count.
        whole = len(block) - len(block) % unit
        units = np.frombuffer(block[:whole], dtype=f"u{unit}")
        breaks = np.flatnonzero(units == np.frombuffer(self._newline, dtype=f"u{unit}")[0]) * unit
        starts = [0, *(breaks + unit).tolist()]
        return [
            block[start:end] for start, end in zip(starts, [*breaks.tolist(), None], strict=True)
        ]


def choose_codec(encoding: str, head: bytes = b"") -> str:
    r"""Return Python's name of the encoding, with the byte order that the head shows.

    >>> choose_codec("UTF8"), choose_codec("utf-16", b"\xfe\xff")
    ('utf-8', 'utf-16-be')

    Raises:
        SourceError: the encoding is not known or not one of text.
    """
    try:
        codec = codecs.lookup(encoding).name
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
