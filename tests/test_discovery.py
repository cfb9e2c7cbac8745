"""Commands in another terminal find the servers of `sentiflow up`, and only living ones."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sentiflow.processes import name_this_process
from sentiflow.settings import (
    RunningServers,
    forget_running_servers,
    prepare_environment,
    read_running_servers,
    save_running_servers,
)

NAMES = ("PREFECT_API_URL", "MLFLOW_TRACKING_URI", "SENTIFLOW_LEDGER_URL")


@pytest.fixture
def servers(home: Path, monkeypatch: pytest.MonkeyPatch) -> RunningServers:
    """Servers of this very process, written down; the environment names none."""
    for name, value in os.environ.items():
        # Whatever is set by a test is undone after it.
        monkeypatch.setenv(name, value)
    for name in NAMES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    running = RunningServers(
        prefect_url="http://127.0.0.1:1",
        prefect_api_url="http://127.0.0.1:1/api",
        mlflow_url="http://127.0.0.1:2",
        predictions_url="http://127.0.0.1:3",
        ledger_url="postgresql://ada@db/nights_ledger",
        process=name_this_process(),
    )
    save_running_servers(home, running)
    return running


def test_living_servers_are_used_where_the_environment_names_none(
    home: Path, servers: RunningServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example")
    prepare_environment(home)
    assert os.environ["PREFECT_API_URL"] == servers.prefect_api_url
    assert os.environ["MLFLOW_TRACKING_URI"] == "http://mlflow.example"
    assert os.environ["SENTIFLOW_LEDGER_URL"] == servers.ledger_url


def test_servers_of_a_process_that_is_gone_are_ignored(home: Path, servers: RunningServers) -> None:
    ended = subprocess.Popen([sys.executable, "-S", "-c", ""])
    ended.wait()
    for process in (
        replace(servers.process, pid=ended.pid),
        # The id was given again, or the machine was started again, since.
        replace(servers.process, started=servers.process.started - 100),
        replace(servers.process, machine="0" * 12),
    ):
        save_running_servers(home, replace(servers, process=process))
        assert read_running_servers(home) is None
    prepare_environment(home)
    assert "PREFECT_API_URL" not in os.environ
    assert os.environ["MLFLOW_TRACKING_URI"].startswith("sqlite:///")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"process": {}}', '{"process": 3}'])
def test_a_file_that_cannot_be_understood_is_no_servers(
    home: Path, servers: RunningServers, text: str
) -> None:
    (home / "servers.json").write_text(text)
    assert read_running_servers(home) is None


def test_the_file_is_for_its_owner_alone_and_goes(home: Path, servers: RunningServers) -> None:
    assert read_running_servers(home) == servers
    assert (home / "servers.json").stat().st_mode & 0o777 == 0o600
    forget_running_servers(home)
    forget_running_servers(home)
    assert read_running_servers(home) is None


def test_servers_of_the_home_that_this_one_was_copied_from_are_not_its_own(
    home: Path, servers: RunningServers
) -> None:
    copy = Path(shutil.copytree(home, home.with_name("copy")))
    assert read_running_servers(home) == servers
    assert read_running_servers(copy) is None
