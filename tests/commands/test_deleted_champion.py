"""The champion's version is deleted in MLflow: every command opens, and some lead out of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from release_helpers import client_of, find_alias, list_kinds, point_by_hand, register, write

from sentiflow.commands.history import describe_models, write_models
from sentiflow.commands.releases import Desk, adopt, promote, revert, roll_back
from sentiflow.errors import NoModelError, ReleaseForbidden, SentiflowError

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def desk(open_own_desk: Callable[..., Desk]) -> Desk:
    """A desk where 1 and 2 were promoted, 3 was registered, and then 2 was deleted in MLflow."""
    desk = open_own_desk()
    for _ in range(3):
        register(desk)
    for number in (1, 2):
        write(desk, "promoted", number, from_version=number - 1 or None)
        desk.settle()
    assert find_alias(desk) == 2
    client_of(desk).delete_model_version(desk.model, "2")
    return desk


def lock_as_before(desk: Desk) -> None:
    """Write what `revert` wrote before it looked whether the version was there."""
    write(desk, "reverted", desk.settle().champion, actor="ada")


def test_a_revert_to_a_deleted_version_is_refused_and_says_what_helps(desk: Desk) -> None:
    with pytest.raises(NoModelError) as refusal:
        revert(desk, "put it back")
    for part in ("version 2", "gone", "rollback --to N", "promote N", "run … --supersede"):
        assert part in str(refusal.value)
    assert list_kinds(desk) == ["promoted", "promoted", "moved_outside"]
    assert find_alias(desk) is None


def test_a_revert_from_a_version_that_somebody_set_instead_offers_to_adopt_it(desk: Desk) -> None:
    point_by_hand(desk, 3)
    with pytest.raises(NoModelError, match=r"take version 3.*sentiflow adopt") as refusal:
        revert(desk, "put it back")
    assert "--supersede" not in str(refusal.value), "no night is promoted over what somebody set"
    assert adopt(desk, "fine as it is")["version"] == find_alias(desk) == 3


def test_what_was_taken_away_cannot_be_adopted_and_the_error_says_what_can_be_done(
    desk: Desk,
) -> None:
    with pytest.raises(NoModelError, match=r"taken away.*revert.*rollback --to N.*promote N"):
        adopt(desk, "take it")


def go_back(desk: Desk) -> Any:
    return roll_back(desk, "2 is deleted", None)


def go_back_to_a_named_one(desk: Desk) -> Any:
    return roll_back(desk, "2 is deleted", 1)


def promote_another(desk: Desk) -> Any:
    return promote(desk, 3, "2 is deleted", True, lambda _: None)


@pytest.mark.parametrize(
    ("act", "champion", "is_locked"),
    [
        (go_back, 1, False), (promote_another, 3, False),
        (go_back_to_a_named_one, 1, True), (promote_another, 3, True),
    ],
)  # fmt: skip
def test_a_rollback_and_a_promotion_lead_out(
    desk: Desk, act: Callable[[Desk], Any], champion: int, is_locked: bool
) -> None:
    if is_locked:
        lock_as_before(desk)
    assert act(desk)["version"] == champion
    standing = desk.settle()
    assert (standing.champion, standing.moved, find_alias(desk)) == (champion, None, champion)


def test_a_ledger_that_an_earlier_revert_locked_opens_and_notes_it_once(
    desk: Desk, home: Path
) -> None:
    lock_as_before(desk)
    for _ in range(2):
        described = describe_models(None, [], home)
        (model,) = [entry for entry in described["models"] if entry["model"] == desk.model]
        assert model["champion"]["version"] == 2
        assert "must stand at version 2" in model["moved_outside"]
        assert model["moved_outside"] in write_models(described)
    assert list_kinds(desk)[2:] == ["moved_outside", "reverted", "moved_outside"], "noted once"
    assert "Version 2 is gone from the registry" in desk.ledger.read(desk.model)[-1].reason
    with pytest.raises(NoModelError):
        revert(desk, "again")
    assert len(list_kinds(desk)) == 5


def test_a_version_deleted_in_the_moment_it_is_promoted_is_an_error_and_locks_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def delete(*_: Any) -> None:
        client_of(desk).delete_model_version(desk.model, "3")

    monkeypatch.setattr("sentiflow.gate.checks.probe_version", delete)
    with pytest.raises(ReleaseForbidden, match="Version 3 is gone from the registry"):
        promote_another(desk)
    assert desk.settle().moved is not None
    monkeypatch.setattr("sentiflow.gate.checks.probe_version", lambda *_: None)
    assert roll_back(desk, "3 is deleted", 1)["version"] == find_alias(desk) == 1


def test_a_number_that_no_version_can_have_is_a_mistake_in_the_call(desk: Desk) -> None:
    for act in (
        lambda: promote(desk, 10**19, "r", True, lambda _: None),
        lambda: roll_back(desk, "r", 2**31),
    ):
        with pytest.raises(SentiflowError, match="Received: none") as mistake:
            act()
        assert mistake.value.exit_code == 2
