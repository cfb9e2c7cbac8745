"""The command line: parse, call, print."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from sentiflow.cli import nights, operations, releases, serving, upkeep
from sentiflow.cli.common import app
from sentiflow.night.interrupts import ENDED_CODES

__all__ = ["app", "main", "nights", "operations", "releases", "serving", "upkeep"]


def main() -> None:
    """Run the command line; a signal ends it in one line, at once."""
    try:
        app()
    except SystemExit as end:
        if end.code not in ENDED_CODES:
            raise
        # Everything is closed and printed. Unloading TensorFlow and the rest would take seconds.
        for stream in (sys.stdout, sys.stderr):
            # The reader may be gone: a closed terminal.
            with suppress(OSError):
                stream.flush()
        os._exit(int(end.code))
