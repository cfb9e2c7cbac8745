"""Say what came of nights that were cut off: a process that was killed could not.

Whoever finds such a night's lease writes its record and tells of it. What the ledger has of the
night stands; a night that it has nothing of failed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sentiflow.errors import GateNotEvaluated, SentiflowError
from sentiflow.reporting.record import NightRecord, Outcome, find_record, keep_record

if TYPE_CHECKING:
    from sentiflow.release.leases import Lease
    from sentiflow.release.ledger import Ledger
    from sentiflow.release.standing import Event, Kind

TellCutOff = Callable[[NightRecord], object]

_OUTCOMES: Final[Mapping[Kind, Outcome]] = {
    "promoted": "promoted",
    "superseded": "promoted",
    "kept": "kept",
    "waiting": "waiting",
    "rejected": "rejected",
    "not_evaluated": "failed",
}


def record_cut_off(
    home: Path,
    ledger: Ledger,
    dead: Sequence[tuple[Lease, str]],
    tell: TellCutOff | None,
) -> None:
    """Record and tell each night among these dead leases.

    A night that had its record on this disk may have been told already; better twice than never.

    Args:
        home: SENTIFLOW_HOME; the records go to its `nights`.
        ledger: says what the nights had come to.
        dead: leases of dead holders, each with why the holder is dead.
        tell: told each record; raises nothing. None: nobody is told.
    """
    from sentiflow.release.leases import find_model

    for lease, death in dead:
        model = find_model(lease.name)
        if model is None:
            continue
        try:
            events = ledger.read(model)
        except GateNotEvaluated:
            # That a night is gone is known without it.
            events = ()
        record = describe_cut_off(model, lease.details, death, events)
        key = record.prefect_flow_run_id or record.mlflow_run_id
        if key is not None:
            known = _find_known(home, key)
            if known is None:
                keep_record(home, key, record)
            else:
                told = f"Perhaps told before: the night was over when {death}."
                record = known.model_copy(update={"reasons": [told, *known.reasons]})
        if tell is not None:
            tell(record)


def _find_known(home: Path, key: str) -> NightRecord | None:
    try:
        return find_record(home, key)
    except (OSError, SentiflowError):
        # One that cannot be read is none.
        return None


def describe_cut_off(
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
    endings = [event for event in own if event.kind in _OUTCOMES]
    version = next((event.to_version for event in reversed(own) if event.to_version), None)
    cut_off = f"The night was cut off: {death}."
    if endings:
        outcome = _OUTCOMES[endings[-1].kind]
        reasons = [f"{cut_off} Its {endings[-1].kind} is in the ledger.", endings[-1].reason]
    else:
        outcome = "failed"
        ran = "" if version is None else f" It had registered version {version}."
        reasons = [
            f"{cut_off}{ran} The champion stays. Run it again, after that day with --as-of "
            f"{details.get('night', 'DATE')}: finished steps are reused."
        ]
    return NightRecord(
        night=str(details.get("night", "unknown")),
        model=model,
        lineage=next((event.lineage for event in own), None),
        outcome=outcome,
        reasons=reasons,
        version=version,
        mlflow_run_id=run_id,
        mlflow_run_path=details.get("run_path"),
        prefect_flow_run_id=details.get("flow_run_id"),
    )
