"""The secrets of a home: one set, its owner's alone, found by every command."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from sentiflow.errors import SettingsError
from sentiflow.processes import name_this_process
from sentiflow.settings import (
    RunningServers,
    is_own_prefect,
    load_access,
    prepare_environment,
    save_running_servers,
)

NAMES = (
    "PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "MLFLOW_TRACKING_URI",
    "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "NO_PROXY", "no_proxy",
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY",
)  # fmt: skip


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment that names no server, and is as before after the test."""
    for name in {*NAMES, *os.environ}:
        monkeypatch.setenv(name, os.environ.get(name, ""))
    for name in NAMES:
        monkeypatch.delenv(name)
    return monkeypatch


def run_servers(home: Path) -> RunningServers:
    servers = RunningServers(
        "http://127.0.0.1:1", "http://127.0.0.1:1/api", "http://127.0.0.1:2",
        "http://127.0.0.1:3", None, name_this_process(),
    )  # fmt: skip
    save_running_servers(home, servers)
    return servers


def test_whoever_asks_first_draws_them_and_all_find_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as several:
        found = set(several.map(lambda _: load_access(tmp_path), range(32)))
    assert len(found) == 1
    (access,) = found
    assert load_access(tmp_path) == access
    (path,) = tmp_path.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    secrets = {access.prefect, access.mlflow_password, access.links}
    assert len(secrets) == 3
    assert all(len(secret) >= 32 for secret in secrets)
    assert not any(secret in repr(access) for secret in secrets)


def test_another_home_has_others(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert load_access(tmp_path / "a") != load_access(tmp_path / "b")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"prefect": 3}', '{"prefect": ""}'])
def test_a_file_that_was_spoiled_is_named_with_the_way_out(tmp_path: Path, text: str) -> None:
    (tmp_path / "access.json").write_text(text)
    with pytest.raises(SettingsError, match=r"access\.json .* remove it"):
        load_access(tmp_path)


def test_a_later_format_may_say_more(tmp_path: Path) -> None:
    access = load_access(tmp_path)
    path = tmp_path / "access.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "more": 1}))
    assert load_access(tmp_path) == access


def test_a_command_beside_running_servers_can_get_in(
    tmp_path: Path, bare: pytest.MonkeyPatch
) -> None:
    run_servers(tmp_path)
    prepare_environment(tmp_path)
    access = load_access(tmp_path)
    assert os.environ["PREFECT_API_AUTH_STRING"] == access.prefect
    assert os.environ["MLFLOW_TRACKING_USERNAME"] == access.mlflow_user
    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == access.mlflow_password


def test_a_secret_goes_to_no_server_that_the_environment_names(
    tmp_path: Path, bare: pytest.MonkeyPatch
) -> None:
    run_servers(tmp_path)
    bare.setenv("PREFECT_API_URL", "http://prefect.example/api")
    bare.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example")
    prepare_environment(tmp_path)
    assert not {"PREFECT_API_AUTH_STRING", "MLFLOW_TRACKING_PASSWORD"} & set(os.environ)


def test_what_the_environment_gives_wins(tmp_path: Path, bare: pytest.MonkeyPatch) -> None:
    servers = run_servers(tmp_path)
    save_running_servers(tmp_path, replace(servers, prefect_is_given=True, mlflow_is_given=True))
    bare.setenv("PREFECT_API_AUTH_STRING", "ada:x")
    prepare_environment(tmp_path)
    assert os.environ["PREFECT_API_AUTH_STRING"] == "ada:x"
    assert "MLFLOW_TRACKING_PASSWORD" not in os.environ


@pytest.mark.parametrize(
    ("named", "spared"),
    [
        ("", "localhost,127.0.0.1,::1"),
        ("corp.example,localhost", "corp.example,localhost,127.0.0.1,::1"),
        ("*", "*"),
    ],
)
def test_no_proxy_stands_before_this_machine(
    tmp_path: Path, bare: pytest.MonkeyPatch, named: str, spared: str
) -> None:
    bare.setenv("NO_PROXY", named)
    prepare_environment(tmp_path)
    assert (os.environ["NO_PROXY"], os.environ["no_proxy"]) == (spared, spared)


@pytest.mark.parametrize("name", ["up", "environment"])
def test_the_heart_of_every_night_at_a_server_beats_whatever_started_it(
    tmp_path: Path, bare: pytest.MonkeyPatch, name: str
) -> None:
    prepare_environment(tmp_path)
    # A command's own server watches nothing, and each night would wait for its heart to stop.
    assert "PREFECT_FLOWS_HEARTBEAT_FREQUENCY" not in os.environ
    assert not is_own_prefect()
    if name == "up":
        run_servers(tmp_path)
    else:
        bare.setenv("PREFECT_API_URL", "http://prefect.example/api")
    prepare_environment(tmp_path)
    assert os.environ["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == "30"
