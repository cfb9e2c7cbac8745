"""Keep tracebacks from users: each goes to a file under the home, and one line names it.

What nobody foresaw is caught in one outermost place of every program (the command line, the
servers' program), by the hooks that Python itself calls last.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final

from sentiflow.errors import SentiflowError, UnforeseenError, format_traceback

# Where they lie below the home.
FOLDER: Final = "errors"
# As many stay; what fails every night must not fill a disk.
_KEPT: Final = 50
_BEGINS: Final = "Traceback (most recent call last)"
_JOINS: Final = ("During handling of the above", "The above exception was the direct cause")
# How the lines of one begin; those in a frame are rich's.
_INSIDE: Final = (" ", "\t", "|", "│", "╰")

FindHome = Callable[[], Path | None]


def explain_unforeseen(error: BaseException, home: Path | None) -> UnforeseenError:
    """Return the one line about an error that nobody foresaw; its frames go where it says.

    Args:
        error: whatever was raised; its own words are not repeated, they may quote a review.
        home: where frames are kept; None, no folder or one that cannot be written: on stderr.
    """
    told = error if isinstance(error, UnforeseenError) else UnforeseenError.of(error)
    path = keep_traceback(error, home)
    if path is None:
        _write_to_stderr(_describe_origin(error))
        return told
    return UnforeseenError(f"{told} Where it came from: {path}").with_traceback(error.__traceback__)


def tell_origin(error: BaseException, home: Path) -> str:
    """Keep where an error came from, and return the words that say where that is."""
    path = keep_traceback(error, home)
    return f"where it came from: {path}" if path is not None else _describe_origin(error)


def _describe_origin(error: BaseException) -> str:
    """Return frames and types, with those that a flow noted before it forgot the causes."""
    return "\n".join([format_traceback(error), *getattr(error, "__notes__", ())])


def keep_traceback(error: BaseException, home: Path | None) -> Path | None:
    """Write an error's frames and types below the home, for its owner alone; return where.

    Returns:
        None where there is no such folder, or nothing can be written there.
    """
    if home is None or not home.is_dir():
        return None
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    path = home / FOLDER / f"{moment}-{os.getpid()}-{threading.get_native_id()}.txt"
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
            file.write(f"{_describe_origin(error)}\n")
        _remove_oldest(path.parent)
    except OSError:
        return None
    return path


def _remove_oldest(folder: Path) -> None:
    for path in sorted(folder.glob("*.txt"))[:-_KEPT]:
        path.unlink(missing_ok=True)


def hide_tracebacks(find_home: FindHome) -> None:
    """Let no traceback of this process reach a terminal, whatever it comes from.

    Args:
        find_home: asked when there is one to keep.
    """

    def look_up_home() -> Path | None:
        # The variable may name what is no home at all.
        with suppress(SentiflowError, OSError):
            return find_home()
        return None

    def end(_: type[BaseException], error: BaseException, __: TracebackType | None) -> None:
        if isinstance(error, KeyboardInterrupt):
            _write_to_stderr("Interrupted.")
        else:
            _write_to_stderr(f"Error: {explain_unforeseen(error, look_up_home())}")

    def end_thread(ended: threading.ExceptHookArgs) -> None:
        if ended.exc_value is not None and not isinstance(ended.exc_value, SystemExit):
            _write_to_stderr(f"Error: {explain_unforeseen(ended.exc_value, look_up_home())}")

    def ignore(ignored: sys.UnraisableHookArgs) -> None:
        # It ended nothing: a destructor, or a stream whose reader is gone.
        if ignored.exc_value is not None:
            keep_traceback(ignored.exc_value, look_up_home())

    sys.excepthook, threading.excepthook, sys.unraisablehook = end, end_thread, ignore
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_OneLine())


class _OneLine(logging.Formatter):
    """Writes a record without the traceback that came with it."""

    def formatException(self, _: object) -> str:  # noqa: N802
        """Return nothing."""
        return ""

    def format(self, record: logging.LogRecord) -> str:
        """Return the message alone; what another handler made of the traceback is left out."""
        text, record.exc_text = record.exc_text, None
        try:
            return super().format(record).rstrip("\n")
        finally:
            record.exc_text = text


def drop_tracebacks(lines: Iterable[str]) -> list[str]:
    """Return the lines of a log without tracebacks; the line that says what it was stays.

    >>> drop_tracebacks(["start", "Traceback (most recent call last):", "  File …", "OSError: 2"])
    ['start', 'OSError: 2']
    """
    kept: list[str] = []
    is_inside = False
    for line in lines:
        if _BEGINS in line:
            is_inside = True
        elif not line.startswith(_JOINS) and not (is_inside and line.startswith(_INSIDE)):
            is_inside = False
            kept.append(line)
    return kept


def _write_to_stderr(text: str) -> None:
    # Closed, or nobody reads it: then there is nobody to tell.
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
