"""The commands that run nights on servers: deploy, up."""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from threading import Event
from typing import Annotated, Any

import typer

from sentiflow.cli.common import (
    ConfigOption,
    DataOption,
    JsonOption,
    SetOption,
    answer_with,
    app,
    prepare_home,
    show_progress,
)
from sentiflow.errors import SentiflowError

BusinessesOption = Annotated[
    str | None, typer.Option("--businesses", help="Businesses file, for data.category.")
]
FirstNightOption = Annotated[
    bool,
    typer.Option("--first-night", help="Start a night at once if the model has had none yet."),
]


@app.command()
def deploy(
    data: DataOption = None,
    businesses: BusinessesOption = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    first_night: FirstNightOption = False,
    as_json: JsonOption = False,
) -> None:
    """Register nights, maintenance and releases at the Prefect server of PREFECT_API_URL."""

    def work() -> tuple[dict[str, Any], str, int]:
        prepare_home()
        # What goes wrong is said in one line, not in Prefect's log.
        os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "60")
        from flows.deploying import deploy as register
        from flows.deploying import write_deployed

        request = _make_request(data, businesses, config, overrides)
        deployed = register(request, first_night)
        return deployed.model_dump(mode="json"), write_deployed(deployed), 0

    answer_with(as_json, work, {})


@app.command()
def up(
    data: DataOption = None,
    businesses: BusinessesOption = None,
    database: Annotated[
        str | None,
        typer.Option(help="postgresql://user@host/name instead of SQLite; makes name_prefect, …"),
    ] = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    first_night: FirstNightOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run everything on this machine: Prefect, MLflow, nightly schedule, predictions."""
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())

    def announce(servers: Any) -> None:
        # At once: it is long until this command ends.
        print(_show(servers, as_json), flush=True)

    try:
        from sentiflow.operations.up import Wish, keep_servers

        request = _make_request(data, businesses, config, overrides)
        home = prepare_home()
        print("Starting; it takes about half a minute.", file=sys.stderr)
        with show_progress():
            keep_servers(Wish(request, first_night, database), home, announce, stop)
        print("Stopped.", file=sys.stderr)
    except SentiflowError as error:
        failed = error

        def fail() -> tuple[dict[str, Any], str, int]:
            raise failed

        answer_with(as_json, fail, {})


def _show(servers: Any, as_json: bool) -> str:
    if as_json:
        return json.dumps(asdict(servers))
    return (
        f"Prefect      {servers.prefect_url}\n"
        f"MLflow       {servers.mlflow_url}\n"
        f"Predictions  {servers.predictions_url}\n"
        "Ctrl-C stops them all."
    )


def _make_request(
    data: list[str] | None,
    businesses: str | None,
    config: str | None,
    overrides: list[str] | None,
) -> Any:
    from sentiflow.operations.request import NightRequest

    return NightRequest(
        data=tuple(_name_from_anywhere(source) for source in data or ()),
        businesses=_name_from_anywhere(businesses) if businesses else None,
        config=_name_from_anywhere(config) if config and Path(config).is_file() else config,
        overrides=tuple(overrides or ()),
    )


def _name_from_anywhere(source: str) -> str:
    """Return an absolute path, because a worker runs nights in a folder of its own."""
    return source if "://" in source else os.path.abspath(os.path.expanduser(source))
