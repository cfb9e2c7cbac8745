"""Keep Prefect's runs in order: maintenance, the end of dead runs, one night for many missed."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

import httpx
from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.exceptions import PrefectException
from prefect.settings import get_current_settings
from prefect.states import Cancelled, Crashed
from pydantic import Field

from flows.allowed_files import check_run
from flows.faults import hide_foreign_words
from flows.late_nights import tell_late
from flows.notices import send, tell_crash
from flows.runs import look_up_run, read_runs
from sentiflow.markup import escape_markdown
from sentiflow.night.orphans import sweep
from sentiflow.night.request import NightRequest
from sentiflow.notices.moves import notice_moves
from sentiflow.release.open_home import open_home
from sentiflow.settings import is_own_prefect, prepare_environment, read_home

logger = logging.getLogger(__name__)

# Of such a run the sweep that closed it has told.
CLOSED_MESSAGE: Final = "Its process is gone; sentiflow closed it."
# Between a night's start and its lease lie the imports and one question to Prefect: seconds.
_MOST_OPENING: Final = timedelta(minutes=5)
_SILENT: Final = (httpx.HTTPError, PrefectException, OSError, RuntimeError)


@flow(name="maintenance", log_prints=False, persist_result=False)
@hide_foreign_words
def maintenance(
    config: str | None = Field(None, description="A preset's name or a TOML file."),
    overrides: tuple[str, ...] = Field((), description="group.key=value, later ones win."),
) -> list[str]:
    """Tell of late nights and moved champions, close what dead nights left; say what was done."""
    home = read_home()
    prepare_environment(home)
    check_run(config)
    context = open_home(config, overrides, home)
    settings = context.settings
    # First, because the sweep needs MLflow and the ledger, which may be what is down.
    done = tell_late(settings)
    done += notice_moves(context, send)
    tell = partial(tell_crash, NightRequest(config=config, overrides=overrides))
    done += sweep(home, settings, close_flow_runs, tell_crash=tell)
    create_markdown_artifact(
        key="maintenance",
        markdown="\n".join(f"- {escape_markdown(sentence)}" for sentence in done)
        or "Nothing was to be done.",
        description=f"{len(done)} things done",
    )
    return done


def close_flow_runs(ids: Sequence[str], living: Sequence[str] = ()) -> list[str]:
    """End runs of dead processes as Crashed, and return the ids of those that were ended.

    A run that is unknown, or final already, is left alone. An API that does not answer ends
    nothing and raises nothing: whoever sweeps next tries again.

    Args:
        ids: runs that are known to be dead.
        living: runs of nights that live. Without a server of its own Prefect's database is the
            home's, and so are all nights in it: those that neither live nor have just begun
            are dead too. On a server they may be other people's; there heartbeats tell.
    """
    closed: list[str] = []
    with _forgiving("close runs"), get_client(sync_client=True) as client:
        dead = [*ids]
        if is_own_prefect() or get_current_settings().api.url is None:
            nights = read_runs(client, "retrain", [StateType.RUNNING])
            started = [(str(run.id), run.start_time) for run in nights]
            dead += query_lost(started, living, datetime.now(UTC))
        for id_ in dead:
            run = look_up_run(client, id_)
            if run is None or (run.state is not None and run.state.is_final()):
                continue
            ending: Any = Crashed(message=CLOSED_MESSAGE)
            client.set_flow_run_state(run.id, ending, force=True)
            closed.append(id_)
    return closed


def query_lost(
    running: Sequence[tuple[str, datetime | None]], living: Sequence[str], now: datetime
) -> list[str]:
    """Return the running nights that hold no lease, though they had the time to take one.

    Args:
        running: id and start of each.
        living: ids of those that hold a lease.
        now: the time, with a zone.
    """
    return [
        id_
        for id_, started in running
        if id_ not in living and started is not None and now - started > _MOST_OPENING
    ]


def list_unfinished(flow_name: str) -> list[str]:
    """Return the ids of the runs of a flow that run now, or should already."""
    states = [StateType.RUNNING, StateType.PENDING, StateType.SCHEDULED]
    now = datetime.now(UTC)
    with get_client(sync_client=True) as client:
        return [
            str(run.id)
            for run in read_runs(client, flow_name, states)
            if run.expected_start_time is None or run.expected_start_time <= now
        ]


def collapse_missed(flow_run_id: str | None) -> list[str]:
    """Cancel what the schedule of this run's deployment still has waiting from the past.

    Nights that were missed while nothing ran become one: the one that runs now. Runs that a
    person asked for, and those of the future, are left alone; so is everything when the run
    belongs to no deployment or the API does not answer.

    Returns:
        The ids of the runs that were cancelled.
    """
    cancelled: list[str] = []
    if flow_run_id is None:
        return cancelled
    with _forgiving("collapse missed nights"), get_client(sync_client=True) as client:
        this = look_up_run(client, flow_run_id)
        if this is None or this.deployment_id is None:
            return cancelled
        now = datetime.now(UTC)
        for run in read_runs(client, None, [StateType.SCHEDULED], this.deployment_id):
            is_missed = run.expected_start_time is not None and run.expected_start_time <= now
            if run.id != this.id and run.auto_scheduled and run.start_time is None and is_missed:
                ending: Any = Cancelled(message=f"Missed; run {this.name} catches up for it.")
                client.set_flow_run_state(run.id, ending)
                cancelled.append(str(run.id))
    return cancelled


@contextmanager
def _forgiving(what: str) -> Iterator[None]:
    try:
        yield
    except _SILENT as error:
        logger.warning("Prefect did not answer, so it could not %s: %s", what, type(error).__name__)
