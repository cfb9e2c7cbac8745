"""A night is ended in each of its steps, in turn, in three ways, and goes on when run again.

The nights of one way share a home: each starts where the one before was ended and gets one
step further, and a last one comes through. docs/operations.md has the table.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import pytest
from halting import STEPS
from listening import listen
from mlflow import MlflowClient
from outside import find_port, make_environment, wait_for
from postgres import Cluster
from small import SMALL, write_plain_reviews
from small_disk import mount_small_disk, only_root_mounts

from sentiflow.night.orphans import sweep
from sentiflow.night.request import NightRequest
from sentiflow.release.leases import Leases
from sentiflow.release.ledger import Ledger
from sentiflow.reporting.record import NightRecord
from sentiflow.settings import load_settings

pytestmark = [pytest.mark.slow]

WAYS = ("killed", "cancelled", "worker killed")
TESTS = Path(__file__).resolve().parent
POOL = "matrix"
FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


class Stage:
    """A Prefect server of its own, a home for each way of ending, and workers."""

    def __init__(self, folder: Path, port: int, python: str) -> None:
        self.folder = folder
        self.python = python
        self.api = f"http://127.0.0.1:{port}/api"
        self.reviews = write_plain_reviews(folder / "reviews.jsonl")
        self.port = port
        self.server: subprocess.Popen[bytes] | None = None
        self.worker: subprocess.Popen[bytes] | None = None
        self.deployment_id: UUID | None = None

    def make_environment(self, home: Path, step: str | None = None) -> dict[str, str]:
        halting = {"HALT_STEP": step, "HALT_FILE": str(home / "halted")} if step else {}
        temporary = home.with_name(home.name + "-tmp")
        temporary.mkdir(exist_ok=True)
        own = {
            **halting, "SENTIFLOW_HOME": str(home), "PREFECT_API_URL": self.api,
            "PREFECT_HOME": str(self.folder / "prefect"),
            "PYTHONPATH": f"{TESTS}:{TESTS.parent / 'src'}:{TESTS.parent}",
            "TMPDIR": str(temporary), "PREFECT_WORKER_QUERY_SECONDS": "1", "DO_NOT_TRACK": "true",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        }  # fmt: skip
        return make_environment(**own)

    def ask(self, *overrides: str) -> NightRequest:
        return NightRequest(data=(str(self.reviews),), overrides=(*SMALL, *overrides))

    def start_process(
        self, home: Path, step: str | None, *overrides: str
    ) -> subprocess.Popen[bytes]:
        request = self.ask(*overrides).model_dump_json()
        with (self.folder / f"{home.name}.log").open("ab") as log:
            return subprocess.Popen(
                [self.python, TESTS / "halting.py", request],
                env=self.make_environment(home, step), stdout=log, stderr=log,
            )  # fmt: skip

    def start_server(self) -> None:
        with (self.folder / "server.log").open("ab") as log:
            self.server = subprocess.Popen(
                [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1",
                 "--port", str(self.port)],
                env={**self.make_environment(self.folder / "server"), "PREFECT_API_URL": ""},
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        wait_for(lambda: ask_health(self.api), 90)

    def start_worker(self) -> None:
        if self.worker is not None and self.worker.poll() is None:
            return
        with (self.folder / "worker.log").open("ab") as log:
            self.worker = subprocess.Popen(
                [sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL],
                env=self.make_environment(self.folder / "worker"), stdout=log, stderr=log,
                start_new_session=True, cwd=self.folder,
            )  # fmt: skip

    def start_flow_run(self, client: Any, home: Path, step: str | None) -> UUID:
        self.start_worker()
        created = client.create_flow_run_from_deployment(
            self.deployment_id,
            job_variables={
                "env": self.make_environment(home, step),
                "command": f"{self.python} -m prefect.engine",
            },
        )
        return UUID(str(created.id))


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, warm_python: str) -> Iterator[Stage]:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    stage = Stage(tmp_path_factory.mktemp("matrix"), find_port(), warm_python)
    try:
        with temporary_settings({PREFECT_API_URL: stage.api}):
            stage.start_server()
            make_deployment(stage)
            yield stage
    finally:
        for process in (stage.worker, stage.server):
            if process is not None:
                end_tree(process.pid)


def ask_health(api: str) -> bool:
    import httpx

    try:
        return httpx.get(f"{api}/health", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


def make_deployment(stage: Stage) -> None:
    """The night as it is deployed, with the module that can halt it."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.workers.process import ProcessWorker

    from flows.retrain import retrain

    with get_client(sync_client=True) as client:
        template = ProcessWorker.get_default_base_job_template()
        client.create_work_pool(
            WorkPoolCreate(name=POOL, type="process", base_job_template=template)
        )
        stage.deployment_id = client.create_deployment(
            client.create_flow(retrain),
            name="matrix",
            entrypoint="halting.retrain",
            work_pool_name=POOL,
            parameters={"request": stage.ask().model_dump(mode="json")},
            concurrency_limit=1,
            concurrency_options={"collision_strategy": "CANCEL_NEW"},
            enforce_parameter_schema=False,
        )


def end_tree(pid: int) -> None:
    """End a process and all below it, as the end of a container does."""
    try:
        process = psutil.Process(pid)
    except psutil.NoSuchProcess:
        return
    family = [process, *process.children(recursive=True)]
    for member in family:
        member.kill()
    psutil.wait_procs(family, timeout=10)


def read_state(client: Any, flow_run_id: UUID) -> str:
    state = client.read_flow_run(flow_run_id).state
    return state.type.value if state else ""


def list_records(home: Path) -> list[NightRecord]:
    paths = sorted((home / "nights").glob("*.json"), key=lambda path: path.stat().st_mtime)
    return [NightRecord.model_validate_json(path.read_text()) for path in paths]


def list_versions(home: Path) -> list[int]:
    found = MlflowClient(uri_of(home), uri_of(home)).search_model_versions("name='sentiflow'")
    return [int(version.version) for version in found]


def uri_of(home: Path) -> str:
    return f"sqlite:///{home / 'mlflow.db'}"


def list_running(home: Path) -> list[str]:
    client = MlflowClient(uri_of(home), uri_of(home))
    experiment = client.get_experiment_by_name("sentiflow")
    found = client.search_runs([experiment.experiment_id], "attributes.status = 'RUNNING'")
    return [run.info.run_id for run in found]


def end_night(stage: Stage, client: Any, way: str, home: Path, step: str) -> None:
    """Start a night, let it come to its step, and end it there."""
    halted = home / "halted"
    if way == "killed":
        process = stage.start_process(home, step)
        wait_for(lambda: halted.exists() or process.poll() is not None, 300)
        assert process.poll() is None, "the night ended before its step"
        os.kill(int(halted.read_text()), signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    else:
        flow_run_id = stage.start_flow_run(client, home, step)
        wait_for(halted.exists, 300)
        pid = int(halted.read_text())
        if way == "cancelled":
            from prefect.states import Cancelling

            client.set_flow_run_state(flow_run_id, Cancelling(), force=True)
            wait_for(lambda: not psutil.pid_exists(pid), 60)
            wait_for(lambda: read_state(client, flow_run_id) in FINAL, 60)
        else:
            assert stage.worker is not None
            end_tree(stage.worker.pid)
            wait_for(lambda: not psutil.pid_exists(pid), 30)
    halted.unlink()


@pytest.fixture(scope="module")
def undisturbed(stage: Stage) -> NightRecord:
    home = stage.folder / "undisturbed"
    assert stage.start_process(home, None).wait() == 0
    return list_records(home)[-1]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("step", STEPS)
def test_a_night_that_is_ended_in_a_step_leaves_nothing_open(
    stage: Stage, way: str, step: str
) -> None:
    from prefect.client.orchestration import get_client

    from flows.maintenance import close_flow_runs

    home = stage.folder / way.replace(" ", "-")
    with get_client(sync_client=True) as client:
        end_night(stage, client, way, home, step)
        settings = load_settings(None, [f"tracking.uri={uri_of(home)}"])
        told: list[NightRecord] = []
        closed = sweep(home, settings, close_flow_runs, tell_crash=told.append)
        if way == "cancelled":
            # It had the time to end by itself.
            assert closed == []
            assert told == []
        else:
            # What had been ruled when it was killed stands, and is told as what it is.
            outcome = {"decide": "promoted", "close": "skipped"}.get(step, "failed")
            assert [record.outcome for record in told] == [outcome]
            assert list_records(home)[-1].outcome == outcome
        assert list_running(home) == []
        assert Leases(f"sqlite:///{home / 'ledger.db'}").list_living(90) == []
        assert list(home.rglob(".unfinished-*")) == []
        unfinished = {"RUNNING", "PENDING", "SCHEDULED", "CANCELLING"}
        states = [str(run.state.type.value) for run in client.read_flow_runs(limit=200)]
        assert not unfinished & set(states)
        versions = [1] if step in ("register", "decide", "close") else []
        assert list_versions(home) == versions


@pytest.mark.parametrize("way", WAYS)
def test_the_next_night_comes_through_as_if_nothing_had_been(
    stage: Stage, undisturbed: NightRecord, way: str
) -> None:
    from prefect.client.orchestration import get_client

    home = stage.folder / way.replace(" ", "-")
    if way == "killed":
        stage.start_process(home, None).wait()
    else:
        with get_client(sync_client=True) as client:
            flow_run_id = stage.start_flow_run(client, home, None)
            wait_for(lambda: read_state(client, flow_run_id) in FINAL, 120)
            assert read_state(client, flow_run_id) == "COMPLETED"
    record = list_records(home)[-1]
    assert list_versions(home) == [1]
    kinds = [event.kind for event in Ledger(f"sqlite:///{home / 'ledger.db'}").read("sentiflow")]
    assert [kind for kind in kinds if kind != "failed"] == ["registered", "promoted"]
    assert "failed" in kinds, "history tells of the nights that came to nothing"
    # The night was decided already, so this one finds nothing new.
    assert (record.outcome, record.version, record.champion_version) == ("skipped", 1, 1)
    mlflow = MlflowClient(uri_of(home), uri_of(home))
    assert int(mlflow.get_model_version_by_alias("sentiflow", "champion").version) == 1
    run = mlflow.get_run(mlflow.get_model_version("sentiflow", "1").run_id)
    accuracy = {
        name: value for name, value in run.data.metrics.items()
        if name in ("test/accuracy", "test/roc_auc", "test/log_loss", "test/ece")
    }  # fmt: skip
    assert accuracy == {
        f"test/{name}": undisturbed.metrics[name]
        for name in ("accuracy", "roc_auc", "log_loss", "ece")
    }
    assert list_running(home) == []
    assert list(home.rglob(".unfinished-*")) == []
    assert list(home.with_name(home.name + "-tmp").iterdir()) == []


def test_a_training_goes_on_after_its_last_epoch(stage: Stage) -> None:
    """Of the night that was killed in its second epoch, the next one trains the rest only."""
    home = stage.folder / "killed"
    client = MlflowClient(uri_of(home), uri_of(home))
    run_id = client.get_model_version("sentiflow", "1").run_id
    steps = [metric.step for metric in client.get_metric_history(run_id, "epoch/loss")]
    assert sorted(steps) == [1, 2, 3, 4]


def test_of_two_nights_at_once_one_runs_and_the_other_is_refused_and_recorded(
    stage: Stage,
) -> None:
    home = stage.folder / "two"
    processes = [stage.start_process(home, None) for _ in range(2)]
    assert [process.wait(240) for process in processes] == [0, 0]
    refused, promoted = sorted(list_records(home), key=lambda record: record.outcome)
    assert (promoted.outcome, promoted.version) == ("promoted", 1)
    assert (refused.outcome, refused.refused, refused.exit_code) == ("failed", True, 4)
    assert "must not run beside another one" in refused.reasons[0]
    events = Ledger(f"sqlite:///{home / 'ledger.db'}").read("sentiflow")
    assert sorted(event.kind for event in events) == ["promoted", "refused", "registered"]
    assert list_versions(home) == [1]


def go_on(process: subprocess.Popen[bytes], home: Path) -> NightRecord:
    """Let a halted night go on to its end and return its record."""
    (home / "halted.go").touch()
    assert process.wait(180) == 0
    return list_records(home)[-1]


def test_a_night_outlives_a_restart_of_the_prefect_server(stage: Stage) -> None:
    from prefect.client.orchestration import get_client

    home = stage.folder / "server-restarted"
    process = stage.start_process(home, "split")
    wait_for((home / "halted").exists, 300)
    assert stage.server is not None
    end_tree(stage.server.pid)
    # The night meets the silence first, and waits for it to end.
    (home / "halted.go").touch()
    time.sleep(2)
    stage.start_server()
    record = go_on(process, home)
    assert (record.outcome, record.version) == ("promoted", 1)
    with get_client(sync_client=True) as client:
        assert read_state(client, UUID(str(record.prefect_flow_run_id))) == "COMPLETED"


def test_a_night_outlives_a_restart_of_postgresql(stage: Stage) -> None:
    cluster = Cluster()
    try:
        home = stage.folder / "postgresql-restarted"
        url = cluster.make_url()
        process = stage.start_process(home, "evaluate", f'ledger.url="{url}"')
        wait_for((home / "halted").exists, 300)
        cluster.stop()
        # Heartbeats meet the silence, and so does the registration, which is tried again.
        (home / "halted.go").touch()
        time.sleep(3)
        cluster.start()
        record = go_on(process, home)
        assert (record.outcome, record.version) == ("promoted", 1)
        assert [event.kind for event in Ledger(url).read("sentiflow")] == ["registered", "promoted"]
        assert Leases(url).list_living(90) == []
    finally:
        cluster.remove()


@only_root_mounts
def test_a_night_on_a_full_disk_is_told_and_the_next_one_goes_on(stage: Stage) -> None:
    with mount_small_disk(stage.folder / "full", 100) as home, listen() as webhook:
        # The last moment at which nothing of the tokens is written.
        environment = {
            **stage.make_environment(home, "split"), "HALT_FULL": "1",
            "SENTIFLOW_WEBHOOK_URL": webhook.url,
        }  # fmt: skip
        request = stage.ask("tracking.patience_seconds=2").model_dump_json()
        with (stage.folder / "full.log").open("wb") as log:
            subprocess.run(
                [stage.python, TESTS / "halting.py", request],
                env=environment, stdout=log, stderr=log, check=False,
            )  # fmt: skip
        (body,) = webhook.bodies
        assert body["kind"] == "failed"
        assert "must have room" in body["reasons"][0]
        (home / "filler").unlink()
        assert list_versions(home) == []
        assert stage.start_process(home, None).wait() == 0
        record = list_records(home)[-1]
        assert (record.outcome, record.version) == ("promoted", 1)
        assert list_running(home) == []
        assert list(home.rglob(".unfinished-*")) == []
