"""Say in a notice what a person changed about what is live: a promotion, a rollback, and so on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from sentiflow.notices.messages import Notice, join_page, make_notice
from sentiflow.settings import NoticeKind, NoticeSettings

if TYPE_CHECKING:
    from sentiflow.release.state import Event, Kind

_PAGE: Final = "/#/models/{}/versions/{}"
_TITLES: Final[Mapping[Kind, tuple[NoticeKind, str]]] = {
    "promoted": ("promoted", "version {version} is champion, by hand"),
    "rolled_back": ("rolled_back", "rolled back to version {version}"),
    "released": ("released", "nights may promote again"),
    "adopted": ("adopted", "version {version}, set outside, is adopted as champion"),
    "reverted": ("reverted", "the champion alias is back at version {version}"),
}
_NEXT: Final[Mapping[Kind, str]] = {
    "rolled_back": "Nights go on but promote nothing until: sentiflow release-hold --reason …",
}


def compose_release(
    event: Event, settings: NoticeSettings, mlflow_url: str | None = None
) -> Notice | None:
    """Return what is to be told of an event that a person made; None of a kind nobody is told.

    Args:
        event: what was written into the ledger.
        settings: where people open MLflow.
        mlflow_url: MLflow's address where the settings name none.
    """
    if event.kind not in _TITLES:
        return None
    kind, words = _TITLES[event.kind]
    version = event.to_version
    reasons = [f"By {event.actor}: {event.reason}"]
    if event.from_version is not None and event.from_version != version:
        reasons.append(f"It was version {event.from_version} before.")
    if event.kind in _NEXT:
        reasons.append(_NEXT[event.kind])
    page = _PAGE.format(event.model, version) if version is not None else None
    return make_notice(
        kind,
        f"{event.model}: {words.format(version=version if version is not None else 'none')}",
        reasons,
        event.model,
        event.details.get("night"),
        version,
        [join_page(settings.mlflow_url or mlflow_url, page)],
    )
