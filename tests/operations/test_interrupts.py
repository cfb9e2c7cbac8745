"""Ctrl-C and other endings from outside: before the ruling a night failed, after it it did not."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from sentiflow.operations.interrupts import HeldInterrupts
from sentiflow.operations.night import Night
from sentiflow.operations.opening import open_night
from sentiflow.operations.request import NightRequest
from sentiflow.release.ledger import Ledger
from sentiflow.release.registry import Registry
from sentiflow.reporting.record import NightRecord

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def _address(tiny_registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tiny_registry.uri)


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
