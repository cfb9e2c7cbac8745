"""A night learns before it trains that its MLflow could not keep what it makes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from some_server import SomeServer, serve

from sentiflow.errors import RegistryUnreachable, UsageError
from sentiflow.retries import RetryPolicy
from sentiflow.tracking import Run, track_run
from sentiflow.tracking_server import check_artifacts, check_server


@pytest.fixture
def server() -> Iterator[SomeServer]:
    with serve() as server:
        yield server


@pytest.mark.parametrize("version", ["2.22.1", "1.30.0", "2.0.0rc1"])
def test_an_older_server_is_refused_in_one_line(server: SomeServer, version: str) -> None:
    server.answers["/version"] = (200, version)
    with pytest.raises(UsageError, match=rf"Received: version {version}") as caught:
        check_server(server.uri, RetryPolicy())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "answer", [(200, "3.1.0"), (200, "4.0.0.dev0"), (200, "<html>2.1"), (404, "")]
)
def test_a_server_that_is_new_enough_or_does_not_say_is_let_pass(
    server: SomeServer, answer: tuple[int, str]
) -> None:
    server.answers["/version"] = answer
    check_server(server.uri, RetryPolicy())
    check_server("sqlite:////nowhere/mlflow.db", RetryPolicy())


def test_a_server_that_is_away_is_told_as_away(server: SomeServer) -> None:
    server.server_close()
    with pytest.raises(RegistryUnreachable):
        check_server(server.uri, RetryPolicy())


class _Client:
    """MLflow's client of a run whose artifacts are elsewhere, in storage that is not here."""

    def __init__(self, place: str, error: Exception | None = None) -> None:
        self.place, self.error = place, error

    def get_run(self, _: str) -> Any:
        return self

    @property
    def info(self) -> Any:
        return self

    @property
    def artifact_uri(self) -> str:
        return self.place

    def log_text(self, *_: str) -> None:
        if self.error is not None:
            raise self.error


def make_run(uri: str, client: _Client) -> Run:
    return Run(client, "run", "1", uri, RetryPolicy())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "place", ["/another/machine/1/run/artifacts", "file:///another/m/1/run/artifacts"]
)
def test_a_folder_of_the_servers_machine_alone_is_told_and_not_made_here(
    server: SomeServer, place: str
) -> None:
    with pytest.raises(UsageError, match="--artifacts-destination"):
        check_artifacts(make_run(server.uri, _Client(place)), {})
    assert not Path("/another").exists()


def test_storage_that_does_not_take_them_is_told_in_one_line(server: SomeServer) -> None:
    client = _Client("s3://bucket/1/run/artifacts", OSError("Unable to locate credentials"))
    with pytest.raises(UsageError, match=r"s3://bucket.*Unable to locate credentials") as caught:
        check_artifacts(make_run(server.uri, client), {})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("sees", [True, False])
def test_a_server_is_asked_whether_it_sees_what_was_kept_in_a_folder(
    server: SomeServer, tmp_path: Path, sees: bool
) -> None:
    found = [{"path": "settings.json"}] if sees else []
    server.answers["/api/2.0/mlflow/artifacts/list"] = (200, json.dumps({"files": found}))
    run = make_run(server.uri, _Client(f"{tmp_path}/1/run/artifacts"))
    if sees:
        check_artifacts(run, {})
    else:
        with pytest.raises(UsageError, match="does not see"):
            check_artifacts(run, {})


def test_the_settings_are_the_first_artifact_of_a_run(tiny_registry: Any, tmp_path: Path) -> None:
    with track_run(tiny_registry.uri, "kept", tmp_path, "night", {}) as run:
        check_artifacts(run, {"model": {"name": "sentiflow"}})
        kept = tmp_path / run.id / "artifacts" / "settings.json"
        assert json.loads(kept.read_text()) == {"model": {"name": "sentiflow"}}
