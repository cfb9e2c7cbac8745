"""Who is told of what, by a real web server that keeps what it receives."""

from __future__ import annotations

import logging
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from listening import Answer, Listener, listen

from sentiflow.dates import read_today
from sentiflow.errors import NightRefused
from sentiflow.night.lease import hold_lease
from sentiflow.night.opening import open_night
from sentiflow.night.request import NightRequest
from sentiflow.notices.messages import (
    check_notices,
    compose_late,
    compose_notices,
    ping_outside,
    send_notices,
)
from sentiflow.release.leases import UPKEEP, name_night
from sentiflow.reporting.record import NightRecord, Outcome
from sentiflow.settings import (
    LeaseSettings,
    NoticeKind,
    NoticeSettings,
    ScheduleSettings,
    Settings,
    load_settings,
)

SECRET = "T0KEN-4711"
MOVED = (
    "The champion alias of sentiflow must stand at version 3. Received: somebody moved it to 2 "
    "outside sentiflow."
)
SETTINGS = NoticeSettings(
    mlflow_url="https://mlflow.example/", prefect_url="https://prefect.example", timeout_seconds=0.3
)
PINGED = Settings(notices=SETTINGS)
TODAY = read_today(PINGED.schedule)
_OPENED = "#/experiments/1/runs/abc?workflowType=machine_learning"
RUN_PAGE = f"https://mlflow.example/{_OPENED}"
FLOW_PAGE = "https://prefect.example/runs/flow-run/f-1"


def make_record(outcome: Outcome = "promoted", **changes: Any) -> NightRecord:
    return NightRecord(
        **{
            "night": "2026-11-25", "model": "sentiflow", "outcome": outcome, "version": 4,
            "reasons": ["Better on the same rows."], "mlflow_run_id": "abc",
            "mlflow_run_path": "/#/experiments/1/runs/abc", "prefect_flow_run_id": "f-1",
            "exit_code": {"failed": 4, "rejected": 3}.get(outcome, 0),
            **changes,
        }
    )  # fmt: skip


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> tuple[float, float]:
    """Short pauses between the tries, so that a test need not sit them out."""
    short = (0.05, 0.1)
    monkeypatch.setattr("sentiflow.notices.webhooks._PAUSES", short)
    return short


@pytest.fixture
def webhook(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> Listener:
    monkeypatch.setenv("SENTIFLOW_WEBHOOK_URL", f"{listener.url}/hooks/{SECRET}?key={SECRET}")
    return listener


@pytest.fixture
def watcher(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> Listener:
    monkeypatch.setenv("SENTIFLOW_PING_URL", f"{listener.url}/ping/{SECRET}")
    return listener


def send(record: NightRecord, settings: NoticeSettings = SETTINGS) -> list[str]:
    return send_notices(compose_notices(record, settings), settings)


@pytest.mark.parametrize(
    ("outcome", "kinds"),
    [
        ("promoted", ["promoted"]), ("waiting", ["waiting"]), ("rejected", ["rejected"]),
        ("failed", ["failed"]), ("kept", []), ("skipped", []),
    ],
)  # fmt: skip
def test_an_outcome_that_somebody_must_know_makes_a_notice(
    outcome: Outcome, kinds: list[NoticeKind]
) -> None:
    assert [notice.kind for notice in compose_notices(make_record(outcome), SETTINGS)] == kinds


@pytest.mark.parametrize("outcome", ["promoted", "kept", "skipped", "failed"])
def test_a_champion_moved_outside_is_told_whatever_the_night_became(outcome: Outcome) -> None:
    *_, notice = compose_notices(make_record(outcome, moved_outside=MOVED), SETTINGS)
    assert (notice.kind, notice.reasons) == ("moved_outside", (MOVED,))
    assert notice.title == "sentiflow: the champion was moved outside"


def test_a_night_refused_beside_its_own_like_is_told_only_where_that_is_asked_for(
    webhook: Listener,
) -> None:
    record = make_record("failed", refused=True, refused_by_night="2026-11-25")
    assert send(record) == []
    assert webhook.requests == []
    send(record, SETTINGS.model_copy(update={"kinds": ("refused",)}))
    assert [body["kind"] for body in webhook.bodies] == ["refused"]


@pytest.mark.parametrize("other", [None, "2026-11-24"])
def test_a_night_refused_beside_upkeep_or_another_date_failed_for_nobody_does_its_work(
    webhook: Listener, other: str | None
) -> None:
    record = make_record(
        "failed", refused=True, refused_by_night=other, reasons=["Upkeep is running."]
    )
    assert send(record) == []
    (body,) = webhook.bodies
    assert (body["kind"], body["title"]) == ("failed", "sentiflow: the night 2026-11-25 failed")
    assert "Upkeep is running." in body["text"]


@pytest.mark.parametrize(
    ("lease", "details", "kind"),
    [
        (UPKEEP, {}, "failed"),
        (name_night("sentiflow-sample"), {"night": "2026-11-24"}, "failed"),
        (name_night("sentiflow-sample"), {"night": "2026-11-25"}, "refused"),
    ],
)
def test_what_holds_the_lease_decides_what_a_refused_night_is_told_as(
    home: Path, lease: str, details: dict[str, str], kind: NoticeKind
) -> None:
    records: list[NightRecord] = []
    request = NightRequest(as_of=date(2026, 11, 25))
    url = f"sqlite:///{home / 'ledger.db'}"
    with (
        hold_lease(url, lease, "cron", LeaseSettings(), details),
        pytest.raises(NightRefused),
        open_night(request, home, None, records.append),
    ):
        pass
    ((notice,),) = [compose_notices(record, SETTINGS) for record in records]
    assert notice.kind == kind
    assert records[0].refused


def test_a_notice_says_what_happened_why_and_where_to_look(webhook: Listener) -> None:
    assert send(make_record()) == []
    (request,) = webhook.requests
    assert request.method == "POST"
    assert request.path == f"/hooks/{SECRET}?key={SECRET}"
    assert request.content_type == "application/json"
    title = "sentiflow: version 4 of the night 2026-11-25 is champion"
    assert request.body == {
        "text": f"{title}\n• Better on the same rows.\n{RUN_PAGE}\n{FLOW_PAGE}",
        "title": title, "kind": "promoted", "model": "sentiflow", "night": "2026-11-25",
        "version": 4, "reasons": ["Better on the same rows."], "link": RUN_PAGE,
    }  # fmt: skip


def test_a_failure_links_the_flow_run_first_where_its_log_is() -> None:
    (notice,) = compose_notices(make_record("failed"), SETTINGS)
    assert notice.link == FLOW_PAGE
    assert notice.title == "sentiflow: the night 2026-11-25 failed"


def test_who_waits_for_approval_is_told_how_to_give_it() -> None:
    (notice,) = compose_notices(make_record("waiting"), SETTINGS)
    assert "Approve it: sentiflow promote 4 --reason …" in notice.text


@pytest.mark.parametrize(
    ("mlflow", "prefect", "link"),
    [
        ("http://mlflow:5000", None, f"http://mlflow:5000/{_OPENED}"),
        ("http://me:pw@mlflow:5000/", None, f"http://mlflow:5000/{_OPENED}"),
        ("sqlite:////srv/mlflow.db", "http://p:4200", "http://p:4200/runs/flow-run/f-1"),
        ("sqlite:////srv/mlflow.db", None, None),
        (None, None, None),
    ],
)
def test_pages_are_linked_under_the_servers_addresses_without_passwords(
    mlflow: str | None, prefect: str | None, link: str | None
) -> None:
    (notice,) = compose_notices(make_record(), NoticeSettings(), mlflow, prefect)
    assert notice.link == link
    assert "pw" not in notice.text


def test_a_night_that_failed_before_it_had_a_run_is_told_too() -> None:
    record = NightRecord(night="2026-11-25", reasons=["There is no setting training.epoch."])
    (notice,) = compose_notices(record, SETTINGS)
    assert (notice.kind, notice.link, notice.version) == ("failed", None, None)
    assert "There is no setting training.epoch." in notice.text


def test_a_late_night_is_told_with_the_run_that_waits(webhook: Listener) -> None:
    settings = load_settings(None, ["model.name=other"])
    late = compose_late("No worker took it.", "f-9", settings, "http://p:4200")
    assert send_notices([late], settings.notices) == []
    (body,) = webhook.bodies
    assert (body["kind"], body["model"]) == ("late", "other")
    assert body["link"] == "http://p:4200/runs/flow-run/f-9"


def test_a_reason_is_shortened_and_holds_no_password_and_no_mention() -> None:
    reasons = [
        "Received: postgresql://me:hunter2@db/ledger, https://s3/x?X-Signature=hunter2",
        "<!channel> " + "long " * 200,
        "half \ud800",
        *(f"Reason {number}." for number in range(50)),
    ]
    (notice,) = compose_notices(make_record("failed", reasons=reasons), SETTINGS)
    assert "hunter2" not in notice.text
    assert "<" not in notice.text
    assert len(notice.text) < 2_500
    assert "and 48 more" in notice.text
    notice.text.encode()


def test_a_kind_that_nobody_asked_for_is_not_sent(webhook: Listener) -> None:
    settings = SETTINGS.model_copy(update={"kinds": ("failed",)})
    assert send(make_record("promoted"), settings) == []
    assert webhook.requests == []


def test_without_an_address_nothing_is_sent(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SENTIFLOW_WEBHOOK_URL", raising=False)
    monkeypatch.delenv("SENTIFLOW_PING_URL", raising=False)
    assert send(make_record()) == []
    assert ping_outside(make_record(night=TODAY.isoformat()), PINGED) == []
    assert listener.requests == []


def test_a_server_that_fails_once_is_asked_again(webhook: Listener) -> None:
    webhook.answers = [Answer(status=500)]
    assert send(make_record()) == []
    assert len(webhook.requests) == 2
    assert webhook.bodies[0] == webhook.bodies[1]


def test_a_server_that_never_answers_in_time_is_asked_three_times_with_pauses(
    webhook: Listener, pauses: tuple[float, float]
) -> None:
    webhook.answers = [Answer(pause=0.8)] * 3
    started = time.monotonic()
    (problem,) = send(make_record("failed"))
    assert "(failed)" in problem
    assert "no answer in time" in problem
    assert len(webhook.requests) == 3
    assert time.monotonic() - started >= 3 * SETTINGS.timeout_seconds + sum(pauses)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed_to_another_host(webhook: Listener, status: int) -> None:
    with listen() as other:
        webhook.answers = [Answer(status=status, location=f"{other.url}/steal")]
        (problem,) = send(make_record())
        assert other.requests == []
    assert "a redirect, which is not followed" in problem
    assert len(webhook.requests) == 1


def test_a_refusal_is_not_repeated_and_the_secret_is_in_no_log(
    webhook: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    webhook.answers = [Answer(status=403)]
    (problem,) = send(make_record())
    assert problem == (
        "Nobody was told (promoted): 127.0.0.1 must take it. Received: status 403. Check "
        "SENTIFLOW_WEBHOOK_URL."
    )
    assert len(webhook.requests) == 1
    assert caplog.messages == [problem]
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    "address",
    [
        f"ftp://host/{SECRET}", f"file:///{SECRET}", SECRET,
        f"http://host:{SECRET}/", f"http://me:{SECRET}@host/", f"http://host/{SECRET} x",
    ],
)  # fmt: skip
def test_the_secret_is_in_no_sentence_whatever_the_address(
    address: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SENTIFLOW_PING_URL", address)
    (problem,) = ping_outside(make_record(night=TODAY.isoformat()), PINGED)
    assert problem.startswith("The outside watcher was not called: SENTIFLOW_PING_URL must be")
    assert SECRET not in problem + caplog.text
    assert check_notices(SETTINGS) == [problem.split(": ", 1)[1]]


@pytest.mark.parametrize(
    ("outcome", "exit_code", "is_called"),
    [
        ("promoted", 0, True), ("kept", 0, True), ("waiting", 0, True), ("skipped", 0, True),
        ("rejected", 3, False), ("failed", 4, False), ("failed", 0, False), ("kept", 1, False),
    ],
)  # fmt: skip
def test_the_outside_watcher_is_called_after_good_nights_only(
    watcher: Listener, outcome: Outcome, exit_code: int, is_called: bool
) -> None:
    record = make_record(outcome, exit_code=exit_code, night=TODAY.isoformat())
    assert ping_outside(record, PINGED) == []
    calls = [(request.method, request.path) for request in watcher.requests]
    assert calls == ([("GET", f"/ping/{SECRET}")] if is_called else [])


@pytest.mark.parametrize(("days", "calls"), [(-1, 0), (0, 1), (1, 1), (2, 0), (30, 0)])
def test_the_outside_watcher_is_called_for_the_night_of_now_and_not_for_a_backfill(
    watcher: Listener, days: int, calls: int
) -> None:
    night = TODAY - timedelta(days=days)
    assert ping_outside(make_record("kept", night=night.isoformat()), PINGED) == []
    assert len(watcher.requests) == calls


@pytest.mark.parametrize("timezone", ["Pacific/Kiritimati", "Etc/GMT+12"])
def test_the_outside_watcher_counts_days_in_the_schedules_time_zone(
    watcher: Listener, timezone: str
) -> None:
    settings = PINGED.model_copy(update={"schedule": ScheduleSettings(timezone=timezone)})
    today = read_today(settings.schedule)
    for night in (today, today + timedelta(days=1), today - timedelta(days=2)):
        assert ping_outside(make_record("kept", night=night.isoformat()), settings) == []
    assert len(watcher.requests) == 1


def test_a_secret_comes_from_a_file_too_and_one_that_is_missing_is_said_early(
    listener: Listener, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "webhook"
    monkeypatch.setenv("SENTIFLOW_WEBHOOK_URL_FILE", str(file))
    (early,) = check_notices(SETTINGS)
    (late,) = send(make_record())
    assert "SENTIFLOW_WEBHOOK_URL_FILE must be a readable text file" in early
    assert early in late
    file.write_text(f"{listener.url}/hook\n")
    assert check_notices(SETTINGS) == []
    assert send(make_record()) == []
    assert len(listener.requests) == 1


def test_an_address_that_is_none_is_named_before_anybody_must_be_told() -> None:
    problems = check_notices(NoticeSettings(mlflow_url="mlflow:5000", prefect_url="https://p"))
    assert problems == [
        "notices.mlflow_url must be an http or https address without a user's name. Received: "
        "something else. Correct or unset it."
    ]


@pytest.mark.parametrize("status", [200, 302])
def test_the_http_clients_own_log_has_no_secret_and_speaks_again_afterwards(
    webhook: Listener, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    caplog.set_level(logging.DEBUG)
    webhook.answers = [Answer(status=status, location=f"{webhook.url}/{SECRET}")]
    send(make_record())
    assert len(webhook.requests) == 1
    assert SECRET not in caplog.text
    httpx.get(webhook.url)
    assert "HTTP Request: GET" in caplog.text


def set_proxy(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    for name in ("NO_PROXY", "no_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", address)


def test_an_address_of_this_machine_is_called_by_no_proxy(
    webhook: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listen() as proxy:
        set_proxy(monkeypatch, proxy.url)
        assert send(make_record()) == []
        assert proxy.requests == []
    assert len(webhook.requests) == 1


def test_an_address_outside_is_called_by_the_proxy_that_the_environment_names(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTIFLOW_WEBHOOK_URL", f"http://hooks.example/{SECRET}")
    set_proxy(monkeypatch, listener.url)
    assert send(make_record()) == []
    assert [request.path for request in listener.requests] == [f"http://hooks.example/{SECRET}"]


@pytest.mark.parametrize(
    "proxy", ["socks9://nowhere", "http://127.0.0.1:port", "http://127.0.0.1:1"]
)
def test_a_proxy_that_is_none_is_told_and_raises_nothing(
    monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("SENTIFLOW_WEBHOOK_URL", f"http://hooks.example/{SECRET}")
    set_proxy(monkeypatch, proxy)
    (problem,) = send(make_record())
    assert "hooks.example must take it. Received: no " in problem
    assert SECRET not in problem
