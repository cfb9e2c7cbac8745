"""Tell in one line, and as JSON where it is asked for, why a call came to nothing."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentiflow.cli.next_steps import name_program_in
from sentiflow.cli.terminal import print_json, say
from sentiflow.errors import SentiflowError, UnforeseenError
from sentiflow.tracebacks import explain_unforeseen

if TYPE_CHECKING:
    from typer import TyperException


def refuse_call(error: TyperException, words: Sequence[str]) -> int:
    """Say what is wrong with a command line; return the exit code."""
    context = getattr(error, "ctx", None)
    message = error.format_message().strip()
    if not message:
        # No command at all: the help was printed in place of it.
        return error.exit_code
    advice = f" See {context.command_path} --help." if context is not None else ""
    told = f"{message if message.endswith(('.', '?')) else f'{message}.'}{advice}"
    if asks_for_json(words):
        print_json({"reasons": [told], "error": "UsageError"})
    else:
        say(f"Error: {name_program_in(told)}")
    return error.exit_code


def tell_unforeseen(error: Exception, words: Sequence[str]) -> int:
    """Say that a command met what nobody foresaw; return the exit code."""
    told = foresee(error)
    if asks_for_json(words):
        print_json({"reasons": [str(told)], "error": type(told).__name__})
    else:
        say(f"Error: {name_program_in(str(told))}")
    return told.exit_code


def foresee(error: Exception) -> SentiflowError:
    """Return an error as one of sentiflow's: what is none goes to a file that its line names."""
    if isinstance(error, SentiflowError) and not isinstance(error, UnforeseenError):
        return error
    home = find_home()
    if home is not None and isinstance(error.__cause__ or error, OSError):
        from sentiflow.home import check_writable

        try:
            check_writable(home)
        except SentiflowError as refusal:
            return refusal
    return explain_unforeseen(error, home)


def find_home() -> Path | None:
    """Return SENTIFLOW_HOME, which need not be there; None where it can be no place at all."""
    from sentiflow.settings import read_home

    with suppress(SentiflowError, OSError, ValueError):
        return read_home()
    return None


def asks_for_json(words: Sequence[str]) -> bool:
    """Return whether a command line asks for JSON, also one that could not be read."""
    own = words[: words.index("--")] if "--" in words else words
    return "--json" in own


def describe_failure(failed: dict[str, Any], error: SentiflowError) -> dict[str, Any]:
    """Return the JSON answer of a command that an error ended."""
    return {**failed, "reasons": [str(error)], "error": type(error).__name__}
