"""The registry on a real MLflow over SQLite."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest
from attested import know

from sentiflow.errors import ArtifactError, NoModelError, RegistryUnreachable
from sentiflow.release.registry import Registry, Version
from sentiflow.tracking import track_run

TEXTS = ["good food", "bad !", "", "half \ud800", "<b>good</b>", "\x00"]


def test_a_loaded_version_answers_and_knows_what_it_was_trained_on(
    tiny_registry: Registry, tiny_version: Version, tiny_folder: Path, tmp_path: Path
) -> None:
    known = know(tiny_version, tiny_folder / "bundle")
    model = tiny_registry.load(tiny_version, known, tmp_path)
    assert list(tmp_path.iterdir()) == [], "the copy is removed again"
    assert model.predict(TEXTS).shape == (len(TEXTS),)
    assert model.read_trained_on().tolist() == [3, 7]


def test_the_artifact_is_measured_and_its_bundle_fetched(
    tiny_registry: Registry, tiny_version: Version, tiny_folder: Path, tmp_path: Path
) -> None:
    from sentiflow.model.bundle import load_bundle

    known = know(tiny_version, tiny_folder / "bundle")
    bundle = tiny_registry.fetch_bundle(tiny_version, tmp_path / "fetched")
    assert load_bundle(bundle).predict(TEXTS) == pytest.approx(
        tiny_registry.load(tiny_version, known, tmp_path / "scratch").predict(TEXTS), abs=1e-6
    )
    files = sum(path.stat().st_size for path in (tmp_path / "fetched").rglob("*") if path.is_file())
    assert tiny_registry.measure_artifact_mb(tiny_version) == pytest.approx(files / 1e6, rel=0.05)


def test_whoever_asks_mlflow_leaves_the_environment_as_it_was(
    tiny_registry: Registry, tiny_version: Version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "sqlite:///theirs.db")
    before = dict(os.environ)
    tiny_registry.fetch_bundle(tiny_version, tmp_path)
    tiny_registry.measure_artifact_mb(tiny_version)
    assert dict(os.environ) == before


def test_a_file_that_a_run_does_not_hold_is_told_by_name(
    tiny_registry: Registry, tiny_version: Version, tmp_path: Path
) -> None:
    with pytest.raises(ArtifactError, match=r"answers\.parquet"):
        tiny_registry.fetch_run_file(tiny_version.run_id, "evaluation/answers.parquet", tmp_path)


def test_aliases_are_found_moved_and_told_apart_from_nothing(
    tiny_registry: Registry, tiny_version: Version
) -> None:
    assert tiny_registry.look_up_alias("model", "champion") is None
    assert tiny_registry.look_up_alias("no-such-model", "champion") is None
    tiny_registry.point("model", "champion", tiny_version.number)
    found = tiny_registry.look_up_alias("model", "champion")
    assert found is not None
    assert found.number == tiny_version.number
    assert tiny_registry.resolve("model", "champion") == tiny_registry.resolve("model", "1")


@pytest.mark.parametrize(
    "which",
    ["best", "7", "challenger", "-1", "", "0", "²", "٣", str(2**31), "9" * 20, "9" * 5_000],
)
def test_a_version_that_cannot_be_meant_is_a_usage_error(
    tiny_registry: Registry, tiny_version: Version, which: str
) -> None:
    with pytest.raises(NoModelError):
        tiny_registry.resolve("model", which)


def test_a_registry_that_does_not_answer_is_never_read_as_no_champion(tmp_path: Path) -> None:
    broken = tmp_path / "mlflow.db"
    broken.write_bytes(b"this is no database" * 1_000)
    with pytest.raises(RegistryUnreachable, match="must answer"):
        Registry(f"sqlite:///{broken}").look_up_alias("model", "champion")


def test_an_alias_is_taken_away_and_that_twice_is_no_error(
    tiny_registry: Registry, tiny_version: Version
) -> None:
    tiny_registry.point("model", "waiting", tiny_version.number)
    tiny_registry.unpoint("model", "waiting")
    tiny_registry.unpoint("model", "waiting")
    assert tiny_registry.look_up_alias("model", "waiting") is None


def test_the_artifact_refuses_what_is_no_text_in_words(
    tiny_registry: Registry, tiny_version: Version
) -> None:
    import mlflow

    mlflow.set_tracking_uri(tiny_registry.uri)
    model = mlflow.pyfunc.load_model(tiny_version.uri).unwrap_python_model()
    with pytest.raises(ValueError, match="row 1 of type"):
        model.predict(None, pd.DataFrame({"text": ["good", None]}))


def test_a_run_ends_as_what_it_was(tiny_folder: Path, tiny_registry: Registry) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(tiny_registry.uri)
    ended = {}
    for status, error in [
        ("FINISHED", None),
        ("FAILED", ValueError),
        ("KILLED", KeyboardInterrupt),
    ]:
        try:
            with track_run(tiny_registry.uri, "test", tiny_folder / "artifacts", status, {}) as run:
                ended[status] = run.id
                assert client.get_run(run.id).info.status == "RUNNING"
                if error:
                    raise error
        except (ValueError, KeyboardInterrupt):
            continue
    assert {client.get_run(run_id).info.status for run_id in ended.values()} == set(ended)
    assert all(client.get_run(ended[status]).info.status == status for status in ended)


def test_a_password_in_the_registrys_address_is_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    registry = Registry("http://me:s3cret@127.0.0.1:9")
    with pytest.raises(RegistryUnreachable) as caught:
        registry.look_up_alias("model", "champion")
    assert "s3cret" not in str(caught.value)
    assert "://***@127.0.0.1:9" in str(caught.value)
