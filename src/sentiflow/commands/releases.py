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
from sentiflow.notices.moves import settle_and_tell
from sentiflow.notices.releases import compose_release
from sentiflow.release.identity import RUN_KEY, find_events, read_run
from sentiflow.release.state import Event, NewEvent, Standing
from sentiflow.reporting.decision_record import DecisionRecord, find_decision_file, read_decision
from sentiflow.settings import (
    Settings,
    find_actor,
    find_ledger_url,
    find_tracking_uri,
    load_settings,
)

if TYPE_CHECKING:
    from sentiflow.release.ledger import Ledger
    from sentiflow.release.registry import Registry, Version

Show = Callable[[str], None]


@dataclass(frozen=True)
class Desk:
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

    def settle(self) -> Standing:
        """Let the alias follow the ledger and return how the model stands.

        A move outside that nobody noticed before is told.
        """
        notices = self.settings.notices
        settled = settle_and_tell(
            self.registry, self.ledger, self.model, self.actor, notices, self.tell
        )
        return settled.standing


def open_desk(
    config: str | None,
    overrides: Sequence[str],
    home: Path,
    actor: str | None = None,
    tell: Tell = send_notices,
) -> Desk:
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
    return Desk(
        settings=settings,
        home=home,
        model=settings.model.name,
        registry=Registry(find_tracking_uri(settings.tracking, home)),
        ledger=Ledger(find_ledger_url(settings.ledger, home)),
        actor=actor or find_actor(),
        tell=tell,
    )


def promote(desk: Desk, number: int, reason: str, override: bool, show: Show) -> dict[str, Any]:
    """Make a version champion on a person's word.

    Args:
        desk: where.
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
    standing = desk.settle()
    version = desk.registry.resolve(desk.model, str(number))
    if standing.is_champion(number, version.run_id):
        raise UsageError(f"Version {number} of {desk.model} is champion already.")
    decision, objections = _weigh(desk, standing, version)
    show(describe_findings(desk.model, number, decision, objections))
    if objections and not override:
        raise ReleaseForbidden(
            f"Version {number} of {desk.model} must have the gate's approval. Received: "
            f"{' '.join(objections)} To promote it all the same, add --override; it is recorded."
        )
    _probe(desk, version)
    is_override = bool(objections)
    event = NewEvent(
        kind="promoted",
        actor=desk.actor,
        reason=reason,
        lineage=version.tags.get("sentiflow.lineage"),
        from_version=standing.champion,
        to_version=number,
        decision=decision[0] if decision else None,
        details={
            RUN_KEY: version.run_id,
            "by_hand": True,
            "override": is_override,
            "objections": objections[:10],
        },
    )
    _commit(desk, standing, [event])
    return {
        "model": desk.model,
        "version": number,
        "champion_version": number,
        "previous_champion": standing.champion,
        "override": is_override,
        "findings": objections,
    }


def roll_back(desk: Desk, reason: str, to: int | None) -> dict[str, Any]:
    """Go back to an earlier champion, and hold automatic promotion until that is released.

    Args:
        desk: where.
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
    standing = desk.settle()
    if standing.champion is None:
        raise NoModelError(f"{desk.model} has no champion to roll back. See sentiflow status.")
    target = to if to is not None else standing.previous_champion
    if target is None:
        raise NoModelError(
            f"{desk.model} must have had an earlier champion to roll back to. Received: version "
            f"{standing.champion} is the first. Name a version with --to N."
        )
    version = _resolve_target(desk, standing, target, is_named=to is not None)
    _probe(desk, version)
    lineage = version.tags.get("sentiflow.lineage")
    events = [
        NewEvent(
            kind="rolled_back",
            actor=desk.actor,
            reason=reason,
            lineage=lineage,
            from_version=standing.champion,
            to_version=target,
            details={RUN_KEY: version.run_id},
        ),
        NewEvent(
            kind="hold",
            actor=desk.actor,
            reason=f"Rolled back from version {standing.champion}: {reason}"[:2_000],
            lineage=lineage,
        ),
    ]
    _commit(desk, standing, events)
    return {"model": desk.model, "version": target, "from_version": standing.champion}


def release_hold(desk: Desk, reason: str) -> dict[str, Any]:
    """End a hold: nights may promote again.

    Raises:
        UsageError: no hold is in force.
    """
    require_reason(reason)
    standing = desk.settle()
    if standing.hold is None:
        raise UsageError(f"{desk.model} has no hold to release. See sentiflow status.")
    event = NewEvent(kind="released", actor=desk.actor, reason=reason)
    _commit(desk, standing, [event])
    return {"model": desk.model, "held_since": standing.hold.time.isoformat()}


def adopt(desk: Desk, reason: str) -> dict[str, Any]:
    """Take the version that somebody moved the champion alias to as champion.

    Raises:
        UsageError: nobody moved the alias.
        NoModelError: it was taken away, or that version is gone.
        ReleaseForbidden: that version does not load and answer in a fresh process.
    """
    require_reason(reason)
    standing = desk.settle()
    moved = standing.moved
    if moved is None:
        raise UsageError(f"The champion alias of {desk.model} was not moved outside sentiflow.")
    if moved.to_version is None:
        raise NoModelError(
            "Only a version that the champion alias was moved to outside sentiflow can be adopted. "
            "Received: it was taken away. Put it back: sentiflow revert --reason … Or make another "
            "version champion: sentiflow rollback --to N --reason …, sentiflow promote N --reason …"
        )
    version = desk.registry.resolve(desk.model, str(moved.to_version))
    _probe(desk, version)
    event = NewEvent(
        kind="adopted",
        actor=desk.actor,
        reason=reason,
        lineage=version.tags.get("sentiflow.lineage"),
        from_version=standing.champion,
        to_version=moved.to_version,
        details={RUN_KEY: version.run_id},
    )
    _commit(desk, standing, [event])
    return {
        "model": desk.model,
        "version": moved.to_version,
        "previous_champion": standing.champion,
    }


def revert(desk: Desk, reason: str) -> dict[str, Any]:
    """Move the champion alias back to where the ledger has it.

    Raises:
        UsageError: nobody moved the alias.
        NoModelError: the version it would go back to is gone from the registry.
        ReleaseForbidden: the alias does not follow what was written.
    """
    require_reason(reason)
    standing = desk.settle()
    if standing.moved is None:
        raise UsageError(f"The champion alias of {desk.model} was not moved outside sentiflow.")
    champion = standing.champion
    if champion is not None and (gone := _describe_gone(desk, champion, standing.champion_run)):
        raise NoModelError(
            f"To revert, champion version {champion} of {desk.model} must be in the registry. "
            f"Received: {gone}. {_explain_ways_out(standing.moved)}"
        )
    event = NewEvent(
        kind="reverted",
        actor=desk.actor,
        reason=reason,
        from_version=standing.moved.to_version,
        to_version=standing.champion,
    )
    _commit(desk, standing, [event])
    return {
        "model": desk.model,
        "version": standing.champion,
        "from_version": standing.moved.to_version,
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


def _resolve_target(desk: Desk, standing: Standing, target: int, is_named: bool) -> Version:
    """Return the version to roll back to.

    Args:
        desk: where.
        standing: how the model stands.
        target: the version's number.
        is_named: whether a person named it; otherwise it is the champion before, which its
            number may not stand for any more.
    """
    if is_named:
        version = desk.registry.resolve(desk.model, str(target))
        if standing.is_champion(target, version.run_id):
            raise UsageError(f"Version {target} of {desk.model} is champion already.")
        return version
    run = read_run(standing.promotions[-2])
    if gone := _describe_gone(desk, target, run):
        raise NoModelError(
            f"The champion before, version {target} of {desk.model}, must be in the registry. "
            f"Received: {gone}. Name another with --to N: see sentiflow history."
        )
    return desk.registry.resolve(desk.model, str(target))


def _describe_gone(desk: Desk, number: int, run_id: str | None) -> str | None:
    """Say how a version that the ledger knows is gone; None while the registry has it."""
    found = desk.registry.find_version(desk.model, number)
    if found is None:
        return "it is gone"
    if run_id is not None and found.run_id != run_id:
        return "it is gone, and another model has its number"
    return None


def _weigh(
    desk: Desk, standing: Standing, version: Version
) -> tuple[tuple[str, DecisionRecord] | None, list[str]]:
    """Return the last decision on a version, and what speaks against promoting it now."""
    number = version.number
    events = find_events(desk.ledger.read(desk.model), number, version.run_id)
    about = [event for event in events if event.decision]
    if not about:
        return None, ["The gate never ruled on it."]
    digest = str(about[-1].decision)
    try:
        record = read_decision(_fetch_decision(desk, digest, number), digest)
    except ArtifactError as error:
        return None, [f"The gate's findings cannot be read: {error}"]
    objections = []
    if record.decision["verdict"] not in ("promoted", "waiting"):
        objections += record.decision["reasons"]
    if record.champion_version != standing.champion:
        objections.append(
            f"The gate compared it with champion {record.champion_version or 'none'}; the champion "
            f"is {standing.champion or 'none'} now."
        )
    return (digest, record), objections


def _fetch_decision(desk: Desk, digest: str, number: int) -> Path:
    """Return the decision's file: kept here, or copied from the run of another machine."""
    path = find_decision_file(desk.home, digest)
    if path.exists():
        return path
    version = desk.registry.resolve(desk.model, str(number))
    return desk.registry.fetch_run_file(version.run_id, "decision.json", desk.home / "scratch")


def _probe(desk: Desk, version: Version) -> None:
    from sentiflow.gate.checks import probe_version
    from sentiflow.release.known_files import find_known

    probe_version(
        desk.registry.uri,
        version.name,
        version.number,
        find_known(desk.ledger.read(desk.model), version),
        desk.home / "scratch",
        desk.settings.gate.check_seconds,
    )


def _commit(desk: Desk, standing: Standing, events: Sequence[NewEvent]) -> None:
    """Write the ledger, let the alias and what MLflow shows follow, and tell people."""
    written = desk.ledger.append(desk.model, standing.sequence, events)
    try:
        _follow(desk)
    finally:
        # It is written, also where the alias did not get there.
        settings = desk.settings.notices
        composed = [compose_release(event, settings, desk.registry.uri) for event in written]
        desk.tell([notice for notice in composed if notice is not None], settings)


def _follow(desk: Desk) -> None:
    """Let the alias follow what was written; an error where it does not get there."""
    standing = desk.settle()
    if standing.moved is not None:
        # Somebody deleted the version or moved the alias in the same moment.
        raise ReleaseForbidden(
            f"The champion alias of {desk.model} must follow what the ledger says now. Received: "
            f"{standing.moved.reason} See sentiflow status."
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
