"""`sentiflow up` as a person runs it: servers, schedule, nights, and nothing left at the end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from hostile_page import attack_with_browser, find_browser
from listening import Listener, listen
from outside import list_alive, make_environment, wait_for
from small import SMALL, write_plain_reviews
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from flows.automations import DEAD_RUNS
from flows.maintenance import CLOSED_MESSAGE
from sentiflow.settings import load_access

TOKEN = "T0KEN-4711"

pytestmark = [pytest.mark.slow]


@dataclass
class Up:
    """A running `sentiflow up` and how to talk to it."""

    process: subprocess.Popen[str]
    home: Path
    environment: Mapping[str, str]
    urls: dict[str, Any]
    seconds: float
    options: tuple[str, ...]
    listener: Listener
    python: str

    @property
    def prefect_auth(self) -> tuple[str, str]:
        user, _, password = load_access(self.home).prefect.partition(":")
        return user, password

    @property
    def mlflow_auth(self) -> tuple[str, str]:
        access = load_access(self.home)
        return access.mlflow_user, access.mlflow_password

    def ask(self, path: str, **body: Any) -> Any:
        """Post to Prefect's API."""
        url = f"{self.urls['prefect_api_url']}{path}"
        answer = httpx.post(url, json=body, timeout=30, auth=self.prefect_auth)
        answer.raise_for_status()
        return answer.json()

    def find_runs(self, flow: str, **chosen: Any) -> list[dict[str, Any]]:
        runs: list[dict[str, Any]] = self.ask(
            "/flow_runs/filter",
            flows={"name": {"any_": [flow]}},
            flow_runs=chosen,
            sort="EXPECTED_START_TIME_ASC",
        )
        return runs

    def find_deployment(self, name: str) -> dict[str, Any]:
        url = f"{self.urls['prefect_api_url']}/deployments/name/{name}"
        answer = httpx.get(url, timeout=30, auth=self.prefect_auth)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def call(self, *arguments: str) -> dict[str, Any]:
        """Run a command as in another terminal, and give its JSON answer."""
        finished = subprocess.run(
            [self.python, "-m", "sentiflow", *arguments, "--json"],
            capture_output=True, text=True, env=self.environment, cwd=self.home.parent, check=False,
        )  # fmt: skip
        assert "Traceback" not in finished.stderr, finished.stderr
        answer: dict[str, Any] = {"code": finished.returncode, **json.loads(finished.stdout)}
        return answer

    def read_logs(self) -> dict[str, str]:
        return {path.stem: path.read_text() for path in (self.home / "logs").glob("*.log")}


@pytest.fixture(scope="module")
def listener() -> Iterator[Listener]:
    with listen() as server:
        yield server


@pytest.fixture(scope="module")
def up(
    tmp_path_factory: pytest.TempPathFactory, listener: Listener, warm_python: str
) -> Iterator[Up]:
    folder = tmp_path_factory.mktemp("up")
    home = folder / "home"
    environment = make_environment(
        SENTIFLOW_HOME=str(home), SENTIFLOW_WEBHOOK_URL=f"{listener.url}/{TOKEN}"
    )
    ports = ("servers.prefect_port=0", "servers.mlflow_port=0", "serving.port=0")
    reviews = write_plain_reviews(folder / "reviews.jsonl")
    # By a relative path: a worker runs nights in a folder of its own.
    options = ["--data", "reviews.jsonl"]
    for override in (*SMALL, *ports, "serving.poll_seconds=1"):
        options += ["--set", override]
    start = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "sentiflow", "up", *options, "--json"],
        stdout=subprocess.PIPE, text=True, env=environment, cwd=reviews.parent,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        urls = json.loads(process.stdout.readline())
        assert "error" not in urls, urls
        took = time.monotonic() - start
        yield Up(process, home, environment, urls, took, tuple(options), listener, warm_python)
    finally:
        process.terminate()
        process.wait(60)
        process.stdout.close()


def test_the_servers_answer_soon_and_are_written_down(up: Up) -> None:
    # One minute is promised of a machine that does nothing else.
    assert up.seconds < 60 * max(1.0, os.getloadavg()[0] / 2)
    for page, auth in (
        (f"{up.urls['prefect_url']}/api/health", None),
        (up.urls["prefect_url"], up.prefect_auth),
        (f"{up.urls['mlflow_url']}/health", None),
        (up.urls["mlflow_url"], up.mlflow_auth),
        (f"{up.urls['predictions_url']}/health", None),
    ):
        assert httpx.get(page, follow_redirects=True, auth=auth).status_code == 200, page
    assert httpx.get(f"{up.urls['predictions_url']}/ready").status_code == 503
    written = up.home / "servers.json"
    # With the home, so that a copy of it does not take them for its own.
    assert json.loads(written.read_text()) == {**up.urls, "home": str(up.home)}
    assert written.stat().st_mode & 0o777 == 0o600
    assert up.urls["process"]["pid"] == up.process.pid


def post_as_a_page(url: str, body: dict[str, Any], **headers: str) -> int:
    """POST as a page's form or fetch does without asking first: JSON, but no Content-Type."""
    return httpx.post(
        url, content=json.dumps(body).encode(), headers=headers, timeout=30
    ).status_code


def list_posts(up: Up) -> dict[str, dict[str, Any]]:
    """Return what a page would like to have done by the three servers."""
    return {
        f"{up.urls['prefect_api_url']}/flows/": {"name": "evil"},
        f"{up.urls['mlflow_url']}/api/2.0/mlflow/experiments/create": {"name": "evil"},
        f"{up.urls['predictions_url']}/v1/predict": {"texts": ["x"]},
    }


@pytest.mark.parametrize(
    "foreign", [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Host": "evil.example"}]
)
def test_no_page_of_another_site_reaches_a_server_and_no_other_name_does(
    up: Up, foreign: dict[str, str]
) -> None:
    """With a deployment made so, a shell step ran on the worker nine seconds later."""
    for url, body in list_posts(up).items():
        assert post_as_a_page(url, body, **foreign) in (400, 403), url
        assert post_as_a_page(url, body) in (401, 422, 503), f"{url}: without credentials"
    for url in (up.urls["prefect_url"], up.urls["mlflow_url"]):
        assert httpx.get(url, headers=foreign).status_code == 403
        assert httpx.get(url).status_code == 401
    flows = up.ask("/flows/filter")
    assert "evil" not in {flow["name"] for flow in flows}


def log_in(url: str, protocols: list[Any] | None) -> None:
    with connect(url, subprotocols=protocols, proxy=None) as socket:
        socket.send(json.dumps({"type": "auth", "token": "sentiflow:guess"}))
        socket.recv(10)


@pytest.mark.parametrize("path", ["/events/in", "/events/out", "/logs/out"])
@pytest.mark.parametrize("protocols", [None, ["prefect"]])
def test_a_socket_of_another_site_or_without_credentials_hears_nothing(
    up: Up, path: str, protocols: list[Any] | None
) -> None:
    url = up.urls["prefect_api_url"].replace("http", "ws") + path
    evil: Any = "https://evil.example"
    with pytest.raises(InvalidStatus, match="403"):
        connect(url, origin=evil, subprotocols=protocols, proxy=None)
    with pytest.raises(InvalidStatus, match="403"):
        connect(url, additional_headers={"Host": "evil.example"}, proxy=None)
    with pytest.raises((InvalidStatus, ConnectionClosed)):
        log_in(url, protocols)


def test_a_hostile_page_in_a_browser_sends_reads_and_opens_nothing(up: Up, tmp_path: Path) -> None:
    browser = find_browser()
    if browser is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    posts = list_posts(up)
    events = up.urls["prefect_api_url"].replace("http", "ws") + "/events"
    seen = attack_with_browser(browser, tmp_path, posts, [f"{events}/in", f"{events}/out"])
    assert len(seen) == 2 * len(posts) + 4
    assert not {what for what in seen.values() if what.startswith(("READ", "OPEN"))}, seen
    assert "evil" not in {flow["name"] for flow in up.ask("/flows/filter")}
    found = httpx.post(
        f"{up.urls['mlflow_url']}/api/2.0/mlflow/experiments/search", json={"max_results": 100},
        auth=up.mlflow_auth,
    )  # fmt: skip
    assert "evil" not in found.text


def test_a_link_of_another_terminal_opens_both_pages_without_a_password(up: Up) -> None:
    links = up.call("links")
    assert links["code"] == 0
    with httpx.Client(follow_redirects=True, timeout=30) as browser:
        page = {"Accept": "text/html"}
        assert browser.get(up.urls["prefect_url"], headers=page).status_code == 401
        for name in ("prefect", "mlflow"):
            answer = browser.get(links[name], headers=page)
            assert answer.status_code == 200
            assert "sentiflow-link" not in str(answer.url)
            # Nobody else comes in by it.
            assert httpx.get(links[name], headers=page).status_code == 403
        assert browser.get(f"{up.urls['prefect_url']}/ui-settings").json()["auth"] is None
        own = {"Origin": up.urls["prefect_url"]}
        found = browser.post(f"{up.urls['prefect_api_url']}/flows/filter", json={}, headers=own)
        assert found.status_code == 200
        foreign = {"Origin": up.urls["mlflow_url"]}
        assert browser.post(str(found.url), json={}, headers=foreign).status_code == 403
        cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    url = up.urls["prefect_api_url"].replace("http", "ws") + "/events/out"
    subprotocols: Any = ["prefect"]
    with connect(
        url, subprotocols=subprotocols, additional_headers={"Cookie": cookie}, proxy=None
    ) as socket:
        socket.send(json.dumps({"type": "auth", "token": None}))
        assert json.loads(socket.recv(10))["type"] == "auth_success"


def test_a_second_one_on_the_same_home_is_refused(up: Up) -> None:
    answer = up.call("up")
    assert answer["code"] == 2
    assert f"process {up.process.pid} runs one" in answer["reasons"][0]
    assert httpx.get(f"{up.urls['mlflow_url']}/health").status_code == 200


def test_the_schedule_has_nights_waiting(up: Up) -> None:
    waiting = wait_for(lambda: up.find_runs("retrain", state={"type": {"any_": ["SCHEDULED"]}}), 30)
    due = [datetime.fromisoformat(run["expected_start_time"]) for run in waiting]
    assert len(due) == 3
    assert all((moment.hour, moment.minute) == (3, 30) for moment in due)
    assert due[1] - due[0] == due[2] - due[1] == timedelta(days=1)
    nightly = up.find_deployment("retrain/nightly")
    assert nightly["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
    assert nightly["parameters"]["request"]["data"] == [str(up.home.parent / "reviews.jsonl")]


def test_of_two_nights_asked_for_at_once_one_runs_and_its_model_answers(up: Up) -> None:
    nightly = up.find_deployment("retrain/nightly")
    path = f"/deployments/{nightly['id']}/create_flow_run"
    made = [up.ask(path, state={"type": "SCHEDULED"})["id"] for _ in range(2)]

    def find_ended() -> dict[str, str]:
        runs = up.find_runs("retrain", id={"any_": made})
        ended = {run["state"]["name"]: run["id"] for run in runs}
        return ended if set(ended) == {"Completed", "Cancelled"} else {}

    ended = wait_for(find_ended, 300)
    # What another terminal sees comes over the servers that run.
    (model,) = up.call("status")["models"]
    assert (model["model"], model["champion"]["version"]) == ("sentiflow", 1)
    records = [json.loads(path.read_text()) for path in (up.home / "nights").glob("*.json")]
    (record,) = [record for record in records if record.get("outcome") == "promoted"]
    assert record["prefect_flow_run_id"] == ended["Completed"]
    found = httpx.get(
        f"{up.urls['mlflow_url']}/api/2.0/mlflow/runs/get",
        params={"run_id": record["mlflow_run_id"]},
        auth=up.mlflow_auth,
    ).json()["run"]
    assert found["info"]["status"] == "FINISHED"
    assert Path(found["info"]["artifact_uri"].removeprefix("file://")).is_relative_to(up.home)
    (told,) = [body for body in up.listener.bodies if body["kind"] == "promoted"]
    page = up.urls["mlflow_url"] + record["mlflow_run_path"]
    assert told["link"] == f"{page}?workflowType=machine_learning"
    wait_for(lambda: httpx.get(f"{up.urls['predictions_url']}/ready").status_code == 200, 30)
    answer = httpx.post(
        f"{up.urls['predictions_url']}/v1/predict",
        json={"texts": ["the soup was lovely", "the soup was awful"]},
    ).json()
    assert answer["model_version"] == 1
    assert [found["label"] for found in answer["predictions"]] == ["positive", "negative"]


def test_a_night_and_maintenance_run_by_themselves_at_their_minute(up: Up) -> None:
    began = datetime.now(UTC)
    every = ("--set", "schedule.cron=* * * * *", "--set", "schedule.maintenance_cron=* * * * *")
    deployed = up.call("deploy", *up.options, *every)
    assert deployed["code"] == 0, deployed
    assert deployed["pool_type"] == "process"
    # A second time: the same deployments and automations, and no more of them.
    assert len(up.ask("/deployments/filter")) == 8
    automations = up.ask("/automations/filter")
    assert sorted(found["name"] for found in automations) == sorted(deployed["automations"])

    def find_done(flow: str) -> list[dict[str, Any]]:
        runs = up.find_runs(flow, state={"type": {"any_": ["COMPLETED"]}})
        return [run for run in runs if run["auto_scheduled"]]

    (night, *_) = wait_for(lambda: find_done("retrain"), 300)
    assert datetime.fromisoformat(night["expected_start_time"]) > began
    assert datetime.fromisoformat(night["expected_start_time"]).second == 0
    wait_for(lambda: find_done("maintenance"), 120)
    # Nothing has changed since the night before: no second version.
    (model,) = up.call("status")["models"]
    assert model["last_night"]["outcome"] == "skipped"
    assert model["champion"]["version"] == 1


def test_the_server_tells_of_runs_that_crashed_unless_a_sweep_did(up: Up) -> None:
    """That silence makes a run Crashed, after three minutes, is the other automation's work."""
    flow_id = up.find_deployment("retrain/nightly")["flow_id"]
    silent, killed, swept, over = (
        up.ask("/flow_runs/", flow_id=flow_id, state={"type": "RUNNING"}) for _ in range(4)
    )
    (dead,) = [
        found["actions"] for found in up.ask("/automations/filter") if found["name"] == DEAD_RUNS
    ]
    assert [action["state"] for action in dead] == ["CRASHED"]
    up.ask(f"/flow_runs/{over['id']}/set_state", state={"type": "COMPLETED"})
    for run, message in (
        (over, dead[0]["message"]), (swept, CLOSED_MESSAGE),
        (killed, "Process exited with status code: -9."), (silent, dead[0]["message"]),
    ):  # fmt: skip
        crashed = {"type": "CRASHED", "message": message}
        up.ask(f"/flow_runs/{run['id']}/set_state", state=crashed)

    def find_told() -> set[str]:
        texts = [body["text"] for body in up.listener.bodies if body["kind"] == "failed"]
        runs = (silent, killed, swept, over)
        return {run["name"] for run in runs if any(run["name"] in text for text in texts)}

    wait_for(lambda: silent["name"] in find_told(), 60)
    assert find_told() == {silent["name"], killed["name"]}


def test_logs_hold_no_review_no_secret_and_no_traceback(up: Up) -> None:
    logs = up.read_logs()
    assert "Worker 'sentiflow-up' started" in logs["worker"]
    access = load_access(up.home)
    secrets = (TOKEN, access.prefect.partition(":")[2], access.mlflow_password, access.links)
    for name, text in logs.items():
        assert not [word for word in ("On visit", *secrets) if word in text], name
        assert "sentiflow-link=" not in text, name
    # Prefect's own server may say so of a lock in SQLite that it waited for in vain, and go on.
    assert [name for name, text in logs.items() if "Traceback" in text] in ([], ["prefect"])


def test_a_signal_ends_it_all_and_commands_go_on_without_servers(up: Up) -> None:
    up.process.send_signal(signal.SIGTERM)
    assert up.process.wait(60) == 0
    assert list_alive(up.home) == []
    assert not (up.home / "servers.json").exists()
    assert list((up.home / "tmp").iterdir()) == []
    for url in (up.urls["prefect_url"], up.urls["mlflow_url"], up.urls["predictions_url"]):
        with pytest.raises(httpx.ConnectError):
            httpx.get(url)
    answer = up.call("predict", "the soup was lovely")
    assert (answer["code"], answer["predictions"][0]["label"]) == (0, "positive")
