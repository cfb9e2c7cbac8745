"""What an entry point sets before Prefect, MLflow and TensorFlow are imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from sentiflow.cli.common import load_prefect
from sentiflow.errors import SettingsError
from sentiflow.processes import make_module_command
from sentiflow.release.ledger import Ledger
from sentiflow.release.state import NewEvent
from sentiflow.settings import (
    LedgerSettings,
    TrackingSettings,
    prepare_environment,
    read_api_key,
    read_home,
    read_ping_url,
    read_webhook_url,
    resolve_ledger_url,
    resolve_tracking_uri,
)


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
    # What signs in goes to the server that is named, and to no other.
    named = {"PREFECT_API_URL": "http://prefect.example/api"}
    monkeypatch.setattr(os, "environ", {**files, **others, **stale, **named})
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


FOREIGN = {
    "KERAS_BACKEND": "jax", "KERAS_HOME": "/nowhere", "KERAS_MAX_EPOCHS": "1",
    "TF_USE_LEGACY_KERAS": "1", "TF_CONFIG": "{}", "GX_CLOUD_ACCESS_TOKEN": "x",
    "PREFECT_HOME": "/nowhere", "PREFECT_PROFILE": "cloud", "PREFECT_API_KEY": "pnu_x",
    "PREFECT_LOGGING_LEVEL": "DEBUG", "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
    "PREFECT_API_DATABASE_CONNECTION_URL": "sqlite+aiosqlite:////nowhere/prefect.db",
    "PREFECT_LOGGING_SETTINGS_PATH": "/nowhere", "PREFECT_A_SETTING_TO_COME": "1",
    "MLFLOW_EXPERIMENT_ID": "7", "MLFLOW_EXPERIMENT_NAME": "theirs", "MLFLOW_RUN_ID": "8",
    "MLFLOW_REGISTRY_URI": "databricks-uc", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "7",
    "_MLFLOW_SERVER_FILE_STORE": "/nowhere", "DATABRICKS_RUNTIME_VERSION": "15.4",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline", "SSL_CERT_FILE": "/nowhere/ca.pem",
}  # fmt: skip
OURS = {
    "MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_TRACKING_PASSWORD": "x",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60", "MLFLOW_S3_ENDPOINT_URL": "http://s3.example",
    "PREFECT_SERVER_API_AUTH_STRING": "ada:x", "PREFECT_API_AUTH_STRING": "ada:x",
    "TF_NUM_INTRAOP_THREADS": "2", "AWS_PROFILE": "nights", "CUDA_VISIBLE_DEVICES": "1",
    "PREFECT__FLOW_RUN_ID": "1", "HOME": "/root",
}  # fmt: skip


def test_what_another_project_says_to_the_same_tools_is_left_out_and_what_is_documented_stays(
    tmp_path: Path, prepared: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", {**FOREIGN, **OURS})
    # As in a command, which loads Prefect afterwards.
    monkeypatch.delitem(sys.modules, "prefect", raising=False)
    prepare_environment(tmp_path / "home")
    assert dict(os.environ) == {**prepared, **OURS}


def test_in_a_process_that_prefect_started_its_own_variables_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {"PREFECT_HOME": "/srv/prefect", "PREFECT_LOGGING_LEVEL": "DEBUG"}
    monkeypatch.setattr(os, "environ", {**own, "KERAS_BACKEND": "jax"})
    monkeypatch.setitem(sys.modules, "prefect", sys)
    prepare_environment(tmp_path / "home")
    assert {name: os.environ[name] for name in own} == own
    assert os.environ["KERAS_BACKEND"] == "tensorflow"


SHOW = """
from pathlib import Path
from sentiflow.cli.common import load_prefect
from sentiflow.settings import prepare_environment
home = Path("home").resolve()
prepare_environment(home)
with load_prefect(home):
    from flows import own_server
settings = own_server.get_current_settings()
print(settings.api.url, settings.logging.level, settings.home == home / "prefect")
"""


def test_what_lies_in_the_folder_of_who_calls_is_no_setting_of_prefects_and_no_package(
    tmp_path: Path,
) -> None:
    (tmp_path / "prefect.toml").write_text('[api]\nurl = "http://theirs.example/api"\n')
    (tmp_path / "pyproject.toml").write_text("this is no TOML")
    (tmp_path / ".env").write_text("PREFECT_LOGGING_LEVEL=DEBUG\n")
    (tmp_path / "secrets.py").write_text("raise RuntimeError('theirs')")
    theirs = tmp_path / "user" / ".prefect"
    theirs.mkdir(parents=True)
    (theirs / "profiles.toml").write_text(
        'active = "cloud"\n[profiles.cloud]\nPREFECT_API_URL = "http://theirs.example/api"\n'
    )
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PREFECT_", "MLFLOW_"))
    }
    shown = [
        subprocess.run(
            words, capture_output=True, text=True, cwd=tmp_path, check=True,
            env={**environment, "HOME": str(tmp_path / "user")},
        ).stdout
        for words in ([sys.executable, "-P", "-c", SHOW], make_module_command("secrets"))
    ]  # fmt: skip
    assert shown == ["None INFO True\n", ""]


@pytest.mark.parametrize(
    "name",
    ["why?", "a#b", "100%", "a%20b", "a b", 'it\'s "so"', "a;b&c+d~e", "Zürich", "a:b@c=d", "[a]*"],
)
def test_a_home_may_have_any_name_and_all_of_it_lies_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    home = tmp_path / name
    monkeypatch.setattr(os, "environ", {"SENTIFLOW_HOME": str(home)})
    prepare_environment(read_home())
    ledger = Ledger(resolve_ledger_url(LedgerSettings(), read_home()))
    ledger.append("sentiflow", 0, [NewEvent(kind="failed", actor="ada", reason="-")])
    # As Prefect makes it of PREFECT_HOME, where its variable says nothing else.
    own = f"sqlite+aiosqlite:///{home}/prefect/prefect.db"
    for address in (
        os.environ["MLFLOW_TRACKING_URI"],
        os.environ.get("PREFECT_SERVER_DATABASE_CONNECTION_URL", own).replace("+aiosqlite", ""),
    ):
        (home / "prefect").mkdir(exist_ok=True)
        create_engine(address).connect().close()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert {"ledger.db", "mlflow.db"} <= {path.name for path in home.iterdir()}
    assert (home / "prefect" / "prefect.db").exists()


@pytest.mark.parametrize("name", ["a\nb", "a\x1bb", "a\udcffb"])
def test_a_home_whose_name_cannot_stand_in_a_line_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(os, "environ", {"SENTIFLOW_HOME": f"/srv/{name}"})
    with pytest.raises(SettingsError, match="cannot stand in a line") as caught:
        read_home()
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "address",
    ["./mlruns", "mlruns", "file:///srv/mlruns", "databricks-uc", "nonsense://x", "http://",
     "http://[::1", "http://a:b", "sqlite://", "sqlite:///:memory:", "oracle://u@h/x",
     "mysql+nowhere://u@h/x"],
)  # fmt: skip
def test_an_address_where_mlflow_cannot_be_is_refused_before_it_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    with pytest.raises(SettingsError, match=r"server .* or in a database") as caught:
        resolve_tracking_uri(TrackingSettings(), tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    ["http://mlflow.example:5000", "https://user:x@mlflow.example/path", "databricks",
     "databricks://nights", "sqlite:////srv/mlflow.db", "sqlite:///mlflow.db",
     "postgresql://u@h/x", "postgresql+psycopg2://u@h/x"],
)  # fmt: skip
def test_an_address_where_it_can_be_is_taken_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    assert resolve_tracking_uri(TrackingSettings(), tmp_path) == address


@pytest.mark.parametrize("address", ["not a url", "ftp://x/api", "http://[::1/api", "http://"])
def test_an_address_over_which_prefect_would_not_load_is_refused_before_it_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", address)
    with pytest.raises(SettingsError, match="PREFECT_API_URL must be"), load_prefect(tmp_path):
        pass
