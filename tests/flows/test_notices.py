"""Telling people from a flow: through a real block of a real Prefect server, and by webhook."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from listening import Answer, Listener, listen
from prefect import flow
from prefect.blocks.notifications import CustomWebhookNotificationBlock, SlackWebhook
from prefect.blocks.system import Secret

from flows.notices import list_problems, tell, tell_crash
from sentiflow.dates import read_today
from sentiflow.night.request import NightRequest
from sentiflow.reporting.record import NightRecord
from sentiflow.settings import NoticeSettings, Settings

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("prefect_server", "home"),
]
SECRET = "T0KEN-4711"
RECORD = NightRecord(
    night=read_today(Settings().schedule).isoformat(), model="sentiflow", outcome="promoted",
    version=4, exit_code=0, reasons=["Better on the same rows."],
    mlflow_run_path="/#/experiments/1/runs/abc",
    prefect_flow_run_id="f-1",
)  # fmt: skip


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    for name in ("SENTIFLOW_WEBHOOK_URL", "SENTIFLOW_PING_URL"):
        monkeypatch.delenv(name, raising=False)
    with listen() as server:
        yield server


@pytest.fixture
def block(listener: Listener) -> str:
    CustomWebhookNotificationBlock(
        name="nights",
        url=f"{listener.url}/block/{SECRET}",
        json_data={"title": "{{subject}}", "text": "{{body}}"},
    ).save("nights", overwrite=True)
    return "custom-webhook/nights"


@flow
def tell_from_flow(request: NightRequest, record: NightRecord) -> list[str]:
    return tell(request, record)


def test_a_notice_goes_through_the_block_and_to_the_webhook_and_the_watcher_is_called(
    listener: Listener, block: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTIFLOW_WEBHOOK_URL", f"{listener.url}/hook")
    monkeypatch.setenv("SENTIFLOW_PING_URL", f"{listener.url}/ping")
    overrides = (f"notices.block={block}", "tracking.uri=http://mlflow.example")
    assert tell_from_flow(NightRequest(overrides=overrides), RECORD) == []
    told = {request.path: request.body for request in listener.requests}
    assert set(told) == {"/hook", f"/block/{SECRET}", "/ping"}
    title = f"sentiflow: version 4 of the night {RECORD.night} is champion"
    assert told[f"/block/{SECRET}"] == {"title": title, "text": told["/hook"]["text"]}
    text = told["/hook"]["text"]
    assert "http://mlflow.example/#/experiments/1/runs/abc" in text
    assert text.endswith("/runs/flow-run/f-1")


def test_of_a_night_that_was_cut_off_people_are_told_and_no_watcher_is_called(
    listener: Listener, block: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTIFLOW_WEBHOOK_URL", f"{listener.url}/hook")
    monkeypatch.setenv("SENTIFLOW_PING_URL", f"{listener.url}/ping")
    request = NightRequest(overrides=(f"notices.block={block}",))
    assert flow(tell_crash)(request, RECORD) == []
    assert [request.path for request in listener.requests] == ["/hook", f"/block/{SECRET}"]


def test_a_block_that_fails_is_a_warning_without_its_address(
    listener: Listener, block: str, caplog: pytest.LogCaptureFixture
) -> None:
    listener.answers = [Answer(status=500)]
    (problem,) = tell_from_flow(NightRequest(overrides=(f"notices.block={block}",)), RECORD)
    assert problem.startswith("Nobody was told through Prefect: notices.block must name a")
    assert "custom-webhook/nights, HTTPStatusError" in problem
    assert SECRET not in problem + caplog.text


def test_a_block_that_keeps_failures_to_itself_is_made_to_tell(listener: Listener) -> None:
    # Slack's block sends through apprise, which posts JSON to any host at such an address.
    address = listener.url.replace("http", "json") + f"/{SECRET}"
    SlackWebhook(url=address).save("nights", overwrite=True)
    request = NightRequest(overrides=("notices.block=slack-webhook/nights",))
    assert tell_from_flow(request, RECORD) == []
    (body,) = listener.bodies
    assert "Better on the same rows." in body["message"]
    listener.answers = [Answer(status=403)]
    (problem,) = tell_from_flow(request, RECORD)
    assert "slack-webhook/nights, NotificationError" in problem


def test_settings_that_are_wrong_do_not_keep_the_failure_a_secret(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTIFLOW_WEBHOOK_URL", f"{listener.url}/hook")
    record = NightRecord(night="2026-11-25", reasons=["There is no setting training.epoch."])
    assert tell(NightRequest(overrides=("training.epoch=3",)), record) == []
    assert [body["kind"] for body in listener.bodies] == ["failed"]


def test_a_block_that_is_missing_or_of_another_kind_is_known_before_the_night(block: str) -> None:
    assert list_problems(NoticeSettings(block=block)) == []
    Secret(value=SECRET).save("nights", overwrite=True)
    for name, error in (
        ("custom-webhook/none", "ValueError"),
        ("slack-webhook", "ValueError"),
        ("secret/nights", "TypeError"),
    ):
        (problem,) = list_problems(NoticeSettings(block=name))
        assert problem == (
            "notices.block must name a notification block that works, as type/name. Received: "
            f"{name}, {error}. prefect block ls shows those there are."
        )
