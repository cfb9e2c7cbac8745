"""Links and variables by which people and other programs get into the servers of a home."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from sentiflow.errors import UsageError
from sentiflow.processes import name_this_process
from sentiflow.servers.links import list_variables, make_mlflow_link, make_page_links
from sentiflow.settings import RunningServers, load_access, save_running_servers

SERVERS = RunningServers(
    "http://127.0.0.1:1", "http://127.0.0.1:1/api", "http://127.0.0.1:2", "http://127.0.0.1:3",
    None, name_this_process(),
)  # fmt: skip


def test_there_are_none_without_servers(home: Path) -> None:
    for find in (make_page_links, list_variables):
        with pytest.raises(UsageError, match="sentiflow up"):
            find(home)


def test_links_are_fresh_and_open_the_pages(home: Path) -> None:
    save_running_servers(home, SERVERS)
    links = make_page_links(home)
    assert links["prefect"].startswith("http://127.0.0.1:1/?sentiflow-link=")
    assert links["mlflow"].startswith("http://127.0.0.1:2/?sentiflow-link=")
    # A fresh browser would open MLflow's other mode.
    assert links["mlflow"].endswith("#/experiments?workflowType=machine_learning")
    assert make_page_links(home)["prefect"] != links["prefect"]


def test_programs_get_the_home_s_secrets_but_none_that_the_environment_gave(home: Path) -> None:
    save_running_servers(home, SERVERS)
    access = load_access(home)
    assert list_variables(home) == {
        "PREFECT_API_URL": "http://127.0.0.1:1/api",
        "PREFECT_API_AUTH_STRING": access.prefect,
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:2",
        "MLFLOW_TRACKING_USERNAME": access.mlflow_user,
        "MLFLOW_TRACKING_PASSWORD": access.mlflow_password,
    }
    save_running_servers(home, replace(SERVERS, prefect_is_given=True, mlflow_is_given=True))
    assert set(list_variables(home)) == {"PREFECT_API_URL", "MLFLOW_TRACKING_URI"}


def test_mlflow_opens_on_the_runs_of_the_last_night(released_home: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(released_home / "mlflow.db")) as database:
        (number,) = database.execute("SELECT DISTINCT experiment_id FROM runs").fetchone()
    link = make_mlflow_link(released_home, "http://127.0.0.1:2")
    assert link.endswith(f"#/experiments/{number}/runs?workflowType=machine_learning")
    for content in (b"", b"no database"):
        (tmp_path / "mlflow.db").write_bytes(content)
        assert "#/experiments?workflowType" in make_mlflow_link(tmp_path, "http://127.0.0.1:2")
