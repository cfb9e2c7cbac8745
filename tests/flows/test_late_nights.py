"""Nights that did not start: which are told, why, and once, on a real Prefect server."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from listening import Answer, listen
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound
from prefect.states import Completed, Pending, Running, Scheduled

from flows.late_nights import TOLD_TAG, tell_late
from flows.maintenance import collapse_missed
from sentiflow.settings import load_settings


def ago(minutes: float) -> Any:
    return Scheduled(scheduled_time=datetime.now(UTC) - timedelta(minutes=minutes))


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


@pytest.fixture
def plan(
    client: SyncPrefectClient, rewrite: Callable[..., None]
) -> Iterator[Callable[..., FlowRun]]:
    """Make a run of a deployment as `sentiflow deploy` makes it; one at a time."""
    deployment = client.create_deployment(
        client.create_flow_from_name("retrain"),
        f"nightly-{uuid.uuid4().hex[:8]}",
        concurrency_limit=1,
        concurrency_options={"collision_strategy": "CANCEL_NEW"},
    )
    made: list[FlowRun] = []

    def make(minutes: float, by_schedule: bool = True) -> FlowRun:
        made.append(client.create_flow_run_from_deployment(deployment, state=ago(minutes)))
        rewrite(made[-1], auto_scheduled=int(by_schedule))
        return made[-1]

    yield make
    for run in made:
        with suppress(ObjectNotFound):
            client.delete_flow_run(run.id)
    client.delete_deployment(deployment)


def begin(client: SyncPrefectClient, run: FlowRun) -> None:
    for state in (Pending(), Running()):
        client.set_flow_run_state(run.id, state)


def state_of(client: SyncPrefectClient, run: FlowRun) -> str:
    state = client.read_flow_run(run.id).state
    assert state is not None
    return f"{state.name}: {state.message}"


def find_told(runs: dict[str, FlowRun], reasons: list[str]) -> dict[str, str]:
    """Return the reason of each run that was told of."""
    return {
        name: reason
        for name, run in runs.items()
        for reason in reasons
        if reason.startswith(f"Night {run.name} ")
    }


def test_a_night_whose_place_is_taken_is_told_once_with_who_has_it(
    client: SyncPrefectClient, plan: Callable[..., FlowRun], rewrite: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    hung = plan(24 * 60)
    begin(client, hung)
    rewrite(hung, start_time="2026-11-01 03:30:12.000000")
    runs = {"missed": plan(20 * 60)}
    assert collapse_missed(str(hung.id)) == [str(runs["missed"].id)]
    runs |= {"tonight": plan(1), "asked": plan(1, by_schedule=False), "long ago": plan(30 * 60)}
    for name in ("tonight", "asked", "long ago"):
        client.set_flow_run_state(runs[name].id, Pending())
    reached = "Cancelled: Deployment concurrency limit reached."
    assert {state_of(client, run) for name, run in runs.items() if name != "missed"} == {reached}
    rewrite(runs["long ago"], end_time="2026-11-01 03:30:12.000000")
    settings = load_settings(None, ["notices.timeout_seconds=1"])
    with listen() as listener:
        monkeypatch.setenv("SENTIFLOW_WEBHOOK_URL", listener.url)
        told = find_told(runs, tell_late(settings))
        assert list(told) == ["tonight"]
        assert f"run {hung.name} has held its place since 2026-11-01 03:30 UTC." in told["tonight"]
        texts = [body["text"] for body in listener.bodies if body["kind"] == "late"]
        assert sum(told["tonight"] in text for text in texts) == 1
        assert find_told(runs, tell_late(settings)) == {}


def test_of_several_missed_nights_that_a_worker_finds_the_one_that_runs_is_enough(
    client: SyncPrefectClient, plan: Callable[..., FlowRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SENTIFLOW_WEBHOOK_URL", raising=False)
    first, second = plan(26 * 60), plan(2 * 60)
    client.set_flow_run_state(first.id, Pending())
    client.set_flow_run_state(second.id, Pending())
    client.set_flow_run_state(first.id, Running())
    assert state_of(client, second).startswith("Cancelled")
    settings = load_settings(None, [])
    assert find_told({"second": second}, tell_late(settings)) == {}
    client.set_flow_run_state(first.id, Completed())
    assert find_told({"second": second}, tell_late(settings)) == {}


def test_a_night_is_told_of_though_the_run_in_its_place_has_ended_or_is_not_known_any_more(
    client: SyncPrefectClient, plan: Callable[..., FlowRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SENTIFLOW_WEBHOOK_URL", raising=False)
    reasons = {}
    for name in ("ended", "deleted"):
        by_hand, night = plan(1, by_schedule=False), plan(2)
        begin(client, by_hand)
        client.set_flow_run_state(night.id, Pending())
        client.set_flow_run_state(by_hand.id, Completed())
        if name == "deleted":
            client.delete_flow_run(by_hand.id)
        reasons |= find_told({name: night}, tell_late(load_settings(None, [])))
        assert (f"run {by_hand.name} held its place from" in reasons[name]) is (name == "ended")
    assert "another run of the deployment held its place." in reasons["deleted"]
