"""Say what is live, what was, and why: from the ledger, and from the registry where it answers."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from sentiflow.commands.context import ReleaseContext
from sentiflow.dates import check_past
from sentiflow.errors import UsageError
from sentiflow.release.identity import name_runs, read_run
from sentiflow.release.state import (
    MAKES_CHAMPION,
    Event,
    fold_events_until,
)

_MOVES: Final = MAKES_CHAMPION | {"moved_outside", "reverted"}


def read_history(context: ReleaseContext) -> dict[str, Any]:
    """Return every event of a model, oldest first."""
    events = context.ledger.read(context.model)
    return {
        "model": context.model,
        "events": [_describe_event(event) for event in name_runs(events)],
    }


def describe_live(context: ReleaseContext, at: str) -> dict[str, Any]:
    """Return which version was live at a moment.

    Args:
        context: where.
        at: an ISO date (the end of that day, UTC) or an ISO time (UTC unless it says otherwise);
            the end of today is taken as now.

    Returns:
        `model`, `at`, `version` (None when nothing was live), `since`, `reason`, `actor`,
        `decision`, by the ledger; `moved_outside`, where the alias stood elsewhere at that moment
        (`version`, None when it was gone, and `noticed`, since when that is known), else None;
        and `changes`, the events of that day that changed the champion or moved the alias.

    Raises:
        UsageError: `at` is neither, lies outside of the calendar, or is still to come.
    """
    when, day = _parse_moment(at)
    now = datetime.now(UTC)
    if day > now.date():
        check_past(day, context.settings.schedule, "--at")
    when = min(when, now)
    events = context.ledger.read(context.model)
    state = fold_events_until(events, when)
    event, moved = state.champion_event, state.moved
    return {
        "model": context.model,
        "at": when.isoformat(),
        "version": state.champion,
        "since": event and event.time.isoformat(),
        "reason": event and event.reason,
        "actor": event and event.actor,
        "decision": state.champion_decision,
        "moved_outside": moved and {"version": moved.to_version, "noticed": moved.time.isoformat()},
        "changes": [
            _describe_event(change)
            for change in events
            if change.kind in _MOVES and change.time.date() == day and change.time <= when
        ],
    }


def format_history(history: dict[str, Any]) -> str:
    """Return a model's events as text, one line each and its reason below."""
    if not history["events"]:
        return f"The ledger knows nothing of {history['model']} yet."
    lines = [f"{history['model']}: {len(history['events'])} events (times in UTC)"]
    given: dict[int, str] = {}
    for event in history["events"]:
        number, run = event["to_version"], event["version_run_id"]
        if run and given.get(number, run) != run:
            lines.append(f"      MLflow's numbers began anew: {number} is another model from here.")
        if run:
            given[number] = run
        lines.append(
            f"{event['sequence']:>4}  {format_time(event['time'])}  "
            f"{event['kind'].replace('_', ' '):<13} {_format_change(event):<12} {event['actor']}"
        )
        if event["reason"]:
            lines.append(f"      {event['reason']}")
    return "\n".join(lines)


def format_live(live: dict[str, Any]) -> str:
    """Return which version was live, as text."""
    when = format_time(live["at"])
    moved, changes = live["moved_outside"], live["changes"]
    champion = f"version {live['version']}" if live["version"] is not None else "nothing"
    was = "was champion by the ledger" if moved else "was live"
    head = f"{live['model']}: {champion} {was} at {when} UTC"
    if live["version"] is None:
        lines = [f"{head}."]
    else:
        since = f"since {format_time(live['since'])}, by {live['actor']}."
        lines = [f"{head}, {since}", f"  {live['reason']}"]
    if moved:
        stood = f"stood at version {moved['version']}" if moved["version"] else "was gone"
        lines.append(
            f"  But the alias {stood} from {format_time(moved['noticed'])} "
            "UTC (when that was noticed)."
        )
    if len(changes) > 1 or any(change["kind"] not in MAKES_CHAMPION for change in changes):
        times = "once" if len(changes) == 1 else f"{len(changes)} times"
        lines.append(f"  It changed {times} that day:")
        lines += [
            f"    {change['time'][11:16]}  {change['kind'].replace('_', ' ')} "
            f"{_format_change(change)}"
            for change in changes
        ]
    return "\n".join(lines)


def _describe_event(event: Event) -> dict[str, Any]:
    return {
        "sequence": event.sequence,
        "time": event.time.isoformat(),
        "kind": event.kind,
        "actor": event.actor,
        "reason": event.reason,
        "from_version": event.from_version,
        "to_version": event.to_version,
        "lineage": event.lineage,
        "decision": event.decision,
        "version_run_id": read_run(event),
        "details": dict(event.details),
    }


def _format_change(event: dict[str, Any]) -> str:
    before, after = event["from_version"], event["to_version"]
    if event["kind"] not in _MOVES:
        return "" if after is None else str(after)
    return f"{before or '-'} → {after or '-'}"


def format_time(time: str) -> str:
    """Return an ISO time to the minute, as people read it."""
    return time[:16].replace("T", " ")


def _parse_moment(text: str) -> tuple[datetime, date]:
    try:
        if len(text) == len("2026-01-10"):
            day = date.fromisoformat(text)
            return datetime.combine(day + timedelta(days=1), time(), UTC) - timedelta(
                microseconds=1
            ), day
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        moment = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        # Overflow: in UTC, or as the end of its day, it lies outside of the calendar.
        raise UsageError(
            "--at must be a date such as 2026-01-10 or a time such as 2026-01-10T12:00, from the "
            f"year 1 to 9999 in UTC. Received: {text!r}."
        ) from None
    return moment, moment.date()
