"""That a deployment's runs read what the deployment names, whatever their form says."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from listening import listen
from prefect.client.orchestration import SyncPrefectClient
from prefect.flow_engine import run_flow
from prefect.flows import Flow

from flows.allowed_files import AllowedFiles
from flows.maintenance import maintenance
from flows.promote import roll_back
from flows.retrain import retrain
from flows.score import score
from sentiflow.errors import SourceError, UsageError
from sentiflow.reporting.record import read_record

FORBIDDEN = "may read its deployment's own sources"


@pytest.fixture
def ask(client: SyncPrefectClient, home: Path) -> Iterator[Callable[..., Any]]:
    """Run a flow as a worker does: as a run of a deployment, with the parameters of a form."""
    made = []

    def run(flow: Flow[..., Any], own: dict[str, Any], form: dict[str, Any]) -> Any:
        flow_id = client.create_flow(flow)
        made.append(
            client.create_deployment(flow_id, name=f"of-{uuid.uuid4().hex[:8]}", parameters=own)
        )
        asked = client.create_flow_run_from_deployment(made[-1], parameters=form)
        return run_flow(
            flow, flow_run=client.read_flow_run(asked.id), parameters=form, return_type="state"
        )

    yield run
    for deployment in made:
        client.delete_deployment(deployment)


def test_a_night_whose_form_names_another_file_is_refused_and_told(
    ask: Callable[..., Any], home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{home / 'mlflow.db'}")
    own = {"request": {"data": [str(tmp_path / "shop" / "reviews.jsonl")]}}
    widened = ["data.allowed_roots=['/']", "data.output_roots=['/']"]
    with listen() as listener:
        monkeypatch.setenv("SENTIFLOW_WEBHOOK_URL", listener.url)
        state = ask(retrain, own, {"request": {"data": ["/etc/passwd"], "overrides": widened}})
    error = state.result(raise_on_failure=False)
    assert isinstance(error, SourceError)
    assert FORBIDDEN in str(state.message)
    record = read_record(home, str(state.state_details.flow_run_id))
    assert record is not None
    assert (record.outcome, record.exit_code) == ("failed", 2)
    assert FORBIDDEN in record.reasons[0]
    assert [body["kind"] for body in listener.bodies] == ["failed"]
    assert not (home / "ingest").exists(), "nothing was read"


@pytest.mark.parametrize(("flow", "form"), [
    (retrain, {"request": {"businesses": "/etc/passwd"}}),
    (retrain, {"request": {"config": "/etc/passwd"}}),
    (retrain, {"request": {"data": ["http://169.254.169.254/latest"]}}),
    (score, {"request": {"data": ["simplecache::file:///etc/passwd"], "output": "x.csv"}}),
    (maintenance, {"config": "/etc/passwd"}),
    (roll_back, {"config": "/etc/passwd", "reason": "because"}),
])  # fmt: skip
def test_every_path_of_every_form_is_looked_at(
    ask: Callable[..., Any], flow: Flow[..., Any], form: dict[str, Any]
) -> None:
    state = ask(flow, {}, form)
    assert FORBIDDEN in str(state.message), state.message


def test_a_scoring_by_form_writes_into_the_homes_folder_of_scores_only(
    ask: Callable[..., Any], home: Path, tmp_path: Path
) -> None:
    source = tmp_path / "reviews.jsonl"
    source.write_text('{"text": "Good"}\n')
    own = {"request": {"overrides": [f"data.allowed_roots=['{tmp_path}']"]}}
    for output, words in (
        (tmp_path / "a.csv", "data.output_roots"),
        (home / "scores" / "a.csv", "a version for 'champion'"),
    ):
        form = {"request": {"data": [str(source)], "output": str(output)}}
        state = ask(score, own, form)
        assert words in str(state.message)
        assert isinstance(state.result(raise_on_failure=False), UsageError)


def test_permissions_come_from_the_deployment_and_from_the_nights(tmp_path: Path) -> None:
    config = tmp_path / "mine.toml"
    config.write_text("[data]\nallowed_roots = ['s3://more']\noutput_roots = ['/out']\n")
    nightly = {"request": {"data": ["/shop/reviews"], "businesses": "/shop/b.jsonl"}}
    permissions = AllowedFiles.of({"config": str(config)}, nightly)
    permissions.check_sources(["/shop/reviews", "/shop/b.jsonl"], ())
    permissions.sources.check("s3://more/x")
    assert permissions.outputs == ("/out",)
    for allowed in (None, "large", str(config)):
        permissions.check_config(allowed)
    with pytest.raises(SourceError):
        permissions.check_config("/etc/passwd")
    with pytest.raises(SourceError):
        permissions.check_sources(["/etc/passwd"], ("data.allowed_roots=['/']",))


def test_a_flow_that_belongs_to_no_deployment_is_the_persons_own(
    prefect_server: None, home: Path
) -> None:
    state = maintenance(config="/etc/passwd", return_state=True)
    assert FORBIDDEN not in str(state.message)
    assert "must be" in str(state.message)
