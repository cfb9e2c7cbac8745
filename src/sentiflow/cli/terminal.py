"""Let every answer be printed, whatever the terminal, the pipe or the file can take.

A command that changed what is live must not fail for want of an arrow. So both streams are mended
once, at the start: what their encoding lacks is written in ASCII, what nobody reads any more is
dropped, and a stream that was closed is one that nobody reads.
"""

from __future__ import annotations

import codecs
import io
import json
import os
import re
import shutil
import sys
import unicodedata
from contextlib import suppress
from typing import Any, Final, TextIO

_HANDLER: Final = "sentiflow-plain"
_SURROGATES: Final = re.compile("[\ud800-\udfff]")
# What sentiflow writes and ASCII lacks; letters lose their accents, anything else is a "?".
_PLAIN: Final = {
    "…": "...", "–": "-", "—": "-", "−": "-", "‑": "-", "→": "->", "←": "<-", "⇒": "=>",
    "·": "*", "•": "*", "×": "x", "±": "+-", "≥": ">=", "≤": "<=", "≠": "!=", "≈": "~",
    "“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "‘": "'", "’": "'", "✓": "yes",
    "✗": "no", "█": "#", "▒": "=", "│": "|", "─": "-", "²": "^2", "³": "^3", "½": "1/2",
    "\N{NO-BREAK SPACE}": " ", "\N{NARROW NO-BREAK SPACE}": " ", "\N{THIN SPACE}": " ",
    "ß": "ss", "æ": "ae", "ø": "o", "€": "EUR", "\N{REPLACEMENT CHARACTER}": "?",
}  # fmt: skip


def mend_streams() -> None:
    """Let standard output and error take any text, and outlive their readers."""
    codecs.register_error(_HANDLER, _replace)
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = _open_for_good(number, getattr(sys, name))
        stream.reconfigure(errors=_HANDLER)
        setattr(sys, name, stream)


def close_streams() -> None:
    """Write what is left to be written; what cannot be is dropped, and was told before."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            # Python would try again when it ends, and end with 120.
            with suppress(OSError, ValueError):
                _drop_from_now(stream.fileno())


def print_answer(text: str) -> None:
    """Print an answer and see that it went out.

    Raises:
        OSError: it could not be written: a full disk.
    """
    print(_replace_surrogates(text), flush=True)


def print_json(value: dict[str, Any]) -> None:
    """Print a JSON object that stays one where the output is not UTF-8.

    Raises:
        OSError: it could not be written: a full disk.
    """
    text = _replace_surrogates(json.dumps(value, ensure_ascii=False))
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        # A stand-in could be a quote, which would end a string.
        text = json.dumps(json.loads(text))
    print(text, flush=True)


def say(text: str) -> None:
    """Tell whoever is at the terminal, if anybody is."""
    with suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)


def is_terminal(stream: TextIO) -> bool:
    """Return whether a stream is a terminal that can take back what it shows."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def read_width() -> int:
    """Return how many signs fit on a line of the terminal."""
    return max(20, shutil.get_terminal_size((80, 24)).columns)


class _Pipe(io.FileIO):
    """A descriptor whose reader may go: what is written then is dropped, as to /dev/null."""

    def write(self, content: Any) -> int:
        """Write, or say that it was where nobody reads."""
        try:
            return super().write(content)
        except BrokenPipeError:
            return len(content)


def _open_for_good(number: int, stream: Any) -> Any:
    """Return a stream on a standard descriptor; another one (a test's) is left as it is."""
    if stream is None:
        # It was closed: what is opened next would get its number, and answers written into it.
        _drop_from_now(number)
        return io.TextIOWrapper(io.BufferedWriter(_Pipe(number, "w", closefd=False)), "utf-8")
    try:
        is_standard = stream.fileno() == number
    except (OSError, ValueError):
        is_standard = False
    if not is_standard:
        return stream
    with suppress(OSError):
        stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Pipe(number, "w", closefd=False)),
        encoding=stream.encoding,
        line_buffering=stream.line_buffering,
        write_through=number == 2,
    )


def _drop_from_now(number: int) -> None:
    """Let a descriptor lead nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    if nowhere != number:
        os.close(nowhere)


def _replace(error: UnicodeError) -> tuple[str, int]:
    """Return what stands in for signs that an encoding lacks, as `codecs` asks for it."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    signs = error.object[error.start : error.end]
    return "".join(_replace_sign(sign) for sign in signs), error.end


def _replace_sign(sign: str) -> str:
    if sign in _PLAIN:
        return _PLAIN[sign]
    letters = unicodedata.normalize("NFKD", sign).encode("ascii", "ignore").decode()
    return letters or "?"


def _replace_surrogates(text: str) -> str:
    """Return a text with a sign in place of bytes of an argument that are no text."""
    return _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", text)
