"""Make MLflow's champion alias follow the ledger, and notice when someone else moved it.

The ledger is the commit point. Between a committed event and the moved alias a process can
die, and anyone can move the alias in MLflow's own UI; both leave an alias that differs from
the ledger's champion. The ledger's mark (up to which event the alias was last made to follow,
and where it was left) tells them apart: an alias that still is where it was left, or where an
event since then put it, only lags behind such an event and is moved; any other alias was moved
outside, is written down as that, and is left alone until a person adopts or reverts it.

A champion whose version was deleted in the registry has no alias to follow it. That is
written down as a move outside too, so that every command still opens and one can lead out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from sentiflow.errors import LedgerConflict, NoModelError
from sentiflow.release.ledger import Ledger, LockedProjection, Mark
from sentiflow.release.registry import CHAMPION
from sentiflow.release.standing import (
    MAKES_CHAMPION,
    Event,
    Kind,
    NewEvent,
    Standing,
    fold_events,
)

_MOVES_ALIAS: Final[frozenset[Kind]] = MAKES_CHAMPION | {"reverted"}
_ATTEMPTS: Final = 10

Step = Literal["rest", "mark", "point", "record_move", "record_return"]


class PointedVersion(Protocol):
    """What an alias points at."""

    @property
    def number(self) -> int:
        """MLflow's version number."""


class AliasRegistry(Protocol):
    """What is asked of a registry here; `release.registry.Registry` is one."""

    def find_alias(self, name: str, alias: str) -> PointedVersion | None:
        """Return the version an alias points at, or None when there is no such alias."""

    def point(self, name: str, alias: str, number: int) -> None:
        """Point an alias at a version.

        Raises:
            NoModelError: there is no such version.
        """

    def unpoint(self, name: str, alias: str) -> None:
        """Take an alias away."""


@dataclass(frozen=True)
class Settled:
    """How the ledger and the alias stand after they were settled.

    Attributes:
        standing: by the ledger; its `moved` is a move outside that still is to be decided.
        repaired: whether this call moved the alias. Before a command's own event that means
            that an earlier process died between the ledger and the alias; after it, it is the
            release itself.
        moved: the move outside that this call was first to notice: alert on it.
    """

    standing: Standing
    repaired: bool
    moved: Event | None


def settle(registry: AliasRegistry, ledger: Ledger, model: str, actor: str) -> Settled:
    """Make the champion alias follow the ledger; call it first in a command and after an append.

    Args:
        registry: where the alias is.
        ledger: where the events are.
        model: the registered model's name.
        actor: who runs the command, for an event that is noticed.

    Returns:
        The standing after it.

    Raises:
        RegistryUnreachable: the registry did not answer; the next call tries again.
        LedgerUnreachable: the ledger did not answer.
        LedgerConflict: others kept writing the ledger through ten attempts.
    """
    # Most calls find nothing to do: they take no lock, and a registry that is down holds none.
    events = ledger.read(model)
    standing = fold_events(events)
    if plan_step(events, ledger.read_mark(model), _find_champion(registry, model)) == "rest":
        return Settled(standing, repaired=False, moved=None)
    for _ in range(_ATTEMPTS - 1):
        try:
            return _settle_once(registry, ledger, model, actor)
        except LedgerConflict:
            # On PostgreSQL an append does not wait for a projector: look at the new head.
            continue
    return _settle_once(registry, ledger, model, actor)


def plan_step(events: Iterable[Event], mark: Mark, alias: int | None) -> Step:
    """Say what makes ledger and alias agree.

    Args:
        events: the model's events, by sequence.
        mark: up to where the alias was last made to follow.
        alias: the version the alias points at now.

    Returns:
        - rest: nothing is to be done (also while a noted move outside is undecided);
        - mark: they agree, only the mark is behind;
        - point: the alias lags behind the ledger, move it (where the champion's version is gone
          from the registry, note that instead);
        - record_move: someone moved the alias outside;
        - record_return: someone moved it back by hand before that was decided.
    """
    events = tuple(events)
    standing = fold_events(events)
    if alias == standing.champion:
        if standing.moved is not None:
            return "record_return"
        return "rest" if mark == Mark(standing.sequence, alias) else "mark"
    due = {
        event.to_version
        for event in events
        if event.sequence > mark.sequence and event.kind in _MOVES_ALIAS
    }
    # A process may have died after it moved the alias and before it moved the mark: where any
    # event since the mark put the alias is no stranger's doing either.
    if due and alias in {mark.version, None, *due}:
        return "point"
    if not due and standing.moved is not None and standing.moved.to_version == alias:
        return "rest"
    return "record_move"


def _settle_once(registry: AliasRegistry, ledger: Ledger, model: str, actor: str) -> Settled:
    with ledger.lock_projection(model) as locked:
        alias = _find_champion(registry, model)
        step = plan_step(locked.events, locked.mark, alias)
        standing = fold_events(locked.events)
        written: tuple[Event, ...] = ()
        is_pointed = step == "point" and _point(registry, model, standing.champion)
        if is_pointed:
            alias = standing.champion
        elif step in ("point", "record_move"):
            written = _record_move(locked, standing, alias, actor, is_gone=step == "point")
        elif step == "record_return":
            written = _record_return(locked, standing, alias, actor)
        standing = fold_events((*locked.events, *written))
        locked.set_mark(Mark(standing.sequence, alias))
    moved = next((event for event in written if event.kind == "moved_outside"), None)
    return Settled(standing, repaired=is_pointed, moved=moved)


def _point(registry: AliasRegistry, model: str, champion: int | None) -> bool:
    """Put the alias where the ledger has it; False when that version is gone."""
    if champion is None:
        registry.unpoint(model, CHAMPION)
        return True
    try:
        registry.point(model, CHAMPION, champion)
    except NoModelError:
        # Raised from here it would end every command, also those that lead out of it.
        return False
    return True


def _record_move(
    locked: LockedProjection, standing: Standing, alias: int | None, actor: str, *, is_gone: bool
) -> tuple[Event, ...]:
    found = f"pointing at version {alias}" if alias is not None else "gone"
    reason = (
        f"Version {standing.champion} is gone from the registry, so the alias {CHAMPION} cannot "
        f"follow the ledger to it. It was found {found}."
        if is_gone
        else f"The alias {CHAMPION} was found {found}, and no event of the ledger put it there."
    )
    return locked.append(
        [
            NewEvent(
                kind="moved_outside",
                actor=actor,
                reason=reason,
                from_version=standing.champion,
                to_version=alias,
            )
        ]
    )


def _record_return(
    locked: LockedProjection, standing: Standing, alias: int | None, actor: str
) -> tuple[Event, ...]:
    moved = standing.moved.to_version if standing.moved is not None else None
    return locked.append(
        [
            NewEvent(
                kind="reverted",
                actor=actor,
                reason=f"The alias {CHAMPION} was found back where the ledger has it: someone "
                "moved it by hand.",
                from_version=moved,
                to_version=alias,
            )
        ]
    )


def _find_champion(registry: AliasRegistry, model: str) -> int | None:
    version = registry.find_alias(model, CHAMPION)
    return version.number if version is not None else None
