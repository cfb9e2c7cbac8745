"""Maintenance, missed nights and dead runs, on a real Prefect server."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from listening import listen
from mlflow import MlflowClient
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Completed, Failed, Pending, Running, Scheduled
from release.dying import take_and_die

from flows.maintenance import (
    close_flow_runs,
    collapse_missed,
    list_unfinished,
    maintenance,
    query_lost,
)
from sentiflow.release.ledger import Ledger
from sentiflow.release.state import NewEvent


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
    assert query_lost(running, ["lives"], now) == ["lost"]
    assert query_lost(running, [], now) == ["lives", "lost"]


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


def test_missed_nights_collapse_into_the_one_that_runs(
    client: SyncPrefectClient, rewrite: Callable[..., None]
) -> None:
    name = f"retrain-{uuid.uuid4().hex[:8]}"
    flow_id = client.create_flow_from_name(name)
    deployment = client.create_deployment(flow_id, "nightly")

    def add(minutes: float, by_schedule: bool = True) -> str:
        made = client.create_flow_run_from_deployment(deployment, state=ago(minutes))
        if by_schedule:
            rewrite(made, auto_scheduled=1)
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


def test_a_run_without_a_deployment_collapses_nothing(start: Callable[..., FlowRun]) -> None:
    run = start(Running())
    start(ago(60))
    assert collapse_missed(str(run.id)) == []
    assert collapse_missed(None) == []


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
    mlflow.create_registered_model("moved")
    for _ in range(2):
        mlflow.create_model_version("moved", f"file://{home}/none")
    promoted = NewEvent(kind="promoted", actor="night", to_version=1)
    Ledger(f"sqlite:///{home / 'ledger.db'}").append("moved", 0, [promoted])
    mlflow.set_registered_model_alias("moved", "champion", "2")
    with listen() as listener:
        monkeypatch.setenv("SENTIFLOW_WEBHOOK_URL", listener.url)
        done = maintenance()
    told = {body["model"]: body["kind"] for body in listener.bodies}
    assert told["cut-off"] == "failed"
    assert told["moved"] == "moved_outside"
    assert any("must stand at version 1. Received: somebody moved it to 2" in one for one in done)
    assert any(late.name in sentence for sentence in done)
    assert any(orphan in sentence for sentence in done)
    assert mlflow.get_run(orphan).info.status == "KILLED"
    assert state_of(client, dead) == "Crashed"
