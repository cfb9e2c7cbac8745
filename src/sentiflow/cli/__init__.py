"""The command line: parse, call, print."""

from __future__ import annotations

import sys

from sentiflow.cli import nights, operations, releases, serving, upkeep
from sentiflow.cli.common import app

__all__ = ["app", "main", "nights", "operations", "releases", "serving", "upkeep"]


def main() -> None:
    """Run the command line; a signal ends it without a traceback."""
    try:
        app()
    except KeyboardInterrupt:
        print("Interrupted. Run again to go on: finished steps are kept.", file=sys.stderr)
        sys.exit(130)
