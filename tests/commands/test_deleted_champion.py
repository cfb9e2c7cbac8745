"""The champion's version is deleted in MLflow: every command opens, and some lead out of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from release_helpers import client_of, list_kinds, look_up_alias, point_by_hand, register, write

from sentiflow.commands.adopt import adopt, revert
from sentiflow.commands.context import ReleaseContext
from sentiflow.commands.promote import promote
from sentiflow.commands.rollback import roll_back
from sentiflow.commands.status import describe_models
from sentiflow.commands.status_text import format_models
from sentiflow.errors import NoModelError, ReleaseForbidden, SentiflowError


@pytest.fixture
def context(open_own_context: Callable[..., ReleaseContext]) -> ReleaseContext:
    """A context where 1 and 2 were promoted, 3 was registered, and then 2 was deleted in MLflow."""
    context = open_own_context()
    for _ in range(3):
        register(context)
    for number in (1, 2):
        write(context, "promoted", number, from_version=number - 1 or None)
        context.reconcile()
    assert look_up_alias(context) == 2
    client_of(context).delete_model_version(context.model, "2")
    return context


def lock_as_before(context: ReleaseContext) -> None:
    """Write what `revert` wrote before it looked whether the version was there."""
    write(context, "reverted", context.reconcile().champion, actor="ada")


def test_a_revert_to_a_deleted_version_is_refused_and_says_what_helps(
    context: ReleaseContext,
) -> None:
    with pytest.raises(NoModelError) as refusal:
        revert(context, "put it back")
    for part in ("version 2", "gone", "rollback --to N", "promote N", "run … --supersede"):
        assert part in str(refusal.value)
    assert list_kinds(context) == ["promoted", "promoted", "moved_outside"]
    assert look_up_alias(context) is None


def test_a_revert_from_a_version_that_somebody_set_instead_offers_to_adopt_it(
    context: ReleaseContext,
) -> None:
    point_by_hand(context, 3)
    with pytest.raises(NoModelError, match=r"take version 3.*sentiflow adopt") as refusal:
        revert(context, "put it back")
    assert "--supersede" not in str(refusal.value), "no night is promoted over what somebody set"
    assert adopt(context, "fine as it is")["version"] == look_up_alias(context) == 3


def test_what_was_taken_away_cannot_be_adopted_and_the_error_says_what_can_be_done(
    context: ReleaseContext,
) -> None:
    with pytest.raises(NoModelError, match=r"taken away.*rollback --to N.*promote N") as refusal:
        adopt(context, "take it")
    assert "sentiflow revert" not in str(refusal.value), "it would refuse: the version is gone"
    roll_back(context, "2 is deleted", 1)
    client_of(context).delete_registered_model_alias(context.model, "champion")
    with pytest.raises(NoModelError, match=r"Put it back: sentiflow revert"):
        adopt(context, "take it")


def test_a_version_that_is_not_there_is_refused_with_those_that_are(
    context: ReleaseContext,
) -> None:
    with pytest.raises(NoModelError, match=r"Received: it has 3, 1\. Name one"):
        roll_back(context, "no such version", 9)


def test_where_no_version_is_left_a_night_is_what_helps(context: ReleaseContext) -> None:
    client_of(context).delete_registered_model(context.model)
    with pytest.raises(NoModelError, match=r"has no version\. Run a night .*--supersede"):
        roll_back(context, "all is gone", 1)


def go_back(context: ReleaseContext) -> Any:
    return roll_back(context, "2 is deleted", None)


def go_back_to_a_named_one(context: ReleaseContext) -> Any:
    return roll_back(context, "2 is deleted", 1)


def promote_another(context: ReleaseContext) -> Any:
    return promote(context, 3, "2 is deleted", True, lambda _: None)


@pytest.mark.parametrize(
    ("act", "champion", "is_locked"),
    [
        (go_back, 1, False), (promote_another, 3, False),
        (go_back_to_a_named_one, 1, True), (promote_another, 3, True),
    ],
)  # fmt: skip
def test_a_rollback_and_a_promotion_lead_out(
    context: ReleaseContext, act: Callable[[ReleaseContext], Any], champion: int, is_locked: bool
) -> None:
    if is_locked:
        lock_as_before(context)
    assert act(context)["version"] == champion
    state = context.reconcile()
    assert (state.champion, state.moved, look_up_alias(context)) == (champion, None, champion)


def test_a_ledger_that_an_earlier_revert_locked_opens_and_notes_it_once(
    context: ReleaseContext,
) -> None:
    lock_as_before(context)
    for _ in range(2):
        described = describe_models(context)
        (model,) = [entry for entry in described["models"] if entry["model"] == context.model]
        assert model["champion"]["version"] == 2
        assert "must stand at version 2" in model["moved_outside"]
        assert model["moved_outside"] in format_models(described)
        context.reconcile()
    assert list_kinds(context)[2:] == ["moved_outside", "reverted", "moved_outside"], "noted once"
    assert "Version 2 is gone from the registry" in context.ledger.read(context.model)[-1].reason
    with pytest.raises(NoModelError):
        revert(context, "again")
    assert len(list_kinds(context)) == 5


def test_a_version_deleted_in_the_moment_it_is_promoted_is_an_error_and_locks_nothing(
    context: ReleaseContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    def delete(*_: Any) -> None:
        client_of(context).delete_model_version(context.model, "3")

    monkeypatch.setattr("sentiflow.gate.checks.probe_version", delete)
    with pytest.raises(ReleaseForbidden, match="Version 3 is gone from the registry"):
        promote_another(context)
    assert context.reconcile().moved is not None
    monkeypatch.setattr("sentiflow.gate.checks.probe_version", lambda *_: None)
    assert roll_back(context, "3 is deleted", 1)["version"] == look_up_alias(context) == 1


def test_a_number_that_no_version_can_have_is_a_mistake_in_the_call(
    context: ReleaseContext,
) -> None:
    for act in (
        lambda: promote(context, 10**19, "r", True, lambda _: None),
        lambda: roll_back(context, "r", 2**31),
    ):
        with pytest.raises(SentiflowError, match="Received: it has") as mistake:
            act()
        assert mistake.value.exit_code == 2
