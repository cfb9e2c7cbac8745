"""The command line: parse, call, print."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from typer import TyperException
from typer.main import get_command

from sentiflow.cli import nights, operations, releases, serving, upkeep
from sentiflow.cli.common import app
from sentiflow.cli.refusals import find_home, refuse_call, tell_unforeseen
from sentiflow.cli.terminal import close_streams, mend_streams
from sentiflow.night.interrupts import ENDED_CODES
from sentiflow.tracebacks import hide_tracebacks

__all__ = ["app", "main", "nights", "operations", "releases", "serving", "upkeep"]


def main() -> None:
    """Run the command line; a signal ends it in one line, at once."""
    mend_streams()
    hide_tracebacks(find_home)
    code = _run(sys.argv[1:])
    close_streams()
    if code in ENDED_CODES:
        # Everything is closed and printed. Unloading TensorFlow and the rest would take seconds.
        os._exit(code)
    sys.exit(code)


def _run(words: Sequence[str]) -> int:
    """Return the exit code of a command line; whatever goes wrong is told in a line."""
    try:
        # Called without Typer's own ways of ending: it would show what it does not know.
        return int(get_command(app).main(list(words), "sentiflow", standalone_mode=False) or 0)
    except TyperException as error:
        return refuse_call(error, words)
    except Exception as error:
        return tell_unforeseen(error, words)
