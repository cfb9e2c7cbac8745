"""The table of docs/operations.md: every way a night can end, and who is told.

Real ledger, lease, MLflow on SQLite and a listening web server; what the stages would come to is
said by the test. The rows are read from the page: a changed one is a failed test.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from listening import Listener
from mlflow import MlflowClient

from flows.notices import tell
from sentiflow.dates import read_today
from sentiflow.errors import (
    ArtifactError,
    DataRejected,
    GateNotEvaluated,
    LeaseLost,
    LedgerConflict,
    RegistryUnreachable,
    SentiflowError,
    UnforeseenError,
)
from sentiflow.night.lease import hold_lease
from sentiflow.night.night import Night
from sentiflow.night.opening import open_night
from sentiflow.night.request import NightRequest
from sentiflow.night.stages.release import decide_release
from sentiflow.release.identity import RUN_KEY
from sentiflow.release.leases import UPKEEP, name_night
from sentiflow.release.ledger import Ledger
from sentiflow.release.registry import Version
from sentiflow.release.state import Kind, NewEvent
from sentiflow.reporting.record import NightRecord, Outcome
from sentiflow.settings import LeaseSettings, Settings

REPOSITORY = Path(__file__).resolve().parents[2]
MODEL = "sentiflow-sample"
TODAY = read_today(Settings().schedule)


def read_rows() -> dict[str, list[str]]:
    """The table's rows by their first cell."""
    page = (REPOSITORY / "docs" / "operations.md").read_text()
    _, _, rest = page.partition("### Every way a night can end, and who is told")
    table = rest[rest.index("\n|") + 1 :].partition("\n\n")[0]
    lines = table.splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    return {name: rest for name, *rest in cells}


ROWS = read_rows()


def come_to(outcome: Outcome, event: Kind | None) -> Callable[[Night], None]:
    """A night whose stages wrote this into the ledger and ended as that."""

    def live(night: Night) -> None:
        if event is not None:
            night.tell_ledger(len(night.ledger.read(MODEL)), event, "A reason.", to_version=1)
        night.note(champion_version=1)
        night.end(outcome, ["A reason."], 0)

    return live


def fail(error: BaseException, is_deciding: bool = False) -> Callable[[Night], None]:
    def live(night: Night) -> None:
        night.note(champion_version=1)
        night.is_deciding = is_deciding
        raise error

    return live


LIVES = {
    "promoted": come_to("promoted", "promoted"),
    "kept": come_to("kept", "kept"),
    "waiting": come_to("waiting", "waiting"),
    "skipped": come_to("skipped", None),
    "rejected": fail(DataRejected(["Too few rows."])),
    "gate not evaluated": fail(ValueError("nobody foresaw it"), is_deciding=True),
    "broke": fail(ValueError("nobody foresaw it")),
    "ended from outside (Ctrl-C, a signal, a cancellation in Prefect)": fail(KeyboardInterrupt()),
}


@pytest.fixture
def outside(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> Listener:
    """Takes notices and pings alike."""
    monkeypatch.setenv("SENTIFLOW_WEBHOOK_URL", f"{listener.url}/hook")
    monkeypatch.setenv("SENTIFLOW_PING_URL", f"{listener.url}/ping")
    return listener


def kinds_of(outside: Listener) -> list[str]:
    return [body["kind"] for body in outside.bodies if body]


def is_pinged(outside: Listener) -> bool:
    return any(request.path == "/ping" for request in outside.requests)


def last_kind(home: Path) -> str | None:
    events = Ledger(f"sqlite:///{home / 'ledger.db'}").read(MODEL)
    return events[-1].kind if events else None


def live_through(
    live: Callable[[Night], None], home: Path, request: NightRequest
) -> tuple[NightRecord, str]:
    """Open a night, live it, and return its record and its MLflow run's id."""
    records: list[NightRecord] = []

    def close(record: NightRecord) -> None:
        records.append(record)
        tell(request, record)

    # Its own error is known: what it left behind is looked at.
    with suppress(BaseException), open_night(request, home, "flow-1", close) as night:
        live(night)
    (record,) = records
    return record, str(record.mlflow_run_id)


@pytest.mark.parametrize("name", LIVES)
def test_who_is_told_of_a_night(
    home: Path, shared_mlflow: str, outside: Listener, name: str
) -> None:
    exit_code, told, ping, ledger, mlflow, *_ = ROWS[name]
    record, run_id = live_through(LIVES[name], home, NightRequest())
    if exit_code.isdigit():
        assert record.exit_code == int(exit_code)
    kind = told.split("`")[1] if told.startswith("`") else None
    assert kinds_of(outside) == ([kind] if kind else [])
    assert is_pinged(outside) == (ping == "yes")
    assert last_kind(home) == (None if ledger == "as before" else ledger.strip("`"))
    assert MlflowClient(shared_mlflow).get_run(run_id).info.status == mlflow


def test_a_night_that_leaves_no_champion_is_told(
    home: Path, shared_mlflow: str, outside: Listener
) -> None:
    live_through(lambda night: night.end("kept", ["A reason."], 0), home, NightRequest())
    assert kinds_of(outside) == ["no_champion"]
    assert "`no_champion` where there is none" in ROWS["kept"][1]


def test_a_backfill_is_told_and_calls_no_watcher(
    home: Path, shared_mlflow: str, outside: Listener
) -> None:
    request = NightRequest(as_of=TODAY - timedelta(days=2))
    live_through(LIVES["waiting"], home, request)
    assert (kinds_of(outside), is_pinged(outside)) == (["waiting"], False)


NEVER_OPENED: dict[str, tuple[NightRequest, str | None]] = {
    "never opened: a wrong setting, a day to come": (
        NightRequest(as_of=TODAY + timedelta(days=1)), None,
    ),
    "never opened: MLflow away": (
        NightRequest(
            overrides=("tracking.uri=http://127.0.0.1:9", "tracking.patience_seconds=0")
        ), None,
    ),
    "never opened: the ledger away": (
        NightRequest(overrides=("ledger.url=postgresql://127.0.0.1:9/ledger",)), None,
    ),
    "refused beside the same night": (NightRequest(), name_night(MODEL)),
    "refused beside `prune`, `forget` or another date": (NightRequest(), UPKEEP),
}  # fmt: skip


@pytest.mark.parametrize("name", NEVER_OPENED)
def test_who_is_told_of_a_night_that_never_opened(
    home: Path, shared_mlflow: str, outside: Listener, name: str
) -> None:
    exit_code, told, ping, ledger, *_ = ROWS[name]
    request, lease = NEVER_OPENED[name]
    url = f"sqlite:///{home / 'ledger.db'}"
    details = {} if lease == UPKEEP else {"night": TODAY.isoformat()}
    with ExitStack() as parts:
        if lease is not None:
            parts.enter_context(hold_lease(url, lease, "ada", LeaseSettings(), details))
        record, _ = live_through(LIVES["kept"], home, request)
    assert record.exit_code == int(exit_code)
    assert record.mlflow_run_id is None
    assert kinds_of(outside) == (["failed"] if told == "`failed`" else [])
    assert (ping, is_pinged(outside)) == ("no", False)
    assert last_kind(home) == (None if ledger == "as before" else ledger.strip("`"))


def test_a_night_that_prefect_does_not_run_is_told(home: Path, outside: Listener) -> None:
    exit_code, told, *_ = ROWS["never begun: Prefect does not answer the command"]
    answer = subprocess.run(
        [sys.executable, "-m", "sentiflow", "run"], capture_output=True, text=True, check=False,
        env={**os.environ, "PREFECT_API_URL": "http://127.0.0.1:9/api", "NO_PROXY": "*"},
    )  # fmt: skip
    assert answer.returncode == int(exit_code)
    (line,) = answer.stderr.splitlines()
    assert line.startswith("Error: Prefect must run the night.")
    assert kinds_of(outside) == [told.strip("`")]
    assert not is_pinged(outside)


@pytest.mark.parametrize(
    ("error", "kind", "exit_code"),
    [
        (ArtifactError("The champion does not load."), "not_evaluated", 4),
        (GateNotEvaluated("A bound is no number."), "not_evaluated", 4),
        (UnforeseenError.of(ValueError("nobody foresaw it")), "not_evaluated", 4),
        (RegistryUnreachable("MLflow must answer."), "failed", 4),
        (LedgerConflict("The ledger must stand still."), "failed", 4),
        (LeaseLost("Another night took over."), "failed", 4),
    ],
)
def test_what_kept_the_gate_from_ruling_is_told_once_and_apart_from_what_was_away(
    home: Path, shared_mlflow: str, error: SentiflowError, kind: Kind, exit_code: int
) -> None:
    record, _ = live_through(fail(error, is_deciding=True), home, NightRequest())
    (event,) = Ledger(f"sqlite:///{home / 'ledger.db'}").read(MODEL)
    assert (event.kind, record.outcome, record.exit_code) == (kind, "failed", exit_code)
    (reason,) = record.reasons
    assert reason == event.reason
    assert reason == f"{error} The champion is kept." if kind == "not_evaluated" else str(error)
    if kind == "not_evaluated":
        assert event.from_version == 1


AFTER_RULING = "broke, or was ended from outside, after its ruling"


@pytest.mark.parametrize(
    ("ruled", "told", "error"),
    [
        ("promoted", "promoted", RegistryUnreachable("MLflow must answer.")),
        ("promoted", "promoted", UnforeseenError.of(ValueError("nobody foresaw it"))),
        ("promoted", "promoted", ValueError("nobody foresaw it")),
        ("promoted", "promoted", SystemExit(1)),
        ("waiting", "waiting", LeaseLost("Another night took over.")),
        ("kept", "no_champion", LeaseLost("Another night took over.")),
    ],
)
def test_a_night_that_breaks_after_its_ruling_is_told_as_it_was_ruled(
    home: Path,
    shared_mlflow: str,
    outside: Listener,
    ruled: Outcome,
    told: str,
    error: BaseException,
) -> None:
    *_, ledger, mlflow, _, _ = ROWS[AFTER_RULING]
    assert ledger == "as ruled"

    def live(night: Night) -> None:
        LIVES[ruled](night)
        night.end("failed", ["It was on its way."], 1)
        raise error

    record, run_id = live_through(live, home, NightRequest())
    assert (record.outcome, record.exit_code, record.reasons) == (ruled, 0, ["A reason."])
    assert "after the ruling, which stands" in record.warnings[0]
    assert kinds_of(outside) == [told]
    assert is_pinged(outside)
    kinds = [event.kind for event in Ledger(f"sqlite:///{home / 'ledger.db'}").read(MODEL)]
    assert kinds[0] == ruled
    assert "failed" not in kinds
    assert MlflowClient(shared_mlflow).get_run(run_id).info.status == mlflow


def test_a_second_try_that_breaks_after_it_found_the_ruling_is_told_as_that(
    home: Path, shared_mlflow: str, outside: Listener, tiny_version: Version
) -> None:
    """The first try was killed with its ruling committed; the second finds MLflow gone."""
    reviews: Any = None

    def live(night: Night) -> None:
        details = {"run_id": "first", RUN_KEY: tiny_version.run_id, "reasons": ["It is better."]}
        ruling = NewEvent(kind="kept", actor="ada", to_version=tiny_version.number, details=details)
        night.ledger.append(MODEL, 0, [ruling])
        night.registry = GoesAway(tiny_version)
        decide_release(night, reviews, reviews, tiny_version.number)

    record, _ = live_through(live, home, NightRequest())
    assert (record.outcome, record.reasons) == ("kept", ["It is better."])
    assert (kinds_of(outside), last_kind(home)) == (["no_champion"], "kept")


class GoesAway:
    """A registry that answers once: a real one cannot be made to go away between two questions."""

    uri = "http://127.0.0.1:9"

    def __init__(self, version: Version) -> None:
        self._version = version

    def look_up_version(self, _: str, __: int) -> Version:
        return self._version

    def __getattr__(self, name: str) -> Any:
        raise RegistryUnreachable("MLflow must answer.")


def test_every_row_names_tests_that_exist() -> None:
    assert len(ROWS) >= 20
    assert {*LIVES, *NEVER_OPENED} <= {*ROWS}
    for name, cells in ROWS.items():
        shown_by = cells[-1]
        tests = [test.split("::") for test in shown_by.replace("`", "").split(", ")]
        for path, function in tests:
            tree = ast.parse((REPOSITORY / "tests" / path).read_text())
            names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
            assert function in names, (name, path, function)
