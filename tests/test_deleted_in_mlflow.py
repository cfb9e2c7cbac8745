"""What somebody deletes in MLflow's page, soft or for good: one line, and the way out."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow import MlflowClient

from sentiflow.errors import SentiflowError, UsageError
from sentiflow.night.opening import open_night
from sentiflow.night.request import NightRequest
from sentiflow.release.ledger import Ledger
from sentiflow.release.registry import Registry
from sentiflow.reporting.record import NightRecord
from sentiflow.tracking import track_run


@pytest.fixture
def client(shared_mlflow: str) -> MlflowClient:
    return MlflowClient(shared_mlflow, shared_mlflow)


def collect(uri: str, run_id: str) -> None:
    """Remove a deleted run for good, by what `mlflow gc` calls: starting that takes seconds."""
    from mlflow.tracking._tracking_service.utils import _get_store

    _get_store(uri)._hard_delete_run(run_id)


def test_a_deleted_experiment_is_told_before_the_night_opens_with_the_ways_out(
    client: MlflowClient, home: Path
) -> None:
    number = client.create_experiment("deleted-before", f"file://{home}/artifacts")
    client.delete_experiment(number)
    asked = NightRequest(overrides=("tracking.experiment=deleted-before",))
    told: list[NightRecord] = []
    with (
        pytest.raises(UsageError, match="it was deleted") as refusal,
        open_night(asked, home, "flow-1", told.append),
    ):
        pass
    for part in (f"experiments restore --experiment-id {number}", "--set tracking.experiment="):
        assert part in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert [record.outcome for record in told] == ["failed"]
    client.restore_experiment(number)
    with open_night(asked, home, "flow-2") as night:
        assert night.run.experiment_id == number


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("run", r"it was deleted\. Restore it \(mlflow runs restore --run-id"),
        ("experiment", r"it was deleted\. .*mlflow experiments restore --experiment-id"),
        ("run for good", r"it is gone\. Run the night again"),
    ],
)
def test_a_run_that_is_deleted_while_the_night_runs_ends_it_in_a_line(
    shared_mlflow: str, client: MlflowClient, home: Path, what: str, words: str
) -> None:
    experiment = f"deleted-{what}".replace(" ", "-")
    asked = NightRequest(overrides=(f"tracking.experiment={experiment}",))
    told: list[NightRecord] = []

    def lose() -> None:
        with open_night(asked, home, "flow-1", told.append) as night:
            if what == "experiment":
                client.delete_experiment(night.run.experiment_id)
            else:
                client.delete_run(night.run.id)
            if what == "run for good":
                collect(shared_mlflow, night.run.id)
            night.run.log_metrics({"accuracy": 0.9})

    with pytest.raises(SentiflowError, match=words) as ending:
        lose()
    assert "\n" not in str(ending.value)
    (record,) = told
    assert record.reasons == [str(ending.value)]
    assert Ledger(f"sqlite:///{home / 'ledger.db'}").read("sentiflow-sample")[-1].kind == "failed"


def test_a_model_is_not_registered_in_a_run_that_was_deleted(
    tiny_registry: Registry, client: MlflowClient, tmp_path: Path
) -> None:
    with track_run(tiny_registry.uri, "deleted-register", tmp_path, "run", {}) as run:
        client.delete_run(run.id)
        with pytest.raises(SentiflowError, match=rf"run {run.id}\. Received: .*Restore") as refusal:
            tiny_registry.register("never", run.id, tmp_path, {}, {}, "")
    assert "\n" not in str(refusal.value)
    assert tiny_registry.query_versions("never", {}) == []


def test_a_version_whose_files_were_deleted_is_told_with_the_ways_out(
    tiny_registry: Registry, client: MlflowClient, home: Path
) -> None:
    (empty := home / "artifacts").mkdir()
    client.create_registered_model("emptied")
    made = client.create_model_version("emptied", f"file://{empty}")
    version = tiny_registry.resolve("emptied", str(made.version))
    with pytest.raises(SentiflowError) as refusal:
        tiny_registry.fetch_bundle(version, home / "fetched")
    for part in ("Restore the files", "sentiflow rollback --to N"):
        assert part in str(refusal.value)
    assert "\n" not in str(refusal.value)
