"""A promotion or rollback by hand is told, with who did it and why; MLflow is the real one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from listening import Listener
from release_helpers import client_of, point_by_hand, register, write

from sentiflow.commands.adopt import adopt, revert
from sentiflow.commands.context import ReleaseContext
from sentiflow.commands.promote import promote
from sentiflow.commands.rollback import release_hold, roll_back
from sentiflow.errors import ReleaseForbidden
from sentiflow.notices.messages import compose_notices
from sentiflow.notices.releases import compose_release
from sentiflow.release.state import Event, Kind
from sentiflow.reporting.record import NightRecord, Outcome
from sentiflow.settings import NoticeSettings

SETTINGS = NoticeSettings()


def make_event(kind: Kind, before: int | None = None, after: int | None = None) -> Event:
    return Event(
        kind=kind, actor="grace@context", reason="worse on short ones", from_version=before,
        to_version=after, model="m", sequence=1, time=datetime(2026, 1, 2, tzinfo=UTC),
    )  # fmt: skip


def test_a_rollback_says_who_why_from_where_and_what_it_holds_up() -> None:
    notice = compose_release(make_event("rolled_back", 3, 2), SETTINGS, "http://mlflow:5000")
    assert notice is not None
    assert (notice.kind, notice.version) == ("rolled_back", 2)
    assert notice.title == "m: rolled back to version 2"
    for part in ("grace@context: worse on short ones", "version 3 before", "release-hold"):
        assert part in notice.text
    assert notice.link == "http://mlflow:5000/#/models/m/versions/2?workflowType=machine_learning"


def test_of_a_hold_nobody_is_told_beside_the_rollback_that_set_it() -> None:
    assert compose_release(make_event("hold"), SETTINGS) is None


@pytest.fixture
def context(
    open_own_context: Callable[..., ReleaseContext],
    monkeypatch: pytest.MonkeyPatch,
    listener: Listener,
) -> ReleaseContext:
    """A context where 1 was promoted and 2 registered, whose notices go to a listener."""
    monkeypatch.setenv("SENTIFLOW_WEBHOOK_URL", listener.url)
    context = open_own_context(actor="grace")
    for _ in range(2):
        register(context)
    write(context, "promoted", 1)
    context.reconcile()
    return context


def go_back(context: ReleaseContext) -> Any:
    promote(context, 2, "better", True, lambda _: None)
    return roll_back(context, "worse", None)


def go_back_and_release(context: ReleaseContext) -> Any:
    go_back(context)
    return release_hold(context, "mended")


def take_over(context: ReleaseContext) -> Any:
    point_by_hand(context, 2)
    return adopt(context, "fine")


def put_back(context: ReleaseContext) -> Any:
    point_by_hand(context, 2)
    return revert(context, "not fine")


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
    context: ReleaseContext,
    listener: Listener,
    act: Callable[[ReleaseContext], Any],
    kinds: list[str],
) -> None:
    act(context)
    assert [body["kind"] for body in listener.bodies] == kinds
    by_hand = [body for body in listener.bodies if body["kind"] != "moved_outside"]
    assert all("By grace:" in body["text"] for body in by_hand)


def test_what_is_written_is_told_also_where_the_alias_does_not_get_there(
    context: ReleaseContext, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    def delete(*_: Any) -> None:
        client_of(context).delete_model_version(context.model, "2")

    monkeypatch.setattr("sentiflow.gate.checks.probe_version", delete)
    with pytest.raises(ReleaseForbidden):
        promote(context, 2, "better", True, lambda _: None)
    # The alias stands where the ledger no longer has it, which is told as a move as well.
    assert [body["kind"] for body in listener.bodies] == ["moved_outside", "promoted"]


def test_a_listener_that_is_away_keeps_nobody_from_rolling_back(
    context: ReleaseContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sentiflow.notices.webhooks._PAUSES", (0.05, 0.1))
    monkeypatch.setenv("SENTIFLOW_WEBHOOK_URL", "http://127.0.0.1:9/")
    assert go_back(context)["version"] == 1


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
