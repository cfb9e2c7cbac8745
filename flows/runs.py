"""Ask Prefect's server for runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowFilter, FlowRunFilter
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound

_PAGE: Final = 200


def read_runs(
    client: SyncPrefectClient,
    flow_name: str | None,
    states: Sequence[StateType],
    deployment_id: UUID | None = None,
    ended_after: datetime | None = None,
) -> list[FlowRun]:
    """Return the runs in some states, the one that was due first before the others.

    Args:
        client: Prefect's server.
        flow_name: of this flow only; None for any.
        states: types of their states.
        deployment_id: of this deployment only, if given.
        ended_after: only those that ended after it, if given.
    """
    chosen: dict[str, Any] = {"state": {"type": {"any_": list(states)}}}
    if ended_after is not None:
        chosen["end_time"] = {"after_": ended_after}
    if deployment_id is not None:
        chosen["deployment_id"] = {"any_": [deployment_id]}
    flows = FlowFilter.model_validate({"name": {"any_": [flow_name]}}) if flow_name else None
    found: list[FlowRun] = []
    while True:
        page = client.read_flow_runs(
            flow_filter=flows,
            flow_run_filter=FlowRunFilter.model_validate(chosen),
            sort=FlowRunSort.EXPECTED_START_TIME_ASC,
            limit=_PAGE,
            offset=len(found),
        )
        found += page
        if len(page) < _PAGE:
            # All pages first: what is done to a run must not move the next page.
            return found


def look_up_run(client: SyncPrefectClient, id_: str) -> FlowRun | None:
    """Return the run with this id; None when there is none, or it is no id at all."""
    try:
        return client.read_flow_run(UUID(id_))
    except (ObjectNotFound, ValueError):
        return None
