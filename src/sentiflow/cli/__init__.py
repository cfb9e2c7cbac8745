"""The command line: parse, call, print."""

from __future__ import annotations

import os
import sys

from sentiflow.cli import nights, operations, releases, serving, upkeep
from sentiflow.cli.common import INTERRUPTED, TERMINATED, app

__all__ = ["app", "main", "nights", "operations", "releases", "serving", "upkeep"]


def main() -> None:
    """Run the command line; a signal ends it in one line, at once."""
    try:
        app()
    except SystemExit as end:
        if end.code not in (INTERRUPTED, TERMINATED):
            raise
        # All is closed and said. To take TensorFlow and the rest apart takes seconds more.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(end.code))
