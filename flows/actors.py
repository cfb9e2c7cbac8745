"""Say who started a run, for the ledger, where Prefect or the person at its form says it."""

from __future__ import annotations

import logging
from typing import Final

import httpx
from prefect import runtime
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import PrefectException

from flows.runs import look_up_run
from sentiflow.settings import read_actor

logger = logging.getLogger(__name__)

SCHEDULE: Final = "schedule"
_LONGEST: Final = 150
_SILENT: Final = (httpx.HTTPError, PrefectException, OSError, RuntimeError)


def look_up_starter(named: str = "") -> str:
    """Return who started this run.

    A run that belongs to no deployment was started on a command line, by whoever works there.

    Args:
        named: what the person at the form said; Prefect's own knowledge comes before it.
    """
    run_id = runtime.flow_run.id
    if run_id is None or runtime.deployment.id is None:
        return name_starter(None, named, read_actor())
    try:
        with get_client(sync_client=True) as client:
            run = look_up_run(client, str(run_id))
    except _SILENT as error:
        # Who it was must not keep anybody from rolling back.
        logger.warning("Prefect did not say who started the run: %s", type(error).__name__)
        run = None
    return name_starter(run, named, read_actor())


def name_starter(run: FlowRun | None, named: str, actor: str) -> str:
    """Return the actor for the ledger.

    Args:
        run: the run of a deployment; None where it is of none, or Prefect does not answer.
        named: what the person at the form said; empty when nothing.
        actor: who runs this process: its user and machine.
    """
    named = " ".join(named.split())[:_LONGEST]
    creator = run.created_by if run is not None else None
    if run is not None and (run.auto_scheduled or (creator and creator.type == "SCHEDULE")):
        return SCHEDULE
    if creator is not None and creator.display_value:
        kind = "" if creator.type in (None, "USER") else f"{str(creator.type).lower()} "
        return f"{kind}{creator.display_value[:_LONGEST]}"
    if named:
        # Said at a form by whoever could open it: nobody has checked it.
        return f"{named} (by their own word)"
    return actor if run is None else f"{actor}, for Prefect's run {run.name[:40]}"[:200]
