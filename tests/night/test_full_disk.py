"""A night whose disk fills up is told, in a line that says so, and leaves no words of SQL."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from listening import Listener
from small_disk import fill_disk, mount_small_disk, only_root_mounts

from flows.notices import tell
from sentiflow.disk import explain_full_disk
from sentiflow.errors import LedgerUnreachable
from sentiflow.night.opening import open_night
from sentiflow.night.request import NightRequest

pytestmark = [only_root_mounts]
NIGHT = NightRequest()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home on a disk of its own."""
    with mount_small_disk(tmp_path / "home", 20) as folder:
        monkeypatch.setenv("SENTIFLOW_HOME", str(folder))
        yield folder


@pytest.fixture
def webhook(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> Listener:
    monkeypatch.setenv("SENTIFLOW_WEBHOOK_URL", f"{listener.url}/hook")
    return listener


def live_on_a_disk_that_fills_up(home: Path) -> None:
    with open_night(NIGHT, home, "f", partial(tell, NIGHT)):
        fill_disk(home)
        (home / "tokens").write_bytes(bytes(100_000))


def test_a_disk_with_room_is_not_full_and_a_full_one_is(home: Path) -> None:
    assert explain_full_disk(home) is None
    filler = fill_disk(home)
    assert (explain_full_disk(home) or "").startswith(f"The disk of {home} must have room.")
    filler.unlink()
    assert explain_full_disk(home) is None
    assert explain_full_disk(home / "nowhere") is None


def test_a_night_that_cannot_open_on_a_full_disk_is_told(home: Path, webhook: Listener) -> None:
    fill_disk(home)
    on_close = partial(tell, NIGHT)
    with pytest.raises((LedgerUnreachable, OSError)), open_night(NIGHT, home, "f", on_close):
        pass
    (body,) = webhook.bodies
    assert body["kind"] == "failed"
    assert body["reasons"][0].startswith(f"The disk of {home} must have room.")


def test_a_disk_that_fills_up_in_the_middle_of_a_night_keeps_nobody_from_hearing_of_it(
    home: Path, webhook: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL + 1)
    caplog.set_level(logging.WARNING, "sentiflow")
    with pytest.raises(OSError, match="No space left"):
        live_on_a_disk_that_fills_up(home)
    (body,) = webhook.bodies
    assert body["kind"] == "failed"
    assert body["reasons"][0].startswith(f"The disk of {home} must have room.")
    assert not any("OSError" in reason for reason in body["reasons"]), "it is told once"
    # Ledger, record and MLflow all refused, each in a line of its own words.
    said = [record.getMessage() for record in caplog.records]
    assert any("record is not in MLflow" in line for line in said), said
    assert not any("INSERT" in line or "UPDATE" in line for line in said), said
