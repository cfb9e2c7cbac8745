"""The commands that run nights on servers and show their pages: deploy, up, links, ui."""

from __future__ import annotations

import json
import os
import shlex
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
    load_prefect,
    prepare_home,
    show_progress,
)
from sentiflow.cli.next_steps import name_program_in
from sentiflow.cli.terminal import print_answer, say

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
        # What goes wrong is said in one line, not in Prefect's log.
        with load_prefect(prepare_home()):
            from flows.deploying import deploy as register
            from flows.deploying import format_deployed

        request = _make_request(data, businesses, config, overrides)
        deployed = register(request, first_night)
        return deployed.model_dump(mode="json"), format_deployed(deployed), 0

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

    try:
        from sentiflow.servers.up import UpRequest, keep_servers

        request = _make_request(data, businesses, config, overrides)
        home = prepare_home()

        def announce(servers: Any) -> None:
            # At once: it is long until this command ends.
            print_answer(_show(servers, home, as_json))

        say("Starting; it takes about half a minute.")
        with show_progress():
            keep_servers(UpRequest(request, first_night, database), home, announce, stop)
        say("Stopped.")
    except Exception as error:
        # Whatever it is, it is told as every command's end is.
        failed = error

        def fail() -> tuple[dict[str, Any], str, int]:
            raise failed

        answer_with(as_json, fail, {})


@app.command()
def links(
    export: Annotated[
        bool, typer.Option("--export", help="Print a shell's lines for prefect's and mlflow's own.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Print addresses that open the pages of a running `up` in a browser, each once."""

    def work() -> tuple[dict[str, Any], str, int]:
        from sentiflow.servers.links import list_variables, make_page_links

        if export:
            variables = list_variables(prepare_home())
            lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
            return dict(variables), "\n".join(lines), 0
        found = make_page_links(prepare_home())
        return dict(found), _format_addresses(found), 0

    answer_with(as_json, work, {})


@app.command()
def ui(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1.", min=1, max=65_535)] = 5000,
) -> None:
    """Show what was recorded in MLflow's page, without the other servers of `up`."""

    def work() -> tuple[dict[str, Any], str, int]:
        from sentiflow.servers.page import show_page

        show_page(prepare_home(), port, lambda link: print_answer(f"MLflow  {link}"))
        return {}, "", 0

    answer_with(False, work, {})


def _show(servers: Any, home: Path, as_json: bool) -> str:
    if as_json:
        return json.dumps(asdict(servers))
    # A link lets a browser in: it is for the person at the terminal, not for a log.
    if sys.stdout.isatty():
        from sentiflow.servers.links import make_links

        found = make_links(home, servers)
        return f"{_format_addresses(found)}\nCtrl-C stops them all."
    return name_program_in(
        f"Prefect      {servers.prefect_url}\n"
        f"MLflow       {servers.mlflow_url}\n"
        f"Predictions  {servers.predictions_url}\n"
        "The pages open by the links that sentiflow links prints. Ctrl-C stops them all."
    )


def _format_addresses(found: dict[str, str]) -> str:
    return (
        f"Prefect      {found['prefect']}\n"
        f"MLflow       {found['mlflow']}\n"
        f"Predictions  {found['predictions']}"
    )


def _make_request(
    data: list[str] | None,
    businesses: str | None,
    config: str | None,
    overrides: list[str] | None,
) -> Any:
    from sentiflow.night.request import NightRequest

    return NightRequest(
        data=tuple(_name_from_anywhere(source) for source in data or ()),
        businesses=_name_from_anywhere(businesses) if businesses else None,
        config=_name_from_anywhere(config) if config and Path(config).is_file() else config,
        overrides=tuple(overrides or ()),
    )


def _name_from_anywhere(source: str) -> str:
    """Return an absolute path, because a worker runs nights in a folder of its own."""
    return source if "://" in source else os.path.abspath(os.path.expanduser(source))
