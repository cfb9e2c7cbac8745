"""Links by which a person's browser gets into the pages of a home's servers, without a password."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from sentiflow.access.sessions import Sessions
from sentiflow.errors import UsageError
from sentiflow.mlflow_pages import START, open_on_training
from sentiflow.settings import RunningServers, load_access, read_running_servers

_NEWEST: Final = (
    "SELECT experiment_id FROM runs WHERE lifecycle_stage = 'active' "
    "ORDER BY start_time DESC LIMIT 1"
)


def make_page_links(home: Path) -> dict[str, str]:
    """Return fresh links to the pages of the servers that run for a home.

    Raises:
        UsageError: none run.
    """
    return make_links(home, _read_servers(home))


def list_variables(home: Path) -> dict[str, str]:
    """Return what Prefect's and MLflow's own commands need for the servers that run for a home.

    Raises:
        UsageError: none run.
    """
    servers = _read_servers(home)
    access = load_access(home)
    variables = {"PREFECT_API_URL": servers.prefect_api_url}
    if not servers.prefect_is_given:
        variables["PREFECT_API_AUTH_STRING"] = access.prefect
    variables["MLFLOW_TRACKING_URI"] = servers.mlflow_url
    if not servers.mlflow_is_given:
        variables["MLFLOW_TRACKING_USERNAME"] = access.mlflow_user
        variables["MLFLOW_TRACKING_PASSWORD"] = access.mlflow_password
    return variables


def make_links(home: Path, servers: RunningServers) -> dict[str, str]:
    """Return links to Prefect's and MLflow's pages, each for one browser, and predictions'."""
    return {
        "prefect": _sign(home, "prefect", servers.prefect_url),
        "mlflow": make_mlflow_link(home, servers.mlflow_url),
        "predictions": f"{servers.predictions_url}/docs",
    }


def make_mlflow_link(home: Path, url: str) -> str:
    """Return a link to MLflow's page at an address: the runs that the last night is one of."""
    experiment = _look_up_experiment(home / "mlflow.db")
    page = START if experiment is None else open_on_training(f"/#/experiments/{experiment}/runs")
    return _sign(home, "mlflow", f"{url}{page}")


def _look_up_experiment(database: Path) -> str | None:
    """Return the experiment of the newest run in a home's own MLflow; None where nobody knows.

    Read from the file: to load MLflow for a link would take seconds.
    """
    if not database.is_file():
        return None
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
            found = connection.execute(_NEWEST).fetchone()
    except sqlite3.Error:
        # It belongs to another version, or is none: the list of experiments says so itself.
        return None
    return str(int(found[0])) if found else None


def _read_servers(home: Path) -> RunningServers:
    servers = read_running_servers(home)
    if servers is None:
        raise UsageError(
            f"Links lead to the servers of sentiflow up. Received: none that runs for {home}. "
            "Start it, or name its home by SENTIFLOW_HOME; sentiflow ui shows MLflow alone."
        )
    return servers


def _sign(home: Path, service: str, url: str) -> str:
    return Sessions(load_access(home).links, service).make_link(url)
