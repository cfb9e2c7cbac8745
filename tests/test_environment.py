"""What an entry point sets before Prefect, MLflow and TensorFlow are imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sentiflow.errors import SettingsError
from sentiflow.settings import prepare_environment, read_api_key, read_ping_url, read_webhook_url


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


def lay_out(folder: Path, **secrets: str) -> dict[str, str]:
    """Write secrets as Compose does; return the variables that name their files."""
    for name, secret in secrets.items():
        (folder / name).write_text(f"{secret}\n" if secret else "")
    return {f"{name}_FILE": str(folder / name) for name in secrets}


def test_secrets_in_files_reach_clients_that_read_the_environment_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = {
        "PREFECT_API_AUTH_STRING": "sentiflow:p@%s/:?#'\"w $x", "PREFECT_API_KEY": "key",
        "MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_TRACKING_PASSWORD": "pass word",
        "MLFLOW_TRACKING_TOKEN": "token", "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }  # fmt: skip
    others = {"SSL_CERT_FILE": "/etc/hostname", "AWS_SHARED_CREDENTIALS_FILE": "/nowhere"}
    files = lay_out(tmp_path, **secrets, AWS_SESSION_TOKEN="")
    stale = {"MLFLOW_TRACKING_PASSWORD": "of yesterday"}
    monkeypatch.setattr(os, "environ", {**files, **others, **stale})
    prepare_environment(tmp_path / "home")
    assert {name: os.environ[name] for name in secrets} == secrets
    # A program that is started with another value must not find the file and take that.
    assert {name for name in os.environ if name.endswith("_FILE")} == set(others)
    assert "AWS_SESSION_TOKEN" not in os.environ


@pytest.mark.parametrize("content", [None, ""])
def test_a_password_file_that_is_missing_or_empty_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    files = lay_out(tmp_path, MLFLOW_TRACKING_PASSWORD=content or "")
    if content is None:
        (tmp_path / "MLFLOW_TRACKING_PASSWORD").unlink()
    monkeypatch.setattr(os, "environ", files)
    with pytest.raises(SettingsError, match="MLFLOW_TRACKING_PASSWORD") as caught:
        prepare_environment(tmp_path / "home")
    assert "\n" not in str(caught.value)


def test_an_empty_file_is_an_address_that_was_not_given_and_never_an_open_door(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = lay_out(tmp_path, SENTIFLOW_WEBHOOK_URL="", SENTIFLOW_PING_URL="", SENTIFLOW_API_KEY="")
    monkeypatch.setattr(os, "environ", files)
    assert read_webhook_url() is None
    assert read_ping_url() is None
    with pytest.raises(SettingsError, match="must not be empty"):
        read_api_key()


REPOSITORY = Path(__file__).parents[1]
WARNS = """
import gc, threading, warnings
CODE = {code!r}
def test_it():
    exec(compile(CODE, "odd.py", "exec"), {{"__name__": {module!r}, "warnings": warnings}})
    gc.collect()
"""
AT_ONCE = 'warnings.warn("old", DeprecationWarning)'
IN_A_DESTRUCTOR = f"class Odd:\n    def __del__(self):\n        {AT_ONCE}\nOdd()"


@pytest.mark.parametrize(
    ("module", "code", "fails"),
    [
        ("sentiflow.data.odd", AT_ONCE, True),
        ("flows.odd", AT_ONCE, True),
        ("sentiflow.odd", IN_A_DESTRUCTOR, True),
        ("someone.elses", AT_ONCE, False),
    ],
)
def test_what_this_project_warns_of_is_an_error(
    tmp_path: Path, module: str, code: str, fails: bool
) -> None:
    (tmp_path / "test_odd.py").write_text(WARNS.format(code=code, module=module))
    options = ["-q", "-c", str(REPOSITORY / "pyproject.toml"), "--rootdir", str(tmp_path)]
    command = [sys.executable, "-m", "pytest", *options, str(tmp_path / "test_odd.py")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == int(fails), done.stdout
