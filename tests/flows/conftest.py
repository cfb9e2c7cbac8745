"""Runs on the test session's own Prefect server."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL


@pytest.fixture
def client(prefect_server: None) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as opened:
        yield opened


@pytest.fixture
def start(client: SyncPrefectClient) -> Iterator[Callable[..., FlowRun]]:
    """Make a run of a flow of the test's own, or of the one that is named, in a state."""
    own = f"retrain-{uuid.uuid4().hex[:8]}"
    made: list[FlowRun] = []

    def make(state: Any, name: str = own, **more: Any) -> FlowRun:
        named = flow(name=name)(lambda: None)
        made.append(client.create_flow_run(named, state=state, **more))
        return made[-1]

    yield make
    # The server is the whole session's: other tests ask it what runs.
    for run in made:
        client.delete_flow_run(run.id)


@pytest.fixture
def rewrite(prefect_server: None) -> Callable[..., None]:
    """Change what only the server itself can say of a run, in its database."""
    address = str(PREFECT_API_DATABASE_CONNECTION_URL.value())
    database = address.rpartition("sqlite+aiosqlite:///")[2]

    def change(run: FlowRun, **columns: Any) -> None:
        names = ", ".join(f"{name} = ?" for name in columns)
        with sqlite3.connect(database) as connection:
            connection.execute(
                f"UPDATE flow_run SET {names} WHERE id = ?", [*columns.values(), str(run.id)]
            )

    return change
