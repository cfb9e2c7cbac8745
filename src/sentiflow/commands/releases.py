"""Change what is live by hand: promote, roll back, end a hold, adopt or revert a move.

Every command settles ledger and alias first, so that what an earlier one left half done is
mended, then writes the ledger on the head it looked at, then lets the alias follow. None of
them needs Prefect.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentiflow.errors import ArtifactError, NoModelError, ReleaseForbidden, UsageError
from sentiflow.notices.messages import Tell, send_notices
from sentiflow.notices.moves import reconcile_and_tell
from sentiflow.notices.releases import compose_release
from sentiflow.release.identity import RUN_KEY, read_run, select_events
from sentiflow.release.state import Event, NewEvent, ReleaseState
from sentiflow.reporting.decision_record import DecisionRecord, locate_decision_file, read_decision
from sentiflow.settings import (
    Settings,
    load_settings,
    read_actor,
    resolve_ledger_url,
    resolve_tracking_uri,
)

if TYPE_CHECKING:
    from sentiflow.release.ledger import Ledger
    from sentiflow.release.registry import Registry, Version

Show = Callable[[str], None]


@dataclass(frozen=True)
class ReleaseContext:
    """Where releases are made: one model's registry and ledger, and who acts.

    Attributes:
        settings: all settings.
        home: SENTIFLOW_HOME.
        model: the registered model's name.
        registry: the model registry.
        ledger: the release ledger.
        actor: who acts.
        tell: sends notices; raises nothing.
    """

    settings: Settings
    home: Path
    model: str
    registry: Registry
    ledger: Ledger
    actor: str
    tell: Tell = send_notices

    def reconcile(self) -> ReleaseState:
        """Let the alias follow the ledger and return how the model stands.

        A move outside that nobody noticed before is told.
        """
        notices = self.settings.notices
        reconciled = reconcile_and_tell(
            self.registry, self.ledger, self.model, self.actor, notices, self.tell
        )
        return reconciled.state


def open_release_context(
    config: str | None,
    overrides: Sequence[str],
    home: Path,
    actor: str | None = None,
    tell: Tell = send_notices,
) -> ReleaseContext:
    """Return the desk of the model that the settings name.

    Args:
        config: a preset's name or a TOML file.
        overrides: `group.key=value`, later ones win.
        home: SENTIFLOW_HOME.
        actor: who acts; None: whoever runs this process.
        tell: sends notices; without Prefect that is the webhook.
    """
    from sentiflow.release.ledger import Ledger
    from sentiflow.release.registry import Registry

    settings = load_settings(config, overrides)
    return ReleaseContext(
        settings=settings,
        home=home,
        model=settings.model.name,
        registry=Registry(resolve_tracking_uri(settings.tracking, home)),
        ledger=Ledger(resolve_ledger_url(settings.ledger, home)),
        actor=actor or read_actor(),
        tell=tell,
    )


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
    _probe(context, version)
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
    _commit(context, state, [event])
    return {
        "model": context.model,
        "version": number,
        "champion_version": number,
        "previous_champion": state.champion,
        "override": is_override,
        "findings": objections,
    }


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
            f"{context.model} must have had an earlier champion to roll back to. Received: version "
            f"{state.champion} is the first. Name a version with --to N."
        )
    version = _resolve_target(context, state, target, is_named=to is not None)
    _probe(context, version)
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
    _commit(context, state, events)
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
    _commit(context, state, [event])
    return {"model": context.model, "held_since": state.hold.time.isoformat()}


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
        raise NoModelError(
            "Only a version that the champion alias was moved to outside sentiflow can be adopted. "
            "Received: it was taken away. Put it back: sentiflow revert --reason … Or make another "
            "version champion: sentiflow rollback --to N --reason …, sentiflow promote N --reason …"
        )
    version = context.registry.resolve(context.model, str(moved.to_version))
    _probe(context, version)
    event = NewEvent(
        kind="adopted",
        actor=context.actor,
        reason=reason,
        lineage=version.tags.get("sentiflow.lineage"),
        from_version=state.champion,
        to_version=moved.to_version,
        details={RUN_KEY: version.run_id},
    )
    _commit(context, state, [event])
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
    if champion is not None and (gone := _describe_gone(context, champion, state.champion_run)):
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
    _commit(context, state, [event])
    return {
        "model": context.model,
        "version": state.champion,
        "from_version": state.moved.to_version,
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
    if gone := _describe_gone(context, target, run):
        raise NoModelError(
            f"The champion before, version {target} of {context.model}, must be in the registry. "
            f"Received: {gone}. Name another with --to N: see sentiflow history."
        )
    return context.registry.resolve(context.model, str(target))


def _describe_gone(context: ReleaseContext, number: int, run_id: str | None) -> str | None:
    """Say how a version that the ledger knows is gone; None while the registry has it."""
    found = context.registry.look_up_version(context.model, number)
    if found is None:
        return "it is gone"
    if run_id is not None and found.run_id != run_id:
        return "it is gone, and another model has its number"
    return None


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


def _probe(context: ReleaseContext, version: Version) -> None:
    from sentiflow.gate.checks import probe_version
    from sentiflow.release.known_files import look_up_known_files

    probe_version(
        context.registry.uri,
        version.name,
        version.number,
        look_up_known_files(context.ledger.read(context.model), version),
        context.home / "scratch",
        context.settings.gate.check_seconds,
    )


def _commit(context: ReleaseContext, state: ReleaseState, events: Sequence[NewEvent]) -> None:
    """Write the ledger, let the alias and what MLflow shows follow, and tell people."""
    written = context.ledger.append(context.model, state.sequence, events)
    try:
        _follow(context)
    finally:
        # It is written, also where the alias did not get there.
        settings = context.settings.notices
        composed = [compose_release(event, settings, context.registry.uri) for event in written]
        context.tell([notice for notice in composed if notice is not None], settings)


def _follow(context: ReleaseContext) -> None:
    """Let the alias follow what was written; an error where it does not get there."""
    state = context.reconcile()
    if state.moved is not None:
        # Somebody deleted the version or moved the alias in the same moment.
        raise ReleaseForbidden(
            f"The champion alias of {context.model} must follow what the ledger says now. "
            f"Received: {state.moved.reason} See sentiflow status."
        )


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


def require_reason(reason: str) -> None:
    """Refuse to change anything without a reason.

    Raises:
        UsageError: there is none.
    """
    if not reason.strip():
        raise UsageError("A change of what is live needs a reason that is kept: --reason …")
