"""Settle a move of the champion alias: take it as it is, or move it back."""

from __future__ import annotations

from typing import Any

from sentiflow.commands.context import ReleaseContext, commit, describe_gone, probe, require_reason
from sentiflow.errors import NoModelError, UsageError
from sentiflow.release.identity import RUN_KEY
from sentiflow.release.state import Event, NewEvent


def adopt(context: ReleaseContext, reason: str) -> dict[str, Any]:
    """Take the version that somebody moved the champion alias to as champion.

    Raises:
        UsageError: nobody moved the alias.
        NoModelError: it was taken away, or that version is gone.
        ReleaseForbidden: that version does not load and answer in a fresh process.
    """
    require_reason(reason)
    state = context.reconcile()
    moved = state.moved
    if moved is None:
        raise UsageError(f"The champion alias of {context.model} was not moved outside sentiflow.")
    if moved.to_version is None:
        is_there = state.champion is not None and not describe_gone(
            context, state.champion, state.champion_run
        )
        put_back = "Put it back: sentiflow revert --reason … Or: " if is_there else ""
        raise NoModelError(
            "Only a version that the champion alias was moved to outside sentiflow can be adopted. "
            f"Received: it was taken away. {put_back}{_explain_ways_out(moved)}"
        )
    version = context.registry.resolve(context.model, str(moved.to_version))
    probe(context, version)
    event = NewEvent(
        kind="adopted",
        actor=context.actor,
        reason=reason,
        lineage=version.tags.get("sentiflow.lineage"),
        from_version=state.champion,
        to_version=moved.to_version,
        details={RUN_KEY: version.run_id},
    )
    commit(context, state, [event])
    return {
        "model": context.model,
        "version": moved.to_version,
        "previous_champion": state.champion,
    }


def revert(context: ReleaseContext, reason: str) -> dict[str, Any]:
    """Move the champion alias back to where the ledger has it.

    Raises:
        UsageError: nobody moved the alias.
        NoModelError: the version it would go back to is gone from the registry.
        ReleaseForbidden: the alias does not follow what was written.
    """
    require_reason(reason)
    state = context.reconcile()
    if state.moved is None:
        raise UsageError(f"The champion alias of {context.model} was not moved outside sentiflow.")
    champion = state.champion
    if champion is not None and (gone := describe_gone(context, champion, state.champion_run)):
        raise NoModelError(
            f"To revert, champion version {champion} of {context.model} must be in the registry. "
            f"Received: {gone}. {_explain_ways_out(state.moved)}"
        )
    event = NewEvent(
        kind="reverted",
        actor=context.actor,
        reason=reason,
        from_version=state.moved.to_version,
        to_version=state.champion,
    )
    commit(context, state, [event])
    return {
        "model": context.model,
        "version": state.champion,
        "from_version": state.moved.to_version,
    }


def _explain_ways_out(moved: Event) -> str:
    """Return what helps when the champion's version, which the alias left, is gone."""
    # A night supersedes what is gone, but not over a version that somebody set instead.
    last = (
        "let tonight's model replace it: sentiflow run … --supersede --reason …"
        if moved.to_version is None
        else f"take version {moved.to_version}, where it stands: sentiflow adopt --reason …"
    )
    return (
        "Make a version champion that is there: sentiflow rollback --to N --reason …, sentiflow "
        f"promote N --reason …; or {last}"
    )
