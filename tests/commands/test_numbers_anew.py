"""Numbers begin at 1 again: the registered model was deleted, or another MLflow is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from release_helpers import client_of, find_alias, point_by_hand, register, start_run, write

from sentiflow.commands.history import describe_models, read_history, write_history, write_models
from sentiflow.commands.releases import (
    Desk,
    adopt,
    open_desk,
    promote,
    release_hold,
    revert,
    roll_back,
)
from sentiflow.commands.upkeep import prune_home
from sentiflow.errors import ForeignRegistry, NoModelError, ReleaseForbidden
from sentiflow.release.alias import settle
from sentiflow.release.registry import CHAMPION, Registry
from sentiflow.release.state import NewEvent

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def desk(open_own_desk: Callable[..., Desk]) -> Desk:
    """A desk where version 1 was registered and promoted by a night."""
    desk = open_own_desk()
    run_night(desk)
    write(desk, "promoted", 1)
    desk.settle()
    return desk


def run_night(desk: Desk) -> None:
    """Let a night register a version."""
    run = start_run(desk)
    number = register(desk, run)
    write(desk, "registered", number, details={"night": "2026-01-02", "run_id": run})


def begin_anew(desk: Desk) -> None:
    """Delete the registered model in MLflow, and let the next night register its version 1."""
    client_of(desk).delete_registered_model(desk.model)
    desk.settle()
    run_night(desk)
    write(desk, "kept", 1, decision="d")
    desk.settle()


def test_a_revert_makes_no_other_model_live_that_has_the_number(desk: Desk) -> None:
    begin_anew(desk)
    with pytest.raises(NoModelError, match=r"another model has its number.*promote N"):
        revert(desk, "put it back")
    assert find_alias(desk) is None


def test_an_alias_set_on_the_new_version_is_no_return_and_can_be_adopted(desk: Desk) -> None:
    begin_anew(desk)
    point_by_hand(desk, 1)
    standing = desk.settle()
    assert standing.moved is not None
    assert standing.moved.to_version == 1
    assert adopt(desk, "the new one is fine")["version"] == 1
    standing = desk.settle()
    assert (standing.champion, standing.moved, find_alias(desk)) == (1, None, 1)
    assert desk.registry.resolve(desk.model, CHAMPION).run_id == standing.champion_run


def test_a_promotion_rests_on_no_ruling_of_another_model(desk: Desk) -> None:
    write(desk, "promoted", 1)
    begin_anew(desk)
    run_night(desk)
    shown: list[str] = []
    with pytest.raises(ReleaseForbidden, match="The gate never ruled on it"):
        promote(desk, 2, "as approved", False, shown.append)
    # Its own ruling is the one that is looked for, and not found on this disk.
    with pytest.raises(ReleaseForbidden, match="findings cannot be read"):
        promote(desk, 1, "as approved", False, shown.append)
    assert promote(desk, 1, "looked at it", True, shown.append)["champion_version"] == 1
    assert find_alias(desk) == 1


def test_a_rollback_names_a_champion_before_that_is_another_model_now(desk: Desk) -> None:
    begin_anew(desk)
    promote(desk, 1, "looked at it", True, lambda _: None)
    with pytest.raises(NoModelError, match=r"The champion before, version 1 .*another model"):
        roll_back(desk, "worse", None)
    assert find_alias(desk) == 1


def test_history_says_where_the_numbers_began_anew(desk: Desk) -> None:
    begin_anew(desk)
    lines = write_history(read_history(desk)).splitlines()
    (mark,) = [number for number, line in enumerate(lines) if "numbers began anew" in line]
    assert "registered" in lines[mark + 1]


def go_elsewhere(desk: Desk) -> Desk:
    """Write a ledger of versions that this MLflow never had, as after a change of its address."""
    desk.ledger.append(
        "elsewhere", 0,
        [
            NewEvent(kind=kind, actor="night", to_version=1, details={"run_id": "0" * 32})
            for kind in ("registered", "promoted")
        ],
    )  # fmt: skip
    return open_desk(None, ["model.name=elsewhere"], desk.home)


COMMANDS: list[Callable[[Desk], Any]] = [
    lambda desk: promote(desk, 1, "r", True, lambda _: None),
    lambda desk: roll_back(desk, "r", 1),
    lambda desk: release_hold(desk, "r"),
    lambda desk: adopt(desk, "r"),
    lambda desk: revert(desk, "r"),
]


@pytest.mark.parametrize("act", COMMANDS)
def test_another_mlflow_under_the_ledger_is_refused_in_a_line(
    desk: Desk, act: Callable[[Desk], Any]
) -> None:
    other = go_elsewhere(desk)
    with pytest.raises(ForeignRegistry, match="do not belong together") as refusal:
        act(other)
    for part in ("MLFLOW_TRACKING_URI", "ledger.url", "--supersede", "version 1"):
        assert part in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert refusal.value.exit_code == 2
    assert [event.kind for event in other.ledger.read("elsewhere")] == ["registered", "promoted"]


def test_status_tells_of_another_mlflow_and_shows_the_ledgers(desk: Desk, home: Path) -> None:
    go_elsewhere(desk)
    described = describe_models(None, [], home)
    (model,) = [entry for entry in described["models"] if entry["model"] == "elsewhere"]
    assert model["champion"]["version"] == 1
    assert "do not belong together" in model["registry_error"]
    assert "do not belong together" in write_models(described)
    assert len(desk.ledger.read("elsewhere")) == 2


def test_nothing_is_pruned_in_another_mlflow(
    desk: Desk, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_elsewhere(desk)
    monkeypatch.setattr(Registry, "list_models", lambda _: ["elsewhere"])
    with pytest.raises(ForeignRegistry):
        prune_home(None, [], home, keep=1, dry_run=False)


def test_a_person_may_let_the_ledger_go_on_with_another_mlflow(desk: Desk) -> None:
    other = go_elsewhere(desk)
    settled = settle(other.registry, other.ledger, "elsewhere", "ada", may_begin_anew=True)
    assert settled.moved is not None
    run_night(other)
    write(other, "superseded", 1)
    assert other.settle().champion == find_alias(other) == 1


@pytest.mark.parametrize("is_run_deleted", [False, True])
def test_a_registry_whose_model_was_deleted_is_known_by_its_runs(
    desk: Desk, is_run_deleted: bool
) -> None:
    run = desk.registry.resolve(desk.model, "1").run_id
    client_of(desk).delete_registered_model(desk.model)
    if is_run_deleted:
        client_of(desk).delete_run(run)
    moved = desk.settle().moved
    assert moved is not None
    assert moved.to_version is None
