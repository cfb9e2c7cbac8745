"""A champion alias moved by hand is written down and told by whoever notices it first, once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from sentiflow.commands.adopt import revert
from sentiflow.commands.context import ReleaseContext, open_release_context
from sentiflow.commands.status import describe_models
from sentiflow.night.night import Night
from sentiflow.night.opening import open_night
from sentiflow.night.request import NightRequest
from sentiflow.notices.messages import Notice
from sentiflow.notices.moves import notice_moves
from sentiflow.release.registry import CHAMPION
from sentiflow.release.state import NewEvent
from sentiflow.reporting.record import NightRecord
from sentiflow.settings import NoticeSettings


class Told:
    """Keeps what would be posted."""

    def __init__(self) -> None:
        self.notices: list[Notice] = []

    def __call__(self, notices: Sequence[Notice], settings: NoticeSettings) -> None:
        assert settings.kinds
        self.notices += notices


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def at(released_home: Path, told: Told, monkeypatch: pytest.MonkeyPatch) -> ReleaseContext:
    """Versions 1 to 4 in a home of its own; 3 is champion, and then somebody sets 4."""
    for name in ("SENTIFLOW_LEDGER_URL", "MLFLOW_TRACKING_URI", "SENTIFLOW_WEBHOOK_URL"):
        monkeypatch.delenv(name, raising=False)
    opened = open_release_context(None, [], released_home, tell=told)
    opened.reconcile()
    opened.registry.point(opened.model, CHAMPION, 4)
    return opened


def list_moves(at: ReleaseContext) -> list[int | None]:
    events = at.ledger.read(at.model)
    return [event.to_version for event in events if event.kind == "moved_outside"]


def test_maintenance_writes_a_move_down_and_tells_it_once(at: ReleaseContext, told: Told) -> None:
    (sentence,) = notice_moves(at, told)
    assert "must stand at version 3. Received: somebody moved it to 4" in sentence
    assert "sentiflow adopt --reason … or sentiflow revert --reason …" in sentence
    assert notice_moves(at, told) == []
    (notice,) = told.notices
    assert (notice.kind, notice.model, notice.version) == ("moved_outside", "sentiflow", 4)
    assert notice.reasons == (sentence,)
    assert list_moves(at) == [4]
    found = at.registry.look_up_alias(at.model, CHAMPION)
    assert found is not None
    assert found.number == 4, "it is told, not undone"


def test_a_command_that_is_first_to_notice_tells_and_maintenance_does_not_repeat_it(
    at: ReleaseContext, told: Told
) -> None:
    assert revert(at, "nobody knows who did it")["version"] == 3
    assert [notice.kind for notice in told.notices] == ["moved_outside", "reverted"]
    assert notice_moves(at, told) == []
    assert len(told.notices) == 2
    assert list_moves(at) == [4]


def test_status_shows_it_and_leaves_the_telling_to_who_acts(at: ReleaseContext, told: Told) -> None:
    described = describe_models(at)
    assert "somebody moved it to 4" in described["models"][0]["moved_outside"]
    assert (told.notices, list_moves(at)) == ([], [])
    assert notice_moves(at, told) == [described["models"][0]["moved_outside"]]


def test_a_night_tells_of_a_move_that_shows_only_when_it_decides(
    at: ReleaseContext, told: Told
) -> None:
    warnings: list[str] = []
    record = SimpleNamespace(moved_outside=None)

    def note(**values: Any) -> None:
        record.__dict__.update(values)

    night = SimpleNamespace(
        registry=at.registry, ledger=at.ledger, lineage=SimpleNamespace(name=at.model),
        record=record, note=note, warn=warnings.append,
    )  # fmt: skip
    night.note_state = partial(Night.note_state, cast(Night, night))
    for _ in range(2):
        state = Night.reconcile(cast(Night, night)).state
    assert state.moved is not None
    assert "somebody moved it to 4" in record.moved_outside
    assert warnings == [record.moved_outside], "said once, and told with the night's ending"
    assert list_moves(at) == [4]
    assert told.notices == []


def test_a_model_of_another_registry_hides_no_move_of_the_others(
    at: ReleaseContext, told: Told
) -> None:
    elsewhere = NewEvent(
        kind="registered", actor="night", to_version=1, details={"run_id": "elsewhere"}
    )
    at.ledger.append("another", 0, [elsewhere])
    (sentence,) = notice_moves(at, told)
    assert "somebody moved it to 4" in sentence


def test_a_night_that_comes_to_no_decision_tells_of_a_move_too(
    at: ReleaseContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", os.environ.copy())
    records: list[NightRecord] = []
    asked = NightRequest(data=("a.jsonl",), new_lineage=True, reason="other words")
    with open_night(asked, at.home, None, records.append) as night:
        night.end("skipped", ["Nothing is new."], 0)
    (record,) = records
    assert "somebody moved it to 4" in str(record.moved_outside)
