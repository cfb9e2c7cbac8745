"""Runs against a real MLflow server that hangs, dies, and comes back or does not."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow_server import MlflowServer, lose_answers

from sentiflow.errors import RegistryFailed, RegistryUnreachable, SentiflowError
from sentiflow.release.registry import Registry
from sentiflow.retries import RetryPolicy
from sentiflow.tracking import Run, query_running_runs, track_run

pytestmark = [pytest.mark.slow]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    server = MlflowServer(tmp_path_factory.mktemp("mlflow"))
    yield server
    server.kill()


@pytest.fixture
def server(house: MlflowServer, monkeypatch: pytest.MonkeyPatch) -> MlflowServer:
    # As a night has it, with less time for an answer.
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    house.ensure_running()
    return house


@pytest.fixture
def artifacts_that_break(server: MlflowServer) -> Iterator[None]:
    """Let the server find no folder where it keeps artifacts."""
    folder = server.artifacts
    folder.mkdir(exist_ok=True)
    away = folder.rename(folder.with_name("away"))
    folder.write_text("no folder")
    yield
    folder.unlink()
    away.rename(folder)


def open_run(server: MlflowServer, patience: float) -> Any:
    return track_run(server.uri, "outages", None, "night", {}, RetryPolicy(patience))


def read_run(uri: str, run_id: str) -> Any:
    return MlflowClient(uri).get_run(run_id)


def log_epochs(run: Run, epochs: int, on_epoch: dict[int, Any]) -> None:
    for epoch in range(epochs):
        on_epoch.get(epoch, lambda: None)()
        run.log_metrics({"epoch/loss": 1 / (epoch + 1), "epoch/accuracy": 0.5}, step=epoch)


def test_every_metric_is_there_after_a_server_that_hung_and_one_that_was_killed(
    server: MlflowServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "sentiflow")
    notes = tmp_path / "notes.txt"
    notes.write_text("seen")

    def hang() -> None:
        server.hold()
        threading.Timer(4.0, server.resume).start()

    def die() -> None:
        server.kill()
        threading.Timer(1.0, server.start).start()

    with open_run(server, 180) as run:
        log_epochs(run, 6, {1: hang, 4: die})
        run.set_tags({"sentiflow.outcome": "kept"})
        run.log_files([notes], "notes")
        run.log_json({"night": "2026-11-25"}, "night.json")
    ended = read_run(server.uri, run.id)
    assert ended.info.status == "FINISHED"
    assert ended.data.tags["sentiflow.outcome"] == "kept"
    client = MlflowClient(server.uri)
    for name in ("epoch/loss", "epoch/accuracy"):
        history = client.get_metric_history(run.id, name)
        assert sorted(entry.step for entry in history) == [0, 1, 2, 3, 4, 5]
    assert {entry.path for entry in client.list_artifacts(run.id)} == {"notes", "night.json"}
    said = [message.split(";")[0].split(" after")[0] for message in caplog.messages]
    assert said == ["MLflow does not answer", "MLflow answers again"] * 2


def test_what_was_made_although_the_answer_was_lost_is_not_made_twice(
    server: MlflowServer, tiny_folder: Path, tiny_version: Any
) -> None:
    lost = (
        "experiments/create",
        "runs/create",
        "registered-models/create",
        "model-versions/create",
    )
    tags = {"sentiflow.model": "lost"}
    with (
        lose_answers(server, *lost) as uri,
        track_run(uri, "lost", None, "night", tags, RetryPolicy(20)) as run,
    ):
        assert [found.id for found in query_running_runs(server.uri, "lost")] == [run.id]
        registry = Registry(uri, RetryPolicy(20))
        bundle = tiny_folder / "bundle"
        version = registry.register("lost", run.id, bundle, {}, {"sentiflow.lineage": "a"}, "one")
        assert registry.query_versions("lost", {}) == [version]
        assert registry.read_model_tags("lost") == {"sentiflow.lineage": "a"}
    assert version.number == 1


def test_opening_a_run_and_the_registry_wait_for_a_server_that_hangs(server: MlflowServer) -> None:
    server.hold()
    with pytest.raises(RegistryUnreachable, match="must answer"):
        Registry(server.uri).look_up_alias("model", "champion")
    threading.Timer(3.0, server.resume).start()
    assert Registry(server.uri, RetryPolicy(60)).look_up_alias("model", "champion") is None
    server.hold()
    threading.Timer(3.0, server.resume).start()
    with open_run(server, 60) as run:
        pass
    assert read_run(server.uri, run.id).info.status == "FINISHED"


def test_a_run_on_a_server_leaves_standard_output_to_the_answer(
    server: MlflowServer, tmp_path: Path
) -> None:
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from sentiflow.settings import prepare_environment\n"
        "prepare_environment(Path(sys.argv[1]))\n"
        "from sentiflow.tracking import track_run\n"
        "with track_run(sys.argv[2], 'quiet', None, 'night', {}):\n"
        "    pass\n"
        "print('{}')\n"
    )
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    answer = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), server.uri],
        env=kept, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert answer.stdout == "{}\n"


def test_a_refusal_is_no_outage_and_not_waited_for(server: MlflowServer) -> None:
    started = time.monotonic()
    with pytest.raises(SentiflowError, match="MLflow must open a run") as caught:
        track_run(server.uri, "", None, "night", {}, RetryPolicy(60)).__enter__()
    assert not isinstance(caught.value, RegistryUnreachable)
    assert time.monotonic() - started < 5


def test_an_answer_of_500_is_one_line_and_not_waited_for(
    server: MlflowServer, artifacts_that_break: None
) -> None:
    started = time.monotonic()
    with (
        pytest.raises(RegistryFailed, match="an answer of 500; its own log says why"),
        open_run(server, 60) as run,
    ):
        run.log_json({}, "record.json")
    assert time.monotonic() - started < 20
    assert read_run(server.uri, run.id).info.status == "FAILED"


def test_a_server_that_is_down_for_good_ends_a_night_within_its_patience_and_hides_nothing(
    server: MlflowServer, caplog: pytest.LogCaptureFixture
) -> None:
    seconds = []
    runs: list[Run] = []

    def log_without_server(run: Run) -> None:
        server.kill()
        for _ in range(3):
            started = time.monotonic()
            with pytest.raises(RegistryUnreachable, match="MLflow must answer"):
                run.log_metrics({"loss": 1.0})
            seconds.append(time.monotonic() - started)
        run.log_metrics({"loss": 1.0})

    def fail(run: Run) -> None:
        with open_run(server, 3) as night:
            runs.extend([run, night])
            with pytest.raises(RegistryUnreachable) as caught:
                log_without_server(night)
            assert caught.value.exit_code == 4
            raise ValueError("the real reason")

    # What this block does stands, though its run cannot be closed.
    with open_run(server, 1) as done, pytest.raises(ValueError, match="the real reason"):
        fail(done)
    assert 3 <= seconds[0] < 5
    assert max(seconds[1:]) < 1
    for run in runs:
        assert f"The MLflow run {run.id} stays RUNNING until a sweep ends it" in caplog.text
        assert read_run(server.database_uri, run.id).info.status == "RUNNING"
