"""What nights, persons and MLflow's page do around a desk (the fixture `open_own_desk`)."""

from __future__ import annotations

from typing import Any

from mlflow import MlflowClient

from sentiflow.commands.releases import Desk
from sentiflow.release.registry import CHAMPION
from sentiflow.release.state import Kind, NewEvent


def client_of(desk: Desk) -> MlflowClient:
    return MlflowClient(desk.registry.uri, desk.registry.uri)


def register(desk: Desk, run: str | None = None) -> int:
    """Register a version without an artifact; returns its number."""
    client = client_of(desk)
    if not desk.registry.find_versions(desk.model, {}):
        client.create_registered_model(desk.model, tags={"sentiflow.lineage": "abc"})
    return int(client.create_model_version(desk.model, f"file://{desk.home}/model", run).version)


def start_run(desk: Desk) -> str:
    client = client_of(desk)
    found = client.get_experiment_by_name("desks")
    experiment = found.experiment_id if found else client.create_experiment("desks")
    return str(client.create_run(experiment).info.run_id)


def write(desk: Desk, kind: Kind, number: int | None, **more: Any) -> None:
    """Write an event at the end of the ledger."""
    event = NewEvent(kind=kind, to_version=number, **{"actor": "night", "reason": "Why.", **more})
    desk.ledger.append(desk.model, len(desk.ledger.read(desk.model)), [event])


def list_kinds(desk: Desk) -> list[str]:
    return [event.kind for event in desk.ledger.read(desk.model)]


def find_alias(desk: Desk) -> int | None:
    found = desk.registry.find_alias(desk.model, CHAMPION)
    return found and found.number


def point_by_hand(desk: Desk, number: int) -> None:
    client_of(desk).set_registered_model_alias(desk.model, CHAMPION, str(number))
