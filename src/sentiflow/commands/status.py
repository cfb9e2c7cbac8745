"""Say how every model stands: from the ledger, and from the registry where it answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sentiflow.commands.context import ReleaseContext
from sentiflow.commands.history import format_time
from sentiflow.errors import ForeignRegistry, RegistryUnreachable
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
    """Return champion, challenger, what waits or holds, and the last night of each model.

    The ledger says what is live. A registry that does not answer is named, not an error.
    """
    from sentiflow.release.registry import CHALLENGER

    registry, ledger, home = context.registry, context.ledger, context.home
    unreachable = None
    names = set(ledger.list_models())
    try:
        names |= set(registry.list_models())
    except RegistryUnreachable as error:
        unreachable = str(error)
    models = []
    for name in sorted(names):
        challenger, foreign = None, None
        state = fold_events(ledger.read(name))
        if unreachable is None:
            try:
                state = context.reconcile(name)
            except ForeignRegistry as error:
                foreign = str(error)
            else:
                found = registry.look_up_alias(name, CHALLENGER)
                # MLflow's alias stays where the last night put it, also on what became champion.
                if found is not None and not state.is_champion(found.number, found.run_id):
                    challenger = {
                        "version": found.number,
                        "night": found.tags.get("sentiflow.night"),
                        "outcome": found.tags.get("sentiflow.outcome"),
                    }
        events = name_runs(ledger.read(name))
        models.append(
            {
                "model": name,
                **_describe_standing(state, events),
                "challenger": challenger,
                "registry_error": foreign,
                **_describe_nights(home, name, events),
            }
        )
    return {"home": str(home), "registry_error": unreachable, "models": models}


def format_models(described: dict[str, Any]) -> str:
    """Return the status of all models as text."""
    lines = []
    if described["registry_error"]:
        lines.append(f"Warning: {described['registry_error']} What follows is the ledger's.")
    if not described["models"]:
        lines.append("No model is registered yet. Run a night: sentiflow run")
    for entry in described["models"]:
        lines.append(entry["model"])
        if entry["registry_error"]:
            lines.append(f"  Warning: {entry['registry_error']} What follows is the ledger's.")
        champion, challenger = entry["champion"], entry["challenger"]
        since = f", live since {champion['since'][:16]} UTC" if champion else ""
        lines.append(f"  {'champion':<11} {_name(champion)}{since}")
        if entry["no_champion"]:
            lines.append(f"    {entry['no_champion']}")
        lines.append(f"  {'challenger':<11} {_name(challenger)}")
        if entry["waiting"]:
            waiting = entry["waiting"]
            lines.append(
                f"  {'waiting':<11} version {waiting['version']} waits for a person: sentiflow "
                f"promote {waiting['version']} --reason …"
            )
        if entry["hold"]:
            hold = entry["hold"]
            lines.append(f"  {'hold':<11} since {hold['time'][:16]} UTC by {hold['actor']}:")
            lines.append(f"    {hold['reason']}")
        if entry["moved_outside"]:
            lines.append(f"  Warning: {entry['moved_outside']}")
        if entry["last_night"]:
            last = entry["last_night"]
            lines.append(f"  {'last night':<11} {last['night']} {last['outcome']}")
            # What a night said of what a person has decided since is no news any more.
            lines += [f"    {reason}" for reason in last["since"] or last["reasons"]]
        if entry["refused_start"]:
            refused = entry["refused_start"]
            lines.append(f"  {'refused':<11} another start for {refused['night']}, later than that")
            lines += [f"    {reason}" for reason in refused["reasons"]]
    return "\n".join(lines)


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


def _describe_standing(state: ReleaseState, events: Sequence[Event]) -> dict[str, Any]:
    crowned, waiting, hold = state.champion_event, state.waiting, state.hold
    champion = state.champion
    return {
        "champion": crowned
        and {
            "version": state.champion,
            "since": crowned.time.isoformat(),
            "night": champion and read_night(events, champion, state.champion_run),
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


def _explain_no_champion(state: ReleaseState, events: Sequence[Event]) -> str | None:
    if state.champion is not None or state.moved is not None or not events:
        return None
    ruled = next((event for event in reversed(events) if event.to_version is not None), None)
    number = ruled.to_version if ruled is not None else None
    waits = state.waiting is not None and state.waiting.to_version == number
    return format_no_champion(events[-1].model, number, "waiting" if waits else None)


def _name(version: dict[str, Any] | None) -> str:
    if version is None:
        return "none"
    night = f" of the night {version['night']}" if version.get("night") else ""
    return f"version {version['version']}{night}"
