"""Keep the words of foreign errors out of Prefect, which stores the message of every failure."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from sentiflow.errors import SentiflowError, UnforeseenError, forget_causes

P = ParamSpec("P")
R = TypeVar("R")


def hide_foreign_words(function: Callable[P, R]) -> Callable[P, R]:
    """Replace errors of other packages, whose words may not be stored, where a flow or task fails.

    Prefect writes the message of an error into the state of its run, and with those of the
    errors that it came from into the run's log. Sentiflow's own quote nothing that stands in a
    file; of any other error type and frames are left.

    Args:
        function: the flow's or the task's own function; goes below Prefect's decorator.
    """

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except SentiflowError as error:
            forget_causes(error)
            raise
        except Exception as error:
            told = UnforeseenError.of(error)
            forget_causes(error)
            for note in getattr(error, "__notes__", ()):
                told.add_note(note)
        raise told

    # Prefect makes the form of its parameters, and would look for their types in this module.
    call.__signature__ = inspect.signature(function, eval_str=True)  # type: ignore[attr-defined]
    return call
