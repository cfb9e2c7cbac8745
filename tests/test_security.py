"""What must never run, and what must never be written down."""

from __future__ import annotations

import ast
import io
import json
import os
import pickle
import re
import subprocess
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import keras
import mlflow
import numpy as np
import pytest
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.model import PythonModel

from sentiflow.errors import ArtifactError
from sentiflow.model.bundle import FORMAT_VERSION, Bundle, load_bundle
from sentiflow.settings import prepare_environment
from sentiflow.tracking import track_run

REPOSITORY = Path(__file__).parents[1]
SOURCES = sorted(
    path for folder in ("src", "flows", "scripts") for path in (REPOSITORY / folder).rglob("*.py")
)
# Modules whose loading runs what is in the file, and calls that run text.
RUNNING = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
CALLS = {"eval", "exec", "read_pickle", "enable_unsafe_deserialization", "unpack_archive"}


def find_dangers(source: str) -> list[str]:
    """Say what in a source would run what it reads."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in RUNNING]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in RUNNING:
            found.append(str(node.module))
        elif isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            owner = getattr(getattr(node.func, "value", None), "id", "")
            given = {keyword.arg: keyword.value for keyword in node.keywords}
            values = {key: getattr(value, "value", None) for key, value in given.items()}
            if name in CALLS:
                found.append(name)
            if values.get("allow_pickle") is True or values.get("shell") is True:
                found.append(f"{name}(allow_pickle or shell)")
            if owner == "np" and name == "load" and values.get("allow_pickle") is not False:
                found.append("np.load without allow_pickle=False")
            if name == "load_model" and values.get("safe_mode") is not True:
                # MLflow's own has no such thing: it runs an artifact's code.
                found.append("load_model without safe_mode=True")
            is_fetched = ast.unparse(node.func) == "mlflow.artifacts.download_artifacts"
            if is_fetched and ast.unparse(node.args[0]) != "version.uri":
                found.append("artifacts by another address than a registered version's")
            if owner == "yaml" and name in ("load", "load_all", "unsafe_load", "full_load"):
                found.append(f"yaml.{name}")
            if name == "extractall" and values.get("filter") != "data":
                found.append("extractall without a filter")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_no_source_runs_what_it_reads(path: Path) -> None:
    assert find_dangers(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import joblib", "from cloudpickle import load", "import pickle as p", "eval(text)",
        "np.load(path)", "np.load(path, allow_pickle=True)", "keras.saving.load_model(path)",
        "keras.saving.load_model(path, safe_mode=False)", "pd.read_pickle(path)",
        "yaml.load(text, Loader)", "subprocess.run(words, shell=True)", "tar.extractall(folder)",
        "keras.config.enable_unsafe_deserialization()", "mlflow.pyfunc.load_model(version.uri)",
        "mlflow.artifacts.download_artifacts(url, dst_path=folder)",
    ],
)  # fmt: skip
def test_the_check_above_sees_what_it_looks_for(source: str) -> None:
    assert find_dangers(source)


# --- a bundle that somebody else made


class Runs:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return Path.touch, (self.mark,)


def write_bundle(folder: Path, model: bytes) -> Path:
    folder.mkdir()
    (folder / "model.keras").write_bytes(model)
    description = {"format_version": FORMAT_VERSION, "probes": []}
    (folder / "bundle.json").write_text(json.dumps(description))
    return folder


def save_lambda(folder: Path) -> bytes:
    """A model that Keras itself saves, with code inside that leaves a mark where it is built."""
    runs = keras.layers.Lambda(lambda x: [__import__("pathlib").Path("ran").touch(), x][1])
    keras.Sequential([keras.Input(shape=(1,)), runs]).save(folder / "lambda.keras")
    Path("ran").unlink()
    return (folder / "lambda.keras").read_bytes()


def zip_files(**files: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "."), content)
    return stream.getvalue()


def test_a_model_with_code_inside_is_refused_and_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = write_bundle(tmp_path / "bundle", save_lambda(tmp_path))
    with pytest.raises(ArtifactError, match="must load"):
        load_bundle(folder)
    assert not Path("ran").exists()
    keras.saving.load_model(folder / "model.keras", compile=False, safe_mode=False)
    assert Path("ran").exists(), "the payload would run"


@pytest.mark.parametrize("place", ["the file itself", "an entry of the archive"])
def test_a_pickle_in_the_place_of_a_model_is_refused_and_does_not_run(
    tmp_path: Path, place: str
) -> None:
    mark = tmp_path / "ran"
    payload = pickle.dumps(Runs(mark))
    model = payload if place == "the file itself" else zip_files(
        config__json=payload, metadata__json=b"{}", model__weights__h5=payload
    )  # fmt: skip
    folder = write_bundle(tmp_path / "bundle", model)
    with pytest.raises(ArtifactError, match="must load"):
        load_bundle(folder)
    assert not mark.exists()
    pickle.loads(payload)
    assert mark.exists(), "the payload would run"


@pytest.mark.parametrize(
    ("module", "name"), [("os", "system"), ("builtins", "eval"), ("subprocess", "Popen")]
)
def test_a_model_that_names_a_function_of_python_is_refused(
    tmp_path: Path, module: str, name: str
) -> None:
    mark = tmp_path / "ran"
    config = {
        "module": module, "class_name": name, "registered_name": None,
        "config": {"command": f"touch {mark}"},
    }  # fmt: skip
    model = zip_files(config__json=json.dumps(config).encode(), metadata__json=b"{}")
    folder = write_bundle(tmp_path / "bundle", model)
    with pytest.raises(ArtifactError, match="must load"):
        load_bundle(folder)
    assert not mark.exists()


def test_pickled_digests_are_refused_and_do_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    bundle = Bundle(keras.Sequential(), {}, tmp_path)
    np.save(tmp_path / "trained_on.npy", np.array([Runs(mark)], object), allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        bundle.read_trained_on()
    assert not mark.exists()


class Pickled(PythonModel):
    """A model that MLflow keeps as a pickle."""

    def __init__(self, runs: Runs) -> None:
        self.runs = runs

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        return model_input


@pytest.mark.slow
def test_a_registered_pickle_is_refused_and_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    # A copy: what is prepared here must not be there for other tests.
    monkeypatch.setattr(os, "environ", os.environ.copy())
    os.environ.pop("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", None)
    prepare_environment(tmp_path / "home")
    mark = tmp_path / "ran"
    # Not by set_tracking_uri: that would hold for the tests that follow.
    monkeypatch.setattr(mlflow.tracking._tracking_service.utils, "_tracking_uri", uri)
    monkeypatch.setattr(mlflow.tracking._model_registry.utils, "_registry_uri", uri)
    with (
        track_run(uri, "test", tmp_path / "artifacts", "run", {}) as run,
        mlflow.start_run(run_id=run.id, log_system_metrics=False),
    ):
        mlflow.pyfunc.log_model(
            name="model", python_model=Pickled(Runs(mark)), registered_model_name="theirs",
            pip_requirements=[],
        )  # fmt: skip
    mark.unlink(missing_ok=True)
    # Sentiflow itself loads no model through MLflow; what the environment says holds for others.
    with pytest.raises(MlflowException, match="pickle is disallowed"):
        mlflow.pyfunc.load_model("models:/theirs/1")
    assert not mark.exists()
    # Whoever trusts the file may say so.
    os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "true"
    with suppress(MlflowException):
        mlflow.pyfunc.load_model("models:/theirs/1")
    assert mark.exists(), "the payload would run"


@pytest.mark.parametrize("version", [0, FORMAT_VERSION + 1])
def test_a_champion_of_another_release_is_told_by_its_version(tmp_path: Path, version: int) -> None:
    # What `sentiflow predict` says before an upgrade goes on.
    folder = write_bundle(tmp_path / "bundle", b"")
    (folder / "bundle.json").write_text(json.dumps({"format_version": version}))
    with pytest.raises(ArtifactError) as caught:
        load_bundle(folder)
    assert "must have format version 1 or 2" in str(caught.value)
    assert f"format_version={version}" in str(caught.value)
    assert "Load it with the release of sentiflow that made it" in str(caught.value)


# --- the repository


def list_tracked() -> list[Path]:
    """The files of the repository: those that git knows, or would."""
    answer = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=REPOSITORY,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [path for name in answer.stdout.splitlines() if (path := REPOSITORY / name).is_file()]


KEYS = re.compile(
    r"AKIA[0-9A-Z]{16}|-----BEGIN [A-Z ]*PRIVATE KEY|xox[abp]-[0-9A-Za-z-]{10}"
    r"|gh[pousr]_[0-9A-Za-z]{30}"
    r"|hooks\.slack\.com/services/T[0-9A-Z]+/B[0-9A-Z]+/[0-9A-Za-z]{20}"
)
VALUES = re.compile(
    r"^\s*(?:- )?\"?"
    r"([A-Z_]*(?:PASSWORD|SECRET|TOKEN|API_KEY|AUTH_STRING|ACCESS_KEY)[A-Z_]*)"
    r"\"?[ ]*[:=][ ]*(.*)$",
    re.M,
)


def test_no_file_of_the_repository_holds_a_key() -> None:
    assert KEYS.search("AKIA" + "A1" * 8)
    tracked = list_tracked()
    assert len(tracked) > 100
    for path in tracked:
        if path.suffix not in (".png", ".lock", ".gz"):
            assert not KEYS.search(path.read_text(encoding="utf-8", errors="ignore")), path
    assert not [path for path in tracked if path.name in (".env", "id_rsa", "credentials")]


@pytest.mark.parametrize("name", [".env", "backup/secrets.tar", "secrets/SENTIFLOW_LEDGER_URL"])
def test_where_the_docs_put_secrets_git_does_not_look(name: str) -> None:
    ask = ["git", "check-ignore", "--quiet", name]
    assert subprocess.run(ask, cwd=REPOSITORY, check=False).returncode == 0


def test_what_is_deployed_gives_no_secret_a_value() -> None:
    found = 0
    for name in ("docker-compose.yml", "Dockerfile", ".env.example", "prefect.yaml"):
        for key, value in VALUES.findall((REPOSITORY / name).read_text()):
            found += 1
            # A place where it is read from, or nothing: it comes from outside.
            is_place = key.endswith("_FILE") and value.startswith("/secrets/")
            assert not value.strip() or is_place, (name, key)
    assert found > 10
