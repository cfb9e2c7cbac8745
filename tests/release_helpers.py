"""What nights, persons and MLflow's page do around a context (the fixture `open_own_context`)."""

from __future__ import annotations

from typing import Any

from mlflow import MlflowClient

from sentiflow.commands.context import ReleaseContext
from sentiflow.release.registry import CHAMPION
from sentiflow.release.state import Kind, NewEvent


def client_of(context: ReleaseContext) -> MlflowClient:
    return MlflowClient(context.registry.uri, context.registry.uri)


def register(context: ReleaseContext, run: str | None = None) -> int:
    """Register a version without an artifact; returns its number."""
    client = client_of(context)
    if not context.registry.query_versions(context.model, {}):
        client.create_registered_model(context.model, tags={"sentiflow.lineage": "abc"})
    return int(
        client.create_model_version(context.model, f"file://{context.home}/model", run).version
    )


def start_run(context: ReleaseContext) -> str:
    client = client_of(context)
    found = client.get_experiment_by_name("desks")
    experiment = found.experiment_id if found else client.create_experiment("desks")
    return str(client.create_run(experiment).info.run_id)


def write(context: ReleaseContext, kind: Kind, number: int | None, **more: Any) -> None:
    """Write an event at the end of the ledger."""
    event = NewEvent(kind=kind, to_version=number, **{"actor": "night", "reason": "Why.", **more})
    context.ledger.append(context.model, len(context.ledger.read(context.model)), [event])


def list_kinds(context: ReleaseContext) -> list[str]:
    return [event.kind for event in context.ledger.read(context.model)]


def look_up_alias(context: ReleaseContext) -> int | None:
    found = context.registry.look_up_alias(context.model, CHAMPION)
    return found and found.number


def point_by_hand(context: ReleaseContext, number: int) -> None:
    client_of(context).set_registered_model_alias(context.model, CHAMPION, str(number))
