"""Keep what is known about a night while its stages run.

Opening and closing one is in opening.py and closing.py; what it does is in stages/.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sentiflow.cost import StepClock
from sentiflow.dates import check_past, read_today
from sentiflow.errors import SentiflowError, SourceError, UsageError
from sentiflow.files import digest_json, hide_secrets
from sentiflow.night.code import Code, describe_code
from sentiflow.night.endings import RULED
from sentiflow.night.lease import HeldLease
from sentiflow.night.request import NightRequest
from sentiflow.night.steps import Steps
from sentiflow.notices.moves import describe_move
from sentiflow.release.lineage import Lineage, describe_lineage
from sentiflow.release.state import Event, Kind, NewEvent, ReleaseState
from sentiflow.reporting.record import NightRecord, Outcome
from sentiflow.sample.reviews import SAMPLE_ROWS, SAMPLE_SEED, write_sample
from sentiflow.settings import (
    ScheduleSettings,
    Settings,
    load_settings,
    read_actor,
)

if TYPE_CHECKING:
    from sentiflow.release.alias import Reconciled
    from sentiflow.release.ledger import Ledger
    from sentiflow.release.registry import Registry
    from sentiflow.tracking import Run

logger = logging.getLogger(__name__)

# Settings that say where a night runs and how long it waits, not what comes out of it.
_NOT_IDENTITY: Final[dict[str, Any]] = {
    "tracking": True,
    "ledger": True,
    "serving": True,
    "lease": True,
    "schedule": True,
    "servers": True,
    "notices": True,
    "training": {"max_minutes"},
    "data": {"chunk_rows", "stall_seconds", "allowed_roots", "output_roots"},
}
_MOST_REASON: Final = 2_000


class Night:
    """Everything the stages of one night share."""

    def __init__(
        self,
        request: NightRequest,
        settings: Settings,
        lineage: Lineage,
        day: date,
        home: Path,
        run: Run,
        registry: Registry,
        ledger: Ledger,
        lease: HeldLease,
        actor: str | None = None,
    ) -> None:
        """Keep the parts; `open_night` makes nights."""
        self.request = request
        self.settings = settings
        self.home = home
        self.run = run
        self.registry = registry
        self.ledger = ledger
        self.lease = lease
        self.actor = actor or read_actor()
        self.clock = StepClock()
        self.code: Code = describe_code()
        self.steps = Steps(home, self.code.identity, ignore_stored=request.force)
        self.lineage = lineage
        self.date = day
        self.is_deciding = False
        # Committed, by this night or an earlier try at its version: so it stands.
        self.ruling: Event | None = None
        self.record = NightRecord(
            night=self.date.isoformat(), lineage=self.lineage.digest, model=self.lineage.name
        )

    @property
    def settings_digest(self) -> str:
        """SHA-256 over the settings that decide the result."""
        return digest_json(self.settings.model_dump(mode="json", exclude=_NOT_IDENTITY))

    def identify(self, fingerprint: str) -> str:
        """Return the identity of this night's result: lineage, night, rows, settings, code."""
        parts = [self.lineage.digest, self.date.isoformat(), fingerprint]
        return digest_json([*parts, self.settings_digest, self.code.identity])

    def note(self, **values: Any) -> None:
        """Write values into the night's record."""
        self.record = self.record.model_copy(update=values)

    def warn(self, sentence: str | None) -> None:
        """Add a warning to the night's record and log it; None is no warning."""
        if sentence:
            # The summary of the night ends with it: a terminal need not show it before, too.
            logger.warning("%s", sentence, extra={"is_recorded": True})
            self.note(warnings=[*self.record.warnings, sentence])

    def note_state(self, state: ReleaseState) -> None:
        """Write down who is champion, and warn once of a move outside that is undecided."""
        self.note(champion_version=state.champion)
        if state.moved is not None and self.record.moved_outside is None:
            moved = describe_move(state.moved)
            self.warn(moved)
            self.note(moved_outside=moved)

    def reconcile(self) -> Reconciled:
        """Let the alias follow the ledger, write down how the model stands, and return it.

        Raises:
            RegistryUnreachable, LedgerUnreachable: one of them did not answer.
            LedgerConflict: others kept writing the ledger.
        """
        from sentiflow.release.alias import reconcile

        reconciled = reconcile(self.registry, self.ledger, self.lineage.name, read_actor())
        self.note_state(reconciled.state)
        return reconciled

    def make_event(self, kind: Kind, reason: str, **values: Any) -> NewEvent:
        """Return an event of this night, to be written into the ledger."""
        details = {
            "night": self.date.isoformat(),
            "run_id": self.run.id,
            "run_path": self.run.path,
            "flow_run_id": self.record.prefect_flow_run_id,
            **values.pop("details", {}),
        }
        return NewEvent(
            kind=kind,
            actor=self.actor,
            reason=shorten_reason(reason),
            lineage=self.lineage.digest,
            details=details,
            **values,
        )

    def tell_ledger(self, sequence: int, kind: Kind, reason: str, **values: Any) -> Event:
        """Append an event of this night to the ledger, if it still stands at `sequence`.

        Raises:
            LedgerConflict: the ledger went on since.
            LedgerUnreachable: it does not answer.
        """
        event = self.make_event(kind, reason, **values)
        (written,) = self.ledger.append(self.lineage.name, sequence, [event])
        return written

    def end(self, outcome: Outcome, reasons: Sequence[str], exit_code: int) -> None:
        """Say what the night became."""
        self.note(outcome=outcome, reasons=list(reasons), exit_code=exit_code)

    def end_as_ruled(self, ruling: Event) -> None:
        """Say what the night became by the gate's ruling."""
        self.note(decision=ruling.decision, version=ruling.to_version)
        self.end(RULED[ruling.kind], ruling.details.get("reasons", [ruling.reason]), 0)


def choose_date(request: NightRequest, settings: Settings) -> date:
    """Return the logical date of a request: the one it names, or today in schedule.timezone.

    Raises:
        UsageError: it names a day that is still to come: such a night would hold back all others.
    """
    if request.as_of is None:
        return read_today(settings.schedule)
    check_past(request.as_of, settings.schedule, "A night's date (as_of)")
    return request.as_of


def name_night_asked(request: NightRequest) -> str:
    """Return the ISO date that a request asks for, whether or not it can be had."""
    if request.as_of is not None:
        return request.as_of.isoformat()
    try:
        return read_today(read_settings(request).schedule).isoformat()
    except SentiflowError:
        # Settings that are wrong name no time zone.
        return read_today(ScheduleSettings()).isoformat()


def describe_request_lineage(request: NightRequest, settings: Settings) -> Lineage:
    """Return the lineage of a request; without data it is the sample's."""
    return describe_lineage(settings, is_sample=not request.data)


def read_settings(request: NightRequest) -> Settings:
    """Return the settings a request asks for.

    Raises:
        UsageError: they are not allowed, or do not go together.
    """
    settings = load_settings(request.config, request.overrides, request.category)
    if settings.data.category is not None and not request.businesses:
        raise UsageError(
            "A category needs a businesses file to look it up in. Received: "
            f"data.category={settings.data.category!r} without --businesses. "
            "Add --businesses PATH."
        )
    if request.new_lineage and not request.reason:
        raise UsageError("--new-lineage needs a reason that is kept: add --reason …")
    if request.supersede and not request.reason:
        raise UsageError("--supersede needs a reason that is kept: add --reason …")
    return settings


def list_sources(request: NightRequest, home: Path) -> tuple[str, ...]:
    """Return the paths to read: the request's, or the embedded sample, written to the home."""
    if request.data:
        return request.data
    sample = home / "sample" / f"sample-{SAMPLE_ROWS}-{SAMPLE_SEED}.jsonl"
    sample.parent.mkdir(parents=True, exist_ok=True)
    write_sample(sample, SAMPLE_ROWS, SAMPLE_SEED)
    return (str(sample),)


def shorten_reason(reason: str) -> str:
    """Return a reason that fits into the ledger; the whole of it is in the night's record."""
    # No database stores a NUL or half a surrogate pair, which an error's text may quote.
    reason = reason.encode("utf-8", "replace").decode("utf-8").replace("\x00", " ")
    return reason if len(reason) <= _MOST_REASON else reason[: _MOST_REASON - 2] + " …"


def prefix_metrics(prefix: str, metrics: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the numbers among metrics under a prefix; MLflow groups its charts by it."""
    return {
        f"{prefix}/{name}": value
        for name, value in metrics.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def check_request(request: NightRequest, program: str = "sentiflow") -> None:
    """Make sure that a request can be run, before any server is started for it.

    Args:
        request: what is asked for.
        program: what a shell runs sentiflow by, for the command that an error offers.

    Raises:
        UsageError: a setting is wrong, the date is still to come, or a source is not there or
            lacks a column.
    """
    from sentiflow.data.reading.listing import list_source_files
    from sentiflow.data.reading.sources import check_columns

    settings = read_settings(request)
    choose_date(request, settings)
    if request.data:
        files = list_source_files(request.data, settings.data)
        try:
            check_columns(files, settings.data)
        except SourceError as error:
            words = " ".join(
                f"--data {shlex.quote(hide_secrets(source))}" for source in request.data
            )
            look = f"What is there, and what to set: {program} check {words}"
            error.detail = f"{error.detail} {look}" if error.detail else look
            raise
    if request.businesses:
        list_source_files([request.businesses], settings.data)
