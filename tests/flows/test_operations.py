"""Late nights, missed nights and dead runs, on a real Prefect server."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from operations.listening import Answer, listen
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Completed, Failed, Pending, Running, Scheduled
from release.dying import take_and_die

from flows.operations import (
    TOLD_TAG,
    WaitingRun,
    close_flow_runs,
    collapse_missed,
    find_late,
    find_lost,
    list_unfinished,
    maintenance,
    tell_late,
)
from sentiflow.settings import load_settings

NOW = datetime(2026, 1, 2, 4, 0, tzinfo=UTC)

pytestmark = pytest.mark.filterwarnings("ignore")


def wait_since(minutes: float, state: str = "Late") -> WaitingRun:
    return WaitingRun("id", "brave-owl", state, NOW - timedelta(minutes=minutes))


@pytest.mark.parametrize(
    ("minutes", "is_late"), [(-60, False), (0, False), (30, False), (30.1, True), (5_000, True)]
)
def test_a_night_is_late_after_the_minutes_of_the_settings(minutes: float, is_late: bool) -> None:
    assert bool(find_late([wait_since(minutes)], NOW, 30)) is is_late


@pytest.mark.parametrize(
    ("state", "why"),
    [
        ("Late", "No worker took it"), ("Scheduled", "No worker took it"),
        ("Pending", "see the worker's log"), ("AwaitingConcurrencySlot", "waits for another run"),
    ],
)  # fmt: skip
def test_a_late_night_says_since_when_and_what_may_keep_it(state: str, why: str) -> None:
    (late,) = find_late([wait_since(45, state)], NOW, 30)
    assert late.minutes == pytest.approx(45)
    assert "brave-owl should have started at 2026-01-02 03:15 UTC, 45 minutes ago" in late.reason
    assert why in late.reason


def test_late_nights_come_in_the_order_in_which_they_were_due() -> None:
    late = find_late([wait_since(40), wait_since(90), wait_since(10)], NOW, 30)
    assert [round(found.minutes) for found in late] == [90, 40]


@pytest.fixture
def client(prefect_server: None) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as opened:
        yield opened


@pytest.fixture
def start(client: SyncPrefectClient) -> Iterator[Callable[..., FlowRun]]:
    """Make a run of a flow of the test's own, or of the one that is named, in a state."""
    own = f"retrain-{uuid.uuid4().hex[:8]}"
    made: list[FlowRun] = []

    def make(state: Any, name: str = own, **more: Any) -> FlowRun:
        named = flow(name=name)(lambda: None)
        made.append(client.create_flow_run(named, state=state, **more))
        return made[-1]

    yield make
    # The server is the whole session's: other tests ask it what runs.
    for run in made:
        client.delete_flow_run(run.id)


def state_of(client: SyncPrefectClient, run: FlowRun) -> str:
    state = client.read_flow_run(run.id).state
    assert state is not None
    return str(state.name)


def ago(minutes: float) -> Any:
    return Scheduled(scheduled_time=datetime.now(UTC) - timedelta(minutes=minutes))


def test_runs_of_dead_processes_are_closed_and_nothing_else(
    client: SyncPrefectClient, start: Callable[..., FlowRun]
) -> None:
    dead, pending, done = start(Running()), start(Pending()), start(Completed())
    unknown = [str(uuid.uuid4()), "no id at all"]
    closed = close_flow_runs([*unknown, *(str(run.id) for run in (dead, pending, done))])
    assert closed == [str(dead.id), str(pending.id)]
    assert [state_of(client, run) for run in (dead, pending, done)] == [
        "Crashed", "Crashed", "Completed",
    ]  # fmt: skip
    assert close_flow_runs(closed) == []


def test_a_prefect_that_does_not_answer_closes_and_cancels_nothing() -> None:
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:1/api"}):
        assert close_flow_runs([str(uuid.uuid4())]) == []
        assert collapse_missed(str(uuid.uuid4())) == []


def test_a_night_that_never_took_its_lease_is_lost_once_it_had_the_time() -> None:
    now = datetime(2026, 1, 2, 3, 30, tzinfo=UTC)
    running = [
        ("lives", now - timedelta(hours=3)),
        ("begins", now - timedelta(minutes=5)),
        ("lost", now - timedelta(minutes=5, seconds=1)),
        ("not begun", None),
    ]
    assert find_lost(running, ["lives"], now) == ["lost"]
    assert find_lost(running, [], now) == ["lives", "lost"]


def test_on_a_server_nobody_is_taken_for_dead_because_he_holds_no_lease_here(
    client: SyncPrefectClient, start: Callable[..., FlowRun]
) -> None:
    other = start(Running(timestamp=datetime.now(UTC) - timedelta(hours=1)), name="retrain")
    assert close_flow_runs([], []) == []
    assert state_of(client, other) == "Running"


def test_unfinished_runs_are_those_that_run_or_should(
    client: SyncPrefectClient, start: Callable[..., FlowRun]
) -> None:
    running, due, future = start(Running()), start(ago(5)), start(ago(-60))
    start(Failed())
    name = client.read_flow(running.flow_id).name
    assert {str(running.id), str(due.id)} == set(list_unfinished(name))
    assert str(future.id) not in list_unfinished(name)


def test_missed_nights_collapse_into_the_one_that_runs(client: SyncPrefectClient) -> None:
    name = f"retrain-{uuid.uuid4().hex[:8]}"
    flow_id = client.create_flow_from_name(name)
    deployment = client.create_deployment(flow_id, "nightly")

    def add(minutes: float, by_schedule: bool = True) -> str:
        made = client.create_flow_run_from_deployment(deployment, state=ago(minutes))
        if by_schedule:
            _mark_as_scheduled(client, made)
        return str(made.id)

    this, missed, older = add(1), add(60 * 24), add(60 * 48)
    asked, future = add(30, by_schedule=False), add(-60)
    assert set(collapse_missed(this)) == {missed, older}
    states = {id_: client.read_flow_run(uuid.UUID(id_)).state for id_ in (missed, older)}
    assert all(state is not None and state.name == "Cancelled" for state in states.values())
    for id_ in (this, asked, future):
        state = client.read_flow_run(uuid.UUID(id_)).state
        assert state is not None
        assert state.name == "Scheduled"
    assert collapse_missed(this) == []


def _mark_as_scheduled(client: SyncPrefectClient, run: FlowRun) -> None:
    """Say that the schedule made the run: only the server itself can, in its database."""
    import sqlite3

    from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL

    address = str(PREFECT_API_DATABASE_CONNECTION_URL.value())
    database = address.rpartition("sqlite+aiosqlite:///")[2]
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE flow_run SET auto_scheduled = 1 WHERE id = ?", [str(run.id)])


def test_a_run_without_a_deployment_collapses_nothing(start: Callable[..., FlowRun]) -> None:
    run = start(Running())
    start(ago(60))
    assert collapse_missed(str(run.id)) == []
    assert collapse_missed(None) == []


def test_somebody_is_told_once_of_a_late_night_and_again_if_nobody_heard(
    client: SyncPrefectClient, start: Callable[..., FlowRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    late, started = start(ago(60), name="retrain"), start(Running(), name="retrain")
    settings = load_settings(None, ["notices.timeout_seconds=1"])
    with listen() as listener:
        listener.answers = [Answer(400)] * 5
        monkeypatch.setenv("SENTIFLOW_WEBHOOK_URL", listener.url)
        assert any(late.name in reason for reason in tell_late(settings))
    assert TOLD_TAG not in client.read_flow_run(late.id).tags
    with listen() as listener:
        monkeypatch.setenv("SENTIFLOW_WEBHOOK_URL", listener.url)
        (reason,) = [reason for reason in tell_late(settings) if late.name in reason]
        told = [body for body in listener.bodies if late.name in body["text"]]
        assert [body["kind"] for body in told] == ["late"]
        assert reason in told[0]["text"]
        assert not any(started.name in body["text"] for body in listener.bodies)
        assert [reason for reason in tell_late(settings) if late.name in reason] == []


@pytest.mark.slow
def test_maintenance_tells_of_late_nights_and_sweeps(
    home: Path, start: Callable[..., FlowRun], client: SyncPrefectClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    uri = f"sqlite:///{home / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    late = start(ago(60), name="retrain")
    dead = start(Running())
    mlflow = MlflowClient(uri, uri)
    experiment = mlflow.create_experiment("sentiflow", str(home / "mlartifacts"))
    tags = {"sentiflow.model": "sentiflow", "sentiflow.prefect_flow_run_id": str(dead.id)}
    orphan = mlflow.create_run(experiment, tags=tags).info.run_id
    take_and_die(f"sqlite:///{home / 'ledger.db'}", "night:cut-off")
    with listen() as listener:
        monkeypatch.setenv("SENTIFLOW_WEBHOOK_URL", listener.url)
        done = maintenance()
    told = {body["model"]: body["kind"] for body in listener.bodies}
    assert told["cut-off"] == "failed"
    assert any(late.name in sentence for sentence in done)
    assert any(orphan in sentence for sentence in done)
    assert mlflow.get_run(orphan).info.status == "KILLED"
    assert state_of(client, dead) == "Crashed"
