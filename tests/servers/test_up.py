"""What `sentiflow up` refuses before it starts anything; tests/test_up.py runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from threading import Event

import pytest
from small_disk import fill_disk, mount_small_disk, only_root_mounts

from sentiflow.errors import (
    LedgerUnreachable,
    SentiflowError,
    SettingsError,
    SourceError,
    UsageError,
)
from sentiflow.night.request import NightRequest
from sentiflow.servers.up import UpRequest, keep_servers
from sentiflow.settings import RunningServers

HOLD = """
import sys, time
from pathlib import Path
from sentiflow.servers.up import _claim
with _claim(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def never(_: RunningServers) -> None:
    raise AssertionError("it must not start")


def ask(home: Path, *overrides: str, **wish: str) -> None:
    keep_servers(UpRequest(NightRequest(overrides=overrides), **wish), home, never, Event())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("override", "named"),
    [("tracking.uri=http://mlflow", "MLflow of its own"), ("servers.prefect_prot=1", "no setting")],
)
def test_settings_that_cannot_hold_are_refused(home: Path, override: str, named: str) -> None:
    with pytest.raises(UsageError, match=named):
        ask(home, override)


def test_a_ledger_in_two_databases_is_refused(home: Path) -> None:
    with pytest.raises(UsageError, match="one database only"):
        ask(home, "ledger.url=sqlite:////x.db", database="postgresql://ada@db/nights")


def test_a_source_that_is_not_there_is_told_before_any_server_starts(home: Path) -> None:
    request = NightRequest(data=(str(home / "reviews.jsonl"),))
    with pytest.raises(SourceError, match=r"reviews\.jsonl"):
        keep_servers(UpRequest(request), home, never, Event())
    assert not (home / "logs").exists()


def test_a_ledger_that_is_no_database_is_told_before_any_server_starts(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SENTIFLOW_LEDGER_URL", raising=False)
    (home / "ledger.db").write_bytes(b"no database" * 1_000)
    with pytest.raises(LedgerUnreachable, match=r"ledger\.db"):
        ask(home)
    assert not (home / "logs").exists()


def test_a_home_is_held_by_one_process_and_free_when_that_is_killed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTIFLOW_API_KEY_FILE", "")
    monkeypatch.setenv("PREFECT_API_AUTH_STRING_FILE", str(home / "missing"))
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(home)], stdout=subprocess.PIPE, text=True,
        env=dict(os.environ),
    )  # fmt: skip
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(UsageError, match=rf"process {holder.pid} runs one on"):
            ask(home)
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    # The next step is reached: the secrets are read.
    with pytest.raises(SettingsError, match="PREFECT_API_AUTH_STRING_FILE"):
        ask(home)


@pytest.mark.parametrize("blocked", ["logs", "logs/prefect.log/x", "up.lock/x", "tmp"])
def test_a_home_that_cannot_be_written_ends_the_start_in_one_line(
    home: Path, monkeypatch: pytest.MonkeyPatch, blocked: str
) -> None:
    """A file where a folder must be, or the other way round."""
    for name in ("PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING"):
        monkeypatch.delenv(name, raising=False)
    (home / blocked).parent.mkdir(parents=True, exist_ok=True)
    (home / blocked).touch()
    any_port = ("servers.prefect_port=0", "servers.mlflow_port=0", "serving.port=0")
    with pytest.raises(SentiflowError, match="must be able to write below") as caught:
        ask(home, *any_port)
    assert str(home / blocked.removesuffix("/x")) in str(caught.value)
    assert "\n" not in str(caught.value)


@only_root_mounts
def test_a_full_disk_ends_the_start_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING"):
        monkeypatch.delenv(name, raising=False)
    with mount_small_disk(tmp_path / "small", 1) as home:
        fill_disk(home)
        any_port = ("servers.prefect_port=0", "servers.mlflow_port=0", "serving.port=0")
        with pytest.raises(SentiflowError, match="must be able to write below") as caught:
            ask(home, *any_port)
    assert "No space left on device" in str(caught.value)
    assert "\n" not in str(caught.value)
