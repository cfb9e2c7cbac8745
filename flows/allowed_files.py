"""Hold runs of deployments to what their deployment may read and write.

The form of a run can name anything. What is allowed is therefore read from the deployment as
it was registered, its sources and its settings, and never from the run's own parameters. A
flow that the command line starts belongs to no deployment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.context import FlowRunContext
from prefect.exceptions import ObjectNotFound

from sentiflow.data.reading.allowed import AllowedSources, check_output_place
from sentiflow.data.reading.listing import list_source_files
from sentiflow.settings import list_presets, load_settings, read_home

_NIGHTLY: Final = "retrain/nightly"


@dataclass(frozen=True)
class AllowedFiles:
    """What runs of one deployment may read and write.

    Attributes:
        sources: what reviews, businesses and settings may be read from.
        config: the deployment's own settings file.
        outputs: folders in which answers may be written.
    """

    sources: AllowedSources
    config: str | None
    outputs: tuple[str, ...]

    @classmethod
    def of(cls, parameters: Mapping[str, Any], nightly: Mapping[str, Any] | None) -> AllowedFiles:
        """Return what deployments allow by the parameters they were registered with.

        Args:
            parameters: of the run's deployment.
            nightly: of the nights', whose sources are those of all deployments; None if none.
        """
        asked, nights = _read_request(parameters), _read_request(nightly or {})
        settings = load_settings(asked.get("config"), tuple(asked.get("overrides", ())))
        own = [
            source
            for request in (asked, nights)
            for source in (*request.get("data", ()), request.get("businesses"))
            if source
        ]
        return cls(
            AllowedSources.of(own, settings.data.allowed_roots),
            asked.get("config"),
            settings.data.output_roots,
        )

    def check_config(self, config: str | None) -> None:
        """Make sure of a settings file: a preset, the deployment's own, or an allowed file.

        Raises:
            SourceError: it may not be read.
        """
        if config is not None and config != self.config and config not in list_presets():
            self.sources.check(config)

    def check_sources(self, sources: Sequence[str], overrides: Sequence[str]) -> None:
        """Make sure of sources, and of the files that those which are not its own lead to.

        Raises:
            SourceError: one may not be read, or is not there.
        """
        for source in sources:
            self.sources.check(source)
        others = [source for source in sources if source not in self.sources.own]
        if others:
            data = load_settings(None, overrides).data
            self.sources.check_files(list_source_files(others, data, lambda _: None))


def check_run(
    config: str | None = None,
    overrides: Sequence[str] = (),
    sources: Sequence[str | None] = (),
    output: str | None = None,
) -> None:
    """Make sure that this flow's run asks for nothing that its deployment does not allow.

    Args:
        config: the run's settings file.
        overrides: its single settings, which say how sources are looked for.
        sources: paths and URLs it is to read; None for one that is not named.
        output: the file it is to write.

    Raises:
        UsageError: it asks for more.
    """
    run = FlowRunContext.get()
    deployment_id = run.flow_run.deployment_id if run and run.flow_run else None
    if deployment_id is None:
        return
    allowed = _read_allowed(deployment_id)
    allowed.check_config(config)
    allowed.check_sources([source for source in sources if source], overrides)
    if output is not None:
        folder = read_home() / "scores"
        folder.mkdir(parents=True, exist_ok=True)
        check_output_place(output, (folder, *allowed.outputs))


def _read_allowed(deployment_id: UUID) -> AllowedFiles:
    with get_client(sync_client=True) as client:
        deployment = client.read_deployment(deployment_id)
        return AllowedFiles.of(deployment.parameters, _look_up_nightly(client))


def _look_up_nightly(client: SyncPrefectClient) -> Mapping[str, Any] | None:
    try:
        return client.read_deployment_by_name(_NIGHTLY).parameters
    except ObjectNotFound:
        return None


def _read_request(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    request = parameters.get("request", parameters)
    return request if isinstance(request, Mapping) else {}
