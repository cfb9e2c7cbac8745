"""Go back to an earlier champion, and end the hold that follows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sentiflow.commands.context import ReleaseContext, commit, describe_gone, probe, require_reason
from sentiflow.errors import NoModelError, UsageError
from sentiflow.release.identity import RUN_KEY, read_run
from sentiflow.release.state import NewEvent, ReleaseState

if TYPE_CHECKING:
    from sentiflow.release.registry import Version


def roll_back(context: ReleaseContext, reason: str, to: int | None) -> dict[str, Any]:
    """Go back to an earlier champion, and hold automatic promotion until that is released.

    Args:
        context: where.
        reason: why; kept in the ledger.
        to: a version; None goes to the previous champion, a second time one further back.

    Returns:
        `model`, `version` (champion now), `from_version`.

    Raises:
        NoModelError: there is nothing to go back to.
        ReleaseForbidden: that version does not load and answer in a fresh process.
        LedgerConflict: someone else changed the model meanwhile.
    """
    require_reason(reason)
    state = context.reconcile()
    if state.champion is None:
        raise NoModelError(f"{context.model} has no champion to roll back. See sentiflow status.")
    target = to if to is not None else state.previous_champion
    if target is None:
        raise NoModelError(
            f"{context.model} must have had an earlier champion to roll back to, or another "
            f"version be named with --to N. Received: version {state.champion} is its first "
            f"champion; {context.registry.tell_versions(context.model)}"
        )
    version = _resolve_target(context, state, target, is_named=to is not None)
    probe(context, version)
    lineage = version.tags.get("sentiflow.lineage")
    events = [
        NewEvent(
            kind="rolled_back",
            actor=context.actor,
            reason=reason,
            lineage=lineage,
            from_version=state.champion,
            to_version=target,
            details={RUN_KEY: version.run_id},
        ),
        NewEvent(
            kind="hold",
            actor=context.actor,
            reason=f"Rolled back from version {state.champion}: {reason}"[:2_000],
            lineage=lineage,
        ),
    ]
    commit(context, state, events)
    return {"model": context.model, "version": target, "from_version": state.champion}


def release_hold(context: ReleaseContext, reason: str) -> dict[str, Any]:
    """End a hold: nights may promote again.

    Raises:
        UsageError: no hold is in force.
    """
    require_reason(reason)
    state = context.reconcile()
    if state.hold is None:
        raise UsageError(f"{context.model} has no hold to release. See sentiflow status.")
    event = NewEvent(kind="released", actor=context.actor, reason=reason)
    commit(context, state, [event])
    return {"model": context.model, "held_since": state.hold.time.isoformat()}


def _resolve_target(
    context: ReleaseContext, state: ReleaseState, target: int, is_named: bool
) -> Version:
    """Return the version to roll back to.

    Args:
        context: where.
        state: how the model stands.
        target: the version's number.
        is_named: whether a person named it; otherwise it is the champion before, which its
            number may not stand for any more.
    """
    if is_named:
        version = context.registry.resolve(context.model, str(target))
        if state.is_champion(target, version.run_id):
            raise UsageError(f"Version {target} of {context.model} is champion already.")
        return version
    run = read_run(state.promotions[-2])
    if gone := describe_gone(context, target, run):
        raise NoModelError(
            f"The champion before, version {target} of {context.model}, must be in the registry. "
            f"Received: {gone}. Name another with --to N: see sentiflow history."
        )
    return context.registry.resolve(context.model, str(target))
