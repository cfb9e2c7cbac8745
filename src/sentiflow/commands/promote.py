"""Make a version champion on a person's word."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentiflow.commands.context import ReleaseContext, Show, commit, probe, require_reason
from sentiflow.errors import ArtifactError, ReleaseForbidden, UsageError
from sentiflow.release.identity import RUN_KEY, select_events
from sentiflow.release.state import NewEvent, ReleaseState
from sentiflow.reporting.decision_record import DecisionRecord, locate_decision_file, read_decision

if TYPE_CHECKING:
    from sentiflow.release.registry import Version


def promote(
    context: ReleaseContext, number: int, reason: str, override: bool, show: Show
) -> dict[str, Any]:
    """Make a version champion on a person's word.

    Args:
        context: where.
        number: the version.
        reason: why; kept in the ledger.
        override: promote although the gate's findings do not support it; recorded as such.
        show: told the gate's findings before anything is changed.

    Returns:
        `model`, `version`, `champion_version`, `previous_champion`, `override`, `findings`.

    Raises:
        NoModelError: there is no such version.
        ReleaseForbidden: the findings are against it and override is not given, or the version
            does not load and answer in a fresh process.
        LedgerConflict: someone else changed the model meanwhile.
    """
    require_reason(reason)
    state = context.reconcile()
    version = context.registry.resolve(context.model, str(number))
    if state.is_champion(number, version.run_id):
        raise UsageError(f"Version {number} of {context.model} is champion already.")
    decision, objections = _weigh(context, state, version)
    show(describe_findings(context.model, number, decision, objections))
    if objections and not override:
        raise ReleaseForbidden(
            f"Version {number} of {context.model} must have the gate's approval. Received: "
            f"{' '.join(objections)} To promote it all the same, add --override; it is recorded."
        )
    probe(context, version)
    is_override = bool(objections)
    event = NewEvent(
        kind="promoted",
        actor=context.actor,
        reason=reason,
        lineage=version.tags.get("sentiflow.lineage"),
        from_version=state.champion,
        to_version=number,
        decision=decision[0] if decision else None,
        details={
            RUN_KEY: version.run_id,
            "by_hand": True,
            "override": is_override,
            "objections": objections[:10],
        },
    )
    commit(context, state, [event])
    return {
        "model": context.model,
        "version": number,
        "champion_version": number,
        "previous_champion": state.champion,
        "override": is_override,
        "findings": objections,
    }


def describe_findings(
    model: str,
    number: int,
    decision: tuple[str, DecisionRecord] | None,
    objections: Sequence[str],
) -> str:
    """Return what the gate found about a version, as text."""
    lines = [f"The gate on version {number} of {model}:"]
    known: Sequence[str] = ()
    if decision is not None:
        digest, record = decision
        lines.append(
            f"  night {record.night}: {record.decision['verdict']} "
            f"(decision {digest[:12]}, against champion {record.champion_version})"
        )
        known = record.decision["reasons"]
        lines += [f"  {reason}" for reason in known]
        lines += [f"  Warning: {warning}" for warning in record.decision["warnings"]]
    further = [objection for objection in objections if objection not in known]
    if further:
        lines.append("  Against a promotion now:")
        lines += [f"    {objection}" for objection in further]
    return "\n".join(lines)


def _weigh(
    context: ReleaseContext, state: ReleaseState, version: Version
) -> tuple[tuple[str, DecisionRecord] | None, list[str]]:
    """Return the last decision on a version, and what speaks against promoting it now."""
    number = version.number
    events = select_events(context.ledger.read(context.model), number, version.run_id)
    about = [event for event in events if event.decision]
    if not about:
        return None, ["The gate never ruled on it."]
    digest = str(about[-1].decision)
    try:
        record = read_decision(_fetch_decision(context, digest, number), digest)
    except ArtifactError as error:
        return None, [f"The gate's findings cannot be read: {error}"]
    objections = []
    if record.decision["verdict"] not in ("promoted", "waiting"):
        objections += record.decision["reasons"]
    if record.champion_version != state.champion:
        objections.append(
            f"The gate compared it with champion {record.champion_version or 'none'}; the champion "
            f"is {state.champion or 'none'} now."
        )
    return (digest, record), objections


def _fetch_decision(context: ReleaseContext, digest: str, number: int) -> Path:
    """Return the decision's file: kept here, or copied from the run of another machine."""
    path = locate_decision_file(context.home, digest)
    if path.exists():
        return path
    version = context.registry.resolve(context.model, str(number))
    return context.registry.fetch_run_file(
        version.run_id, "decision.json", context.home / "scratch"
    )
