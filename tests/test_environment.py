"""What an entry point sets before Prefect, MLflow and TensorFlow are imported."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sentiflow.settings import prepare_environment


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment that an entry point makes of an empty one."""
    monkeypatch.setattr(os, "environ", {})
    prepare_environment(tmp_path / "home")
    return dict(os.environ)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        # A pickle from the registry would run the code of whoever wrote it.
        ("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false"),
        ("MLFLOW_DISABLE_TELEMETRY", "true"),
        ("PREFECT_SERVER_ANALYTICS_ENABLED", "false"),
        ("GX_ANALYTICS_ENABLED", "false"),
        ("DO_NOT_TRACK", "true"),
        ("KERAS_BACKEND", "tensorflow"),
    ],
)
def test_nothing_is_unpickled_and_nothing_is_reported(
    prepared: dict[str, str], name: str, value: str
) -> None:
    assert prepared[name] == value


def test_state_lies_below_the_home(prepared: dict[str, str], tmp_path: Path) -> None:
    assert prepared["PREFECT_HOME"] == str(tmp_path / "home" / "prefect")
    assert prepared["MLFLOW_TRACKING_URI"] == f"sqlite:///{tmp_path / 'home' / 'mlflow.db'}"


def test_what_the_environment_says_already_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", {"MLFLOW_TRACKING_URI": "http://mlflow.example:5000"})
    prepare_environment(tmp_path / "home")
    assert os.environ["MLFLOW_TRACKING_URI"] == "http://mlflow.example:5000"
