"""Tell a version's story from the ledger: what became of it, who did what with it, and why.

MLflow shows it as the version's description and tags. The same events always give the same
story, so whoever finds MLflow behind the ledger tells it again. This module touches no service.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from sentiflow.markup import escape_markdown
from sentiflow.release.identity import is_about, name_runs, read_run
from sentiflow.release.state import MAKES_CHAMPION, Event, Kind, ReleaseState, apply_event

OUTCOME_TAG: Final = "sentiflow.outcome"
_DECISION_TAG: Final = "sentiflow.decision"
# MLflow keeps 5,000 characters of a description.
_LONGEST: Final = 4_900
_LONGEST_LINE: Final = 700

_OUTCOMES: Final[Mapping[Kind, str | None]] = {
    "promoted": "promoted",
    "superseded": "promoted",
    "adopted": "promoted",
    "rolled_back": "promoted",
    "kept": "kept",
    "waiting": "waiting",
}
_FAILURES: Final[frozenset[Kind]] = frozenset({"not_evaluated", "failed"})

Key = tuple[int, str | None]


@dataclass(frozen=True)
class Story:
    """One version's story.

    Attributes:
        outcome: what it is by now: promoted, rolled_back, kept, waiting or failed; None before
            anybody said.
        decision: digest of the decision about it that the ledger names last; None before one.
        lines: what happened, oldest first, one sentence each.
        run_path: the page of the MLflow run that ruled on it, relative to MLflow's address.
        flow_run_id: Prefect's id of that night.
    """

    outcome: str | None = None
    decision: str | None = None
    lines: tuple[str, ...] = ()
    run_path: str | None = None
    flow_run_id: str | None = None

    @property
    def tags(self) -> dict[str, str]:
        """The version's tags in MLflow."""
        tags = {OUTCOME_TAG: self.outcome, _DECISION_TAG: self.decision}
        return {key: value for key, value in tags.items() if value is not None}

    @property
    def description(self) -> str:
        """The version's description in MLflow, Markdown: what is true now comes first."""
        *before, last = self.lines or ("",)
        parts = [last]
        if before:
            parts.append(
                "\n".join(["Before, newest first:", *(f"- {one}" for one in before[::-1])])
            )
        shown = "\n\n".join(parts)
        links = " · ".join(_list_links(self))
        room = _LONGEST - len(links)
        if len(shown) > room:
            shown = shown[: room - 40].rstrip() + " … (sentiflow history tells all)"
        return f"{shown}\n\n{links}" if links else shown


def tell_stories(events: Iterable[Event]) -> dict[Key, Story]:
    """Return the story of every version that the events are about, by number and run.

    Args:
        events: one model's events, by sequence.
    """
    stories: dict[Key, Story] = {}
    state = ReleaseState()
    for event in name_runs(events):
        before, state = state, apply_event(state, event)
        if event.to_version is not None:
            key = _choose_key(stories, event.to_version, read_run(event))
            stories[key] = _add(stories.get(key, Story()), event)
        if event.kind in MAKES_CHAMPION and event.to_version is not None:
            _tell_replaced(stories, before, event)
        if before.waiting is not None and state.waiting != before.waiting:
            _tell_waiting_no_more(stories, before.waiting, event)
    return stories


def list_changed(events: Iterable[Event], sequence: int) -> dict[Key, Story]:
    """Return the stories that events after a sequence changed.

    Args:
        events: one model's events, by sequence.
        sequence: the last event that was told already.
    """
    events = tuple(events)
    told = tell_stories(event for event in events if event.sequence <= sequence)
    return {key: story for key, story in tell_stories(events).items() if told.get(key) != story}


def read_night(events: Iterable[Event], number: int, run_id: str | None) -> str | None:
    """Return the ISO date of the night that made a version; None where no event says it."""
    nights = [
        event.details["night"]
        for event in name_runs(events)
        if is_about(event, number, run_id) and event.details.get("night")
    ]
    return str(nights[0]) if nights else None


def _choose_key(stories: dict[Key, Story], number: int, run: str | None) -> Key:
    """Return the key of a version's story; one told before its run was known becomes its own."""
    if run is None:
        return next((key for key in reversed(stories) if key[0] == number), (number, None))
    if (number, run) not in stories and (number, None) in stories:
        stories[number, run] = stories.pop((number, None))
    return number, run


def _add(story: Story, event: Event) -> Story:
    details = event.details
    # What fails after a ruling takes nothing back.
    outcome = story.outcome or "failed" if event.kind in _FAILURES else story.outcome
    outcome = _OUTCOMES.get(event.kind, outcome)
    return replace(
        story,
        outcome=outcome,
        decision=event.decision or story.decision,
        lines=(*story.lines, _format_line(event)),
        run_path=details.get("run_path") or story.run_path,
        flow_run_id=details.get("flow_run_id") or story.flow_run_id,
    )


def _tell_replaced(stories: dict[Key, Story], before: ReleaseState, event: Event) -> None:
    if not before.promotions or before.is_champion(event.to_version, read_run(event)):
        return
    key = _choose_key(stories, before.promotions[-1].to_version or 0, before.champion_run)
    word = "Rolled back from" if event.kind == "rolled_back" else "Replaced"
    line = (
        f"**{word}** by {_shorten(event.actor)} on {_format_time(event.time)}: "
        f"version {event.to_version} is champion. {_shorten(event.reason)}".rstrip()
    )
    story = stories.get(key, Story())
    outcome = "rolled_back" if event.kind == "rolled_back" else story.outcome
    stories[key] = replace(story, outcome=outcome, lines=(*story.lines, line))


def _tell_waiting_no_more(stories: dict[Key, Story], waiting: Event, event: Event) -> None:
    """Add to the story of a version that nobody need decide on it any more."""
    key = _choose_key(stories, waiting.to_version or 0, read_run(waiting))
    story = stories.get(key, Story())
    if story.outcome != "waiting":
        return
    line = (
        f"**Waits no more** since {_format_time(event.time)}: version {event.to_version} "
        f"{'waits for a person instead' if event.kind == 'waiting' else 'came after it'}."
    )
    stories[key] = replace(story, outcome="kept", lines=(*story.lines, line))


def _format_line(event: Event) -> str:
    night = f", night {_shorten(str(event.details['night']))}" if event.details.get("night") else ""
    word = event.kind.replace("_", " ")
    head = f"**{word}** by {_shorten(event.actor)} on {_format_time(event.time)}{night}"
    return f"{head}: {_shorten(event.reason)}" if event.reason else f"{head}."


def _format_time(time: datetime) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC")


def _shorten(reason: str) -> str:
    line = " ".join(reason.split())
    short = line if len(line) <= _LONGEST_LINE else line[: _LONGEST_LINE - 2] + " …"
    # Whoever gave it chose its signs, and the description is Markdown.
    return escape_markdown(short)


def _list_links(story: Story) -> list[str]:
    links = []
    if story.run_path:
        if story.decision:
            links.append(f"[Report and decision.json]({story.run_path}/artifacts/report)")
        links.append(f"[MLflow run]({story.run_path})")
    if story.decision:
        links.append(f"decision `{story.decision[:12]}`")
    if story.flow_run_id:
        links.append(f"Prefect flow run {story.flow_run_id}")
    return links
