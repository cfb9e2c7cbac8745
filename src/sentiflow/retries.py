"""Ask MLflow again while it does not answer.

A server that restarts, a database that is locked and a network that is away mend themselves; a
refusal does not. Only the first kind is waited for.
"""

from __future__ import annotations

import logging
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

from sentiflow.errors import GateNotEvaluated, RegistryFailed, RegistryUnreachable
from sentiflow.files import hide_secrets

logger = logging.getLogger(__name__)

_LONGEST_PAUSE: Final = 15.0
# Statuses of a server, or of a proxy before it, that say "not now". MLflow answers 503 while its
# database is locked or away; 500 is a request that it cannot carry out, now or later.
_NOT_NOW: Final = frozenset({408, 429, 502, 503, 504})
_BROKEN: Final = 500
# How urllib3 names the status when MLflow's client tried again in vain.
_TOO_MANY: Final = re.compile(r"too many (\d{3}) error responses")
# What a database says when it answers but refuses us, or cannot go on.
_DATABASE_REFUSALS: Final = (
    "authentication failed", "no password supplied", "does not exist", "No space left",
)  # fmt: skip

_PAGE: Final = re.compile(r"[.:]? Response body: '?<.*")
# Short words for the network's long errors.
_SIGNS: Final = (
    ("Read timed out", "no answer in time"),
    ("Connection refused", "connection refused"),
    ("Failed to resolve", "no such host"),
    ("too many 500 error responses", "an answer of 500; its own log says why"),
)

_Answer = TypeVar("_Answer")


class RetryPolicy:
    """How long an MLflow that does not answer is asked again.

    The calls of one night share one. Once it was used up in vain, every later call is made just
    once, until one is answered: a night that cannot go on must not wait anew for each thing that
    it still wants to write down.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        """Wait for at most so many seconds at a time; 0 asks once."""
        self._seconds = seconds
        self._is_used_up = False

    def ask(self, call: Callable[[], _Answer]) -> _Answer:
        """Return the call's answer, asking again while there is none.

        The call must do no harm when it is made twice: what was not answered may have been done.

        Raises:
            Exception: the call's own last error, when it is a refusal or the time is used up.
        """
        started = time.monotonic()
        pauses = list_pauses()
        is_waiting = False
        while True:
            try:
                answer = call()
            except Exception as error:
                if not is_unreachable(error):
                    raise
                left = self._seconds - (time.monotonic() - started)
                if self._is_used_up or left <= 0:
                    self._is_used_up = True
                    raise
                if not is_waiting:
                    is_waiting = True
                    logger.warning(
                        "MLflow does not answer; it is asked again for %.0f seconds: %s",
                        self._seconds, shorten_error(error),
                    )  # fmt: skip
                time.sleep(min(next(pauses), left))
                continue
            self._is_used_up = False
            if is_waiting:
                logger.info("MLflow answers again after %.0f seconds", time.monotonic() - started)
            return answer


def ask_mlflow(policy: RetryPolicy, uri: str, call: Callable[[], _Answer]) -> _Answer:
    """Return MLflow's answer, asking again while there is none; a refusal is raised as it is.

    Args:
        policy: how long it is asked again.
        uri: its address, to name it by.
        call: see `RetryPolicy.ask`.

    Raises:
        RegistryUnreachable: it does not answer.
        RegistryFailed: it answers 500.
    """
    try:
        return policy.ask(call)
    except Exception as error:
        # Whatever else it is, it is not ours to explain.
        if is_failure(error):
            raise describe_failure(uri, error) from error
        raise


def describe_failure(uri: str, error: Exception) -> GateNotEvaluated:
    """Return the error of an MLflow that does not answer, or that breaks over what it is asked."""
    if _read_status(error) == _BROKEN:
        return RegistryFailed(
            f"MLflow must carry out what it is asked. Received: uri={hide_secrets(uri)}, "
            f"error={shorten_error(error)}. Mend what that log names (a full disk, a database "
            "that is not UTF8) and run again; the champion is kept."
        )
    return RegistryUnreachable(
        f"MLflow must answer. Received: uri={hide_secrets(uri)}, error={shorten_error(error)}. "
        "Start it or set tracking.uri, and run again; the champion is kept."
    )


def list_pauses() -> Iterator[float]:
    """Give the seconds between tries: 1, 2, 4, 8, then 15 for ever."""
    pause = 1.0
    while True:
        yield pause
        pause = min(2 * pause, _LONGEST_PAUSE)


def is_failure(error: Exception) -> bool:
    """Say whether MLflow did not answer, or broke over what it was asked, rather than refused."""
    return is_unreachable(error) or _read_status(error) == _BROKEN


def is_unreachable(error: Exception) -> bool:
    """Say whether an error means that nobody answered, rather than that somebody refused."""
    from requests import exceptions as http
    from sqlalchemy.exc import DBAPIError

    origin = _unwrap_origin(error)
    if (status := _read_status(error)) is not None:
        return status in _NOT_NOW
    if isinstance(origin, http.SSLError | http.HTTPError):
        return False
    if isinstance(
        origin, http.ConnectionError | http.Timeout | http.RetryError | http.ChunkedEncodingError
    ):
        return True
    if isinstance(origin, DBAPIError):
        return _is_database_away(origin)
    return isinstance(origin, ConnectionError | TimeoutError)


def shorten_error(error: Exception) -> str:
    """Return what is wrong in one line, without secrets."""
    # SQLAlchemy quotes the statement and its values after what went wrong.
    said = str(error).split("[SQL:", 1)[0]
    # Nor a page that something else than MLflow answers with.
    line = _PAGE.sub("", " ".join(hide_secrets(said).split()))
    return next((words for sign, words in _SIGNS if sign in line), line[:300])


def _unwrap_origin(error: Exception) -> BaseException:
    """Return what an error of MLflow's wraps: its cause, or what was being handled.

    MLflow names no cause when a request failed; an answer of the server's has a JSON body.
    """
    code = getattr(error, "error_code", None)
    if code is None or hasattr(error, "json"):
        return error
    if error.__cause__ is not None:
        return error.__cause__
    return error.__context__ if code == "INTERNAL_ERROR" and error.__context__ else error


def _read_status(error: Exception) -> int | None:
    """Return the HTTP status that an error tells of, or None."""
    from requests import exceptions as http

    origin = _unwrap_origin(error)
    if isinstance(origin, http.HTTPError) and origin.response is not None:
        return int(origin.response.status_code)
    if hasattr(origin, "json") and hasattr(origin, "get_http_status_code"):
        # MLflow's own answer, whose code stands for a status.
        return int(origin.get_http_status_code())
    if isinstance(origin, http.RetryError) and (told := _TOO_MANY.search(str(origin))):
        return int(told[1])
    return None


def _is_database_away(error: Any) -> bool:
    from sqlalchemy.exc import OperationalError

    text = str(error.orig)
    if isinstance(error.orig, sqlite3.Error):
        return "locked" in text or "busy" in text
    if error.connection_invalidated:
        return True
    return isinstance(error, OperationalError) and not any(
        refusal in text for refusal in _DATABASE_REFUSALS
    )
