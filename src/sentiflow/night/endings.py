"""Say what a night came to, by what the ledger has of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from sentiflow.release.state import Event, Kind
from sentiflow.reporting.record import Outcome

# What the gate ruled, and what its night became by that.
RULED: Final[Mapping[Kind, Outcome]] = {
    "promoted": "promoted",
    "superseded": "promoted",
    "kept": "kept",
    "waiting": "waiting",
}
OUTCOMES: Final[Mapping[Kind, Outcome]] = {
    **RULED,
    "rejected": "rejected",
    "not_evaluated": "failed",
    "failed": "failed",
}


def select_ending(events: Sequence[Event], run_id: str | None) -> Event | None:
    """Return the event that says what the night of an MLflow run came to; None before one."""
    own = [event for event in events if run_id and event.details.get("run_id") == run_id]
    return next((event for event in reversed(own) if event.kind in OUTCOMES), None)
