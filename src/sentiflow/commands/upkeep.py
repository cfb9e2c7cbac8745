"""Prune, forget and sweep while no night runs, and tell in words what was removed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import Any, Final

from sentiflow.commands.context import ReleaseContext
from sentiflow.commands.forget import forget
from sentiflow.commands.prune import prune
from sentiflow.night.lease import hold_lease
from sentiflow.night.orphans import sweep
from sentiflow.notices.messages import compose_notices
from sentiflow.release.open_home import HomeContext
from sentiflow.release.state import MAKES_CHAMPION, Event, fold_events
from sentiflow.release.year import is_of_year
from sentiflow.reporting.record import NightRecord

_KINDS: Final = (
    "versions", "runs", "artifacts", "snapshots", "quarantine", "checkpoints", "steps", "scoring",
    "ingest", "leftovers",
)  # fmt: skip


def prune_home(context: ReleaseContext, keep: int, dry_run: bool) -> dict[str, Any]:
    """Remove what no version that counts needs any more.

    Raises:
        UsageError: `keep` is below 1.
        NightRefused: a night is running; nothing was removed.
        RegistryUnreachable: the registry did not answer; nothing was removed.
        LedgerUnreachable: the ledger did not answer; nothing was removed.
    """
    protected = {}
    with nullcontext() if dry_run else _keep_nights_away(context):
        for name in context.registry.list_models():
            context.reconcile(name)
            protected[name] = select_protected(context.ledger.read(name), datetime.now(UTC))
        pruned = prune(context.registry, protected, context.home, keep, dry_run)
    return {**pruned.as_dict(), "dry_run": dry_run}


def forget_rows(
    context: HomeContext, review_ids: Sequence[str], user_ids: Sequence[str], reason: str
) -> dict[str, Any]:
    """Remove a person's rows; see `forget`.

    Raises:
        UsageError: no id is given, or no reason.
        NightRefused: a night is running; nothing was removed.
        LedgerUnreachable: the ledger did not answer; nothing was removed.
    """
    with _keep_nights_away(context):
        return forget(context.home, review_ids, user_ids, reason, context.actor).as_dict()


def sweep_home(context: ReleaseContext) -> dict[str, Any]:
    """Close what dead nights left and tell of them by webhook.

    Prefect's runs are its own maintenance flow's to close, and its block that one's to use.
    """
    notices = context.settings.notices

    def tell(record: NightRecord) -> None:
        context.tell(compose_notices(record, notices, context.tracking_uri), notices)

    return {"closed": sweep(context.home, context.settings, tell_crash=tell)}


def _keep_nights_away(context: HomeContext) -> AbstractContextManager[object]:
    from sentiflow.release.leases import UPKEEP

    return hold_lease(context.ledger_url, UPKEEP, context.actor, context.settings.lease, {})


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
        if event.kind in MAKES_CHAMPION and (not replaced or is_of_year(replaced[0].time, now)):
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
