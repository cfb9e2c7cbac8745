"""Record and tell what came of crashed nights: a process that was killed could not.

Whoever finds such a night's lease writes its record and tells of it. What the ledger has of the
night stands; a night that it has nothing of failed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentiflow.errors import GateNotEvaluated, SentiflowError
from sentiflow.night.endings import OUTCOMES, select_ending
from sentiflow.night.night import shorten_reason
from sentiflow.release.state import NewEvent, fold_events
from sentiflow.reporting.record import (
    NightRecord,
    explain_no_champion,
    keep_record,
    read_record,
)
from sentiflow.settings import read_actor

if TYPE_CHECKING:
    from sentiflow.release.leases import Lease
    from sentiflow.release.ledger import Ledger
    from sentiflow.release.state import Event

logger = logging.getLogger(__name__)

TellCrash = Callable[[NightRecord], object]


def record_crash(
    home: Path,
    ledger: Ledger,
    dead: Sequence[tuple[Lease, str]],
    tell: TellCrash | None,
) -> None:
    """Record and tell each night among these dead leases.

    A night that had its record on this disk may have been told already; better twice than never.

    Args:
        home: SENTIFLOW_HOME; the records go to its `nights`.
        ledger: says what the nights had come to.
        dead: leases of dead holders, each with why the holder is dead.
        tell: told each record; raises nothing. None: nobody is told.
    """
    from sentiflow.release.leases import parse_model

    for lease, death in dead:
        model = parse_model(lease.name)
        if model is None:
            continue
        try:
            events = ledger.read(model)
        except GateNotEvaluated:
            # That a night is gone is known without it.
            events = ()
        record = describe_crash(model, lease.details, death, events)
        key = record.prefect_flow_run_id or record.mlflow_run_id
        known = _read_known_record(home, key, record) if key is not None else None
        if (known or record).outcome == "failed":
            _tell_ledger(ledger, model, known or record)
        if known is not None:
            told = f"Perhaps told before: the night was over when {death}."
            record = known.model_copy(update={"reasons": [told, *known.reasons]})
        elif key is not None:
            keep_record(home, key, record)
        if tell is not None:
            tell(record)


def _tell_ledger(ledger: Ledger, model: str, record: NightRecord) -> None:
    """Write a crashed night into the ledger, unless it says already what came of it."""
    ids = {"run_id": record.mlflow_run_id, "flow_run_id": record.prefect_flow_run_id}
    failed = NewEvent(
        kind="failed",
        actor=read_actor(),
        reason=shorten_reason(" ".join(record.reasons)),
        lineage=record.lineage,
        to_version=record.version,
        details={"night": record.night, "run_path": record.mlflow_run_path, **ids},
    )

    def choose(events: Sequence[Event]) -> list[NewEvent]:
        return [] if any(_is_ending_of(event, ids) for event in events) else [failed]

    try:
        ledger.append_decided(model, choose)
    except GateNotEvaluated as error:
        logger.warning("That a night crashed is not in the ledger: %s", error)


def _is_ending_of(event: Event, ids: Mapping[str, str | None]) -> bool:
    # A flow run that Prefect starts again is another night with another MLflow run.
    name = "run_id" if ids["run_id"] and event.details.get("run_id") else "flow_run_id"
    return event.kind in OUTCOMES and bool(ids[name]) and event.details.get(name) == ids[name]


def _read_known_record(home: Path, key: str, found: NightRecord) -> NightRecord | None:
    """Return the record that a night left of itself; None where it left none that holds.

    Args:
        home: SENTIFLOW_HOME.
        key: what the record is named by.
        found: what lease and ledger say of the night.
    """
    try:
        known = read_record(home, key)
    except (OSError, SentiflowError):
        # One that cannot be read is none.
        return None
    if known is None or known.mlflow_run_id not in (None, found.mlflow_run_id):
        # Of an earlier try: a flow run that Prefect starts again keeps its id.
        return None
    # What the ledger has stands.
    return None if known.outcome == "failed" and found.outcome != "failed" else known


def describe_crash(
    model: str, details: Mapping[str, Any], death: str, events: Sequence[Event]
) -> NightRecord:
    """Return the record of a night that could not write its own.

    Args:
        model: the registered model's name.
        details: what its lease said of it: `night`, `run_id`, `run_path`, `flow_run_id`.
        death: why its process counts as gone.
        events: the model's events in the ledger.
    """
    run_id = details.get("run_id")
    own = [event for event in events if run_id and event.details.get("run_id") == run_id]
    ending = select_ending(events, run_id)
    version = next((event.to_version for event in reversed(own) if event.to_version), None)
    crashed = f"The night crashed: {death}."
    if ending is not None:
        outcome = OUTCOMES[ending.kind]
        reasons = [f"{crashed} Its {ending.kind} is in the ledger.", ending.reason]
    else:
        outcome = "failed"
        ran = "" if version is None else f" It had registered version {version}."
        reasons = [
            f"{crashed}{ran} The champion stays. Run it again, after that day with --as-of "
            f"{details.get('night', 'DATE')}: finished steps are reused."
        ]
    record = NightRecord(
        night=str(details.get("night", "unknown")),
        model=model,
        lineage=next((event.lineage for event in own), None),
        outcome=outcome,
        reasons=reasons,
        version=version,
        champion_version=fold_events(events).champion,
        mlflow_run_id=run_id,
        mlflow_run_path=details.get("run_path"),
        prefect_flow_run_id=details.get("flow_run_id"),
    )
    return record.model_copy(update={"no_champion": explain_no_champion(record)})
