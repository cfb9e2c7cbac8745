"""Ctrl-C and other endings from outside: before the ruling a night failed, after it it did not."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import typer
from mlflow import MlflowClient

from sentiflow.cli.common import answer_with
from sentiflow.night.interrupts import HeldInterrupts, end_by_signals
from sentiflow.night.night import Night
from sentiflow.night.opening import open_night
from sentiflow.night.request import NightRequest
from sentiflow.release.ledger import Ledger
from sentiflow.reporting.record import NightRecord

pytestmark = [pytest.mark.usefixtures("shared_mlflow", "heard_signals")]


@pytest.fixture
def heard_signals() -> Iterator[None]:
    """Let the process hear the end of its terminal, which nohup has it ignore."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def press_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@contextmanager
def no_interrupt() -> Iterator[None]:
    """Fail the test where Ctrl-C comes through: it would end all tests."""
    try:
        yield
    except KeyboardInterrupt:
        pytest.fail("Ctrl-C came through")


def rule(night: Night) -> None:
    details = {"reasons": ["It is worse."], "warnings": []}
    night.tell_ledger(0, "kept", "It is worse.", to_version=1, details=details)


def find_status(night: Night) -> str:
    client = MlflowClient(tracking_uri=night.run.uri)
    return str(client.get_run(night.run.id).info.status)


def test_ctrl_c_after_the_ruling_leaves_the_night_as_it_was_ruled(home: Path) -> None:
    told: list[NightRecord] = []
    with no_interrupt(), open_night(NightRequest(), home, "flow-1", told.append) as night:
        rule(night)
        raise KeyboardInterrupt
    # It went on here: the flow ends as the night did.
    (record,) = told
    assert (record.outcome, record.exit_code) == ("kept", 0)
    assert record.reasons == ["It is worse."]
    assert "after the ruling, which stands" in record.warnings[-1]
    assert find_status(night) == "FINISHED"
    events = Ledger(f"sqlite:///{home / 'ledger.db'}").read("sentiflow-sample")
    assert [event.kind for event in events] == ["kept"]


def test_a_cancellation_after_the_ruling_ends_the_flow_but_tells_the_ruling(home: Path) -> None:
    told: list[NightRecord] = []

    def be_cancelled() -> Night:
        with open_night(NightRequest(), home, "flow-1", told.append) as night:
            nights.append(night)
            rule(night)
            raise SystemExit(1)

    nights: list[Night] = []
    with pytest.raises(SystemExit):
        be_cancelled()
    assert [record.outcome for record in told] == ["kept"]
    assert find_status(nights[0]) == "FINISHED"


def test_ctrl_c_before_the_ruling_ends_the_night(home: Path) -> None:
    told: list[NightRecord] = []
    nights: list[Night] = []

    def be_interrupted() -> None:
        with open_night(NightRequest(), home, "flow-1", told.append) as night:
            nights.append(night)
            press_ctrl_c()

    with pytest.raises(KeyboardInterrupt):
        be_interrupted()
    assert [record.outcome for record in told] == ["failed"]
    assert find_status(nights[0]) == "KILLED"


def test_ctrl_c_while_a_night_says_what_it_became_comes_too_late(home: Path) -> None:
    told: list[Any] = []

    def tell(record: NightRecord) -> None:
        press_ctrl_c()
        told.append(record)

    with no_interrupt(), open_night(NightRequest(), home, "flow-1", tell) as night:
        rule(night)
        night.end("kept", ["It is worse."], 0)
    assert [record.outcome for record in told] == ["kept"]
    assert find_status(night) == "FINISHED"


def test_a_first_ctrl_c_waits_and_a_second_does_not() -> None:
    with HeldInterrupts() as interrupts:
        with pytest.raises(KeyboardInterrupt):
            press_ctrl_c()
        interrupts.hold()
        press_ctrl_c()
        with pytest.raises(KeyboardInterrupt):
            press_ctrl_c()
    with pytest.raises(KeyboardInterrupt):
        press_ctrl_c()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_what_ends_a_command_as_ctrl_c_does_waits_as_well(number: int) -> None:
    with end_by_signals():
        with HeldInterrupts() as interrupts:
            interrupts.hold()
            with no_interrupt():
                os.kill(os.getpid(), number)
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), number)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)


def test_what_prefect_cancels_by_is_not_held() -> None:
    before = signal.signal(signal.SIGTERM, lambda *_: came.append("cancelled"))
    came: list[str] = []
    try:
        with HeldInterrupts() as interrupts:
            interrupts.hold()
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert came == ["cancelled"]


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_a_command_in_one_line_with_what_a_shell_reports(
    number: int, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def be_ended() -> Any:
        os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    with pytest.raises(typer.Exit) as ending:
        answer_with(False, be_ended, {})
    assert ending.value.exit_code == code
    assert capsys.readouterr().err == (
        "Interrupted. Run again to go on: finished steps are kept.\n"
    )
    assert signal.getsignal(number) == before


def test_a_command_that_was_told_to_outlive_its_terminal_does() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with no_interrupt(), end_by_signals():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_night_that_a_signal_ended_says_which(home: Path) -> None:
    told: list[NightRecord] = []

    def be_ended() -> None:
        with end_by_signals(), open_night(NightRequest(), home, "flow-1", told.append):
            os.kill(os.getpid(), signal.SIGHUP)

    with pytest.raises(KeyboardInterrupt):
        be_ended()
    assert [record.reasons[0] for record in told] == ["The night was ended from outside (SIGHUP)."]
