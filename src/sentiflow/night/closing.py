"""Say what a night became, however it ended: recorded, in the ledger, and told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from sentiflow.cost import measure_peak_memory_mb
from sentiflow.disk import explain_full_disk, tells_full_disk
from sentiflow.errors import (
    DataRejected,
    GateNotEvaluated,
    LeaseLost,
    LedgerConflict,
    LedgerUnreachable,
    NightRefused,
    RegistryUnreachable,
    SentiflowError,
    UnforeseenError,
    UsageError,
    describe_error,
)
from sentiflow.night.endings import OUTCOMES, RULED, select_ending
from sentiflow.night.interrupts import Ended
from sentiflow.night.night import (
    Night,
    describe_request_lineage,
    name_night_asked,
    read_settings,
    shorten_reason,
)
from sentiflow.night.request import NightRequest
from sentiflow.release.state import Event, Kind, NewEvent
from sentiflow.reporting.record import NightRecord, explain_no_champion, keep_record
from sentiflow.reporting.summary import format_run_note
from sentiflow.settings import read_actor, resolve_ledger_url
from sentiflow.tracebacks import tell_origin

logger = logging.getLogger(__name__)

OnClose = Callable[[NightRecord], object]

# Of these it was not the gate that could not rule: somebody was away, or faster.
_NOT_THE_GATE: Final = (RegistryUnreachable, LedgerUnreachable, LedgerConflict, LeaseLost)


def close_unopened(
    request: NightRequest,
    home: Path,
    flow_run_id: str | None,
    on_close: OnClose | None,
    error: Exception,
    actor: str,
) -> None:
    """Record and tell a night that never opened: nobody else would say so.

    Args:
        request: what was asked for.
        home: SENTIFLOW_HOME.
        flow_run_id: Prefect's id of the flow run; names the night's record.
        on_close: called with the record.
        error: why it did not open.
        actor: who started it.
    """
    record = NightRecord(
        night=name_night_asked(request),
        reasons=_list_reasons(error, home),
        prefect_flow_run_id=flow_run_id,
        refused=isinstance(error, NightRefused),
        refused_by_night=error.night if isinstance(error, NightRefused) else None,
        exit_code=error.exit_code if isinstance(error, SentiflowError) else 1,
    )
    try:
        lineage = describe_request_lineage(request, read_settings(request))
    except SentiflowError:
        logger.debug("no lineage: the settings themselves are wrong")
    else:
        record = record.model_copy(update={"model": lineage.name, "lineage": lineage.digest})
        # A mistake in the call is no night, and a refusal is in the ledger already.
        if not isinstance(error, UsageError | NightRefused):
            told = partial(_tell_unopened, request, home, record, actor)
            attempt("That the night failed is not in the ledger", told)
    if flow_run_id is not None:
        keep_record(home, flow_run_id, record)
    if on_close:
        on_close(record)


def _list_reasons(error: Exception, home: Path) -> list[str]:
    full_disk = explain_full_disk(home)
    # What nobody foresaw on a full disk has that cause, and is nothing to report.
    own = [] if full_disk and _is_unforeseen(error) else [describe_error(error)]
    return [*filter(None, [full_disk]), *own]


def _tell_unopened(request: NightRequest, home: Path, record: NightRecord, actor: str) -> None:
    """Write a night that never opened into the ledger."""
    from sentiflow.release.ledger import Ledger

    event = NewEvent(
        kind="failed",
        actor=actor,
        reason=shorten_reason(" ".join(record.reasons)),
        lineage=record.lineage,
        details={"night": record.night, "flow_run_id": record.prefect_flow_run_id},
    )
    ledger = Ledger(resolve_ledger_url(read_settings(request).ledger, home))
    ledger.append_decided(str(record.model), lambda _: [event])


def end_by_error(night: Night, error: BaseException) -> bool:
    """Say what a night became that an error ended; return whether the error is to go no further."""
    if _keep_ruling(night, error):
        # A run that is cancelled must end so; who pressed Ctrl-C hears the outcome.
        return isinstance(error, Exception | KeyboardInterrupt)
    kind, reason, exit_code = _explain_ending(error, is_deciding=night.is_deciding)
    if _is_unforeseen(error):
        full_disk = explain_full_disk(night.home)
        if full_disk:
            # Every frame would be another one's: the sentence says all.
            reason = full_disk
        else:
            origin = tell_origin(error, night.home)
            logger.error("the night ended unexpectedly; %s", origin)
    reasons = error.reasons if isinstance(error, DataRejected) else [reason]
    night.end(OUTCOMES[kind], reasons, exit_code)
    _tell_ending(night, kind, reason)
    if kind == "not_evaluated":
        attempt("MLflow does not show yet what became of the version", night.reconcile)
    return False


def _is_unforeseen(error: BaseException) -> bool:
    """Return whether nobody foresaw an error, here or in a task of the flow."""
    is_foreseen = isinstance(error, SentiflowError) and not isinstance(error, UnforeseenError)
    return isinstance(error, Exception) and not is_foreseen


def _explain_ending(error: BaseException, *, is_deciding: bool) -> tuple[Kind, str, int]:
    """Return what the ledger calls a night that an error ended, why, and the exit code."""
    if isinstance(error, DataRejected):
        return "rejected", str(error), error.exit_code
    if not isinstance(error, Exception):
        # Somebody ended it: Ctrl-C, or a cancellation that Prefect turned into a signal.
        by = error.signal_name if isinstance(error, Ended) else type(error).__name__
        return "failed", f"The night was ended from outside ({by}).", 1
    known = error if isinstance(error, SentiflowError) else UnforeseenError.of(error)
    if is_deciding and not isinstance(known, _NOT_THE_GATE):
        # Whatever it was, the gate gave no ruling: that is its own outcome.
        return "not_evaluated", f"{known} The champion is kept.", GateNotEvaluated.exit_code
    return "failed", str(known), known.exit_code


def _keep_ruling(night: Night, error: BaseException) -> bool:
    """End a night as its ruling says, if the ledger has one: it stands, whatever came then."""
    from sentiflow.release.alias import reconcile

    ruling = night.ruling or _find_ruling(night)
    if ruling is None:
        return False
    night.end_as_ruled(ruling)
    night.run.is_done = True
    night.warn(_describe_late_ending(error, night.home))
    try:
        state = reconcile(night.registry, night.ledger, night.lineage.name, read_actor()).state
        night.note(champion_version=state.champion)
        night.run.set_tags({"sentiflow.decision": night.record.outcome})
    except SentiflowError as failure:
        if night.record.outcome == "promoted":
            night.note(champion_version=ruling.to_version)
        # The next night and maintenance let alias and tags follow.
        night.warn(f"MLflow does not show the ruling yet: {failure}")
    return True


def _describe_late_ending(error: BaseException, home: Path) -> str:
    if not isinstance(error, Exception):
        return "It was to be ended from outside after the ruling, which stands."
    if not isinstance(error, SentiflowError):
        logger.error("the night met something unexpected; %s", tell_origin(error, home))
    return f"It broke after the ruling, which stands: {describe_error(error)}"


def _find_ruling(night: Night) -> Event | None:
    """Return what the ledger has the gate rule this night; None also where it does not answer."""
    try:
        ending = select_ending(night.ledger.read(night.lineage.name), night.run.id)
    except SentiflowError:
        # What the ledger has is told by whoever sweeps next.
        return None
    return ending if ending is not None and ending.kind in RULED else None


def _tell_ending(night: Night, kind: Kind, reason: str) -> None:
    """Write how a night ended into the ledger, once; that it cannot be is only a warning."""
    about: dict[str, object] = {"to_version": night.record.version}
    if kind == "not_evaluated":
        about |= {
            "from_version": night.record.champion_version,
            "decision": night.record.decision,
        }

    def choose(events: Sequence[Event]) -> list[NewEvent]:
        # What was ruled stands, whatever failed after it.
        is_told = select_ending(events, night.run.id) is not None
        return [] if is_told else [night.make_event(kind, reason, **about)]

    try:
        night.ledger.append_decided(night.lineage.name, choose)
    except GateNotEvaluated as error:
        night.warn(str(error))


def close_night(night: Night, on_close: OnClose | None) -> None:
    """Write down what the night became and have it told, whatever of it fails."""
    full_disk = explain_full_disk(night.home)
    is_told = any(tells_full_disk(reason, night.home) for reason in night.record.reasons)
    if full_disk and night.record.outcome == "failed" and not is_told:
        night.note(reasons=[full_disk, *night.record.reasons])
    night.note(no_champion=explain_no_champion(night.record))
    attempt("What the night took is not known", lambda: _note_spent(night))
    key = night.record.prefect_flow_run_id or night.run.id
    night.warn(keep_record(night.home, key, night.record))
    attempt("The night's record is not in MLflow", lambda: _log_record(night))
    if on_close:
        on_close(night.record)


def _note_spent(night: Night) -> None:
    night.note(
        seconds=night.clock.read(),
        cpu_seconds=night.clock.read_cpu(),
        bytes_written=night.clock.read_bytes_written(),
        peak_memory_mb=round(measure_peak_memory_mb(), 1),
        reused_steps=list(night.steps.reused),
    )


def _log_record(night: Night) -> None:
    record = night.record
    night.run.set_tags(
        {
            "sentiflow.outcome": record.outcome,
            "sentiflow.fingerprint": record.fingerprint or "",
            "mlflow.note.content": format_run_note(record),
        }
    )
    night.run.log_metrics(
        {
            **{f"seconds/{step}": value for step, value in record.seconds.items()},
            **{f"cpu_seconds/{step}": value for step, value in record.cpu_seconds.items()},
            "peak_memory_mb": record.peak_memory_mb,
            "bytes_written": record.bytes_written,
        }
    )
    night.run.log_json(record.model_dump(mode="json"), "night.json")


def attempt(failure: str, act: Callable[[], object]) -> None:
    """Do what must not keep anybody from hearing of the night; that it failed is a warning."""
    try:
        act()
    except Exception as error:
        # A full disk or a refusal comes as the error of whichever package wrote there.
        logger.warning("%s: %s", failure, describe_error(error))
