"""Ctrl-C in a terminal night: one line, at once, and the next one goes on where it stood."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest
from mlflow import MlflowClient
from outside import list_alive, make_environment
from small import SMALL, write_plain_reviews

from sentiflow.settings import load_access

pytestmark = [pytest.mark.slow]

EPOCHS = ("training.epochs=24", "training.patience=24")


@dataclass
class Terminal:
    """A home, and a terminal in which nights are started on it."""

    home: Path
    reviews: Path

    @property
    def command(self) -> list[str]:
        settings = (*(part for part in SMALL if "epochs" not in part), *EPOCHS)
        options = [word for override in settings for word in ("--set", override)]
        return [sys.executable, "-m", "sentiflow", "run", "--data", str(self.reviews), *options]

    @property
    def environment(self) -> dict[str, str]:
        # Where Prefect may start no server of its own, and a proxy stands before everything.
        return make_environment(
            SENTIFLOW_HOME=str(self.home), http_proxy="http://127.0.0.1:9",
            PREFECT_SERVER_ALLOW_EPHEMERAL_MODE="false",
        )  # fmt: skip


@dataclass
class Interrupted:
    """What came of a night that Ctrl-C ended in the middle of its training."""

    code: int
    said: str
    server: str
    answers: dict[str, int]
    left: list[str]


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    folder = tmp_path_factory.mktemp("terminal")
    return Terminal(folder / "home", write_plain_reviews(folder / "reviews.jsonl"))


@pytest.fixture(scope="module")
def interrupted(terminal: Terminal) -> Iterator[Interrupted]:
    night = subprocess.Popen(
        terminal.command, env=terminal.environment, stderr=subprocess.PIPE, text=True,
        stdout=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        assert night.stderr is not None
        for line in night.stderr:
            if "epoch 2 loss" in line:
                break
        server = look_up_server(night.pid)
        answers = attack(server, terminal.home)
        # The terminal sends it to all of the group.
        os.killpg(night.pid, signal.SIGINT)
        said = night.stderr.read()
        code = night.wait(60)
        yield Interrupted(code, said, server, answers, list_left(terminal.home))
    finally:
        if night.poll() is None:
            night.kill()
            night.wait()


def look_up_server(pid: int) -> str:
    """Return the address of the Prefect server that a command runs for itself."""
    (server,) = [
        child for child in psutil.Process(pid).children()
        if "sentiflow.servers.start" in child.cmdline()
    ]  # fmt: skip
    assert os.getpgid(server.pid) == server.pid, "Ctrl-C must reach the command alone"
    (listening,) = [found for found in server.net_connections() if found.status == "LISTEN"]
    assert listening.laddr.ip == "127.0.0.1"
    return f"http://127.0.0.1:{listening.laddr.port}"


def attack(server: str, home: Path) -> dict[str, int]:
    """Ask the server as programs of the home, as others and as web pages do."""
    user, _, password = load_access(home).prefect.partition(":")
    auth = (user, password)
    url, flow = f"{server}/api/flows/", json.dumps({"name": "evil"}).encode()
    foreign = {"Origin": "https://evil.example"}
    with httpx.Client(trust_env=False, timeout=30) as client:
        return {
            "home": client.post(f"{url}filter", json={}, auth=auth).status_code,
            "other": client.post(url, content=flow).status_code,
            "page": client.post(url, content=flow, headers=foreign).status_code,
            "page with secret": client.post(
                url, content=flow, headers=foreign, auth=auth
            ).status_code,
            "rebound": client.post(url, content=flow, headers={"Host": "evil"}).status_code,
        }


def list_left(home: Path) -> list[str]:
    """Return the programs of the home that are still there when the guard has looked."""
    ends = time.monotonic() + 30
    while (left := list_alive(home)) and time.monotonic() < ends:
        time.sleep(0.2)
    return left


def find_statuses(home: Path) -> list[str]:
    client = MlflowClient(tracking_uri=f"sqlite:///{home / 'mlflow.db'}")
    experiments = [found.experiment_id for found in client.search_experiments()]
    return sorted(run.info.status for run in client.search_runs(experiments))


def test_ctrl_c_ends_a_night_in_one_line(interrupted: Interrupted, terminal: Terminal) -> None:
    assert interrupted.code == 130
    told = [line for line in interrupted.said.splitlines() if "train: epoch" not in line]
    assert told == ["Interrupted. Run again to go on: finished steps are kept."]
    assert interrupted.left == []
    assert find_statuses(terminal.home) == ["KILLED"]
    (record,) = [json.loads(path.read_text()) for path in (terminal.home / "nights").glob("*.json")]
    assert record["outcome"] == "failed"


def test_its_own_server_takes_the_secret_of_the_home_and_no_web_page(
    interrupted: Interrupted,
) -> None:
    assert interrupted.answers == {
        "home": 200, "other": 401, "page": 403, "page with secret": 403, "rebound": 403,
    }  # fmt: skip
    with pytest.raises(httpx.ConnectError):
        httpx.get(interrupted.server, trust_env=False)


def test_run_again_it_goes_on_where_it_stood(interrupted: Interrupted, terminal: Terminal) -> None:
    again = subprocess.run(
        [*terminal.command, "--json"], env=terminal.environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert again.returncode == 0, again.stderr
    answer = json.loads(again.stdout)
    assert answer["outcome"] == "promoted"
    assert "tokenize" in answer["reused_steps"]
    (resumed,) = [line for line in again.stderr.splitlines() if "goes on after epoch" in line]
    assert int(resumed.rpartition(" ")[2]) >= 2
    assert find_statuses(terminal.home) == ["FINISHED", "KILLED"]
    assert list_left(terminal.home) == []
