"""Say how every model stands: from the ledger, and from the registry where it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

from sentiflow.commands.context import ReleaseContext
from sentiflow.commands.history import format_time
from sentiflow.dates import read_today
from sentiflow.errors import ForeignRegistry, RegistryUnreachable
from sentiflow.files import make_sqlite_url
from sentiflow.notices.moves import describe_move
from sentiflow.release.identity import name_runs, read_run, select_events
from sentiflow.release.state import (
    MAKES_CHAMPION,
    Event,
    ReleaseState,
    fold_events,
)
from sentiflow.release.story import read_night
from sentiflow.reporting.record import NightRecord, format_no_champion, read_last_records


def describe_models(context: ReleaseContext) -> dict[str, Any]:
    """Return champion, challenger, what runs, waits or holds, and the last night of each model.

    The ledger says what is live. A registry that does not answer is named, not an error. Nothing
    is written, moved or told: an alias that somebody moved is shown, and noticed by whoever acts.
    """
    from sentiflow.release.alias import foretell

    ledger, home = context.ledger_to_read, context.home
    unreachable = None
    has_registry = _has_registry(context)
    names = set(ledger.list_models())
    try:
        names |= set(context.registry.list_models() if has_registry else ())
    except RegistryUnreachable as error:
        unreachable = str(error)
    running = _list_running(context)
    models = []
    for name in sorted(names | running.keys()):
        state, foreign, found = fold_events(ledger.read(name)), None, _NOTHING
        if has_registry and unreachable is None:
            try:
                state = foretell(context.registry, ledger, name, context.actor)
                found = _look_up_versions(context, name, state)
            except ForeignRegistry as error:
                foreign = str(error)
        events = name_runs(ledger.read(name))
        models.append(
            {
                "model": name,
                **_describe_standing(context, state, events, found.accuracy),
                "challenger": found.challenger,
                "running": running.get(name),
                "registry_error": foreign,
                **_describe_nights(home, name, events),
            }
        )
    return {
        "home": str(home),
        "default_model": context.model,
        "registry_error": unreachable,
        "models": models,
    }


@dataclass(frozen=True)
class _Found:
    """What the registry says of a model's versions."""

    challenger: dict[str, Any] | None = None
    accuracy: float | None = None


_NOTHING: Final = _Found()


def _look_up_versions(context: ReleaseContext, name: str, state: ReleaseState) -> _Found:
    from sentiflow.release.registry import CHALLENGER

    registry = context.registry
    challenger = None
    found = registry.look_up_alias(name, CHALLENGER)
    # MLflow's alias stays where the last night put it, also on what became champion.
    if found is not None and not state.is_champion(found.number, found.run_id):
        challenger = {
            "version": found.number,
            "night": found.tags.get("sentiflow.night"),
            "outcome": found.tags.get("sentiflow.outcome"),
        }
    champion = registry.look_up_version(name, state.champion) if state.champion else None
    if champion is None or not state.is_champion(champion.number, champion.run_id):
        return _Found(challenger)
    try:
        return _Found(challenger, float(champion.tags["sentiflow.accuracy"]))
    except (KeyError, ValueError):
        # Anyone can remove a tag in MLflow's page.
        return _Found(challenger)


def _has_registry(context: ReleaseContext) -> bool:
    """Say whether there is an MLflow to ask: to ask the home's own would make it."""
    own = context.home / "mlflow.db"
    return context.tracking_uri != make_sqlite_url(own) or own.exists()


def _list_running(context: ReleaseContext) -> dict[str, dict[str, Any]]:
    """Return the nights that run now, by model."""
    from sentiflow.release.leases import Leases, parse_model

    if not context.ledger_to_read.is_whole():
        # One that is older than leases has none; to ask for them would make them.
        return {}
    living = Leases(context.ledger_url).list_living(context.settings.lease.stale_seconds)
    return {
        model: {
            "night": lease.details.get("night"),
            "since": lease.taken.isoformat(),
            "actor": lease.actor,
            "mlflow_run_id": lease.details.get("run_id"),
        }
        for lease in living
        if (model := parse_model(lease.name)) is not None
    }


def _describe_nights(home: Path, model: str, events: Sequence[Event]) -> dict[str, Any]:
    """Return what the last night came to, what happened since, and a start refused after it."""
    records = read_last_records(home, model)
    last = next((record for record in records if not record.refused), None)
    refused = records[0] if records and records[0].refused else None
    return {
        "last_night": last
        and {
            **last.model_dump(
                mode="json", include={"night", "outcome", "reasons", "version", "mlflow_run_id"}
            ),
            "since": _list_since(last, events),
        },
        "refused_start": refused and refused.model_dump(mode="json", include={"night", "reasons"}),
    }


def _list_since(last: NightRecord, events: Sequence[Event]) -> list[str]:
    """Return what people did with the version of a night after it, one sentence each."""
    own = [event for event in events if event.details.get("run_id") == last.mlflow_run_id]
    if not own or last.version is None:
        return []
    made_champion = select_events(events, last.version, read_run(own[-1]))
    return [
        f"{event.kind.replace('_', ' ').capitalize()} since by {event.actor} on "
        f"{format_time(event.time.isoformat())} UTC, champion is version {event.to_version}: "
        f"{event.reason}"
        for event in events
        if event.sequence > own[-1].sequence
        and event.kind in MAKES_CHAMPION
        and (event in made_champion or event.from_version == last.version)
    ]


def _describe_standing(
    context: ReleaseContext, state: ReleaseState, events: Sequence[Event], accuracy: float | None
) -> dict[str, Any]:
    crowned, waiting, hold = state.champion_event, state.waiting, state.hold
    champion = state.champion
    night = read_night(events, champion, state.champion_run) if crowned and champion else None
    return {
        "champion": crowned
        and {
            "version": state.champion,
            "since": crowned.time.isoformat(),
            "night": night,
            "age_nights": _count_nights(night, read_today(context.settings.schedule)),
            "accuracy": accuracy,
            "kind": crowned.kind,
            "reason": crowned.reason,
            "decision": state.champion_decision,
        },
        "previous_champion": state.previous_champion,
        "waiting": waiting and {"version": waiting.to_version, "reason": waiting.reason},
        "hold": hold
        and {"time": hold.time.isoformat(), "actor": hold.actor, "reason": hold.reason},
        "moved_outside": describe_move(state.moved) if state.moved else None,
        "no_champion": _explain_no_champion(state, events),
    }


def _count_nights(night: str | None, today: date) -> int | None:
    try:
        return (today - date.fromisoformat(night)).days if night else None
    except ValueError:
        # What an event says was checked when it was written, by whichever version.
        return None


def _explain_no_champion(state: ReleaseState, events: Sequence[Event]) -> str | None:
    if state.champion is not None or state.moved is not None or not events:
        return None
    ruled = next((event for event in reversed(events) if event.to_version is not None), None)
    number = ruled.to_version if ruled is not None else None
    waits = state.waiting is not None and state.waiting.to_version == number
    return format_no_champion(events[-1].model, number, "waiting" if waits else None)
