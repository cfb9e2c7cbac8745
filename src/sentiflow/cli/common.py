"""What all commands share: their options, one way to answer, and the live line."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager, suppress
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, Final, get_type_hints

import typer

from sentiflow.cli.next_steps import name_program_in
from sentiflow.cli.refusals import describe_failure, find_home, foresee
from sentiflow.cli.terminal import is_terminal, print_answer, print_json, read_width, say
from sentiflow.errors import SentiflowError
from sentiflow.night.interrupts import INTERRUPTED, Ended, end_by_signals
from sentiflow.tracebacks import keep_traceback

_CLEAR_LINE: Final = "\r\x1b[2K"
_INTERRUPTED_TEXT: Final = "Interrupted. Run again to go on: finished steps are kept."

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Nightly retraining of a review classifier: browse it in MLflow, promote it with reasons.",
)


def _show_version(is_asked: bool) -> None:
    if is_asked:
        from sentiflow import __version__

        print_answer(f"sentiflow {__version__}")
        raise typer.Exit


@app.callback()
def read_common_options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and exit.", is_eager=True,
                     callback=_show_version),
    ] = False,
) -> None:  # fmt: skip
    """Nightly retraining of a review classifier: browse it in MLflow, promote it with reasons."""


def complete_keys(incomplete: str) -> list[str]:
    """Return the settings that begin so, for a shell that completes a word."""
    from sentiflow.settings import list_keys

    return [f"{key}=" for key in list_keys() if key.startswith(incomplete)]


def complete_presets(incomplete: str) -> list[str]:
    """Return the presets that begin so, for a shell that completes a word."""
    from sentiflow.settings import list_presets

    return [name for name in list_presets() if name.startswith(incomplete)]


DataOption = Annotated[
    list[str] | None,
    typer.Option("--data", help="File, glob, folder or URL of reviews; may be repeated."),
]
ConfigOption = Annotated[
    str | None,
    typer.Option(
        "--config",
        help="A preset, such as article-2018, or a TOML file.",
        autocompletion=complete_presets,
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="group.key=value; may be repeated.", autocompletion=complete_keys),
]
ModelOption = Annotated[
    str, typer.Option("--model", help="champion, challenger or a version number.")
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on stdout; logs go to stderr.")
]
ReasonOption = Annotated[
    str, typer.Option("--reason", help="Why; it is kept in the ledger.", prompt=False)
]


Act = Callable[..., tuple[dict[str, Any], str]]

# Every command that works in a home ends its list of options with these.
_OF_A_HOME: Final = tuple(
    Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
    for name, default, annotation in (
        ("config", None, ConfigOption),
        ("overrides", None, SetOption),
        ("as_json", False, JsonOption),
    )
)


def add_home_command(
    name: str | None = None, *, may_make: bool = True
) -> Callable[[Act], Callable[..., None]]:
    """Register a command that works in the home: with its own options, and --config, --set, --json.

    What it decorates takes the opened home and the command's own options, and returns the answer
    as JSON and as text.

    Args:
        name: what a user types; None: the function's name.
        may_make: make the home where there is none.
    """

    def register(act: Act) -> Callable[..., None]:
        def answer(
            config: str | None, overrides: list[str] | None, as_json: bool, **own: Any
        ) -> None:
            def work() -> tuple[dict[str, Any], str, int]:
                from sentiflow.commands.context import open_release_context

                home = prepare_home(may_make=may_make)
                return *act(open_release_context(config, tuple(overrides or ()), home), **own), 0

            answer_with(as_json, work, {})

        # The context is no option, and its module is not loaded before a command runs.
        hints = get_type_hints(act, localns={"ReleaseContext": Any}, include_extras=True)
        _, *own = signature(act).parameters.values()
        options = [
            *(
                option.replace(kind=Parameter.KEYWORD_ONLY, annotation=hints[option.name])
                for option in own
            ),
            *_OF_A_HOME,
        ]
        answer.__name__, answer.__doc__ = act.__name__, act.__doc__
        answer.__signature__ = Signature(options)  # type: ignore[attr-defined]
        answer.__annotations__ = {option.name: option.annotation for option in options}
        return app.command(name)(answer)

    return register


def answer_with(
    as_json: bool, work: Callable[[], tuple[dict[str, Any], str, int]], failed: dict[str, Any]
) -> None:
    """Do the work and print its answer; an error is one line and its exit code."""
    # MLflow prints the statement, its values and a traceback; what it raises is told in a line.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL + 1)
    try:
        with end_by_signals():
            answer, text, code = work()
    except KeyboardInterrupt as error:
        answer = {**failed, "reasons": [_INTERRUPTED_TEXT], "error": "Interrupted"}
        text, code = "", error.exit_code if isinstance(error, Ended) else INTERRUPTED
        if not as_json:
            # In place of the live line and of the ^C that the terminal wrote there.
            say(f"{_CLEAR_LINE if is_terminal(sys.stderr) else ''}{_INTERRUPTED_TEXT}")
    except Exception as error:
        # Whatever it is: a user's mistake and a fault of ours end in one line alike.
        told = foresee(error)
        answer, text, code = describe_failure(failed, told), "", told.exit_code
        if not as_json:
            say(f"Error: {name_program_in(format_for_asker(told))}")
    raise typer.Exit(_print(answer if as_json else text, code))


def format_for_asker(error: SentiflowError) -> str:
    """Return an error's text for the terminal of the person who asked, who may see its detail."""
    return f"{error} {error.detail}" if error.detail else str(error)


def _print(answer: dict[str, Any] | str, code: int) -> int:
    """Print an answer; return the exit code, which tells if it could not be written."""
    try:
        if isinstance(answer, dict):
            print_json(answer)
        elif answer:
            print_answer(answer)
    except OSError as error:
        say(f"Error: It is done, but its answer could not be written: {error.strerror}.")
        return code or SentiflowError.exit_code
    return code


def prepare_home(*, may_make: bool = True) -> Path:
    """Return SENTIFLOW_HOME with the environment pointing at it."""
    from sentiflow.settings import prepare_environment, read_home

    home = read_home()
    prepare_environment(home, may_make=may_make)
    return home


@contextmanager
def load_prefect(home: Path) -> Iterator[None]:
    """Load Prefect in the block as the environment says, and nothing else.

    Where it is loaded it reads the settings that a prefect.toml, a pyproject.toml or an .env there
    hold: they are those of whatever project the user stands in. Prefect's own lines stay in its
    database; on the terminal sentiflow speaks.

    Args:
        home: SENTIFLOW_HOME.

    Raises:
        SettingsError: PREFECT_API_URL is no address, over which Prefect would not load.
    """
    from sentiflow.settings import check_prefect_address

    check_prefect_address()
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "60")
    with chdir(home), warnings.catch_warnings():
        # It warns, in two lines of code, of a home that it cannot write to.
        warnings.simplefilter("ignore")
        yield


class _LiveLine(logging.Handler):
    """Show sentiflow's log on stderr: progress as one live line on a terminal."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._is_terminal = is_terminal(sys.stderr)
        self._is_live = False
        self._last_share: dict[str, int] = {}

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "is_recorded", False):
            # The command's answer says it.
            return
        # Whoever watched may be gone: a closed terminal, `| head`. The night goes on.
        with suppress(OSError):
            self._show(record)

    def _show(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if getattr(record, "live", False):
            share = getattr(record, "share", None)
            step = getattr(record, "step", "")
            if self._is_terminal:
                bar = "" if share is None else f"[{'#' * round(share * 20):<20}] "
                # A line that wraps could not be taken back.
                shown = f"  {bar}{message}"[: read_width() - 1]
                sys.stderr.write(f"{_CLEAR_LINE}{shown}")
                self._is_live = True
            elif step != "train" and share and int(share * 4) != self._last_share.get(step):
                # Without a terminal a line for every quarter is enough; each epoch has its own.
                self._last_share[step] = int(share * 4)
                sys.stderr.write(f"  {message}\n")
        else:
            start = _CLEAR_LINE if self._is_live else ""
            level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
            sys.stderr.write(f"{start}  {level}{message}\n")
            if record.exc_info and record.exc_info[1]:
                path = keep_traceback(record.exc_info[1], find_home())
                sys.stderr.write(f"  where it came from: {path}\n" if path else "")
            self._is_live = False
        sys.stderr.flush()


@contextmanager
def show_progress() -> Iterator[None]:
    """Show sentiflow's own log on stderr while the block runs."""
    logger = logging.getLogger("sentiflow")
    handler = _LiveLine()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    # A root logger without any handler would print Prefect's tracebacks as a last resort.
    silence = logging.NullHandler()
    logging.getLogger().addHandler(silence)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(silence)
        logger.removeHandler(handler)
