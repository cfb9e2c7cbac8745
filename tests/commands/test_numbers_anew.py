"""Numbers begin at 1 again: the registered model was deleted, or another MLflow is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from release_helpers import client_of, look_up_alias, point_by_hand, register, start_run, write

from sentiflow.commands.adopt import adopt, revert
from sentiflow.commands.context import ReleaseContext, open_release_context
from sentiflow.commands.history import format_history, read_history
from sentiflow.commands.promote import promote
from sentiflow.commands.rollback import release_hold, roll_back
from sentiflow.commands.status import describe_models
from sentiflow.commands.status_text import format_models
from sentiflow.commands.upkeep import prune_home
from sentiflow.errors import ForeignRegistry, NoModelError, ReleaseForbidden
from sentiflow.release.alias import reconcile
from sentiflow.release.registry import CHAMPION, Registry
from sentiflow.release.state import NewEvent


@pytest.fixture
def context(open_own_context: Callable[..., ReleaseContext]) -> ReleaseContext:
    """A context where version 1 was registered and promoted by a night."""
    context = open_own_context()
    run_night(context)
    write(context, "promoted", 1)
    context.reconcile()
    return context


def run_night(context: ReleaseContext) -> None:
    """Let a night register a version."""
    run = start_run(context)
    number = register(context, run)
    write(context, "registered", number, details={"night": "2026-01-02", "run_id": run})


def begin_anew(context: ReleaseContext) -> None:
    """Delete the registered model in MLflow, and let the next night register its version 1."""
    client_of(context).delete_registered_model(context.model)
    context.reconcile()
    run_night(context)
    write(context, "kept", 1, decision="d")
    context.reconcile()


def test_a_revert_makes_no_other_model_live_that_has_the_number(context: ReleaseContext) -> None:
    begin_anew(context)
    with pytest.raises(NoModelError, match=r"another model has its number.*promote N"):
        revert(context, "put it back")
    assert look_up_alias(context) is None


def test_an_alias_set_on_the_new_version_is_no_return_and_can_be_adopted(
    context: ReleaseContext,
) -> None:
    begin_anew(context)
    point_by_hand(context, 1)
    state = context.reconcile()
    assert state.moved is not None
    assert state.moved.to_version == 1
    assert adopt(context, "the new one is fine")["version"] == 1
    state = context.reconcile()
    assert (state.champion, state.moved, look_up_alias(context)) == (1, None, 1)
    assert context.registry.resolve(context.model, CHAMPION).run_id == state.champion_run


def test_a_promotion_rests_on_no_ruling_of_another_model(context: ReleaseContext) -> None:
    write(context, "promoted", 1)
    begin_anew(context)
    run_night(context)
    shown: list[str] = []
    with pytest.raises(ReleaseForbidden, match="The gate never ruled on it"):
        promote(context, 2, "as approved", False, shown.append)
    # Its own ruling is the one that is looked for, and not found on this disk.
    with pytest.raises(ReleaseForbidden, match="findings cannot be read"):
        promote(context, 1, "as approved", False, shown.append)
    assert promote(context, 1, "looked at it", True, shown.append)["champion_version"] == 1
    assert look_up_alias(context) == 1


def test_a_rollback_names_a_champion_before_that_is_another_model_now(
    context: ReleaseContext,
) -> None:
    begin_anew(context)
    promote(context, 1, "looked at it", True, lambda _: None)
    with pytest.raises(NoModelError, match=r"The champion before, version 1 .*another model"):
        roll_back(context, "worse", None)
    assert look_up_alias(context) == 1


def test_history_says_where_the_numbers_began_anew(context: ReleaseContext) -> None:
    begin_anew(context)
    lines = format_history(read_history(context)).splitlines()
    (mark,) = [number for number, line in enumerate(lines) if "numbers began anew" in line]
    assert "registered" in lines[mark + 1]


def go_elsewhere(context: ReleaseContext) -> ReleaseContext:
    """Write a ledger of versions that this MLflow never had, as after a change of its address."""
    context.ledger.append(
        "elsewhere", 0,
        [
            NewEvent(kind=kind, actor="night", to_version=1, details={"run_id": "0" * 32})
            for kind in ("registered", "promoted")
        ],
    )  # fmt: skip
    return open_release_context(None, ["model.name=elsewhere"], context.home)


COMMANDS: list[Callable[[ReleaseContext], Any]] = [
    lambda context: promote(context, 1, "r", True, lambda _: None),
    lambda context: roll_back(context, "r", 1),
    lambda context: release_hold(context, "r"),
    lambda context: adopt(context, "r"),
    lambda context: revert(context, "r"),
]


@pytest.mark.parametrize("act", COMMANDS)
def test_another_mlflow_under_the_ledger_is_refused_in_a_line(
    context: ReleaseContext, act: Callable[[ReleaseContext], Any]
) -> None:
    other = go_elsewhere(context)
    with pytest.raises(ForeignRegistry, match="do not belong together") as refusal:
        act(other)
    for part in ("MLFLOW_TRACKING_URI", "ledger.url", "--supersede", "version 1"):
        assert part in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert refusal.value.exit_code == 2
    assert [event.kind for event in other.ledger.read("elsewhere")] == ["registered", "promoted"]


def test_status_tells_of_another_mlflow_and_shows_the_ledgers(
    context: ReleaseContext,
) -> None:
    go_elsewhere(context)
    described = describe_models(context)
    (model,) = [entry for entry in described["models"] if entry["model"] == "elsewhere"]
    assert model["champion"]["version"] == 1
    assert "do not belong together" in model["registry_error"]
    assert "do not belong together" in format_models(described)
    assert len(context.ledger.read("elsewhere")) == 2


def test_nothing_is_pruned_in_another_mlflow(
    context: ReleaseContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_elsewhere(context)
    # MLflow is shared by the tests; nobody else's models are to be pruned should this fail.
    monkeypatch.setattr(Registry, "list_models", lambda _: ["elsewhere"])
    with pytest.raises(ForeignRegistry):
        prune_home(context, keep=1, dry_run=False)


def test_a_person_may_let_the_ledger_go_on_with_another_mlflow(context: ReleaseContext) -> None:
    other = go_elsewhere(context)
    reconciled = reconcile(other.registry, other.ledger, "elsewhere", "ada", may_begin_anew=True)
    assert reconciled.moved is not None
    run_night(other)
    write(other, "superseded", 1)
    assert other.reconcile().champion == look_up_alias(other) == 1


@pytest.mark.parametrize("is_run_deleted", [False, True])
def test_a_registry_whose_model_was_deleted_is_known_by_its_runs(
    context: ReleaseContext, is_run_deleted: bool
) -> None:
    run = context.registry.resolve(context.model, "1").run_id
    client_of(context).delete_registered_model(context.model)
    if is_run_deleted:
        client_of(context).delete_run(run)
    moved = context.reconcile().moved
    assert moved is not None
    assert moved.to_version is None
