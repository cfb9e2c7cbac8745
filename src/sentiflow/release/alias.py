"""Make MLflow's champion alias follow the ledger, and notice when someone else moved it.

The ledger is the commit point. Between a committed event and the moved alias a process can
die, and anyone can move the alias in MLflow's own UI; both leave an alias that differs from
the ledger's champion. The ledger's watermark (up to which event the alias was last made to follow,
and where it was left) tells them apart: an alias that still is where it was left, or where an
event since then put it, only lags behind such an event and is moved; any other alias was moved
outside, is written down as that, and is left alone until a person adopts or reverts it.

A champion whose version was deleted in the registry has no alias to follow it. That is
written down as a move outside too, so that every command still opens and one can lead out.

What MLflow shows of a version, tags and description, follows in the same way (story.py): what
events since the watermark changed is told before it is moved, so that the next look makes up for
an MLflow that was away.

What a number stands for is said by the run that made the version (identity.py). A registry
that knows none of the runs in the ledger is another one, and nothing is written or moved then.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal, Protocol

from sentiflow.errors import (
    ForeignRegistry,
    NoModelError,
    RegistryFailed,
    RegistryUnreachable,
)
from sentiflow.files import hide_secrets
from sentiflow.release.identity import RUN_KEY, list_registered, name_runs, read_run
from sentiflow.release.ledger import Ledger, Watermark
from sentiflow.release.registry import CHAMPION
from sentiflow.release.state import (
    MAKES_CHAMPION,
    Event,
    Kind,
    NewEvent,
    ReleaseState,
    fold_events,
)
from sentiflow.release.story import list_changed

logger = logging.getLogger(__name__)

_MOVES_ALIAS: Final[frozenset[Kind]] = MAKES_CHAMPION | {"reverted"}

Step = Literal["rest", "mark", "point", "record_move", "record_return"]


class PointedVersion(Protocol):
    """What an alias points at."""

    @property
    def number(self) -> int:
        """MLflow's version number."""

    @property
    def run_id(self) -> str:
        """The run that made it; empty when a person registered it without one."""


class AliasRegistry(Protocol):
    """What is asked of a registry here; `release.registry.Registry` is one."""

    @property
    def uri(self) -> str:
        """Its address."""

    def look_up_version(self, name: str, number: int) -> PointedVersion | None:
        """Return the version with this number, or None."""

    def knows_any(self, name: str, registered: Sequence[tuple[int, str]]) -> bool:
        """Say whether one of these versions, by number and run, is here or was."""

    def look_up_alias(self, name: str, alias: str) -> PointedVersion | None:
        """Return the version an alias points at, or None when there is no such alias."""

    def point(self, name: str, alias: str, number: int) -> None:
        """Point an alias at a version.

        Raises:
            NoModelError: there is no such version.
        """

    def unpoint(self, name: str, alias: str) -> None:
        """Take an alias away."""

    def tell(
        self, name: str, number: int, run_id: str | None, tags: Mapping[str, str], description: str
    ) -> None:
        """Set the tags and the description of a version that this run made."""


@dataclass(frozen=True)
class Reconciled:
    """How the ledger and the alias stand after they were reconciled.

    Attributes:
        events: the model's events, by sequence.
        state: what follows from them; its `moved` is a move outside that still is to be decided.
        repaired: whether this call moved the alias. Before a command's own event that means
            that an earlier process died between the ledger and the alias; after it, it is the
            release itself.
        moved: the move outside that this call was first to notice: alert on it.
    """

    events: tuple[Event, ...]
    state: ReleaseState
    repaired: bool
    moved: Event | None


def reconcile(
    registry: AliasRegistry, ledger: Ledger, model: str, actor: str, *, may_begin_anew: bool = False
) -> Reconciled:
    """Make the champion alias follow the ledger; call it first in a command and after an append.

    Args:
        registry: where the alias is.
        ledger: where the events are.
        model: the registered model's name.
        actor: who runs the command, for an event that is noticed.
        may_begin_anew: whether a person said that the ledger may go on with another registry.

    Returns:
        The release state after it, and what was done.

    Raises:
        ForeignRegistry: the ledger is about the versions of another registry.
        RegistryUnreachable: the registry did not answer; the next call tries again.
        LedgerUnreachable: the ledger did not answer.
        LedgerConflict: others wrote the ledger first, ten times in a row.
    """
    # Most calls find nothing to do: they take no lock, and a registry that is down holds none.
    events = ledger.read(model)
    state = fold_events(events)
    alias = registry.look_up_alias(model, CHAMPION)
    if not may_begin_anew:
        check_registry(registry, model, events, alias)
    if plan_step(events, ledger.read_watermark(model), *_name(alias)) == "rest":
        return Reconciled(events, state, repaired=False, moved=None)
    # On PostgreSQL an append does not wait for this lock: the new head is looked at then.
    return ledger.retry(model, lambda: _reconcile_once(registry, ledger, model, actor))


def foretell(registry: AliasRegistry, ledger: Ledger, model: str, actor: str) -> ReleaseState:
    """Return the release state that `reconcile` would come to; write and move nothing.

    Raises:
        ForeignRegistry: the ledger is about the versions of another registry.
        RegistryUnreachable, LedgerUnreachable: one of them did not answer.
    """
    events = ledger.read(model)
    state = fold_events(events)
    version = registry.look_up_alias(model, CHAMPION)
    check_registry(registry, model, events, version)
    alias, run = _name(version)
    step = plan_step(events, ledger.read_head(model)[1], alias, run)
    is_gone = step == "point" and not _can_follow(registry, model, state)
    if step == "record_return":
        new = _make_return(state, alias, actor)
    elif step == "record_move" or is_gone:
        new = _make_move(state, alias, run, actor, is_gone=is_gone)
    else:
        return state
    noticed = {**vars(new), "model": model, "sequence": state.sequence + 1}
    return fold_events((*events, Event(**noticed, time=datetime.now(UTC))))


def check_registry(
    registry: AliasRegistry, model: str, events: Sequence[Event], alias: PointedVersion | None
) -> None:
    """Make sure that the ledger is about this registry's versions.

    Args:
        registry: the registry that is asked.
        model: the registered model's name.
        events: the model's events, by sequence.
        alias: where the champion alias points; one look at the ledger tells it from a foreign one.

    Raises:
        ForeignRegistry: it knows none of the versions that the ledger holds, and none of the runs
            that made them.
        RegistryUnreachable: the registry did not answer.
    """
    registered = list_registered(events)
    if not registered or (alias is not None and (alias.number, alias.run_id) in registered):
        return
    if registry.knows_any(model, registered):
        return
    number, run = registered[0]
    raise ForeignRegistry(
        f"The ledger and this MLflow do not belong together: the ledger's versions of {model} "
        "must be in it, or the runs that made them. Received: "
        f"uri={hide_secrets(registry.uri)}, which knows none of {len(registered)} (the last is "
        f"version {number} of run {run}). Name the MLflow of before in tracking.uri or "
        "MLFLOW_TRACKING_URI; or give this one a ledger of its own: another ledger.url, "
        "SENTIFLOW_HOME or model.name. Where the one before is lost for good, tonight's model may "
        "begin anew here: sentiflow run … --supersede --reason …"
    )


def plan_step(
    events: Iterable[Event], mark: Watermark, alias: int | None, run: str | None = None
) -> Step:
    """Say what makes ledger and alias agree.

    Args:
        events: the model's events, by sequence.
        mark: the watermark: up to where the alias was last made to follow.
        alias: the version the alias points at now.
        run: the run that made that version; the ledger may know another one by its number.

    Returns:
        - rest: nothing is to be done (also while a noted move outside is undecided);
        - mark: nothing is to be moved, only the watermark is behind;
        - point: the alias lags behind the ledger, move it (where the champion's version is gone
          from the registry, note that instead);
        - record_move: someone moved the alias outside;
        - record_return: someone moved it back by hand before that was decided.
    """
    events = name_runs(events)
    state = fold_events(events)
    if state.is_champion(alias, run):
        if state.moved is not None:
            return "record_return"
        return "rest" if mark == Watermark(state.sequence, alias) else "mark"
    due = [
        event for event in events if event.sequence > mark.sequence and event.kind in _MOVES_ALIAS
    ]
    # A process may have died after it moved the alias and before the watermark: where any
    # event since that put the alias is no stranger's doing either.
    is_put = alias in {event.to_version for event in due if read_run(event) in (None, run)}
    if due and (is_put or alias in {mark.version, None}):
        return "point"
    if not due and state.moved is not None and state.moved.to_version == alias:
        return "rest" if mark.sequence == state.sequence else "mark"
    return "record_move"


def _reconcile_once(registry: AliasRegistry, ledger: Ledger, model: str, actor: str) -> Reconciled:
    with ledger.lock_alias(model) as locked:
        alias, run = _name(registry.look_up_alias(model, CHAMPION))
        step = plan_step(locked.events, locked.watermark, alias, run)
        state = fold_events(locked.events)
        written: tuple[Event, ...] = ()
        is_pointed = step == "point" and _point(registry, model, state)
        if is_pointed:
            alias = state.champion
        elif step in ("point", "record_move"):
            move = _make_move(state, alias, run, actor, is_gone=step == "point")
            written = locked.append([move])
        elif step == "record_return":
            written = locked.append([_make_return(state, alias, actor)])
        events = (*locked.events, *written)
        state = fold_events(events)
        if _tell_stories(registry, model, events, locked.watermark.sequence):
            locked.set_watermark(Watermark(state.sequence, alias))
    moved = next((event for event in written if event.kind == "moved_outside"), None)
    return Reconciled(events, state, repaired=is_pointed, moved=moved)


def _tell_stories(
    registry: AliasRegistry, model: str, events: Sequence[Event], sequence: int
) -> bool:
    """Let MLflow show what events after a sequence changed; False where it did not take it."""
    try:
        for (number, run), story in list_changed(events, sequence).items():
            registry.tell(model, number, run, story.tags, story.description)
    except (RegistryUnreachable, RegistryFailed) as error:
        # The release itself is done; the watermark stays behind, and the next look tells it.
        logger.warning("What MLflow shows of %s is behind the ledger: %s", model, error)
        return False
    return True


def _point(registry: AliasRegistry, model: str, state: ReleaseState) -> bool:
    """Put the alias where the ledger has it; False when that version is gone."""
    champion = state.champion
    if champion is None:
        registry.unpoint(model, CHAMPION)
        return True
    if not _can_follow(registry, model, state):
        return False
    try:
        registry.point(model, CHAMPION, champion)
    except NoModelError:
        # Deleted in this moment. Raised from here it would end every command, also those that
        # lead out of it.
        return False
    return True


def _can_follow(registry: AliasRegistry, model: str, state: ReleaseState) -> bool:
    """Say whether the registry has the ledger's champion, so that the alias can point at it."""
    if state.champion is None:
        return True
    found = registry.look_up_version(model, state.champion)
    return found is not None and state.is_champion(state.champion, found.run_id)


def _make_move(
    state: ReleaseState, alias: int | None, run: str | None, actor: str, *, is_gone: bool
) -> NewEvent:
    found = f"pointing at version {alias}" if alias is not None else "gone"
    if alias is not None and alias == state.champion:
        found += f", which is another model by now (of run {run or 'none'})"
    reason = (
        f"Version {state.champion} is gone from the registry, so the alias {CHAMPION} cannot "
        f"follow the ledger to it. It was found {found}."
        if is_gone
        else f"The alias {CHAMPION} was found {found}, and no event of the ledger put it there."
    )
    return NewEvent(
        kind="moved_outside",
        actor=actor,
        reason=reason,
        from_version=state.champion,
        to_version=alias,
        details={RUN_KEY: run} if run else {},
    )


def _make_return(state: ReleaseState, alias: int | None, actor: str) -> NewEvent:
    moved = state.moved.to_version if state.moved is not None else None
    return NewEvent(
        kind="reverted",
        actor=actor,
        reason=f"The alias {CHAMPION} was found back where the ledger has it: someone moved it by "
        "hand.",
        from_version=moved,
        to_version=alias,
    )


def _name(version: PointedVersion | None) -> tuple[int | None, str | None]:
    return (version.number, version.run_id) if version is not None else (None, None)
