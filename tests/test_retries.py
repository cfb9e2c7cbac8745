"""What is waited for, what is not, and for how long."""

from __future__ import annotations

import socket
import sqlite3
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest
import requests
from mlflow.exceptions import MlflowException, RestException
from requests.exceptions import HTTPError, RetryError, SSLError
from sqlalchemy import create_engine, text

from sentiflow.errors import RegistryFailed
from sentiflow.retries import RetryPolicy, ask_mlflow, is_unreachable, list_pauses, shorten_error


def find_closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def ask_closed_port() -> None:
    requests.get(f"http://127.0.0.1:{find_closed_port()}", timeout=1)


def ask_as_mlflow_does() -> None:
    try:
        ask_closed_port()
    except Exception as error:
        raise MlflowException(f"API request failed with exception {error}")  # noqa: B904


def ask_locked_database(folder: Path) -> None:
    place = folder / "locked.db"
    with sqlite3.connect(place) as holder:
        holder.execute("CREATE TABLE IF NOT EXISTS runs (id)")
        holder.commit()
        holder.execute("BEGIN EXCLUSIVE")
        engine = create_engine(f"sqlite:///{place}", connect_args={"timeout": 0})
        with engine.connect() as connection:
            connection.execute(text("INSERT INTO runs VALUES (1)"))


def ask_broken_database(folder: Path) -> None:
    place = folder / "broken.db"
    place.write_bytes(b"this is no database" * 1_000)
    with create_engine(f"sqlite:///{place}").connect() as connection:
        connection.execute(text("SELECT * FROM runs"))


def ask_postgresql_that_is_gone(_: Path) -> None:
    url = f"postgresql+psycopg2://me:pw@127.0.0.1:{find_closed_port()}/mlflow"
    create_engine(url).connect()


def ask_missing_file(folder: Path) -> None:
    (folder / "nothing").read_text()


def refuse_with(status: int) -> Callable[[Path], None]:
    def ask(_: Path) -> None:
        response = requests.Response()
        response.status_code = status
        response.raise_for_status()

    return ask


def raise_error(error: Exception) -> Callable[[Path], None]:
    def ask(_: Path) -> None:
        raise error

    return ask


@pytest.mark.parametrize(
    ("ask", "is_silent"),
    [
        (lambda _: ask_closed_port(), True),
        (lambda _: ask_as_mlflow_does(), True),
        (ask_locked_database, True),
        (ask_postgresql_that_is_gone, True),
        (raise_error(RetryError("too many 503 error responses")), True),
        (raise_error(RetryError("too many 500 error responses")), False),
        (raise_error(RestException({"error_code": "TEMPORARILY_UNAVAILABLE"})), True),
        (raise_error(RestException({"error_code": "INTERNAL_ERROR"})), False),
        (refuse_with(408), True),
        (refuse_with(429), True),
        (refuse_with(500), False),
        (refuse_with(501), False),
        (raise_error(ConnectionResetError("reset")), True),
        (refuse_with(502), True),
        (refuse_with(503), True),
        (refuse_with(504), True),
        (refuse_with(401), False),
        (refuse_with(404), False),
        (raise_error(SSLError("certificate verify failed")), False),
        (ask_broken_database, False),
        (ask_missing_file, False),
        (raise_error(ValueError("no")), False),
        (raise_error(RestException({"error_code": "INVALID_PARAMETER_VALUE"})), False),
        (raise_error(RestException({"error_code": "PERMISSION_DENIED"})), False),
        (raise_error(HTTPError("without an answer")), False),
    ],
)
def test_silence_is_told_from_a_refusal(
    ask: Callable[[Path], None], is_silent: bool, tmp_path: Path
) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011
        ask(tmp_path)
    assert is_unreachable(caught.value) is is_silent


def test_a_refusal_met_while_an_outage_is_handled_is_a_refusal() -> None:
    try:
        ask_closed_port()
    except requests.ConnectionError:
        with pytest.raises(RestException) as caught:
            raise RestException({"error_code": "INVALID_PARAMETER_VALUE"}) from None
        assert not is_unreachable(caught.value)


def test_an_error_is_told_in_a_few_words_without_its_password() -> None:
    with pytest.raises(MlflowException) as caught:
        ask_as_mlflow_does()
    assert shorten_error(caught.value) == "connection refused"
    broken = ValueError("no\n  way to postgresql://me:hunter2@db/mlflow " + "x" * 500)
    assert shorten_error(broken).startswith("no way to postgresql://***@db/mlflow")
    assert len(shorten_error(broken)) == 300


def test_pauses_double_up_to_a_quarter_of_a_minute() -> None:
    assert list(islice(list_pauses(), 7)) == [1, 2, 4, 8, 15, 15, 15]


def test_what_answers_again_in_time_is_waited_for_and_said_twice(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "sentiflow")
    started = time.monotonic()

    def ask() -> str:
        if time.monotonic() - started < 0.6:
            ask_closed_port()
        return "here"

    assert RetryPolicy(10).ask(ask) == "here"
    assert time.monotonic() - started < 3
    assert [message.split(":")[0] for message in caplog.messages] == [
        "MLflow does not answer; it is asked again for 10 seconds",
        "MLflow answers again after 1 seconds",
    ]


def test_patience_ends_and_a_night_is_not_patient_twice() -> None:
    patience = RetryPolicy(0.5)
    for most in (1.5, 0.3, 0.3):
        started = time.monotonic()
        with pytest.raises(requests.ConnectionError):
            patience.ask(ask_closed_port)
        assert time.monotonic() - started < most
    assert patience.ask(lambda: "here") == "here"
    started = time.monotonic()
    with pytest.raises(requests.ConnectionError):
        patience.ask(ask_closed_port)
    assert time.monotonic() - started > 0.4


def test_a_refusal_is_raised_at_once() -> None:
    attempts = []

    def refuse() -> None:
        attempts.append(1)
        raise RestException({"error_code": "INVALID_PARAMETER_VALUE"})

    with pytest.raises(RestException):
        RetryPolicy(60).ask(refuse)
    assert attempts == [1]


def test_an_answer_of_500_is_told_at_once_in_one_line() -> None:
    attempts = []

    def break_over_it() -> None:
        attempts.append(1)
        try:
            raise RetryError("(Caused by ResponseError('too many 500 error responses'))")
        except RetryError as error:
            # As MLflow's client does: the answer's own body is lost.
            raise MlflowException(f"API request failed with exception {error}")  # noqa: B904

    with pytest.raises(RegistryFailed) as caught:
        ask_mlflow(RetryPolicy(60), "http://mlflow", break_over_it)
    assert attempts == [1]
    assert str(caught.value) == (
        "MLflow must carry out what it is asked. Received: uri=http://mlflow, error=an answer of "
        "500; its own log says why. Mend what that log names (a full disk, a database that is not "
        "UTF8) and run again; the champion is kept."
    )


def test_a_page_of_something_that_is_no_mlflow_is_not_repeated() -> None:
    error = RuntimeError("failed with error code 404 != 200. Response body: '<!doctype html>\n<p>'")
    assert shorten_error(error) == "failed with error code 404 != 200"
