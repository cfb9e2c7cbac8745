"""What `sentiflow deploy` registers: from prefect.yaml, settings and a request to the server."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import prefect
import pytest
from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.workers.base import BaseJobConfiguration

from flows.automations import CRASHED_RUNS, DEAD_RUNS, LATE_NIGHTS, WEBHOOK_BLOCK
from flows.deploying import Deployed, deploy, fill_deployments, format_deployed, read_deployments
from sentiflow.errors import SettingsError, UsageError
from sentiflow.night.request import NightRequest
from sentiflow.release.ledger import Ledger
from sentiflow.release.state import NewEvent
from sentiflow.settings import ScheduleSettings

REPOSITORY = Path(__file__).resolve().parents[2]
POOLS = sorted((REPOSITORY / "configs" / "work-pools").glob("*.json"))
NAMES = ["retrain/nightly", "maintenance/maintenance", "promote/promote", "roll-back/roll-back",
         "release-hold/release-hold", "adopt/adopt", "revert/revert",
         "score/score"]  # fmt: skip


def test_every_deployment_names_a_flow_by_its_module() -> None:
    found = []
    for entry in read_deployments():
        module, _, name = entry["entrypoint"].rpartition(".")
        flow = getattr(importlib.import_module(module), name)
        assert isinstance(flow, Flow)
        found.append(f"{flow.name}/{entry['name']}")
    assert found == NAMES


def test_the_file_says_what_the_settings_say_when_nothing_is_changed() -> None:
    filled = fill_deployments(read_deployments(), ScheduleSettings(), NightRequest())
    assert filled == read_deployments()


def test_times_and_the_request_are_filled_in() -> None:
    schedule = ScheduleSettings(
        cron="0 4 * * *", timezone="Europe/Berlin", maintenance_cron="*/5 * * * *"
    )
    request = NightRequest(data=("/srv/reviews",), config="large", overrides=("a.b=1",))
    filled = {
        entry["name"]: entry for entry in fill_deployments(read_deployments(), schedule, request)
    }
    assert filled["nightly"]["schedules"] == [{"cron": "0 4 * * *", "timezone": "Europe/Berlin"}]
    assert filled["maintenance"]["schedules"][0]["cron"] == "*/5 * * * *"
    common = {"config": "large", "overrides": ["a.b=1"]}
    assert filled["nightly"]["parameters"] == {"request": {"data": ["/srv/reviews"], **common}}
    assert filled["score"]["parameters"] == {"request": common}
    for name in ("maintenance", "promote", "roll-back", "release-hold", "adopt", "revert"):
        assert filled[name]["parameters"] == common


@pytest.mark.parametrize(
    "override",
    ["schedule.cron=61 4 * * *", "schedule.timezone=Mars/Base", "schedule.maintenance_cron=often"],
)
def test_a_time_that_is_none_is_told_before_a_server_is_asked(override: str) -> None:
    with pytest.raises(SettingsError, match=r"(cron expression|IANA name).*Europe/Berlin"):
        deploy(NightRequest(overrides=(override,)))


def test_without_a_server_that_answers_one_line_says_so() -> None:
    with (
        temporary_settings(restore_defaults={PREFECT_API_URL}),
        pytest.raises(UsageError, match="no PREFECT_API_URL"),
    ):
        deploy(NightRequest())
    with (
        temporary_settings({PREFECT_API_URL: "http://ada:s3cret@127.0.0.1:1/api"}),
        pytest.raises(UsageError, match=r"must answer.*127\.0\.0\.1:1") as refused,
    ):
        deploy(NightRequest())
    assert "s3cret" not in str(refused.value)


@pytest.fixture
def client(prefect_server: None, home: Path) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as opened:
        yield opened


@pytest.mark.slow
def test_deploying_twice_is_as_once_and_what_was_switched_off_stays_off(
    client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTIFLOW_WEBHOOK_URL", "http://127.0.0.1:9/hook?token=s3cret")
    first = deploy(NightRequest())
    assert (first.deployments, first.pool_type) == (NAMES, "process")
    assert first.automations == [DEAD_RUNS, CRASHED_RUNS, LATE_NIGHTS]

    night = client.read_deployment_by_name("retrain/nightly")
    client.update_deployment_schedule(night.id, night.schedules[0].id, active=False)
    client.pause_deployment(client.read_deployment_by_name("maintenance/maintenance").id)
    (late,) = client.read_automations_by_name(LATE_NIGHTS)
    client.pause_automation(late.id)

    assert deploy(NightRequest()) == first
    again = client.read_deployment_by_name("retrain/nightly")
    assert again.id == night.id
    assert [schedule.active for schedule in again.schedules] == [False]
    assert client.read_deployment_by_name("maintenance/maintenance").paused
    (same,) = client.read_automations_by_name(LATE_NIGHTS)
    assert (same.id, same.enabled) == (late.id, False)
    assert len(client.read_automations_by_name(DEAD_RUNS)) == 1
    assert "s3cret" not in same.model_dump_json()
    shown = client.read_block_document_by_name(WEBHOOK_BLOCK, "webhook", include_secrets=False)
    assert "s3cret" not in shown.model_dump_json()

    # What is not to be told is not told by the server either.
    silent = NightRequest(overrides=('notices.kinds=["promoted"]',))
    assert deploy(silent).automations == [DEAD_RUNS]
    deploy(NightRequest())

    # Without an address the automation that used it goes, and so does the address.
    monkeypatch.delenv("SENTIFLOW_WEBHOOK_URL")
    assert deploy(NightRequest()).automations == [DEAD_RUNS]
    assert client.read_automations_by_name(LATE_NIGHTS) == []
    assert WEBHOOK_BLOCK not in {block.name for block in client.read_block_documents()}


@pytest.mark.slow
def test_a_first_night_starts_only_where_there_was_none(
    client: SyncPrefectClient, home: Path
) -> None:
    other = NightRequest(overrides=("model.name=reviews-of-this-test",), data=("/srv/x",))
    deployed = deploy(other, first_night=True)
    assert deployed.first_night is not None
    assert deployed.first_night in format_deployed(deployed)
    run = client.read_flow_run(deployed.first_night)
    assert run.deployment_id == client.read_deployment_by_name("retrain/nightly").id
    assert deploy(other, first_night=True).first_night is None, "one waits already"
    client.delete_flow_run(run.id)
    event = NewEvent(kind="hold", actor="ada", reason="not before Monday")
    Ledger(f"sqlite:///{home / 'ledger.db'}").append("reviews-of-this-test", 0, [event])
    assert deploy(other, first_night=True).first_night is None


def test_a_block_that_is_not_there_is_a_mistake_of_the_settings(
    client: SyncPrefectClient,
) -> None:
    with pytest.raises(UsageError, match=r"notices\.block must name.*slack-webhook/nobody"):
        deploy(NightRequest(overrides=("notices.block=slack-webhook/nobody",)))


def test_what_was_deployed_is_told_without_a_password() -> None:
    deployed = Deployed(
        url="http://ada:s3cret@prefect/api", pool="sentiflow", pool_type="docker",
        deployments=NAMES, automations=[DEAD_RUNS],
    )  # fmt: skip
    text = format_deployed(deployed)
    assert all(name in text for name in (*NAMES, DEAD_RUNS, "docker", "prefect worker start"))
    assert "s3cret" not in text


def find_templates(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set().union(*map(find_templates, value.values()))
    if isinstance(value, list):
        return set().union(*map(find_templates, value))
    is_name = isinstance(value, str) and value.startswith("{{ ") and value.endswith(" }}")
    return {value[3:-3]} if is_name else set()


@pytest.fixture(scope="module")
def known_types() -> dict[str, Any]:
    """Prefect's own base job templates, which come with its package, by type."""
    folder = Path(prefect.__file__).parent / "server/api/collections_data/views"
    collection = json.loads((folder / "aggregate-worker-metadata.json").read_text())
    return {
        name: worker["default_base_job_configuration"]
        for workers in collection.values()
        for name, worker in workers.items()
    }


@pytest.mark.parametrize("path", POOLS, ids=lambda path: path.stem)
def test_a_pool_is_what_prefect_knows_of_its_type(path: Path, known_types: dict[str, Any]) -> None:
    ours, known = json.loads(path.read_text()), known_types[path.stem]
    jsonschema.Draft202012Validator.check_schema(ours["variables"])
    properties = ours["variables"]["properties"]
    assert find_templates(ours["job_configuration"]) == set(properties), "each is used and exists"
    assert set(ours["job_configuration"]) <= set(known["job_configuration"])
    defaults = {name: entry["default"] for name, entry in properties.items() if "default" in entry}
    jsonschema.validate(defaults, ours["variables"])
    # What Prefect's own template has too must be allowed there as well.
    shared = set(properties) & set(known["variables"]["properties"])
    allowed = {name: value for name, value in defaults.items() if name in shared}
    jsonschema.validate(allowed, {**known["variables"], "required": []})
    assert "image" in shared
    assert {"env", "command", "name", "labels"} <= shared
    assert properties["env"]["default"]["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == "30"
    assert not [key for key in properties["env"]["default"] if key.endswith("PASSWORD")]


def test_the_manifest_of_a_kubernetes_job_keeps_what_prefect_asks_for(
    known_types: dict[str, Any],
) -> None:
    ours = json.loads((REPOSITORY / "configs/work-pools/kubernetes.json").read_text())
    (container,) = ours["job_configuration"]["job_manifest"]["spec"]["template"]["spec"][
        "containers"
    ]
    known = known_types["kubernetes"]["job_configuration"]["job_manifest"]
    (theirs,) = known["spec"]["template"]["spec"]["containers"]
    for key in ("name", "env", "image", "imagePullPolicy", "args"):
        assert container[key] == theirs[key]
    volumes = ours["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]["volumes"]
    assert {volume["name"] for volume in volumes} == {
        mount["name"] for mount in container["volumeMounts"]
    }


@pytest.mark.parametrize("path", POOLS, ids=lambda path: path.stem)
def test_nights_deploy_into_a_pool_of_another_type(client: SyncPrefectClient, path: Path) -> None:
    template = json.loads(path.read_text())
    name = f"test-{path.stem}"
    client.create_work_pool(WorkPoolCreate(name=name, type=path.stem, base_job_template=template))
    night = client.create_flow_from_name("retrain")
    # The server checks job variables against the pool's template.
    entry = read_deployments()[0]
    deployment = client.create_deployment(
        night, name, work_pool_name=name, entrypoint=entry["entrypoint"],
        job_variables=entry["work_pool"]["job_variables"],
    )  # fmt: skip
    assert client.read_deployment(deployment).work_pool_name == name
    # What it says of the environment is added to the pool's, not put in its place.
    said = client.read_deployment(deployment).job_variables
    job = asyncio.run(BaseJobConfiguration.from_template_and_values(template, said))
    assert job.env["SENTIFLOW_WEBHOOK_URL_FILE"] == "/secrets/SENTIFLOW_WEBHOOK_URL"
    assert job.env["SENTIFLOW_PING_URL_FILE"] == "/secrets/SENTIFLOW_PING_URL"
    client.delete_deployment(deployment)
    client.delete_work_pool(name)


@pytest.mark.slow
def test_prefects_own_command_deploys_the_same_file(
    client: SyncPrefectClient, tmp_path: Path
) -> None:
    deploy(NightRequest())
    client.delete_deployment(client.read_deployment_by_name("retrain/nightly").id)
    file = ["--prefect-file", str(REPOSITORY / "prefect.yaml")]
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    server = {"PREFECT_API_URL": str(PREFECT_API_URL.value()), "PREFECT_HOME": str(tmp_path)}
    finished = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", *file],
        capture_output=True, text=True, cwd=tmp_path, check=False,
        env={**plain, **server},
    )  # fmt: skip
    assert finished.returncode == 0, finished.stdout + finished.stderr
    night = client.read_deployment_by_name("retrain/nightly")
    assert (night.entrypoint, night.work_pool_name) == ("flows.retrain.retrain", "sentiflow")
