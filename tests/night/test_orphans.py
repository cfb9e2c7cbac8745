"""What dead nights left is closed; what is alive is not, however it looks."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from mlflow import MlflowClient

from sentiflow.errors import RegistryUnreachable
from sentiflow.files import TEMPORARY_PREFIX, make_temporary_prefix
from sentiflow.night.lease import hold_lease
from sentiflow.night.orphans import query_orphans, sweep
from sentiflow.processes import name_this_process
from sentiflow.release.leases import Lease, Leases
from sentiflow.release.ledger_tables import LEASES
from sentiflow.reporting.record import NightRecord, read_record
from sentiflow.settings import LeaseSettings, Settings, load_settings
from sentiflow.tracking import RunningRun

DIE = """
import os, sys
from pathlib import Path
from sentiflow.files import make_temporary_prefix
from sentiflow.release.leases import Leases
from sentiflow.tracking import track_run
home = Path(sys.argv[1])
uri = f"sqlite:///{home / 'mlflow.db'}"
tags = {"sentiflow.model": "m", "sentiflow.prefect_flow_run_id": "flow-1"}
leases = Leases(f"sqlite:///{home / 'ledger.db'}")
details = {"night": "2026-01-02", "flow_run_id": "flow-1", "beat_seconds": 0.1}
lease, _ = leases.take("night:m", "dead", 90, details)
with track_run(uri, "sentiflow", home / "mlartifacts", "night", tags) as run:
    leases.beat(lease, {**details, "run_id": run.id})
    (home / "steps" / (make_temporary_prefix() + "x")).mkdir(parents=True)
    (home / "snapshots").mkdir()
    (home / "snapshots" / (make_temporary_prefix() + "y")).write_text("half")
    print(run.id, flush=True)
    os._exit(9)
"""


@pytest.fixture
def settings(home: Path) -> Settings:
    return load_settings(None, [f"tracking.uri=sqlite:///{home / 'mlflow.db'}"])


@pytest.fixture(scope="module")
def grave(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A home that a night left when it was killed, and the id of its MLflow run."""
    folder = tmp_path_factory.mktemp("killed")
    ended = subprocess.run(
        [sys.executable, "-c", DIE, str(folder)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 9, ended.stderr
    return folder, ended.stdout.strip()


@pytest.fixture
def killed(home: Path, grave: tuple[Path, str]) -> str:
    """The test's home as the killed night left it; the id of the night's run."""
    shutil.copytree(grave[0], home, dirs_exist_ok=True)
    return grave[1]


def read_status(home: Path, run_id: str) -> str:
    return MlflowClient(f"sqlite:///{home / 'mlflow.db'}").get_run(run_id).info.status


def test_what_a_killed_night_left_is_closed_once(
    home: Path, settings: Settings, killed: str
) -> None:
    run_id = killed
    assert read_status(home, run_id) == "RUNNING"
    (home / "steps" / (make_temporary_prefix() + "mine")).mkdir()
    asked: list[str] = []

    def close_flow_runs(ids: Sequence[str], living: Sequence[str]) -> list[str]:
        assert living == []
        asked.extend(ids)
        return list(ids)

    told: list[NightRecord] = []
    closed = sweep(home, settings, close_flow_runs, tell_crash=told.append)
    assert len(closed) == 5, closed
    assert [(record.model, record.outcome, record.mlflow_run_id) for record in told] == [
        ("m", "failed", run_id)
    ]
    assert read_record(home, "flow-1") == told[0]
    assert asked == ["flow-1"]
    assert read_status(home, run_id) == "KILLED"
    assert [path.name.endswith("mine") for path in home.rglob(".unfinished-*")] == [True]
    assert Leases(f"sqlite:///{home / 'ledger.db'}").list_living(90) == []
    assert sweep(home, settings, close_flow_runs, tell_crash=told.append) == []
    assert len(told) == 1


def test_an_mlflow_that_is_away_keeps_nobody_from_hearing_of_a_killed_night(
    home: Path, settings: Settings, killed: str
) -> None:
    told: list[NightRecord] = []
    away = load_settings(None, ["tracking.uri=http://127.0.0.1:9"])
    with pytest.raises(RegistryUnreachable):
        sweep(home, away, tell_crash=told.append)
    assert [record.outcome for record in told] == ["failed"]
    # The run is still closed when MLflow is back, though its lease is gone.
    assert any("flow-1" in closed for closed in sweep(home, settings, lambda ids, _: list(ids)))
    assert read_status(home, killed) == "KILLED"


def test_a_living_night_is_left_alone(home: Path, settings: Settings) -> None:
    from sentiflow.tracking import track_run

    uri, url = f"sqlite:///{home / 'mlflow.db'}", f"sqlite:///{home / 'ledger.db'}"
    tags = {"sentiflow.model": "m"}
    with hold_lease(url, "night:m", "ada", LeaseSettings(), {}) as lease:
        with track_run(uri, "sentiflow", home / "mlartifacts", "night", tags) as run:
            assert sweep(home, settings) == []
            lease.note(run_id=run.id)
            assert sweep(home, settings) == []
            assert read_status(home, run.id) == "RUNNING"
        assert read_status(home, run.id) == "FINISHED"


def test_the_night_that_sweeps_does_not_speak_for_the_run_it_replaces(
    home: Path, settings: Settings, killed: str
) -> None:
    url = f"sqlite:///{home / 'ledger.db'}"
    with hold_lease(url, "night:m", "ada", LeaseSettings(), {}) as lease:
        closed = sweep(home, settings, None, lease)
    assert any("MLflow run" in sentence for sentence in closed)
    assert read_status(home, killed) == "KILLED"


def test_what_another_machine_left_goes_after_a_day_unless_somebody_lives_there(
    home: Path, settings: Settings
) -> None:
    day = time.time() - 86_401
    old, young, tended = (
        home / "tmp" / f"{TEMPORARY_PREFIX}{machine}-1-1-x"
        for machine in ("0" * 12, "1" * 12, "2" * 12)
    )
    for folder in (old, young, tended):
        folder.mkdir(parents=True)
        (folder / "texts").write_text("half")
        for path in (folder / "texts", folder):
            os.utime(path, (day, day))
    os.utime(young)
    leases = Leases(f"sqlite:///{home / 'ledger.db'}")
    lease, _ = leases.take("night:n", "ada", 90, {})
    with sqlite3.connect(home / "ledger.db") as database:
        database.execute(f"UPDATE {LEASES.name} SET machine = '{'2' * 12}'")
    (closed,) = sweep(home, settings)
    assert old.name in closed
    assert (old.exists(), young.exists(), tended.exists()) == (False, True, True)
    leases.release(lease)


def test_a_leftover_that_cannot_be_removed_ends_nothing(
    home: Path, settings: Settings, killed: str, caplog: pytest.LogCaptureFixture
) -> None:
    (stuck,) = (home / "steps").iterdir()
    moved = stuck.parent
    moved.chmod(0o500)
    try:
        closed = sweep(home, settings)
    finally:
        moved.chmod(0o700)
    assert read_status(home, killed) == "KILLED"
    if os.geteuid() != 0:
        assert stuck.exists()
        assert stuck.name in caplog.text
    else:
        # Nothing is forbidden to root.
        assert any(stuck.name in sentence for sentence in closed)


def test_a_run_is_an_orphan_unless_a_living_lease_speaks_for_it() -> None:
    from datetime import UTC, datetime

    now = datetime.now(UTC)

    def lease(model: str, run_id: str | None) -> Lease:
        return Lease(
            name=f"night:{model}", holder="h", actor="a", process=name_this_process(),
            taken=now, beaten=now, details={"run_id": run_id},
        )  # fmt: skip

    runs = [RunningRun("r1", "m", ""), RunningRun("r2", "n", "")]
    assert query_orphans(runs, []) == runs
    assert query_orphans(runs, [lease("m", "r1")]) == [runs[1]]
    assert query_orphans(runs, [lease("m", "r9")]) == runs
    assert query_orphans(runs, [lease("m", None), lease("n", "r2")]) == []
