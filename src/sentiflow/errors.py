"""The errors a user can meet, and the exit code each one ends with.

    SentiflowError                1   anything that is not one of the below
    ├── UsageError                2   a mistake in the call or the settings
    │   ├── SettingsError             an unknown key, a value out of range
    │   ├── SourceError               a path, file or column that is not there
    │   ├── LineageError              settings that differ from the lineage's
    │   ├── ForeignRegistry           the ledger is about another MLflow's versions
    │   └── NoModelError              no version to predict with, or to go back to
    ├── DataRejected              3   a critical expectation failed
    ├── GateNotEvaluated          4   no decision, or a forbidden one: champion kept
    │   ├── RegistryUnreachable       the registry did not answer: trying again can help
    │   ├── RegistryFailed            the registry answered that it broke over what was asked
    │   ├── LedgerUnreachable         the ledger did not answer: trying again can help
    │   ├── LedgerConflict            someone else wrote the ledger first: decide again
    │   ├── ReleaseForbidden          a rule, a hold or a check forbids what was asked
    │   ├── NightRefused              another night of the model is running
    │   └── LeaseLost                 another night took over: this one counts as dead
    ├── TrainingError             1   training ended without a model
    │   ├── TrainingDiverged          the loss became NaN or infinite
    │   └── TrainingTimedOut          training.max_minutes passed
    ├── ArtifactError             1   a stored snapshot, bundle or step is broken
    │   └── UnknownFiles          4   a version's files are not those that the ledger knows
    └── UnforeseenError           1   somebody else's error, without its words

Every message says what was required, what was received and what to do next. It is stored and
sent, so it quotes nothing that stands in a file; what only who asked may see is its `detail`.
Other packages' errors quote what they choke on, so their words are never shown or kept:
`describe_error` and `format_traceback` say of them what can be told.
"""

from __future__ import annotations

import errno
import os
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePath
from typing import Final, Self

_PACKAGE: Final = PurePath(__file__).parent


class SentiflowError(Exception):
    """Something went wrong that is not one of the more specific cases.

    Attributes:
        detail: more, for the terminal of who asked only; never stored, sent or pickled.
    """

    exit_code = 1

    def __init__(self, *args: object, detail: str | None = None) -> None:
        """Keep the public message and, apart from it, what only who asked may see."""
        super().__init__(*args)
        self.detail = detail

    def __reduce__(self) -> tuple[Callable[..., Self], tuple[object, ...], dict[str, object]]:
        """Leave the detail behind when the error is pickled: that is a way of storing it."""
        return type(self), self.args, {**self.__dict__, "detail": None}


class UsageError(SentiflowError):
    """The call or the settings ask for something that cannot be done."""

    exit_code = 2


class SettingsError(UsageError):
    """A settings key is unknown or its value is not allowed."""


class SourceError(UsageError):
    """A source of reviews cannot be read at all."""


class LineageError(UsageError):
    """The settings would compare models that may not be compared."""


class ForeignRegistry(UsageError):
    """The ledger is about the versions of another MLflow than the one that is asked."""


class NoModelError(UsageError):
    """There is no registered version that answers to what was asked."""


class DataRejected(SentiflowError):
    """The night's data failed a critical expectation.

    Attributes:
        reasons: one sentence per failed expectation.
    """

    exit_code = 3

    def __init__(self, reasons: Sequence[str]) -> None:
        """Keep the reasons, so that they can be reported one by one."""
        super().__init__("The data was rejected: " + " ".join(reasons))
        self.reasons = tuple(reasons)

    def __reduce__(self) -> tuple[Callable[..., Self], tuple[object, ...], dict[str, object]]:
        """Give the reasons, of which the message is made."""
        return type(self), (self.reasons,), {}


class GateNotEvaluated(SentiflowError):
    """The decision could not be made, so the champion stays."""

    exit_code = 4


class RegistryUnreachable(GateNotEvaluated):
    """The model registry did not answer."""


class RegistryFailed(GateNotEvaluated):
    """The model registry answered that it broke over what it was asked."""


class LedgerUnreachable(GateNotEvaluated):
    """The release ledger did not answer."""


class LedgerConflict(GateNotEvaluated):
    """The ledger went on since the decision was made, so it was not written."""


class ReleaseForbidden(GateNotEvaluated):
    """A rule of the gate, a hold or a check forbids what was asked; the champion stays."""


class NightRefused(GateNotEvaluated):
    """Another night of the model, or upkeep, is running; this one did nothing.

    Attributes:
        night: the date of the night that is running; None when it is upkeep.
    """

    def __init__(self, message: str, night: str | None = None) -> None:
        """Keep the other night's date: only a night of the same date does the same work."""
        super().__init__(message)
        self.night = night


class LeaseLost(GateNotEvaluated):
    """Another night took over, because this one was taken for dead."""


class TrainingError(SentiflowError):
    """Training ended without a usable model."""


class TrainingDiverged(TrainingError):
    """The training loss became NaN or infinite."""


class TrainingTimedOut(TrainingError):
    """Training did not end within training.max_minutes."""


class ArtifactError(SentiflowError):
    """A stored file is missing, damaged or does not do what it did when it was made."""


class UnknownFiles(ArtifactError):
    """A version's files are not those that the ledger knows, so they are not loaded."""

    exit_code = 4


class UnforeseenError(SentiflowError):
    """Somebody else's error, by its type and place: its own words may quote a review."""

    @classmethod
    def of(cls, error: BaseException) -> Self:
        """Return what may be kept of an error, with the frames that it came through."""
        raised = cls(f"{describe_error(error)}. This was not foreseen: please report it.")
        return raised.with_traceback(error.__traceback__)


def describe_error(error: BaseException) -> str:
    """Return what may be stored and sent of any error, in a clause.

    An error of sentiflow says it itself; of any other its type is told, and what is known
    without its words: the system's name of the fault, or the place in sentiflow.

    >>> describe_error(FileNotFoundError(2, "No such file", "a review.txt"))
    'FileNotFoundError: No such file or directory'
    >>> describe_error(ValueError("could not convert string to float: 'Great soup'"))
    'ValueError'
    """
    if isinstance(error, SentiflowError):
        return str(error)
    name = type(error).__name__
    if isinstance(error, OSError) and error.errno is not None and error.errno in errno.errorcode:
        return f"{name}: {os.strerror(error.errno)}"
    return f"{name}{_locate(error)}"


def format_traceback(error: BaseException) -> str:
    """Return a traceback with frames and types, in which only errors of sentiflow have words."""
    return "\n".join(_list_chain(error))


def forget_causes(error: BaseException) -> None:
    """Remove an error's causes: whoever formats it would quote their words too.

    Their frames and types stay, as a note.
    """
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    error.__cause__ = error.__context__ = None
    if cause is not None:
        error.add_note(f"It came from:\n{format_traceback(cause)}")


def _locate(error: BaseException) -> str:
    """Return where in sentiflow it was raised or passed last, as ", snapshot.py line 12"."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = PurePath(frame.filename)
        if path.is_relative_to(_PACKAGE):
            return f", {path.name} line {frame.lineno}"
    return ""


def _list_chain(error: BaseException) -> Iterator[str]:
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        yield from _list_chain(cause)
        yield "Then:"
    yield "".join(traceback.format_tb(error.__traceback__)).rstrip("\n")
    words = f": {error}" if isinstance(error, SentiflowError) else ""
    yield f"{type(error).__name__}{words}"
