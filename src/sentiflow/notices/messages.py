"""Tell people what came of a night: compose notices, post them, and call the outside watcher.

A notice holds ids, counts and reasons; never a review's text, a password or a token. That
somebody could not be told is said in the log and never changes what the night became.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

from sentiflow.dates import read_today
from sentiflow.errors import SettingsError
from sentiflow.files import hide_secrets
from sentiflow.mlflow_pages import open_on_training
from sentiflow.notices.webhooks import call_address, explain_address, is_web_address
from sentiflow.reporting.record import NightRecord, Outcome
from sentiflow.settings import (
    NoticeKind,
    NoticeSettings,
    Settings,
    read_ping_url,
    read_webhook_url,
)

logger = logging.getLogger(__name__)

_MOST_REASONS: Final = 5
_MOST_CHARACTERS: Final = 400
_FLOW_RUN: Final = "/runs/flow-run/{}"
_GOOD: Final = frozenset({"promoted", "kept", "waiting", "skipped"})
_TODAY: Final = timedelta(0)
_YESTERDAY: Final = timedelta(days=1)
# The outcomes that somebody is told of; kept and skipped nights change nothing.
_OUTCOMES: Final[Mapping[Outcome, NoticeKind]] = {
    "failed": "failed",
    "rejected": "rejected",
    "waiting": "waiting",
    "promoted": "promoted",
}


@dataclass(frozen=True)
class Notice:
    """What somebody is told.

    Attributes:
        kind: what happened.
        title: it in a line.
        text: what happened, why, and where to look; a few lines.
        link: the page to open first; None when no server's address is known.
        model: the registered model's name.
        night: the night's ISO date; None when it is not known.
        version: the night's version; None when it has none.
        reasons: why, one sentence each.
    """

    kind: NoticeKind
    title: str
    text: str
    link: str | None
    model: str
    night: str | None
    version: int | None
    reasons: tuple[str, ...]


# Sends notices of the kinds that are told; raises nothing.
Tell = Callable[[Sequence[Notice], NoticeSettings], object]


def compose_notices(
    record: NightRecord,
    settings: NoticeSettings,
    mlflow_url: str | None = None,
    prefect_url: str | None = None,
) -> list[Notice]:
    """Return what is to be told of a night; nothing for a skipped one, or one that kept a champion.

    Args:
        record: what came of the night.
        settings: where people open the servers.
        mlflow_url: MLflow's address where the settings name none.
        prefect_url: Prefect's address where the settings name none.
    """
    run_page = join_page(settings.mlflow_url or mlflow_url, record.mlflow_run_path)
    flow_page = join_page(
        settings.prefect_url or prefect_url,
        _FLOW_RUN.format(record.prefect_flow_run_id) if record.prefect_flow_run_id else None,
    )
    model = record.model or "sentiflow"
    told: list[tuple[NoticeKind, str, Sequence[str]]] = []
    # Only another try of the same night does its work; upkeep and a night of another date do not.
    is_done_elsewhere = record.refused and record.refused_by_night == record.night
    kind = "refused" if is_done_elsewhere else _OUTCOMES.get(record.outcome)
    if kind is None and record.no_champion and record.outcome == "kept":
        kind = "no_champion"
    if kind is not None:
        # What leads to a first champion must not be among the reasons that are left out.
        most = _MOST_REASONS - 1 if record.no_champion else len(record.reasons)
        reasons = [*record.reasons[:most], *filter(None, [record.no_champion])]
        told.append((kind, _name_ending(kind, model, record), reasons))
    if record.moved_outside:
        told.append(
            ("moved_outside", f"{model}: the champion was moved outside", [record.moved_outside])
        )
    return [
        make_notice(
            kind, title, reasons, model, record.night, record.version,
            # What went wrong is in the flow's log; what was measured, on the run's page.
            (flow_page, run_page) if kind in ("failed", "refused") else (run_page, flow_page),
        )
        for kind, title, reasons in told
    ]  # fmt: skip


def compose_late(
    reason: str, flow_run_id: str, settings: Settings, prefect_url: str | None = None
) -> Notice:
    """Return what is to be told of a night that did not start in time.

    Args:
        reason: which night, when it had to start, and what may keep it.
        flow_run_id: Prefect's id of the run that did not start.
        settings: the model, and where people open Prefect.
        prefect_url: Prefect's address where the settings name none.
    """
    model = settings.model.name
    page = join_page(settings.notices.prefect_url or prefect_url, _FLOW_RUN.format(flow_run_id))
    title = f"{model}: a night did not start in time"
    return make_notice("late", title, [reason], model, None, None, [page])


def choose_told(notices: Sequence[Notice], settings: NoticeSettings) -> list[Notice]:
    """Return the notices of the kinds that are told."""
    return [notice for notice in notices if notice.kind in settings.kinds]


def send_notices(notices: Sequence[Notice], settings: NoticeSettings) -> list[str]:
    """Post notices to SENTIFLOW_WEBHOOK_URL; nothing happens where there is none.

    Args:
        notices: what happened.
        settings: which kinds are told, and how long to wait for an answer.

    Returns:
        One sentence for each that could not be posted. They are logged as warnings too.
    """
    problems = []
    told = choose_told(notices, settings)
    try:
        url = read_webhook_url() if told else None
    except SettingsError as error:
        return _warn([f"Nobody was told: {error}"])
    for notice in told if url else ():
        body = json.dumps(_make_body(notice)).encode()
        problem = call_address("SENTIFLOW_WEBHOOK_URL", str(url), body, settings.timeout_seconds)
        if problem:
            problems.append(f"Nobody was told ({notice.kind}): {problem}")
    return _warn(problems)


def ping_outside(record: NightRecord, settings: Settings) -> list[str]:
    """Call SENTIFLOW_PING_URL after a good night, so that its silence can be noticed outside.

    Good is a night that ended promoted, kept, waiting or skipped, with exit code 0, and whose
    date is today's (in schedule.timezone) or, as it may have begun before midnight, yesterday's.
    An older one is no sign that tonight's work is done.

    Returns:
        Why it could not be called, if so. It is logged as a warning too.
    """
    age = read_today(settings.schedule) - date.fromisoformat(record.night)
    if record.outcome not in _GOOD or record.exit_code != 0 or not _TODAY <= age <= _YESTERDAY:
        return []
    try:
        url = read_ping_url()
    except SettingsError as error:
        return _warn([f"The outside watcher was not called: {error}"])
    problem = (
        call_address("SENTIFLOW_PING_URL", url, None, settings.notices.timeout_seconds)
        if url
        else None
    )
    return _warn([f"The outside watcher was not called: {problem}"] if problem else [])


def check_notices(settings: NoticeSettings) -> list[str]:
    """Return what is wrong with where people are to be told, before anybody has to be."""
    problems = []
    for name, find in (
        ("SENTIFLOW_WEBHOOK_URL", read_webhook_url),
        ("SENTIFLOW_PING_URL", read_ping_url),
    ):
        try:
            url = find()
        except SettingsError as error:
            problems.append(str(error))
            continue
        if url and not is_web_address(url):
            problems.append(explain_address(name))
    for key in ("mlflow_url", "prefect_url"):
        address = getattr(settings, key)
        if address and not is_web_address(address):
            problems.append(explain_address(f"notices.{key}"))
    return problems


def _name_ending(kind: NoticeKind, model: str, record: NightRecord) -> str:
    match kind:
        case "promoted":
            return f"{model}: version {record.version} of the night {record.night} is champion"
        case "waiting":
            return f"{model}: version {record.version} of the night {record.night} awaits approval"
        case "no_champion":
            return f"{model}: the night {record.night} left no champion"
        case "failed":
            return f"{model}: the night {record.night} failed"
        case _:
            return f"{model}: the night {record.night} was {kind}"


def make_notice(
    kind: NoticeKind,
    title: str,
    reasons: Sequence[str],
    model: str,
    night: str | None,
    version: int | None,
    pages: Sequence[str | None],
) -> Notice:
    """Return a notice: what happened, why, what to do, and the pages that are known.

    Args:
        kind: what happened.
        title: it in a line.
        reasons: why, one sentence each; the first few are shown.
        model: the registered model's name.
        night: the night's ISO date, if it is one.
        version: the version it is about.
        pages: addresses, the one to open first before others; None for one that is not known.
    """
    shown = tuple(_clean(reason) for reason in reasons[:_MOST_REASONS])
    more = len(reasons) - len(shown)
    known = [page for page in pages if page]
    title = _clean(title)
    lines = [
        title,
        *(f"• {reason}" for reason in shown),
        *([f"• … and {more} more, in the night's record"] if more else []),
        *([f"Approve it: sentiflow promote {version} --reason …"] if kind == "waiting" else []),
        *known,
    ]
    return Notice(
        kind=kind,
        title=title,
        text="\n".join(lines),
        link=known[0] if known else None,
        model=model,
        night=night,
        version=version,
        reasons=shown,
    )


def _clean(reason: str) -> str:
    """Return a reason as one short line that no chat program takes for a mention or a link."""
    line = " ".join(hide_secrets(reason).split()).replace("<", "‹").replace(">", "›")
    # Half a surrogate pair, which an error may quote, is no JSON that others can read.
    line = line.encode("utf-8", "replace").decode("utf-8")
    return line if len(line) <= _MOST_CHARACTERS else line[: _MOST_CHARACTERS - 2] + " …"


def _make_body(notice: Notice) -> dict[str, Any]:
    """Return what is posted: `text` for chat programs, the other keys for programs."""
    return {
        "text": notice.text,
        "kind": notice.kind,
        "title": notice.title,
        "model": notice.model,
        "night": notice.night,
        "version": notice.version,
        "reasons": list(notice.reasons),
        "link": notice.link,
    }


def join_page(address: str | None, path: str | None) -> str | None:
    """Return a page's address; None where the server's own is unknown or no web address."""
    if not address or not path:
        return None
    # A name and password in MLflow's address are for programs.
    address = re.sub(r"^(https?://)[^/]*@", r"\1", address)
    return open_on_training(f"{address.rstrip('/')}{path}") if is_web_address(address) else None


def _warn(problems: list[str]) -> list[str]:
    for problem in problems:
        logger.warning("%s", problem)
    return problems
