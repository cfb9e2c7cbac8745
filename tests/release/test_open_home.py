"""A home as every command opens it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from small_disk import mount_small_disk, only_root_mounts

from sentiflow.errors import RegistryUnreachable, SettingsError
from sentiflow.release.open_home import open_home
from sentiflow.release.state import NewEvent


def test_opening_loads_neither_mlflow_nor_a_database(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from sentiflow.release.open_home import open_home\n"
        "opened = open_home(None, [], Path(sys.argv[1])); opened.model, opened.ledger_url\n"
        "heavy = {'mlflow', 'sqlalchemy', 'pandas', 'prefect', 'tensorflow'}\n"
        "print(heavy & set(sys.modules)); opened.ledger; print('sqlalchemy' in sys.modules)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert said.stdout.split("\n")[:2] == ["set()", "True"]


def test_settings_environment_and_home_say_where_all_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SENTIFLOW_LEDGER_URL", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SENTIFLOW_ACTOR", "ada")
    opened = open_home(None, [], tmp_path)
    assert (opened.model, opened.actor) == ("sentiflow", "ada")
    assert opened.tracking_uri == f"sqlite:///{tmp_path}/mlflow.db"
    assert opened.ledger_url == f"sqlite:///{tmp_path}/ledger.db"
    other = open_home(
        None,
        ["model.name=m", "tracking.uri=http://mlflow", "ledger.url=sqlite://"],
        tmp_path,
        "bob",
    )
    assert (other.model, other.actor) == ("m", "bob")
    assert (other.tracking_uri, other.ledger_url) == ("http://mlflow", "sqlite://")
    with pytest.raises(SettingsError, match=r"model\.nam"):
        open_home(None, ["model.nam=m"], tmp_path)


def test_who_only_reads_makes_no_ledger_and_who_writes_has_one_for_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SENTIFLOW_LEDGER_URL", raising=False)
    opened = open_home(None, [], tmp_path, "ada")
    assert opened.ledger_to_read.read("sentiflow") == ()
    assert not (tmp_path / "ledger.db").exists()
    opened.ledger.append("sentiflow", 0, [NewEvent(kind="registered", actor="ada", to_version=1)])
    assert len(opened.ledger_to_read.read("sentiflow")) == 1
    assert opened.ledger is opened.ledger


@only_root_mounts
def test_a_home_that_cannot_be_written_to_is_no_place_for_an_mlflow_to_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with mount_small_disk(tmp_path / "disk", 2) as disk:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with pytest.raises(RegistryUnreachable, match="none can be made"):
            _ = open_home(None, [], disk).registry
