"""A promotion or rollback by hand is told, with who did it and why; MLflow is the real one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from operations.listening import Listener, listen

from sentiflow.errors import ReleaseForbidden
from sentiflow.operations.notices import compose_notices
from sentiflow.operations.release_notices import compose_release
from sentiflow.operations.releases import (
    Desk,
    adopt,
    open_desk,
    promote,
    release_hold,
    revert,
    roll_back,
)
from sentiflow.release.registry import CHAMPION, Registry
from sentiflow.release.standing import Event, Kind, NewEvent
from sentiflow.reporting.record import NightRecord, Outcome
from sentiflow.settings import NoticeSettings

pytestmark = pytest.mark.filterwarnings("ignore")

SETTINGS = NoticeSettings()


def make_event(kind: Kind, before: int | None = None, after: int | None = None) -> Event:
    return Event(
        kind=kind, actor="grace@desk", reason="worse on short ones", from_version=before,
        to_version=after, model="m", sequence=1, time=datetime(2026, 1, 2, tzinfo=UTC),
    )  # fmt: skip


def test_a_rollback_says_who_why_from_where_and_what_it_holds_up() -> None:
    notice = compose_release(make_event("rolled_back", 3, 2), SETTINGS, "http://mlflow:5000")
    assert notice is not None
    assert (notice.kind, notice.version) == ("rolled_back", 2)
    assert notice.title == "m: rolled back to version 2"
    for part in ("grace@desk: worse on short ones", "version 3 before", "release-hold"):
        assert part in notice.text
    assert notice.link == "http://mlflow:5000/#/models/m/versions/2"


def test_of_a_hold_nobody_is_told_beside_the_rollback_that_set_it() -> None:
    assert compose_release(make_event("hold"), SETTINGS) is None


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listen() as server:
        yield server


@pytest.fixture
def desk(
    home: Path, tiny_registry: Registry, monkeypatch: pytest.MonkeyPatch, listener: Listener
) -> Desk:
    """A desk where 1 was promoted and 2 registered, whose notices go to a listener."""
    name = f"told-{home.parent.name}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tiny_registry.uri)
    monkeypatch.setenv("SENTIFLOW_WEBHOOK_URL", listener.url)
    monkeypatch.setattr("sentiflow.release.checks.probe_version", lambda *_: None)
    desk = open_desk(None, [f"model.name={name}"], home, actor="grace")
    client = MlflowClient(tiny_registry.uri, tiny_registry.uri)
    client.create_registered_model(name)
    for _ in range(2):
        client.create_model_version(name, source=f"file://{home}/model")
    desk.ledger.append(name, 0, [NewEvent(kind="promoted", actor="night", to_version=1)])
    desk.settle()
    return desk


def point_by_hand(desk: Desk, number: int) -> None:
    client = MlflowClient(desk.registry.uri, desk.registry.uri)
    client.set_registered_model_alias(desk.model, CHAMPION, str(number))


def go_back(desk: Desk) -> Any:
    promote(desk, 2, "better", True, lambda _: None)
    return roll_back(desk, "worse", None)


def go_back_and_release(desk: Desk) -> Any:
    go_back(desk)
    return release_hold(desk, "mended")


def take_over(desk: Desk) -> Any:
    point_by_hand(desk, 2)
    return adopt(desk, "fine")


def put_back(desk: Desk) -> Any:
    point_by_hand(desk, 2)
    return revert(desk, "not fine")


@pytest.mark.parametrize(
    ("act", "kinds"),
    [
        (go_back_and_release, ["promoted", "rolled_back", "released"]),
        # Nobody had noticed the move before: who settles it tells of both.
        (take_over, ["moved_outside", "adopted"]),
        (put_back, ["moved_outside", "reverted"]),
    ],
)
def test_what_a_person_changes_is_told(
    desk: Desk, listener: Listener, act: Callable[[Desk], Any], kinds: list[str]
) -> None:
    act(desk)
    assert [body["kind"] for body in listener.bodies] == kinds
    by_hand = [body for body in listener.bodies if body["kind"] != "moved_outside"]
    assert all("By grace:" in body["text"] for body in by_hand)


def test_what_is_written_is_told_also_where_the_alias_does_not_get_there(
    desk: Desk, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    def delete(*_: Any) -> None:
        MlflowClient(desk.registry.uri, desk.registry.uri).delete_model_version(desk.model, "2")

    monkeypatch.setattr("sentiflow.release.checks.probe_version", delete)
    with pytest.raises(ReleaseForbidden):
        promote(desk, 2, "better", True, lambda _: None)
    # The alias stands where the ledger no longer has it, which is told as a move as well.
    assert [body["kind"] for body in listener.bodies] == ["moved_outside", "promoted"]


def test_a_listener_that_is_away_keeps_nobody_from_rolling_back(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sentiflow.operations.webhooks._PAUSES", (0.05, 0.1))
    monkeypatch.setenv("SENTIFLOW_WEBHOOK_URL", "http://127.0.0.1:9/")
    assert go_back(desk)["version"] == 1


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [
        ("kept", "no_champion"), ("failed", "failed"), ("rejected", "rejected"),
        ("waiting", "waiting"),
    ],
)  # fmt: skip
def test_a_first_night_without_a_champion_is_told_with_the_ways_out(
    outcome: Outcome, kind: str
) -> None:
    record = NightRecord(
        night="2026-01-02", model="m", outcome=outcome, version=1, mlflow_run_id="r",
        reasons=[f"Reason {number}." for number in range(9)], no_champion="No champion: do this.",
    )  # fmt: skip
    (notice,) = compose_notices(record, SETTINGS)
    assert notice.kind == kind
    assert notice.reasons[-1] == "No champion: do this."
    assert notice.kind in SETTINGS.kinds
