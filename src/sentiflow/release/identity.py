"""Say which model a version's number stands for: MLflow may count from 1 again.

It does when a registered model was deleted, and another tracking server has numbers of its own.
So a ledger event is about a version only where the run that made the version is the event's.
Events of earlier versions of sentiflow name no such run; the registration before them does.

This module touches no service: events in, events out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, Protocol, TypeVar

RUN_KEY: Final = "version_run_id"


class _Told(Protocol):
    """An event of the ledger, as far as this module reads it."""

    @property
    def kind(self) -> Any:
        """What happened."""

    @property
    def to_version(self) -> int | None:
        """The version it is about."""

    @property
    def details(self) -> Mapping[str, Any]:
        """Its details."""


_Event = TypeVar("_Event", bound=_Told)


def read_run(event: _Told | None) -> str | None:
    """Return the run that made the version an event is about; None where that is not known."""
    if event is None:
        return None
    # Where the event holds a bundle's digests (known_files.py), it names their version's run.
    bundle = event.details.get("bundle") or {}
    return event.details.get(RUN_KEY) or bundle.get("run_id") or None


def name_runs(events: Iterable[_Event]) -> tuple[_Event, ...]:
    """Return the events, each with the run of its version where that is known.

    Args:
        events: one model's events, by sequence.

    Returns:
        The events; those that did not name the run themselves have it from the last event before
        them about that number.
    """
    runs: dict[int, str] = {}
    named = []
    for event in events:
        number = event.to_version
        run = read_run(event)
        if run is None and event.kind == "registered":
            # The night that registers a version made it, unless it crashed in between.
            run = event.details.get("run_id") or None
        if number is not None and run is None:
            run = runs.get(number)
        if number is not None and run is not None:
            runs[number] = run
            event = replace(event, details={**event.details, RUN_KEY: run})  # type: ignore[type-var]
        named.append(event)
    return tuple(named)


def list_registered(events: Iterable[_Told]) -> tuple[tuple[int, str], ...]:
    """Return number and run of every version that was registered, the last one first."""
    found = {
        (event.to_version, run): None
        for event in name_runs(events)
        if event.to_version is not None
        and event.kind == "registered"
        and (run := read_run(event)) is not None
    }
    return tuple(reversed(found))


def is_about(event: _Told, number: int, run_id: str | None) -> bool:
    """Say whether an event, its run named, is about the version that this run made.

    An event that no registration precedes names no run: then the number has to do.
    """
    return event.to_version == number and read_run(event) in (None, run_id)


def select_events(events: Iterable[_Event], number: int, run_id: str | None) -> tuple[_Event, ...]:
    """Return the events about the version with this number that this run made.

    Args:
        events: one model's events, by sequence.
        number: MLflow's version number.
        run_id: the MLflow run that made the version, as the registry has it.
    """
    return tuple(event for event in name_runs(events) if is_about(event, number, run_id))
