"""The Prefect server that a command runs for itself: it ends with it, and says why it cannot start.

What it answers to whom is seen in a whole night, in tests/test_interrupted_night.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from some_server import serve

from flows.own_server import run_own_server
from sentiflow.errors import SentiflowError

pytestmark = [pytest.mark.slow]

COMMAND = """
import os, sys, time
from sentiflow.servers.guard import guard_this_process
from sentiflow.settings import read_home, prepare_environment
prepare_environment(read_home())
guard_this_process(seconds=1)
from flows.own_server import run_own_server
with run_own_server(read_home()) as wait_until_it_answers:
    wait_until_it_answers()
    from prefect.client.orchestration import get_client
    with get_client(sync_client=True) as client:
        client.read_flows()
    print(os.environ["PREFECT_API_URL"], flush=True)
    time.sleep(600)
"""


def start(home: Path, **more: str) -> subprocess.Popen[str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND], env={**own, "SENTIFLOW_HOME": str(home), **more},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", trust_env=False).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def test_it_is_used_and_ends_with_its_command_even_by_kill_9(home: Path) -> None:
    command = start(home)
    assert command.stdout is not None
    url = command.stdout.readline().strip()
    assert answers(url)
    (server,) = [
        child for child in psutil.Process(command.pid).children()
        if "sentiflow.servers.start" in child.cmdline()
    ]  # fmt: skip
    assert os.getsid(server.pid) == server.pid, "Ctrl-C must reach the command alone"
    asked = httpx.post(f"{url}/flows/filter", json={}, trust_env=False)
    assert asked.status_code == httpx.codes.UNAUTHORIZED
    command.kill()
    command.communicate()
    ends = time.monotonic() + 30
    while answers(url) and time.monotonic() < ends:
        time.sleep(0.2)
    assert not answers(url)


def test_one_that_cannot_start_says_so_with_the_end_of_its_log(home: Path) -> None:
    # A folder where its database should be.
    (home / "prefect" / "prefect.db").mkdir(parents=True)
    command = start(home)
    _, said = command.communicate(timeout=200)
    assert command.returncode != 0
    assert "The Prefect server of this command must start. Received: exit code" in said
    assert "unable to open database file" in said


@pytest.mark.parametrize(
    ("answer", "received"),
    [
        (None, "no answer"),
        ((401, ""), "PREFECT_API_AUTH_STRING is missing or wrong"),
        ((200, '"2.20.3"'), "version 2.20.3; 3 or later is needed"),
        # Prefect Cloud has no such page.
        ((404, "{}"), None),
        ((200, '"3.8.8"'), None),
    ],
)
def test_a_server_that_somebody_names_must_answer_let_in_and_be_of_this_release(
    home: Path, answer: tuple[int, str] | None, received: str | None
) -> None:
    with serve() as server:
        if answer is not None:
            server.answers["/api/admin/version"] = answer
        url = f"{server.uri}/api" if answer is not None else "http://127.0.0.1:9/api"
        with (
            temporary_settings({PREFECT_API_URL: url}),
            run_own_server(home) as wait_until_it_answers,
        ):
            if received is None:
                wait_until_it_answers()
            else:
                with pytest.raises(SentiflowError, match=received) as caught:
                    wait_until_it_answers()
                assert "\n" not in str(caught.value)
