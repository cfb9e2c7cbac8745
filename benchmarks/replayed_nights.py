"""Live nights one after the other on a growing source, and look closely at each.

Every night is the real flow on a home of its own. What the story says exactly is asserted exactly;
beside that, invariants are checked after every night and at the end. What does not hold comes
back as sentences.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from growing_source import QUIET_EVENTS, GrowingSource

if TYPE_CHECKING:
    from sentiflow.commands.context import ReleaseContext
    from sentiflow.reporting.record import NightRecord

FIRST_NIGHT: Final = date(2026, 10, 1)
# Chance and growing data may move the champion now and then, beside the promotions of the story.
MOST_OTHER_PROMOTIONS: Final = 2

# A network that learns next to nothing.
_WEAK: Final = ("training.epochs=1", "training.learning_rate=1e-9", "network.wide=false")
# The better model answers many rows otherwise than the weak one, which calls everything positive:
# reviews of four stars it never gets wrong, so no slice of them may count.
OVER_A_WEAK_ONE: Final = ("gate.max_churn=1", "gate.min_slice_rows=1000000")
REQUESTS: Final[dict[str, tuple[str, ...]]] = {
    "a weak first model": (
        *_WEAK, "gate.min_accuracy=0", "gate.min_balanced_accuracy=0", "gate.min_roc_auc=0",
        "gate.max_ece=1", "gate.baseline_margin=1", "gate.behaviours=report",
    ),
    "a much better model": OVER_A_WEAK_ONE,
    "the same model": OVER_A_WEAK_ONE,
    "a worse model": _WEAK,
    # Nobody listens at port 9.
    "MLflow is away": ("tracking.uri=http://127.0.0.1:9", "tracking.patience_seconds=1"),
    "the ledger is away": ("ledger.url=postgresql://127.0.0.1:9/ledger",),
}  # fmt: skip
EXIT_CODES: Final = {"promoted": 0, "kept": 0, "skipped": 0, "rejected": 3, "failed": 4}

# Opens a night as it is, reads, and is gone without a word.
_KILLED_NIGHT: Final = """
import os, signal, sys
from pathlib import Path
from sentiflow.night.opening import open_night
from sentiflow.night.request import NightRequest
from sentiflow.night.stages import data as data_stage
with open_night(NightRequest.model_validate_json(sys.argv[1]), Path(sys.argv[2]), None) as night:
    data_stage.ingest(night)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@dataclass(frozen=True)
class Planned:
    """A night as the story has it.

    Attributes:
        event: what happens; "new rows" when nothing does.
        outcome: what must come of it; None for promoted or kept.
        ledger: the kinds of event it must leave in the ledger; None for those of its outcome.
    """

    event: str
    outcome: str | None = None
    ledger: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Lived:
    """A night as it was.

    Attributes:
        night: the logical date.
        event: what happened.
        outcome: what came of it.
        ledger: the kinds of event it left in the ledger.
        record: its record; None when it was killed.
        champion: the ledger's champion after it.
        ended: when it had ended, by the real clock.
        seconds: how long it took.
    """

    night: date
    event: str
    outcome: str
    ledger: tuple[str, ...]
    record: NightRecord | None
    champion: int | None
    ended: datetime
    seconds: float


@dataclass(frozen=True)
class Month:
    """All nights, and each thing that was not as it must be."""

    nights: list[Lived]
    failures: list[str]


def count_days(story: Sequence[Planned]) -> int:
    """Return on how many nights of a story rows are written, whenever they arrive."""
    return sum(planned.event not in QUIET_EVENTS for planned in story)


def replay(
    story: Sequence[Planned],
    source: GrowingSource,
    home: Path,
    overrides: Sequence[str],
    show: Callable[[Lived], object],
) -> Month:
    """Live a story's nights one after the other and look closely at each.

    Args:
        story: the nights.
        source: what they read.
        home: SENTIFLOW_HOME, new.
        overrides: settings of every night.
        show: told each night when it has ended.
    """
    from sentiflow.commands.context import open_release_context

    context = open_release_context(None, (), home)
    month = Month([], [])
    for number, planned in enumerate(story):
        night = FIRST_NIGHT + timedelta(days=number)
        source.bring(planned.event, night)
        lived = live(planned.event, night, source, context, overrides)
        month.nights.append(lived)
        show(lived)
        found = [*check_story(planned, lived), *check_night(month.nights, source, context)]
        month.failures.extend(f"{night}, {planned.event}: {failure}" for failure in found)
    month.failures.extend(check_month(story, month.nights, source, context, overrides))
    return month


def live(
    event: str,
    night: date,
    source: GrowingSource,
    context: ReleaseContext,
    overrides: Sequence[str],
) -> Lived:
    """Run one night and say what it became."""
    from flows.retrain import retrain
    from sentiflow.night.request import NightRequest
    from sentiflow.release.state import fold_events
    from sentiflow.reporting.record import read_record

    request = NightRequest(
        data=(str(source.folder),),
        overrides=(*overrides, *REQUESTS.get(event, ())),
        as_of=night,
        force=event == "the same model",
    )
    before = len(context.ledger.read(context.model))
    started = time.monotonic()
    record = None
    if event == "killed while reading":
        child = [sys.executable, "-c", _KILLED_NIGHT, request.model_dump_json(), str(context.home)]
        code = subprocess.run(child, check=False, stderr=subprocess.DEVNULL).returncode
        outcome = "killed" if code == -signal.SIGKILL else f"ended with {code}"
    else:
        state = retrain(request, return_state=True)
        record = read_record(context.home, str(state.state_details.flow_run_id))
        outcome = record.outcome if record else "without a record"
        if record and state.is_completed() != (record.exit_code == 0):
            outcome += f", and Prefect says {state.type.value}"
    seconds = time.monotonic() - started
    events = context.ledger.read(context.model)
    return Lived(
        night=night,
        event=event,
        outcome=outcome,
        # A killed night is written down by the one after it, under its own date.
        ledger=tuple(
            event.kind
            for event in events[before:]
            if event.kind != "failed" or event.details["night"] == night.isoformat()
        ),
        record=record,
        champion=fold_events(events).champion,
        ended=datetime.now(UTC),
        seconds=seconds,
    )


def check_story(planned: Planned, lived: Lived) -> list[str]:
    """Return where a night is not what the story says of it."""
    failures = []
    allowed = ("promoted", "kept") if planned.outcome is None else (planned.outcome,)
    if lived.outcome not in allowed:
        reasons = " ".join(lived.record.reasons) if lived.record else ""
        failures.append(f"{lived.outcome}, must be {' or '.join(allowed)}: {reasons}")
    ledger = ("registered", lived.outcome) if planned.ledger is None else planned.ledger
    if lived.ledger != ledger:
        failures.append(f"the ledger got {lived.ledger}, must get {ledger}")
    return failures


def check_night(
    nights: Sequence[Lived], source: GrowingSource, context: ReleaseContext
) -> list[str]:
    """Return which invariants the last of these nights broke."""
    from sentiflow.files import read_json
    from sentiflow.release.registry import CHAMPION

    last, record = nights[-1], nights[-1].record
    events = context.ledger.read(context.model)
    alias = context.registry.look_up_alias(context.model, CHAMPION)
    trained = [lived for lived in nights if lived.outcome in ("promoted", "kept")]
    versions = context.registry.query_versions(context.model, {})
    records = [read_json(path) for path in (context.home / "nights").glob("*.json")]
    # A night that was killed gets its record from the one after it.
    recorded = [lived for lived in nights if lived.record is not None or lived is not last]
    claims = {
        "the ledger's numbers have no gap": [event.sequence for event in events]
        == list(range(1, len(events) + 1)),
        "ledger and alias name one champion": last.champion == (alias and alias.number),
        "a version per night that was ruled on, and no other": len(versions) == len(trained),
        "one record per night": sorted(record["night"] for record in records)
        == [lived.night.isoformat() for lived in recorded],
    }
    if last.outcome not in ("promoted", "killed") and len(nights) > 1:
        claims["the champion stays"] = last.champion == nights[-2].champion
    if record is not None:
        follows_a_killed_one = len(nights) > 1 and nights[-2].record is None
        claims |= {
            "the record is of this night": record.night == last.night.isoformat(),
            "the exit code fits": record.exit_code == EXIT_CODES.get(record.outcome),
            "what a killed night left is swept up, and only then": bool(record.swept)
            == follows_a_killed_one,
            "rejected and skipped nights train nothing": ("train" in record.seconds)
            == (record.outcome in ("promoted", "kept")),
            "every row that was read is accounted for": _accounts_for_rows(record, source),
        }
    return [f"not so: {claim}" for claim, holds in claims.items() if not holds]


def _accounts_for_rows(record: NightRecord, source: GrowingSource) -> bool:
    rows = record.rows
    if not rows:
        # Without MLflow or the ledger nothing is read.
        return record.outcome == "failed"
    counts = source.count()
    used = rows["train"] + rows["validation"] + rows["test"]
    unused = rows["quarantined"] + rows["superseded"] + rows["left_out"]
    if rows["read"] != used + unused:
        return False
    if counts is None:
        # A file ends in its damage: the rows before it count, and one rejection.
        return rows["quarantined"] == 1 and record.outcome == "rejected"
    expected = (counts.read, counts.quarantined, counts.superseded, 0)
    return expected == tuple(rows[key] for key in ("read", "quarantined", "superseded", "left_out"))


def check_month(
    story: Sequence[Planned],
    nights: Sequence[Lived],
    source: GrowingSource,
    context: ReleaseContext,
    overrides: Sequence[str],
) -> list[str]:
    """Return which invariants the whole month broke."""
    from sentiflow.commands.history import describe_live
    from sentiflow.data.ingest.ingest import read_sources
    from sentiflow.release.leases import Leases
    from sentiflow.settings import load_settings, resolve_ledger_url, resolve_tracking_uri
    from sentiflow.tracking import query_running_runs

    settings = load_settings(None, overrides)
    leases = Leases(resolve_ledger_url(settings.ledger, context.home))
    stale = settings.lease.stale_seconds
    uri = resolve_tracking_uri(settings.tracking, context.home)
    planned = sum(night.outcome == "promoted" for night in story)
    promotions = sum(lived.outcome == "promoted" for lived in nights)
    with tempfile.TemporaryDirectory() as fresh:
        paths = [str(source.folder)]
        whole = read_sources(paths, None, settings, nights[-1].night, Path(fresh))
    last = nights[-1].record
    claims = {
        "no MLflow run is RUNNING": not query_running_runs(uri, settings.tracking.experiment),
        "no lease is held": not leases.list_living(stale) and not leases.remove_dead(stale),
        "nothing is unfinished": not list(context.home.rglob(".unfinished-*")),
        "the history knows each night's champion": all(
            describe_live(context, lived.ended.isoformat())["version"] == lived.champion
            for lived in nights
        ),
        f"at most {planned + MOST_OTHER_PROMOTIONS} promotions ({promotions})": promotions
        <= planned + MOST_OTHER_PROMOTIONS,
        "night by night the same rows were read as in one reading": last is not None
        and last.fingerprint == whole.snapshot.fingerprint,
    }
    return [f"At the end not so: {claim}." for claim, holds in claims.items() if not holds]
