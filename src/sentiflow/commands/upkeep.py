"""Prune, forget and sweep while no night runs, and tell in words what was removed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from sentiflow.commands.forget import forget
from sentiflow.commands.prune import prune
from sentiflow.night.lease import hold_lease
from sentiflow.night.orphans import sweep
from sentiflow.notices.messages import compose_notices, send_notices
from sentiflow.notices.moves import reconcile_and_tell
from sentiflow.release.state import MAKES_CHAMPION, Event, fold_events
from sentiflow.reporting.record import NightRecord
from sentiflow.settings import (
    Settings,
    load_settings,
    read_actor,
    resolve_ledger_url,
    resolve_tracking_uri,
)

_YEAR: Final = timedelta(days=365)
_KINDS: Final = (
    "versions", "runs", "artifacts", "snapshots", "quarantine", "checkpoints", "steps", "scoring",
    "ingest", "leftovers",
)  # fmt: skip


def prune_home(
    config: str | None, overrides: Sequence[str], home: Path, keep: int, dry_run: bool
) -> dict[str, Any]:
    """Remove what no version that counts needs any more.

    Raises:
        UsageError: `keep` is below 1.
        NightRefused: a night is running; nothing was removed.
        RegistryUnreachable: the registry did not answer; nothing was removed.
        LedgerUnreachable: the ledger did not answer; nothing was removed.
    """
    from sentiflow.release.ledger import Ledger
    from sentiflow.release.registry import Registry

    settings = load_settings(config, overrides)
    registry = Registry(resolve_tracking_uri(settings.tracking, home))
    ledger = Ledger(resolve_ledger_url(settings.ledger, home))
    protected = {}
    with nullcontext() if dry_run else _keep_nights_away(settings, home):
        for name in registry.list_models():
            reconcile_and_tell(registry, ledger, name, read_actor(), settings.notices, send_notices)
            protected[name] = select_protected(ledger.read(name), datetime.now(UTC))
        pruned = prune(registry, protected, home, keep, dry_run)
    return {**pruned.as_dict(), "dry_run": dry_run}


def forget_rows(
    config: str | None,
    overrides: Sequence[str],
    home: Path,
    review_ids: Sequence[str],
    user_ids: Sequence[str],
    reason: str,
) -> dict[str, Any]:
    """Remove a person's rows; see `forget`.

    Raises:
        UsageError: no id is given, or no reason.
        NightRefused: a night is running; nothing was removed.
        LedgerUnreachable: the ledger did not answer; nothing was removed.
    """
    with _keep_nights_away(load_settings(config, overrides), home):
        return forget(home, review_ids, user_ids, reason, read_actor()).as_dict()


def sweep_home(config: str | None, overrides: Sequence[str], home: Path) -> dict[str, Any]:
    """Close what dead nights left and tell of them by webhook.

    Prefect's runs are its own maintenance flow's to close, and its block that one's to use.
    """
    settings = load_settings(config, overrides)
    uri = resolve_tracking_uri(settings.tracking, home)

    def tell(record: NightRecord) -> None:
        send_notices(compose_notices(record, settings.notices, uri), settings.notices)

    return {"closed": sweep(home, settings, tell_crash=tell)}


def _keep_nights_away(settings: Settings, home: Path) -> AbstractContextManager[object]:
    from sentiflow.release.leases import UPKEEP

    url = resolve_ledger_url(settings.ledger, home)
    return hold_lease(url, UPKEEP, read_actor(), settings.lease, {})


def select_protected(events: Sequence[Event], now: datetime) -> frozenset[int]:
    """Return the versions that are never pruned.

    These are the champion, the one before it, what waits, what the alias was moved to
    outside, and every version that was champion within the last year: the gate holds a fresh
    challenger against the best of them, or small losses could add up.
    """
    state = fold_events(events)
    versions = {state.champion, state.previous_champion}
    for event in (state.waiting, state.moved):
        versions.add(event.to_version if event else None)
    for index, event in enumerate(events):
        replaced = [later for later in events[index + 1 :] if later.kind in MAKES_CHAMPION]
        if event.kind in MAKES_CHAMPION and (not replaced or now - replaced[0].time < _YEAR):
            versions.add(event.to_version)
    return frozenset(version for version in versions if version is not None)


def format_pruned(pruned: dict[str, Any]) -> str:
    """Return what was removed, or would be, as text."""
    verb = "Would remove" if pruned["dry_run"] else "Removed"
    lines = [f"{verb} {pruned['bytes'] / 1e6:,.1f} MB"]
    for kind in _KINDS:
        if pruned[kind]:
            lines.append(f"  {kind:<11} {len(pruned[kind]):>4}  {_shorten(pruned[kind])}")
    return "\n".join([*lines, *(f"  {sentence}" for sentence in pruned["remains"])])


def format_forgotten(forgotten: dict[str, Any]) -> str:
    """Return what was forgotten, and what could not be, as text."""
    finished = len(forgotten["finished"])
    if not forgotten["record"]:
        lines = ["No row has one of these ids."]
        if finished:
            lines.append(f"  {finished} earlier, interrupted removals were brought to their end.")
    else:
        lines = [
            f"Removed {forgotten['rows']:,} rows, {forgotten['quarantined']:,} of them from "
            f"quarantine; recorded in {forgotten['record']}",
            *(
                f"  snapshot {snapshot['before'][:12]} is {snapshot['after'][:12]} now"
                for snapshot in forgotten["snapshots"]
            ),
            f"  {len(forgotten['derived'])} step results made of them are gone too",
        ]
    return "\n".join([*lines, "What this cannot reach:", *(f"  {s}" for s in forgotten["remains"])])


def _shorten(names: Sequence[str]) -> str:
    shown = ", ".join(name.rsplit("/", 1)[-1][:20] for name in names[:4])
    return shown + (", …" if len(names) > 4 else "")
