"""The registry and the fresh-process check, on a real MLflow over SQLite."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sentiflow.errors import ArtifactError, NoModelError, RegistryUnreachable
from sentiflow.model.bundle import save_bundle
from sentiflow.model.network import build_network
from sentiflow.release.checks import check_parity
from sentiflow.release.registry import Registry, Version
from sentiflow.settings import load_settings
from sentiflow.tracking import track_run

pytestmark = pytest.mark.filterwarnings("ignore")
TEXTS = ["good food", "bad !", "", "half \ud800", "<b>good</b>", "\x00"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("registry")


@pytest.fixture(scope="module")
def registry(folder: Path) -> Registry:
    return Registry(f"sqlite:///{folder / 'mlflow.db'}")


@pytest.fixture(scope="module")
def version(folder: Path, registry: Registry) -> Version:
    settings = load_settings(None, ["network.embedding=4", "network.units=[3]"])
    network = build_network(settings.network, 5)
    network.save_weights(folder / "network.weights.h5")
    save_bundle(
        folder / "bundle", ["good", "bad", "!"], folder / "network.weights.h5", settings,
        np.array([7, 3], np.uint64),
    )  # fmt: skip
    with track_run(registry.uri, "test", folder / "artifacts", "run", {}) as run:
        return registry.register(
            "model",
            run.id,
            folder / "bundle",
            {"sentiflow.night": "2026-01-02", "sentiflow.lineage": "abc"},
            {"sentiflow.lineage": "abc"},
            "a version",
        )


def test_a_version_answers_in_a_fresh_process_as_it_does_here(
    registry: Registry, version: Version, tmp_path: Path
) -> None:
    model = registry.load(version)
    answers = model.predict(TEXTS)
    assert answers.shape == (len(TEXTS),)
    difference = check_parity(registry.uri, "model", version.number, TEXTS, answers, tmp_path)
    assert 0 <= difference <= 1e-5
    assert list(tmp_path.iterdir()) == [], "the texts are removed again"
    assert model.read_trained_on().tolist() == [3, 7]


@pytest.mark.parametrize("value", [0.9, np.nan])
def test_other_probabilities_are_refused(
    registry: Registry, version: Version, tmp_path: Path, value: float
) -> None:
    answers = registry.load(version).predict(TEXTS)
    answers[2] = value
    with pytest.raises(ArtifactError, match="same probabilities"):
        check_parity(registry.uri, "model", version.number, TEXTS, answers, tmp_path)


def test_a_version_that_is_not_there_is_refused(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="load in a fresh process"):
        check_parity(registry.uri, "model", 99, TEXTS, np.zeros(6, np.float32), tmp_path)


def test_aliases_are_found_moved_and_told_apart_from_nothing(
    registry: Registry, version: Version
) -> None:
    assert registry.find_alias("model", "champion") is None
    assert registry.find_alias("no-such-model", "champion") is None
    registry.point("model", "champion", version.number)
    found = registry.find_alias("model", "champion")
    assert found is not None
    assert found.number == version.number
    assert registry.resolve("model", "champion") == registry.resolve("model", "1")


@pytest.mark.parametrize("which", ["best", "7", "challenger", "-1", ""])
def test_a_version_that_cannot_be_meant_is_a_usage_error(
    registry: Registry, version: Version, which: str
) -> None:
    with pytest.raises(NoModelError):
        registry.resolve("model", which)


def test_a_registry_that_does_not_answer_is_never_read_as_no_champion(tmp_path: Path) -> None:
    broken = tmp_path / "mlflow.db"
    broken.write_bytes(b"this is no database" * 1_000)
    with pytest.raises(RegistryUnreachable, match="must answer"):
        Registry(f"sqlite:///{broken}").find_alias("model", "champion")


def test_only_a_night_the_gate_ruled_on_counts_as_accepted(
    registry: Registry, version: Version
) -> None:
    for outcome, is_accepted in [("failed", False), ("kept", True), ("promoted", True)]:
        registry.tag_version(version, {"sentiflow.outcome": outcome})
        found = registry.find_last_accepted("model", "abc")
        assert (found is not None) == is_accepted
    assert registry.find_last_accepted("model", "another lineage") is None
    assert registry.find_last_accepted("model", "abc", not_after="2026-01-01") is None
    assert registry.find_last_accepted("model", "abc", not_after="2026-01-02") is not None


def test_the_artifact_refuses_what_is_no_text_in_words(
    registry: Registry, version: Version
) -> None:
    import mlflow

    mlflow.set_tracking_uri(registry.uri)
    model = mlflow.pyfunc.load_model(version.uri).unwrap_python_model()
    with pytest.raises(ValueError, match="row 1 of type"):
        model.predict(None, pd.DataFrame({"text": ["good", None]}))


def test_a_run_ends_as_what_it_was(folder: Path, registry: Registry) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(registry.uri)
    ended = {}
    for status, error in [
        ("FINISHED", None),
        ("FAILED", ValueError),
        ("KILLED", KeyboardInterrupt),
    ]:
        try:
            with track_run(registry.uri, "test", folder / "artifacts", status, {}) as run:
                ended[status] = run.id
                assert client.get_run(run.id).info.status == "RUNNING"
                if error:
                    raise error
        except (ValueError, KeyboardInterrupt):
            continue
    assert {client.get_run(run_id).info.status for run_id in ended.values()} == set(ended)
    assert all(client.get_run(ended[status]).info.status == status for status in ended)
