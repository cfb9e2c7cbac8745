"""Open a night, and close it as what it became: recorded and told, however it ended."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sentiflow.cost import measure_peak_memory_mb
from sentiflow.disk import explain_full_disk
from sentiflow.errors import (
    DataRejected,
    GateNotEvaluated,
    LedgerConflict,
    NightRefused,
    SentiflowError,
    UnforeseenError,
    UsageError,
    describe_error,
    format_traceback,
)
from sentiflow.files import use_scratch
from sentiflow.markup import escape_markdown
from sentiflow.night.crashes import RULED, TellCrash, record_crash, select_ending
from sentiflow.night.interrupts import Ended, HeldInterrupts
from sentiflow.night.lease import hold_lease
from sentiflow.night.night import (
    Night,
    choose_date,
    describe_request_lineage,
    name_night_asked,
    not_evaluated,
    read_settings,
    shorten_reason,
)
from sentiflow.night.orphans import CloseFlowRuns, sweep
from sentiflow.night.refusals import refuse_unknown_champion
from sentiflow.night.request import NightRequest
from sentiflow.notices.moves import describe_move
from sentiflow.release.lineage import check_lineage
from sentiflow.release.state import Event, Kind, NewEvent
from sentiflow.reporting.record import NightRecord, explain_no_champion, keep_record
from sentiflow.retries import RetryPolicy
from sentiflow.settings import (
    describe_settings,
    flatten_settings,
    prepare_environment,
    read_actor,
    resolve_ledger_url,
    resolve_tracking_uri,
)

if TYPE_CHECKING:
    from sentiflow.release.ledger import Ledger

logger = logging.getLogger(__name__)

OnClose = Callable[[NightRecord], object]
_LEDGER_TRIES: Final = 5


@contextmanager
def open_night(
    request: NightRequest,
    home: Path,
    flow_run_id: str | None,
    on_close: OnClose | None = None,
    close_flow_runs: CloseFlowRuns | None = None,
    tell_crash: TellCrash | None = None,
    check_asked: Callable[[], object] | None = None,
    actor: str | None = None,
) -> Iterator[Night]:
    """Open a night under its lease, with its MLflow run; close all when the block ends.

    What dead nights left is swept up first.

    Args:
        request: what is asked for.
        home: SENTIFLOW_HOME.
        flow_run_id: Prefect's id of the flow run; names the night's record.
        on_close: called with the finished record, whatever the night became.
        close_flow_runs: ends flow runs whose processes are gone; see `sweep`.
        tell_crash: told the record of each night that was cut off before.
        check_asked: raises what forbids the request, before anything is done for it.
        actor: who started it, for the ledger; None: whoever runs this process.

    Yields:
        The night. An error ends it as rejected (DataRejected) or failed, with its record
        written, and is raised again.

    Raises:
        UsageError: the settings are wrong or differ from the lineage's.
        NightRefused: another night of the model is running.
        LedgerUnreachable, RegistryUnreachable: no lease, or no run, can be had.
    """
    with HeldInterrupts() as interrupts, ExitStack() as parts:
        try:
            prepare_environment(home)
            parts.enter_context(use_scratch(home))
            if check_asked:
                check_asked()
            night = _open(parts, request, home, flow_run_id, close_flow_runs, tell_crash, actor)
        except Exception as error:
            _close_unopened(request, home, flow_run_id, on_close, error, actor or read_actor())
            raise
        try:
            yield night
        except BaseException as error:
            if not _end(night, error):
                raise
        finally:
            interrupts.hold()
            _close(night, home, on_close)


def _open(
    parts: ExitStack,
    request: NightRequest,
    home: Path,
    flow_run_id: str | None,
    close_flow_runs: CloseFlowRuns | None,
    tell_crash: TellCrash | None,
    actor: str | None,
) -> Night:
    """Take the lease, sweep, settle, and open the MLflow run; `parts` closes them again."""
    from sentiflow.release.alias import reconcile
    from sentiflow.release.leases import name_night
    from sentiflow.release.ledger import Ledger
    from sentiflow.release.registry import Registry
    from sentiflow.tracking import track_run

    settings = read_settings(request)
    lineage = describe_request_lineage(request, settings)
    # Once: midnight may come while the night waits for MLflow.
    request = request.model_copy(update={"as_of": choose_date(request, settings)})
    date = name_night_asked(request)
    ledger_url = resolve_ledger_url(settings.ledger, home)
    ledger = Ledger(ledger_url)
    details = {"night": date, "flow_run_id": flow_run_id}
    try:
        lease = parts.enter_context(
            hold_lease(ledger_url, name_night(lineage.name), read_actor(), settings.lease, details)
        )
    except NightRefused as error:
        refused = NewEvent(
            kind="refused",
            actor=actor or read_actor(),
            reason=shorten_reason(str(error)),
            lineage=lineage.digest,
            details={"night": date},
        )
        _tell_refusal(ledger, lineage.name, refused)
        raise
    # Before anything else is asked: it may be what is away.
    record_crash(home, ledger, lease.dead, tell_crash)
    uri = resolve_tracking_uri(settings.tracking, home)
    patience = RetryPolicy(settings.tracking.patience_seconds)
    registry = Registry(uri, patience)
    # What a crash left between ledger and alias is mended before anything is compared.
    reconciled = reconcile(
        registry, ledger, lineage.name, read_actor(), may_begin_anew=request.supersede
    )
    if not request.new_lineage:
        check_lineage(lineage, registry.read_model_tags(lineage.name))
        if not request.supersede:
            events = ledger.read(lineage.name)
            refuse_unknown_champion(registry, lineage.name, lineage.digest, events)
    # After the registry was waited for: a sweep asks MLflow once.
    swept = sweep(home, settings, close_flow_runs, lease, tell_crash)
    tags = {
        **lineage.as_tags(),
        "sentiflow.model": lineage.name,
        "sentiflow.night": date,
        "sentiflow.prefect_flow_run_id": flow_run_id or "",
    }
    artifacts = home / "mlartifacts" if uri.startswith("sqlite") else None
    name = f"{lineage.name} {date}"
    run = parts.enter_context(
        track_run(uri, settings.tracking.experiment, artifacts, name, tags, patience)
    )
    lease.note(run_id=run.id, run_path=run.path)
    night = Night(request, settings, home, run, registry, ledger, lease, actor)
    # As it stands, not as it was noticed: every night says so until it is settled.
    moved = describe_move(reconciled.state.moved) if reconciled.state.moved else None
    night.warn(moved)
    night.note(
        moved_outside=moved,
        mlflow_run_id=run.id,
        mlflow_run_path=run.path,
        prefect_flow_run_id=flow_run_id,
        champion_version=reconciled.state.champion,
        swept=swept,
    )
    logger.info("night %s of %s, MLflow run %s", night.date, lineage.name, run.id)
    run.log_parameters(flatten_settings(describe_settings(settings)))
    return night


def _close_unopened(
    request: NightRequest,
    home: Path,
    flow_run_id: str | None,
    on_close: OnClose | None,
    error: Exception,
    actor: str,
) -> None:
    """Record and tell a night that never opened: nobody else would say so."""
    record = NightRecord(
        night=name_night_asked(request),
        reasons=[*filter(None, [explain_full_disk(home)]), describe_error(error)],
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
            _attempt("That the night failed is not in the ledger", told)
    if flow_run_id is not None:
        keep_record(home, flow_run_id, record)
    if on_close:
        on_close(record)


def _tell_unopened(request: NightRequest, home: Path, record: NightRecord, actor: str) -> None:
    """Write a night that never opened into the ledger, where that can be had."""
    from sentiflow.release.ledger import Ledger

    event = NewEvent(
        kind="failed",
        actor=actor,
        reason=shorten_reason(" ".join(record.reasons)),
        lineage=record.lineage,
        details={"night": record.night, "flow_run_id": record.prefect_flow_run_id},
    )

    def append() -> object:
        ledger = Ledger(resolve_ledger_url(read_settings(request).ledger, home))
        return ledger.append(str(record.model), len(ledger.read(str(record.model))), [event])

    if failure := _insist(append):
        logger.warning("That the night failed is not in the ledger: %s", failure)


def _end(night: Night, error: BaseException) -> bool:
    """Say what a night became that an error ended; return whether the error is to go no further."""
    if _keep_ruling(night, error):
        # A run that is cancelled must end so; who pressed Ctrl-C hears the outcome.
        return isinstance(error, Exception | KeyboardInterrupt)
    if isinstance(error, DataRejected):
        night.end("rejected", error.reasons, error.exit_code)
        _tell_ending(night, "rejected", str(error))
    elif isinstance(error, SentiflowError) and not isinstance(error, UnforeseenError):
        night.end("failed", [str(error)], error.exit_code)
        _tell_ending(night, "failed", str(error))
    elif isinstance(error, Exception):
        _end_unexpectedly(night, error)
    else:
        # Somebody ended it: Ctrl-C, or a cancellation that Prefect turned into a signal.
        by = error.signal_name if isinstance(error, Ended) else type(error).__name__
        reason = f"The night was ended from outside ({by})."
        night.end("failed", [reason], 1)
        _tell_ending(night, "failed", reason)
    return False


def _end_unexpectedly(night: Night, error: Exception) -> None:
    """Say what a night became that something unforeseen ended, here or in a task of the flow."""
    # Of a full disk every frame would be another one's: the sentence says all.
    logger.error(
        "the night ended unexpectedly\n%s",
        explain_full_disk(night.home) or format_traceback(error),
    )
    reason = str(error if isinstance(error, SentiflowError) else UnforeseenError.of(error))
    if night.is_deciding:
        # Whatever it was, the gate gave no ruling: that is its own outcome.
        ending = not_evaluated([reason])
        night.end("failed", [str(ending)], ending.exit_code)
        _tell_ending(night, "not_evaluated", str(ending))
    else:
        night.end("failed", [reason], 1)
        _tell_ending(night, "failed", reason)


def _keep_ruling(night: Night, error: BaseException) -> bool:
    """End a night as its ruling says, if the ledger has one: it stands, whatever came then."""
    from sentiflow.release.alias import reconcile

    ruling = night.ruling or _find_ruling(night)
    if ruling is None:
        return False
    night.note(decision=ruling.decision, version=ruling.to_version)
    night.end(RULED[ruling.kind], ruling.details.get("reasons", [ruling.reason]), 0)
    night.run.is_done = True
    night.warn(_describe_late_ending(error))
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


def _describe_late_ending(error: BaseException) -> str:
    if not isinstance(error, Exception):
        return "It was to be ended from outside after the ruling, which stands."
    if not isinstance(error, SentiflowError):
        logger.error("the night met something unexpected\n%s", format_traceback(error))
    return f"It broke after the ruling, which stands: {describe_error(error)}"


def _find_ruling(night: Night) -> Event | None:
    """Return what the ledger has the gate rule this night; None also where it does not answer."""
    try:
        ending = select_ending(night.ledger.read(night.lineage.name), night.run.id)
    except SentiflowError:
        # What the ledger has is told by whoever sweeps next.
        return None
    return ending if ending is not None and ending.kind in RULED else None


def _close(night: Night, home: Path, on_close: OnClose | None) -> None:
    """Write down what the night became and have it told, whatever of it fails."""
    full_disk = explain_full_disk(home)
    if full_disk and night.record.outcome == "failed":
        night.note(reasons=[full_disk, *night.record.reasons])
    night.note(no_champion=explain_no_champion(night.record))
    _attempt("What the night took is not known", lambda: _note_spent(night))
    key = night.record.prefect_flow_run_id or night.run.id
    night.warn(keep_record(home, key, night.record))
    _attempt("The night's record is not in MLflow", lambda: _log_record(night))
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


def _attempt(failure: str, act: Callable[[], object]) -> None:
    """Do what must not keep anybody from hearing of the night; that it failed is a warning."""
    try:
        act()
    except Exception as error:
        # A full disk or a refusal comes as the error of whichever package wrote there.
        logger.warning("%s: %s", failure, describe_error(error))


def _tell_refusal(ledger: Ledger, model: str, event: NewEvent) -> None:
    failure = _insist(lambda: ledger.append(model, len(ledger.read(model)), [event]))
    if failure:
        logger.warning("The refusal is not in the ledger: %s", failure)


def _tell_ending(night: Night, kind: Kind, reason: str) -> None:
    """Write how a night ended into the ledger, once; that it cannot be is only a warning."""

    def tell() -> object:
        events = night.ledger.read(night.lineage.name)
        if select_ending(events, night.run.id) is not None:
            # What was ruled stands, whatever failed after it.
            return None
        return night.tell_ledger(len(events), kind, reason, to_version=night.record.version)

    night.warn(_insist(tell))


def _insist(append: Callable[[], object]) -> str | None:
    """Append to the ledger, again where others wrote meanwhile; returns why it failed, or None."""
    failure = None
    for _ in range(_LEDGER_TRIES):
        try:
            append()
        except LedgerConflict as error:
            failure = str(error)
            continue
        except GateNotEvaluated as error:
            return str(error)
        return None
    return failure


def _log_record(night: Night) -> None:
    record = night.record
    night.run.set_tags(
        {
            "sentiflow.outcome": record.outcome,
            "sentiflow.fingerprint": record.fingerprint or "",
            "mlflow.note.content": "  \n".join(map(escape_markdown, record.reasons))
            or record.outcome,
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
