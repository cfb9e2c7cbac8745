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
from sentiflow.notices.lateness import (
    DisplacedRun,
    HoldingRun,
    WaitingRun,
    select_displaced,
    select_late,
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
    assert bool(select_late([wait_since(minutes)], NOW, 30)) is is_late


@pytest.mark.parametrize(
    ("state", "why"),
    [
        ("Late", "No worker took it"), ("Scheduled", "No worker took it"),
        ("Pending", "see the worker's log"), ("AwaitingConcurrencySlot", "waits for another run"),
    ],
)  # fmt: skip
def test_a_late_night_says_since_when_and_what_may_keep_it(state: str, why: str) -> None:
    (late,) = select_late([wait_since(45, state)], NOW, 30)
    assert late.minutes == pytest.approx(45)
    assert "brave-owl should have started at 2026-01-02 03:15 UTC, 45 minutes ago" in late.reason
    assert why in late.reason


def test_late_nights_come_in_the_order_in_which_they_were_due() -> None:
    late = select_late([wait_since(40), wait_since(90), wait_since(10)], NOW, 30)
    assert [round(found.minutes) for found in late] == [90, 40]


def displace(expected: float = 60, cancelled: float = 59) -> DisplacedRun:
    return DisplacedRun(wait_since(expected), "nightly", NOW - timedelta(minutes=cancelled))


def hold(
    since: float, until: float | None = None, is_scheduled: bool = False, where: str = "nightly"
) -> HoldingRun:
    ended = None if until is None else NOW - timedelta(minutes=until)
    return HoldingRun("lazy-cat", where, NOW - timedelta(minutes=since), ended, is_scheduled)


@pytest.mark.parametrize(
    ("holding", "why"),
    [
        ([hold(24 * 60, is_scheduled=True)], "lazy-cat has held its place since 2026-01-01 04:00"),
        ([hold(61)], "lazy-cat has held its place since 2026-01-02 02:59 UTC. Is it still at"),
        ([hold(59.5)], "lazy-cat has held its place since"),
        ([hold(55)], "lazy-cat has held its place since"),
        ([hold(300, 30)], "from 2026-01-01 23:00 UTC to 2026-01-02 03:30 UTC. Start the night"),
        ([hold(300, 200)], "another run of the deployment held its place. Is that one still"),
        ([hold(5)], "another run of the deployment"),
        ([hold(300, where="other")], "another run of the deployment"),
        ([], "another run of the deployment"),
    ],
)
def test_a_cancelled_night_says_who_held_its_place(holding: list[HoldingRun], why: str) -> None:
    (late,) = select_displaced([displace()], holding, NOW)
    assert late.reason.startswith("Night brave-owl of 2026-01-02 03:00 UTC did not start: ")
    assert why in late.reason
    assert late.minutes == pytest.approx(60)


def test_a_night_that_another_one_of_the_schedule_catches_up_for_is_not_told() -> None:
    missed = [displace(3 * 24 * 60, 59), displace(24 * 60, 58), displace(60, 57)]
    assert select_displaced(missed, [hold(56, is_scheduled=True)], NOW) == ()
    assert select_displaced(missed, [hold(56, 10, is_scheduled=True)], NOW) == ()
    # What a person started may do the work of any other day.
    assert len(select_displaced(missed, [hold(56)], NOW)) == 3
    # The one that hung before is to blame, not the one that came after it.
    later = [hold(56, is_scheduled=True), hold(5 * 24 * 60, 50)]
    assert len(select_displaced(missed, later, NOW)) == 3


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
