"""Tell of nights that did not start: they leave no record, so nobody else would."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, StateType

from flows.notices import resolve_prefect_url, send
from flows.runs import read_runs
from sentiflow.notices.lateness import (
    DisplacedRun,
    HoldingRun,
    WaitingRun,
    select_displaced,
    select_late,
)
from sentiflow.notices.messages import compose_late
from sentiflow.settings import Settings

# A tag on the run itself, so that whichever machine looks next knows it.
TOLD_TAG: Final = "told-late"
# Prefect has two such messages: at a night's start, and when its place was lost meanwhile.
_DISPLACED: Final = "Deployment concurrency "
_REMEMBERED: Final = timedelta(days=1)
_AT_WORK: Final = (StateType.PENDING, StateType.RUNNING, StateType.CANCELLING)
_FINAL: Final = (StateType.COMPLETED, StateType.FAILED, StateType.CRASHED, StateType.CANCELLED)


def tell_late(settings: Settings) -> list[str]:
    """Send a notice for every night that did not start in time, once; return the reasons."""
    now = datetime.now(UTC)
    with get_client(sync_client=True) as client:
        waiting = [
            run
            for run in read_runs(client, "retrain", [StateType.SCHEDULED, StateType.PENDING])
            if run.start_time is None and TOLD_TAG not in run.tags
        ]
        ended = read_runs(client, "retrain", _FINAL, ended_after=now - _REMEMBERED)
        displaced = [
            run
            for run in ended
            if _is_displaced(run) and run.auto_scheduled and TOLD_TAG not in run.tags
        ]
        at_work = read_runs(client, "retrain", _AT_WORK) if displaced else []
        late = (
            *select_late([_describe(run) for run in waiting], now, settings.schedule.late_minutes),
            *select_displaced(
                [_describe_displaced(run) for run in displaced],
                [_describe_holding(run) for run in (*ended, *at_work) if _held_place(run)],
                now,
            ),
        )
        if not late:
            return []
        server = resolve_prefect_url()
        notices = [compose_late(found.reason, found.run.id, settings, server) for found in late]
        if send(notices, settings.notices):
            # What did not go out is told again next time.
            return [found.reason for found in late]
        tags = {str(run.id): run.tags for run in (*waiting, *displaced)}
        for found in late:
            client.update_flow_run(UUID(found.run.id), tags=[*tags[found.run.id], TOLD_TAG])
    return [found.reason for found in late]


def _describe(run: FlowRun) -> WaitingRun:
    state = run.state.name if run.state is not None and run.state.name else "Scheduled"
    expected = run.expected_start_time or run.created or datetime.now(UTC)
    return WaitingRun(str(run.id), run.name, state, expected)


def _is_displaced(run: FlowRun) -> bool:
    state = run.state
    if state is None or state.type != StateType.CANCELLED:
        return False
    return (state.message or "").startswith(_DISPLACED)


def _describe_displaced(run: FlowRun) -> DisplacedRun:
    cancelled = run.end_time or datetime.now(UTC)
    return DisplacedRun(_describe(run), str(run.deployment_id), cancelled)


def _held_place(run: FlowRun) -> bool:
    # Prefect writes the end as the start too of a run that ended before it started.
    return run.start_time is None or run.start_time != run.end_time


def _describe_holding(run: FlowRun) -> HoldingRun:
    since = run.start_time or (run.state.timestamp if run.state else datetime.now(UTC))
    return HoldingRun(run.name, str(run.deployment_id), since, run.end_time, run.auto_scheduled)
