"""The stages about the release: register, and decide whether the champion changes."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sentiflow.data.ingest.results import Ingested
from sentiflow.errors import GateNotEvaluated
from sentiflow.gate.behaviour_records import note_behaviours
from sentiflow.gate.decision import Decision, decide
from sentiflow.gate.findings import Findings
from sentiflow.night.endings import RULED
from sentiflow.night.night import Night
from sentiflow.night.stages.data import Splits
from sentiflow.night.stages.gate import Gate, open_gate
from sentiflow.night.stages.model import Evaluated, Trained
from sentiflow.release.identity import RUN_KEY, select_events
from sentiflow.release.known_files import KnownFiles, digest_bundle, look_up_known_files
from sentiflow.release.state import Event, NewEvent, ReleaseState
from sentiflow.reporting.decision_record import DecisionRecord, keep_decision
from sentiflow.reporting.report import write_report

if TYPE_CHECKING:
    from sentiflow.release.registry import Version

logger = logging.getLogger(__name__)


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
    if night.code.lock_file is not None:
        night.run.log_files([night.code.lock_file], "environment")
    known = KnownFiles(version.run_id, digest_bundle(trained.bundle))
    _tell_registration(night, version, evaluated, known)
    registry.point(name, CHALLENGER, version.number)
    return version.number


def _tell_registration(
    night: Night, version: Version, evaluated: Evaluated, known: KnownFiles
) -> None:
    """Write the registration into the ledger, once per version."""

    def choose(events: Sequence[Event]) -> list[NewEvent]:
        if look_up_known_files(events, version) is not None:
            return []
        reason = f"Test accuracy {evaluated.metrics['accuracy']:.4f}."
        details = known.as_details()
        return [night.make_event("registered", reason, to_version=version.number, details=details)]

    night.ledger.append_decided(night.lineage.name, choose)


def decide_release(night: Night, splits: Splits, evaluated: Evaluated, number: int) -> None:
    """Gather what the gate needs, decide, commit the ruling; let the alias follow, and tell.

    What goes wrong before the ruling is committed is told by `closing.end_by_error`.
    """
    night.is_deciding = True
    version = _look_up_registered(night, number)
    ruling = select_ruling(night.ledger.read(night.lineage.name), version)
    # Crashed after the ruling: it stands, and only what follows is done again.
    if ruling is None:
        gate = open_gate(night, splits, evaluated, version)
        ruling = night.ledger.retry(night.lineage.name, lambda: _rule(night, gate))
    _follow(night, ruling)
    _tell(night, ruling)


def _look_up_registered(night: Night, number: int) -> Version:
    version = night.registry.look_up_version(night.lineage.name, number)
    if version is None:
        raise GateNotEvaluated(
            f"Version {number} of {night.lineage.name}, which this night registered, must be in "
            "the registry. Received: it is gone. Run the night again: finished steps are reused."
        )
    return version


def select_ruling(events: tuple[Event, ...], version: Version) -> Event | None:
    """Return the night's ruling on a version if the ledger holds one, else None."""
    about = select_events(events, version.number, version.run_id)
    rulings = [event for event in about if event.kind in RULED]
    return next((event for event in rulings if "run_id" in event.details), None)


def _rule(night: Night, gate: Gate) -> Event:
    """Gather, decide and commit on the ledger's head as it is now.

    Raises:
        LedgerConflict: the ledger went on meanwhile.
        GateNotEvaluated: the gate cannot rule on what was found.
    """
    reconciled = night.reconcile()
    findings = gate.gather(reconciled.events, reconciled.state)
    decision = decide(findings, night.settings.gate)
    digest = _keep(night, _describe(night, gate, findings, decision))
    if decision.verdict == "not_evaluated":
        raise GateNotEvaluated(" ".join(decision.reasons))
    return _commit(night, gate, reconciled.state, findings, decision, digest)


def _describe(night: Night, gate: Gate, findings: Findings, decision: Decision) -> DecisionRecord:
    return DecisionRecord(
        model=night.lineage.name,
        lineage=night.lineage.digest,
        night=night.date.isoformat(),
        version=gate.challenger.number,
        champion_version=night.record.champion_version,
        fingerprint=night.record.fingerprint or "",
        mlflow_run_id=night.run.id,
        mlflow_run_path=night.run.path,
        prefect_flow_run_id=night.record.prefect_flow_run_id,
        decision=decision.as_dict(),
        findings=findings.as_dict(),
        baselines=gate.evaluated.baselines,
        branches=gate.evaluated.branches,
        gate=night.settings.gate.model_dump(mode="json"),
        seconds=night.clock.read(),
        cpu_seconds=night.clock.read_cpu(),
        bytes_written=night.clock.read_bytes_written(),
    )


def _keep(night: Night, record: DecisionRecord) -> str:
    """Keep a decision with its numbers and its report, and return its digest."""
    digest = keep_decision(night.home, record)
    night.run.log_json(record.model_dump(mode="json"), "decision.json")
    report = write_report(night.home / "decisions" / f"{digest}.html", record)
    night.run.log_files([report], "report")
    night.note(decision=digest, report=str(report))
    return digest


def _commit(
    night: Night,
    gate: Gate,
    state: ReleaseState,
    findings: Findings,
    decision: Decision,
    digest: str,
) -> Event:
    """Write the ruling into the ledger: from then on it stands."""
    night.lease.check()
    is_superseding = gate.superseded is not None and decision.verdict == "promoted"
    return night.tell_ledger(
        state.sequence,
        "superseded" if is_superseding else decision.verdict,
        (night.request.reason or "") if is_superseding else " ".join(decision.reasons),
        from_version=state.champion,
        to_version=gate.challenger.number,
        decision=digest,
        details={
            RUN_KEY: gate.challenger.run_id,
            "paired": findings.comparison is not None,
            "alpha": decision.alpha,
            "basis": decision.basis,
            "reasons": [*decision.reasons],
            "warnings": [*decision.warnings],
            **note_behaviours(findings.behaviour_questions, findings.behaviours),
        },
    )


def _follow(night: Night, ruling: Event) -> None:
    """Let alias, tags and descriptions follow a ruling; it may be done twice."""
    # The ruling is committed: what fails from here on is no gate that was not evaluated.
    night.is_deciding = False
    night.ruling = ruling
    night.reconcile()


def _tell(night: Night, ruling: Event) -> None:
    """Say what the night became, in its record and in MLflow."""
    for warning in ruling.details.get("warnings", ()):
        night.warn(warning)
    night.run.set_tags({"sentiflow.decision": RULED[ruling.kind]})
    night.end_as_ruled(ruling)
