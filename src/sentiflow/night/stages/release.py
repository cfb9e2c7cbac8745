"""The stages about the release: register, and decide whether the champion changes."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Final, Literal

from sentiflow.data.ingest.results import Ingested
from sentiflow.errors import (
    GateNotEvaluated,
    LeaseLost,
    LedgerConflict,
    LedgerUnreachable,
    RegistryUnreachable,
    SentiflowError,
)
from sentiflow.gate.decision import Decision, decide
from sentiflow.gate.findings import Findings
from sentiflow.night.night import Night, not_evaluated
from sentiflow.night.stages.data import Splits
from sentiflow.night.stages.gate import Gate, open_gate
from sentiflow.night.stages.model import Evaluated, Trained
from sentiflow.notices.moves import describe_move
from sentiflow.release.identity import RUN_KEY, select_events
from sentiflow.release.known_files import KnownFiles, digest_bundle, look_up_known_files
from sentiflow.release.state import Event, ReleaseState
from sentiflow.reporting.decision_record import DecisionRecord, keep_decision
from sentiflow.reporting.report import write_report
from sentiflow.settings import describe_settings, read_actor

if TYPE_CHECKING:
    from sentiflow.release.registry import Version

logger = logging.getLogger(__name__)

# Somebody else wrote the ledger between reading and writing: so often the night decides anew.
_TRIES: Final = 5
_RULINGS: Final = ("promoted", "superseded", "kept", "waiting")


def register(night: Night, ingested: Ingested, trained: Trained, evaluated: Evaluated) -> int:
    """Register the bundle as a version, write it into the ledger, alias it challenger."""
    from sentiflow.release.registry import CHALLENGER

    registry, name = night.registry, night.lineage.name
    profile, identity = ingested.profile, night.identify(ingested.snapshot.fingerprint)
    # A night that was taken for dead must not register beside the one that took over.
    night.lease.check()
    found = registry.query_versions(name, {"sentiflow.identity": identity})
    if found and not night.request.force:
        version = found[0]
        logger.info("register: version %d is this night's already", version.number)
    else:
        tags = {
            **night.lineage.as_tags(),
            "sentiflow.identity": identity,
            "sentiflow.night": night.date.isoformat(),
            "sentiflow.fingerprint": ingested.snapshot.fingerprint,
            "sentiflow.settings": night.settings_digest,
            "sentiflow.code": night.code.identity,
            "sentiflow.git_commit": night.code.git_commit,
            "sentiflow.git_dirty": str(night.code.git_dirty).lower(),
            "sentiflow.rows": str(profile.rows),
            "sentiflow.positive_share": f"{profile.positive_share:.6f}",
            "sentiflow.accuracy": f"{evaluated.metrics['accuracy']:.6f}",
            "sentiflow.length_edges": json.dumps(evaluated.length_edges),
            "sentiflow.prefect_flow_run_id": night.record.prefect_flow_run_id or "",
        }
        if night.request.new_lineage:
            tags["sentiflow.new_lineage_reason"] = night.request.reason or ""
        version = registry.register(
            name,
            night.run.id,
            trained.bundle,
            tags,
            night.lineage.as_tags(),
            f"Night {night.date}, {profile.rows:,} reviews, test accuracy "
            f"{evaluated.metrics['accuracy']:.4f}. MLflow run {night.run.id}.",
        )
        for older in registry.query_versions(
            name,
            {"sentiflow.night": night.date.isoformat(), "sentiflow.lineage": night.lineage.digest},
        ):
            if older.number != version.number and "sentiflow.superseded_by" not in older.tags:
                registry.tag_version(older, {"sentiflow.superseded_by": str(version.number)})
    night.note(version=version.number)
    night.run.set_tags({"sentiflow.version": str(version.number)})
    night.run.log_json(describe_settings(night.settings), "settings.json")
    if night.code.lock_file is not None:
        night.run.log_files([night.code.lock_file], "environment")
    known = KnownFiles(version.run_id, digest_bundle(trained.bundle))
    _tell_registration(night, version, evaluated, known)
    registry.point(name, CHALLENGER, version.number)
    return int(version.number)


def _tell_registration(
    night: Night, version: Version, evaluated: Evaluated, known: KnownFiles
) -> None:
    """Write the registration into the ledger, once per version."""
    for _ in range(_TRIES):
        events = night.ledger.read(night.lineage.name)
        if look_up_known_files(events, version) is not None:
            return
        try:
            night.tell_ledger(
                len(events),
                "registered",
                f"Test accuracy {evaluated.metrics['accuracy']:.4f}.",
                to_version=version.number,
                details=known.as_details(),
            )
        except LedgerConflict:
            continue
        return
    raise _too_busy(night)


def decide_release(night: Night, splits: Splits, evaluated: Evaluated, number: int) -> None:
    """Gather what the gate needs, rule, write the ruling into the ledger; the alias follows."""
    night.is_deciding = True
    version = night.registry.look_up_version(night.lineage.name, number)
    if version is None:
        raise not_evaluated(
            [
                f"Version {number} of {night.lineage.name}, which this night registered, must be "
                "in the registry. Received: it is gone. Run the night again: finished steps are "
                "reused."
            ]
        )
    ruling = select_ruling(night.ledger.read(night.lineage.name), version)
    if ruling is not None:
        # Killed or cut off after the ruling: it stands, and only what follows is done again.
        _finish(night, ruling)
        return
    gate = open_gate(night, splits, evaluated, version)
    for _ in range(_TRIES):
        state = _reconcile(night)
        night.note(champion_version=state.champion)
        try:
            ruling = _rule(night, gate, state, evaluated)
        except LedgerConflict:
            logger.info("decide: the ledger went on meanwhile, deciding again")
            continue
        except (RegistryUnreachable, LedgerUnreachable, LeaseLost):
            raise
        except SentiflowError as error:
            raise _end_without_ruling(night, state, number, error) from error
        _finish(night, ruling)
        return
    raise _too_busy(night)


def _reconcile(night: Night) -> ReleaseState:
    """Let the alias follow the ledger; the night tells of a move outside that shows only now."""
    from sentiflow.release.alias import reconcile

    registry, name = night.registry, night.lineage.name
    state = reconcile(registry, night.ledger, name, read_actor()).state
    if state.moved is not None and night.record.moved_outside is None:
        moved = describe_move(state.moved)
        night.warn(moved)
        night.note(moved_outside=moved)
    return state


def select_ruling(events: tuple[Event, ...], version: Version) -> Event | None:
    """Return the night's ruling on a version if the ledger holds one, else None."""
    about = select_events(events, version.number, version.run_id)
    rulings = [event for event in about if event.kind in _RULINGS]
    return next((event for event in rulings if "run_id" in event.details), None)


def _rule(night: Night, gate: Gate, state: ReleaseState, evaluated: Evaluated) -> Event:
    """Decide on this standing, keep the decision with its numbers, and commit it."""
    events = night.ledger.read(night.lineage.name)
    findings = gate.gather(events[: state.sequence], state)
    decision = decide(findings, night.settings.gate)
    record = _record(night, gate, findings, decision, evaluated)
    digest = keep_decision(night.home, record)
    night.run.log_json(record.model_dump(mode="json"), "decision.json")
    report = write_report(night.home / "decisions" / f"{digest}.html", record)
    night.run.log_files([report], "report")
    night.note(decision=digest, report=str(report))
    if decision.verdict == "not_evaluated":
        raise GateNotEvaluated(" ".join(decision.reasons))
    night.lease.check()
    kind: Literal["promoted", "superseded", "waiting", "kept"] = decision.verdict
    is_superseding = gate.superseded is not None and kind == "promoted"
    if is_superseding:
        kind = "superseded"
    return night.tell_ledger(
        state.sequence,
        kind,
        (night.request.reason or "") if is_superseding else " ".join(decision.reasons),
        from_version=state.champion,
        to_version=gate.number,
        decision=digest,
        details={
            RUN_KEY: gate.run_id,
            "paired": findings.comparison is not None,
            "alpha": decision.alpha,
            "basis": decision.basis,
            "reasons": [*decision.reasons],
            "warnings": [*decision.warnings],
        },
    )


def _record(
    night: Night, gate: Gate, findings: Findings, decision: Decision, evaluated: Evaluated
) -> DecisionRecord:
    return DecisionRecord(
        model=night.lineage.name,
        lineage=night.lineage.digest,
        night=night.date.isoformat(),
        version=gate.number,
        champion_version=night.record.champion_version,
        fingerprint=night.record.fingerprint or "",
        mlflow_run_id=night.run.id,
        mlflow_run_path=night.run.path,
        prefect_flow_run_id=night.record.prefect_flow_run_id,
        decision=decision.as_dict(),
        findings=findings.as_dict(),
        baselines=evaluated.baselines,
        gate=night.settings.gate.model_dump(mode="json"),
        seconds=night.clock.read(),
        cpu_seconds=night.clock.read_cpu(),
        bytes_written=night.clock.read_bytes_written(),
    )


def _finish(night: Night, ruling: Event) -> None:
    """Let alias, tags and descriptions follow a ruling; every part may be done twice."""
    # The ruling is committed: what fails from here on is no gate that was not evaluated.
    night.is_deciding = False
    night.ruling = ruling
    state = _reconcile(night)
    outcome: Literal["promoted", "waiting", "kept"] = (
        "waiting" if ruling.kind == "waiting" else "kept" if ruling.kind == "kept" else "promoted"
    )
    night.note(champion_version=state.champion, decision=ruling.decision)
    for warning in ruling.details.get("warnings", ()):
        night.warn(warning)
    night.run.set_tags({"sentiflow.decision": outcome})
    night.end(outcome, ruling.details["reasons"], 0)


def _end_without_ruling(
    night: Night, state: ReleaseState, number: int, cause: SentiflowError
) -> GateNotEvaluated:
    """Write down that the gate could not rule, and return the error that ends the night."""
    ending = not_evaluated([str(cause)])
    for _ in range(_TRIES):
        sequence = len(night.ledger.read(night.lineage.name))
        try:
            night.tell_ledger(
                sequence,
                "not_evaluated",
                str(ending),
                from_version=state.champion,
                to_version=number,
                decision=night.record.decision,
            )
        except LedgerConflict:
            continue
        break
    try:
        _reconcile(night)
    except SentiflowError as error:
        logger.warning("MLflow does not show yet what became of version %d: %s", number, error)
    return ending


def _too_busy(night: Night) -> LedgerConflict:
    return LedgerConflict(
        f"The ledger of {night.lineage.name} must stand still while a night decides. Received: "
        f"{_TRIES} events of others in a row. The champion is kept; run again."
    )
