"""Register the deployments of prefect.yaml, their work pool and their automations.

prefect.yaml is the one list of deployments; here settings and the night's request are filled in.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import httpx
import yaml
from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
from prefect.client.schemas.objects import ConcurrencyLimitConfig
from prefect.client.schemas.schedules import CronSchedule
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import get_current_settings
from prefect.types.entrypoint import EntrypointType
from prefect.workers.process import ProcessWorker
from pydantic import AfterValidator, BaseModel, ValidationError

import sentiflow
from flows.automations import make_automations
from flows.maintenance import list_unfinished
from sentiflow.errors import SettingsError, UsageError
from sentiflow.files import hide_secrets
from sentiflow.night.request import NightRequest
from sentiflow.settings import ScheduleSettings

POOL: Final = "sentiflow"
_NIGHTLY: Final = "nightly"
_MAINTENANCE: Final = "maintenance"
_SCORE: Final = "score"


class Deployed(BaseModel):
    """What stands on a Prefect server after `deploy`.

    Attributes:
        url: the server's API, without a password.
        pool: the work pool that workers are started for.
        pool_type: how its workers run a flow: process, docker, kubernetes, …
        deployments: flow/name of each.
        automations: the name of each.
        first_night: Prefect's id of the night that was started at once, or None.
    """

    url: Annotated[str, AfterValidator(hide_secrets)]
    pool: str
    pool_type: str
    deployments: list[str]
    automations: list[str]
    first_night: str | None = None


def deploy(request: NightRequest, first_night: bool = False) -> Deployed:
    """Register everything at the server that PREFECT_API_URL names; twice is as once.

    Args:
        request: what every night shall do.
        first_night: start a night at once if the ledger of its model is empty and none waits
            or runs.

    Raises:
        UsageError: the settings are wrong, or there is no server that answers.
    """
    from sentiflow.night.night import read_settings

    settings = read_settings(request)
    entries = fill_deployments(read_deployments(), settings.schedule, request)
    crons = {entry["name"]: _read_crons(entry["schedules"]) for entry in entries}
    url = look_up_server()
    with get_client(sync_client=True) as client:
        pool_type = _make_pool(client)
        names = [_register(client, entry, crons[entry["name"]]) for entry in entries]
        deployed = Deployed(
            url=url,
            pool=POOL,
            pool_type=pool_type,
            deployments=names,
            automations=make_automations(client, settings),
        )
        if first_night and _has_no_event(request):
            return deployed.model_copy(update={"first_night": _start_night(client, names[0])})
    return deployed


def read_deployments() -> list[dict[str, Any]]:
    """Return the deployments as prefect.yaml has them."""
    package = Path(sentiflow.__file__).resolve().parent
    packaged = package / "prefect.yaml"
    path = packaged if packaged.is_file() else package.parents[1] / "prefect.yaml"
    entries: list[dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8"))["deployments"]
    return entries


def fill_deployments(
    entries: Sequence[Mapping[str, Any]], schedule: ScheduleSettings, request: NightRequest
) -> list[dict[str, Any]]:
    """Return the deployments with the settings' times and the request as parameters.

    Args:
        entries: as prefect.yaml has them.
        schedule: when nights and maintenance start.
        request: what every night does; the other deployments get its settings.
    """
    asked = request.model_dump(mode="json", exclude_defaults=True)
    common = {key: asked[key] for key in ("config", "overrides") if key in asked}
    parameters = {_NIGHTLY: {"request": asked}, _SCORE: {"request": common} if common else {}}
    crons = {_NIGHTLY: schedule.cron, _MAINTENANCE: schedule.maintenance_cron}
    filled = []
    for entry in entries:
        name = entry["name"]
        times = [
            {**time, "cron": crons.get(name, time["cron"]), "timezone": schedule.timezone}
            for time in entry["schedules"]
        ]
        filled.append({**entry, "schedules": times, "parameters": parameters.get(name, common)})
    return filled


def look_up_server() -> str:
    """Return the address of the Prefect server that answers.

    Raises:
        UsageError: none is named, or it does not answer, or it wants credentials.
    """
    url = get_current_settings().api.url
    if not url:
        raise UsageError(
            "Deployments need a Prefect server. Received: no PREFECT_API_URL. Start one with "
            "sentiflow up, or set PREFECT_API_URL to the one you have."
        )
    shown = hide_secrets(url)
    try:
        with get_client(sync_client=True) as client:
            client.read_work_pools(limit=1)
    except PrefectHTTPStatusError as error:
        status = error.response.status_code
        hint = "Set PREFECT_API_AUTH_STRING." if status == 401 else "Is that Prefect's API?"
        raise UsageError(
            f"The Prefect server must let sentiflow in. Received: {shown} answers {status}. {hint}"
        ) from None
    except (httpx.HTTPError, OSError, RuntimeError, ValueError) as error:
        raise UsageError(
            f"The Prefect server must answer. Received: PREFECT_API_URL={shown}, "
            f"{type(error).__name__}. Start it, or correct the address."
        ) from None
    return url


def _make_pool(client: SyncPrefectClient) -> str:
    """Return the type of the work pool, which is made for processes where there is none."""
    try:
        return client.read_work_pool(POOL).type
    except ObjectNotFound:
        pool = WorkPoolCreate(
            name=POOL,
            type="process",
            description="Where sentiflow's runs wait for a worker.",
            base_job_template=ProcessWorker.get_default_base_job_template(),
        )
        return client.create_work_pool(pool).type


def _register(
    client: SyncPrefectClient, entry: Mapping[str, Any], crons: Sequence[CronSchedule]
) -> str:
    module, _, name = entry["entrypoint"].rpartition(".")
    flow: Flow[..., Any] = getattr(importlib.import_module(module), name)
    limit = entry.get("concurrency_limit")
    is_paused, is_active = _read_switches(client, f"{flow.name}/{entry['name']}")
    deployment = RunnerDeployment.from_flow(
        flow,
        name=entry["name"],
        paused=is_paused,
        schedules=[DeploymentScheduleCreate(schedule=cron, active=is_active) for cron in crons],
        concurrency_limit=ConcurrencyLimitConfig(**limit) if limit else None,
        parameters=dict(entry["parameters"]),
        description=entry["description"],
        tags=list(entry["tags"]),
        version=importlib.metadata.version("sentiflow"),
        work_pool_name=entry["work_pool"]["name"],
        job_variables=entry["work_pool"]["job_variables"],
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    deployment.apply()
    return str(deployment.full_name)


def _read_switches(client: SyncPrefectClient, full_name: str) -> tuple[bool, bool]:
    """Return whether a person paused the deployment, and whether its schedules are on.

    What somebody switched off stays off, however often it is deployed.
    """
    try:
        found = client.read_deployment_by_name(full_name)
    except ObjectNotFound:
        return False, True
    schedules = found.schedules
    return found.paused, not schedules or any(schedule.active for schedule in schedules)


def _read_crons(schedules: Sequence[Mapping[str, Any]]) -> list[CronSchedule]:
    crons = []
    for schedule in schedules:
        try:
            crons.append(CronSchedule(cron=schedule["cron"], timezone=schedule["timezone"]))
        except ValidationError:
            raise SettingsError(
                "A schedule must be a cron expression with an IANA time zone. Received: "
                f"{schedule['cron']!r}, {schedule['timezone']!r}. Set schedule.cron, "
                "schedule.maintenance_cron and schedule.timezone, for example to 30 3 * * * and "
                "Europe/Berlin."
            ) from None
    return crons


def _has_no_event(request: NightRequest) -> bool:
    from sentiflow.night.night import describe_request_lineage, read_settings
    from sentiflow.release.open_home import HomeContext
    from sentiflow.settings import read_home

    settings = read_settings(request)
    ledger = HomeContext(settings, read_home()).ledger
    return not ledger.read(describe_request_lineage(request, settings).name)


def _start_night(client: SyncPrefectClient, name: str) -> str | None:
    if list_unfinished("retrain"):
        return None
    deployment = client.read_deployment_by_name(name)
    return str(client.create_flow_run_from_deployment(deployment.id, name="first-night").id)


def format_deployed(deployed: Deployed) -> str:
    """Return what stands on the server as text."""
    lines = [
        f"Deployed at {deployed.url}, work pool {deployed.pool} ({deployed.pool_type})",
        *(f"  {name}" for name in deployed.deployments),
        *(f"  {name}" for name in deployed.automations),
    ]
    if deployed.first_night:
        lines.append(f"  the first night waits for a worker: flow run {deployed.first_night}")
    lines.append(f"A worker is: prefect worker start --pool {deployed.pool}")
    return "\n".join(lines)
