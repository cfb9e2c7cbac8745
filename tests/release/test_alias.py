"""The alias follows the ledger: crashes are repaired, moves outside are noticed and left alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sentiflow.errors import LedgerConflict, NoModelError, RegistryUnreachable
from sentiflow.release.alias import AliasRegistry, plan_step, reconcile
from sentiflow.release.ledger import Ledger, LockedAlias, Watermark
from sentiflow.release.state import Event, Kind, NewEvent, fold_events

START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Pointed:
    number: int
    run_id: str = ""


class FileRegistry:
    """A registry that is one file with the alias's version.

    A fake, because MLflow's needs 1.6 s to open its database and these tests ask hundreds of
    times; `test_the_real_registry_follows_the_ledger` runs on MLflow's.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.points = 0
        self.is_down = False
        self.deleted: set[int] = set()
        self.told: dict[int, str] = {}

    uri = "file"

    def look_up_version(self, name: str, number: int) -> Pointed | None:
        return None if number in self.deleted else Pointed(number)

    def knows_any(self, name: str, registered: Sequence[tuple[int, str]]) -> bool:
        return True

    def look_up_alias(self, name: str, alias: str) -> Pointed | None:
        assert alias == "champion"
        if self.is_down:
            raise RegistryUnreachable("The model registry must answer.")
        return Pointed(int(self.path.read_text())) if self.path.exists() else None

    def point(self, name: str, alias: str, number: int) -> None:
        if number in self.deleted:
            raise NoModelError("There is no such version.")
        self.path.write_text(str(number))
        self.points += 1

    def tell(
        self, name: str, number: int, run: str | None, tags: Mapping[str, str], description: str
    ) -> None:
        self.told[number] = f"{tags.get('sentiflow.outcome')}: {description}"

    def unpoint(self, name: str, alias: str) -> None:
        self.path.unlink(missing_ok=True)
        self.points += 1


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")


@pytest.fixture
def registry(tmp_path: Path) -> FileRegistry:
    return FileRegistry(tmp_path / "alias")


def write(ledger: Ledger, kind: Kind, version: int | None) -> Event:
    sequence = fold_events(ledger.read("m")).sequence
    event = NewEvent(kind=kind, actor="anna@host", reason="why", to_version=version)
    return ledger.append("m", sequence, [event])[0]


def find_number(registry: AliasRegistry) -> int | None:
    found = registry.look_up_alias("m", "champion")
    return found.number if found is not None else None


def list_kinds(ledger: Ledger) -> list[str]:
    return [event.kind for event in ledger.read("m")]


def test_nothing_is_done_where_nothing_happened(ledger: Ledger, registry: FileRegistry) -> None:
    reconciled = reconcile(registry, ledger, "m", "bob")
    assert (reconciled.state.champion, reconciled.repaired, reconciled.moved) == (None, False, None)
    assert ledger.read("m") == ()
    assert registry.points == 0


def test_the_alias_follows_promotions_and_rollbacks(ledger: Ledger, registry: FileRegistry) -> None:
    steps: list[tuple[Kind, int]] = [("promoted", 1), ("promoted", 2), ("rolled_back", 1)]
    for kind, version in steps:
        write(ledger, kind, version)
        reconciled = reconcile(registry, ledger, "m", "bob")
        assert reconciled.repaired
        assert reconciled.state.champion == find_number(registry) == version
        assert ledger.read_watermark("m") == Watermark(reconciled.state.sequence, version)
        assert not reconcile(registry, ledger, "m", "bob").repaired
    assert registry.points == 3
    assert list_kinds(ledger) == ["promoted", "promoted", "rolled_back"]


def test_what_does_not_move_the_champion_does_not_move_the_alias(
    ledger: Ledger, registry: FileRegistry
) -> None:
    write(ledger, "promoted", 1)
    reconcile(registry, ledger, "m", "bob")
    for kind in ("registered", "kept", "waiting", "hold", "promoted"):
        write(ledger, kind, 1)
        assert not reconcile(registry, ledger, "m", "bob").repaired
    assert registry.points == 1
    assert ledger.read_watermark("m") == Watermark(6, 1)


def test_several_events_after_a_crash_are_caught_up_at_once(
    ledger: Ledger, registry: FileRegistry
) -> None:
    for version in (1, 2, 3):
        write(ledger, "promoted", version)
    reconciled = reconcile(registry, ledger, "m", "bob")
    assert reconciled.repaired
    assert reconciled.moved is None
    assert find_number(registry) == 3


@pytest.mark.parametrize("found", [5, None])
def test_a_move_outside_is_written_down_once_and_left_alone(
    ledger: Ledger, registry: FileRegistry, found: int | None
) -> None:
    write(ledger, "promoted", 1)
    reconcile(registry, ledger, "m", "anna")
    registry.unpoint("m", "champion")
    if found is not None:
        registry.point("m", "champion", found)
    reconciled = reconcile(registry, ledger, "m", "bob")
    assert reconciled.moved == reconciled.state.moved == ledger.read("m")[-1]
    assert reconciled.moved is not None
    assert (reconciled.moved.kind, reconciled.moved.actor) == ("moved_outside", "bob")
    assert (reconciled.moved.from_version, reconciled.moved.to_version) == (1, found)
    write(ledger, "kept", 2)
    again = reconcile(registry, ledger, "m", "bob")
    assert again.moved is None
    assert again.state.moved == reconciled.moved, "it stays open"
    assert list_kinds(ledger) == ["promoted", "moved_outside", "kept"]
    assert find_number(registry) == found


def test_a_second_move_outside_is_another_event(ledger: Ledger, registry: FileRegistry) -> None:
    write(ledger, "promoted", 1)
    reconcile(registry, ledger, "m", "anna")
    for version in (5, 6):
        registry.point("m", "champion", version)
        moved = reconcile(registry, ledger, "m", "bob").moved
        assert moved is not None
        assert (moved.from_version, moved.to_version) == (1, version)


@pytest.mark.parametrize(
    ("kind", "version", "champion"),
    [
        ("adopted", 5, 5), ("reverted", 2, 2), ("promoted", 2, 2), ("promoted", 7, 7),
        ("rolled_back", 1, 1), ("superseded", 7, 7),
    ],
)  # fmt: skip
def test_a_move_outside_ends_by_what_a_person_decides(
    ledger: Ledger, registry: FileRegistry, kind: Kind, version: int, champion: int
) -> None:
    for number in (1, 2):
        write(ledger, "promoted", number)
    reconcile(registry, ledger, "m", "anna")
    registry.point("m", "champion", 5)
    reconcile(registry, ledger, "m", "anna")
    write(ledger, kind, version)
    reconciled = reconcile(registry, ledger, "m", "anna")
    assert reconciled.state.moved is None
    assert reconciled.moved is None
    assert reconciled.state.champion == find_number(registry) == champion
    assert reconciled.repaired == (kind != "adopted")
    assert reconcile(registry, ledger, "m", "anna").state.sequence == 4, "nothing more to note"


def test_an_alias_moved_back_by_hand_is_written_down_as_reverted(
    ledger: Ledger, registry: FileRegistry
) -> None:
    write(ledger, "promoted", 1)
    reconcile(registry, ledger, "m", "anna")
    registry.point("m", "champion", 5)
    reconcile(registry, ledger, "m", "anna")
    registry.point("m", "champion", 1)
    reconciled = reconcile(registry, ledger, "m", "bob")
    event = ledger.read("m")[-1]
    assert (event.kind, event.from_version, event.to_version) == ("reverted", 5, 1)
    assert "by hand" in event.reason
    assert reconciled.state.moved is None
    assert not reconciled.repaired
    reconcile(registry, ledger, "m", "bob")
    assert list_kinds(ledger) == ["promoted", "moved_outside", "reverted"]


def test_an_alias_that_no_event_ever_set_can_be_adopted_or_taken_away(
    ledger: Ledger, registry: FileRegistry
) -> None:
    registry.point("m", "champion", 5)
    moved = reconcile(registry, ledger, "m", "bob").moved
    assert moved is not None
    assert (moved.from_version, moved.to_version) == (None, 5)
    write(ledger, "reverted", None)
    assert reconcile(registry, ledger, "m", "bob").repaired
    assert find_number(registry) is None
    registry.point("m", "champion", 5)
    assert reconcile(registry, ledger, "m", "bob").moved is not None
    write(ledger, "adopted", 5)
    assert reconcile(registry, ledger, "m", "bob").state.champion == find_number(registry) == 5
    assert len(ledger.read("m")) == 4


def test_an_alias_taken_away_while_a_promotion_is_due_is_pointed(
    ledger: Ledger, registry: FileRegistry
) -> None:
    write(ledger, "promoted", 1)
    reconcile(registry, ledger, "m", "bob")
    write(ledger, "promoted", 2)
    registry.unpoint("m", "champion")
    assert reconcile(registry, ledger, "m", "bob").repaired
    assert find_number(registry) == 2


def test_a_promotion_does_not_hide_a_move_outside(ledger: Ledger, registry: FileRegistry) -> None:
    write(ledger, "promoted", 1)
    reconcile(registry, ledger, "m", "bob")
    registry.point("m", "champion", 5)
    write(ledger, "promoted", 2)
    reconciled = reconcile(registry, ledger, "m", "bob")
    assert reconciled.moved is not None
    assert find_number(registry) == 5


def test_a_crash_after_the_alias_and_before_the_mark_is_no_move_outside(
    ledger: Ledger, registry: FileRegistry
) -> None:
    write(ledger, "promoted", 1)
    reconcile(registry, ledger, "m", "bob")
    write(ledger, "promoted", 2)
    registry.point("m", "champion", 2)  # and the process died here
    write(ledger, "promoted", 3)
    reconciled = reconcile(registry, ledger, "m", "bob")
    assert reconciled.moved is None
    assert reconciled.repaired
    assert find_number(registry) == 3


@pytest.mark.parametrize("found", [None, 1])
def test_a_champion_that_is_gone_is_written_down_once_and_every_call_opens(
    ledger: Ledger, registry: FileRegistry, found: int | None
) -> None:
    write(ledger, "promoted", 1)
    reconcile(registry, ledger, "m", "anna")
    if found is None:
        # The ledger as a revert left it that was not refused: the alias is to go back to 1.
        registry.unpoint("m", "champion")
        reconcile(registry, ledger, "m", "anna")
        write(ledger, "reverted", 1)
        gone = 1
    else:
        # Died between the ledger and the alias, and then version 2 was deleted.
        write(ledger, "promoted", 2)
        gone = 2
    registry.deleted = {gone}
    reconciled = reconcile(registry, ledger, "m", "bob")
    assert not reconciled.repaired
    assert reconciled.moved == reconciled.state.moved == ledger.read("m")[-1]
    assert reconciled.moved is not None
    assert (reconciled.moved.kind, reconciled.moved.actor) == ("moved_outside", "bob")
    assert (reconciled.moved.from_version, reconciled.moved.to_version) == (gone, found)
    assert f"Version {gone} is gone from the registry" in reconciled.moved.reason
    again = reconcile(registry, ledger, "m", "bob")
    assert (again.moved, again.state) == (None, reconciled.state)
    write(ledger, "rolled_back", 3)
    reconciled = reconcile(registry, ledger, "m", "bob")
    assert (reconciled.repaired, reconciled.state.moved, find_number(registry)) == (True, None, 3)


def test_a_registry_that_is_down_while_the_alias_is_moved_is_not_read_as_a_champion_gone(
    ledger: Ledger, registry: FileRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RegistryUnreachable("The model registry must answer.")

    write(ledger, "promoted", 1)
    monkeypatch.setattr(registry, "point", fail)
    with pytest.raises(RegistryUnreachable):
        reconcile(registry, ledger, "m", "bob")
    assert list_kinds(ledger) == ["promoted"]


def test_a_registry_that_is_down_changes_nothing_and_holds_no_lock(
    ledger: Ledger, registry: FileRegistry
) -> None:
    write(ledger, "promoted", 1)
    registry.is_down = True
    with pytest.raises(RegistryUnreachable):
        reconcile(registry, ledger, "m", "bob")
    assert ledger.read_watermark("m") == Watermark(0, None)
    write(ledger, "promoted", 2)
    registry.is_down = False
    assert reconcile(registry, ledger, "m", "bob").repaired
    assert find_number(registry) == 2


@pytest.mark.slow
def test_the_real_registry_follows_the_ledger(ledger: Ledger, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    from sentiflow.release.registry import Registry

    registry = Registry(f"sqlite:///{tmp_path / 'mlflow.db'}")
    client = MlflowClient(registry.uri, registry.uri)
    assert reconcile(registry, ledger, "m", "bob").moved is None, "a name nobody registered"
    client.create_registered_model("m")
    for _ in range(3):
        client.create_model_version("m", source=f"file://{tmp_path}/model")
    for version in (1, 2):
        write(ledger, "promoted", version)
        assert reconcile(registry, ledger, "m", "bob").repaired
        assert find_number(registry) == version
    client.set_registered_model_alias("m", "champion", "3")
    assert reconcile(registry, ledger, "m", "bob").moved is not None
    write(ledger, "reverted", 2)
    assert reconcile(registry, ledger, "m", "bob").repaired
    client.delete_registered_model_alias("m", "champion")
    moved = reconcile(registry, ledger, "m", "bob").moved
    assert moved is not None
    assert moved.to_version is None
    write(ledger, "rolled_back", 1)
    reconciled = reconcile(registry, ledger, "m", "bob")
    assert reconciled.state.champion == find_number(registry) == 1
    assert reconciled.state.moved is None


@pytest.mark.slow
def test_an_append_at_the_same_moment_makes_settle_look_again(
    make_postgresql_url: object, registry: FileRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Only PostgreSQL: on SQLite an append waits for the projector's lock.
    ledger = Ledger(make_postgresql_url())  # type: ignore[operator]
    write(ledger, "promoted", 1)
    reconcile(registry, ledger, "m", "bob")
    registry.point("m", "champion", 5)
    append = LockedAlias.append
    rivals = [1, 2]

    def append_late(locked: LockedAlias, events: list[NewEvent]) -> tuple[Event, ...]:
        if rivals:
            write(ledger, "kept", rivals.pop())
        return append(locked, events)

    monkeypatch.setattr(LockedAlias, "append", append_late)
    assert reconcile(registry, ledger, "m", "bob").moved is not None
    assert list_kinds(ledger) == ["promoted", "kept", "kept", "moved_outside"]
    registry.point("m", "champion", 6)
    rivals = [1] * 99
    with pytest.raises(LedgerConflict):
        reconcile(registry, ledger, "m", "bob")


class Story(RuleBasedStateMachine):
    """Releases, crashes at every point and people in MLflow's UI, in any order.

    The plan alone is under test here, on plain values: `is_foreign` says, by having done it,
    whether a person moved the alias since it was last looked at.
    """

    @initialize()
    def start(self) -> None:
        self.events: tuple[Event, ...] = ()
        self.mark = Watermark()
        self.alias: int | None = None
        self.is_foreign = False

    def write(self, kind: Kind, version: int | None) -> None:
        number = len(self.events) + 1
        event = Event(
            model="m", sequence=number, time=START + timedelta(days=number), kind=kind,
            actor="a", reason="r", to_version=version,
        )  # fmt: skip
        self.events = (*self.events, event)

    def set_watermark(self) -> None:
        self.mark = Watermark(len(self.events), self.alias)

    @rule(
        kind=st.sampled_from(("promoted", "rolled_back", "superseded", "kept", "hold")),
        version=st.integers(1, 5),
    )
    def release(self, kind: Kind, version: int) -> None:
        self.write(kind, version)

    @rule(dies=st.booleans())
    def follow(self, dies: bool) -> None:
        state = fold_events(self.events)
        step = plan_step(self.events, self.mark, self.alias)
        if not self.is_foreign:
            assert step not in ("record_move", "record_return"), "nobody moved it"
        if step == "point":
            self.alias = state.champion
        elif step == "record_move":
            self.write("moved_outside", self.alias)
        elif step == "record_return":
            self.write("reverted", self.alias)
        if step in ("record_move", "record_return") or not dies:
            self.set_watermark()
        if not dies or step != "record_move":
            after = plan_step(self.events, self.mark, self.alias)
            assert after == "rest" or dies, "one look settles it"

    @rule(version=st.integers(6, 9))
    def move_outside(self, version: int) -> None:
        self.alias = version
        self.is_foreign = True

    @precondition(lambda self: self.is_foreign)
    @rule(adopts=st.booleans())
    def decide(self, adopts: bool) -> None:
        self.follow(dies=False)
        moved = fold_events(self.events).moved
        if moved is not None:
            champion = fold_events(self.events).champion
            self.write("adopted", moved.to_version) if adopts else self.write("reverted", champion)
            self.follow(dies=False)
        assert self.alias == fold_events(self.events).champion
        self.is_foreign = False

    @invariant()
    def a_settled_alias_is_the_champion_or_an_open_move(self) -> None:
        if plan_step(self.events, self.mark, self.alias) == "rest":
            state = fold_events(self.events)
            is_open = state.moved is not None and state.moved.to_version == self.alias
            assert self.alias == state.champion or is_open


TestAnyStory = Story.TestCase
TestAnyStory.settings = hypothesis_settings(max_examples=60, stateful_step_count=25, deadline=None)
