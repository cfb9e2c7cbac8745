"""Keep the logs of programs: for their owner alone, and never longer than they may be."""

from __future__ import annotations

import logging
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from sentiflow.files import hide_secrets
from sentiflow.tracebacks import drop_tracebacks

logger = logging.getLogger(__name__)

_MOST_BYTES: Final = 10_000_000
_SHOWN_LINES: Final = 15


def open_log(path: Path) -> IO[bytes]:
    """Open a log to write at its end."""
    bound_log(path)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    return os.fdopen(handle, "ab")


def bound_log(path: Path) -> None:
    """Keep a log that has grown too long as the one before, and let it begin anew.

    The file itself stays: a program that writes to it, always at its end, notices nothing.
    """
    if not path.exists() or path.stat().st_size <= _MOST_BYTES:
        return
    earlier = path.with_suffix(".log.1")
    try:
        shutil.copyfile(path, earlier)
    except OSError as error:
        # Usually a full disk: what is half copied helps nobody and takes room.
        logger.warning("%s begins anew, and what was in it is lost: %s", path, error)
        with suppress(OSError):
            earlier.unlink()
    os.truncate(path, 0)


def read_last_lines(path: Path, start: int) -> list[str]:
    """Return the last lines of a log from a position on, without passwords and tracebacks."""
    with path.open("rb") as log:
        log.seek(start)
        text = log.read().decode("utf-8", "replace")
    lines = drop_tracebacks(line for line in text.splitlines() if line.strip())
    return [hide_secrets(line) for line in lines[-_SHOWN_LINES:]]
