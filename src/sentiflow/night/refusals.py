"""Refuse what could not come to a ruling, before anything is read or trained for it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sentiflow.night.request import NightRequest
from sentiflow.release.known_files import explain_unknown, look_up_known_files
from sentiflow.release.lineage import Lineage, check_lineage
from sentiflow.release.state import MAKES_CHAMPION, Event, fold_events
from sentiflow.release.year import is_of_year

if TYPE_CHECKING:
    from sentiflow.release.registry import Registry


def refuse_incomparable(
    request: NightRequest, lineage: Lineage, registry: Registry, events: Sequence[Event]
) -> None:
    """Refuse a night whose model could not be compared with the champion.

    Raises:
        LineageError: the settings are of another lineage than the registered model's.
        UnknownFiles: the ledger does not know the champion's files.
    """
    if request.new_lineage:
        return
    check_lineage(lineage, registry.read_model_tags(lineage.name))
    if not request.supersede:
        refuse_unknown_champion(registry, lineage.name, lineage.digest, events)


def refuse_unknown_champion(
    registry: Registry, model: str, lineage: str, events: Sequence[Event]
) -> None:
    """Refuse a night that would be compared with a champion whose files the ledger does not know.

    Asked before anything is read or trained: the gate could not load it hours later.

    Raises:
        UnknownFiles: so it is; the error names the former champions of a year too, which nights
            compare with at times.
    """
    state = fold_events(events)
    champion = state.champion
    version = registry.look_up_version(model, champion) if champion is not None else None
    # One that was deleted, or is of another lineage, is the gate's to tell of.
    if version is None or not state.is_champion(version.number, version.run_id):
        return
    if version.tags.get("sentiflow.lineage") != lineage:
        return
    if look_up_known_files(events, version) is not None:
        return
    now = datetime.now(UTC)
    former = {
        event.to_version
        for event in events
        if event.kind in MAKES_CHAMPION
        and event.to_version is not None
        and is_of_year(event.time, now)
    }
    unknown = {version.number} | {
        number
        for number in former - {version.number}
        if (found := registry.look_up_version(model, number)) is not None
        and look_up_known_files(events, found) is None
    }
    raise explain_unknown(model, unknown)
