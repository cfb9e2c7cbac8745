"""The commands about what is live: promote, rollback, history and their like."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from sentiflow.cli.common import (
    ConfigOption,
    JsonOption,
    ReasonOption,
    SetOption,
    answer_with,
    app,
    prepare_home,
)


@app.command()
def promote(
    version: Annotated[int, typer.Argument(help="The version to make champion.")],
    reason: ReasonOption,
    override: Annotated[
        bool, typer.Option("--override", help="Promote against the gate's findings; recorded.")
    ] = False,
    config: ConfigOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a version champion; the gate's findings are shown first."""

    def work() -> tuple[dict[str, Any], str, int]:
        from sentiflow.operations.releases import open_desk, promote

        desk = open_desk(config, tuple(overrides or ()), prepare_home())
        done = promote(desk, version, reason, override, _tell)
        against = " against the gate's findings (recorded)" if done["override"] else ""
        return done, f"Version {version} of {desk.model} is champion now{against}.", 0

    answer_with(as_json, work, {})


@app.command()
def rollback(
    reason: ReasonOption,
    to: Annotated[int | None, typer.Option("--to", help="A version; default the previous.")] = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Go back to the previous champion, and hold automatic promotion."""

    def work() -> tuple[dict[str, Any], str, int]:
        from sentiflow.operations.releases import open_desk, roll_back

        desk = open_desk(config, tuple(overrides or ()), prepare_home())
        done = roll_back(desk, reason, to)
        text = (
            f"Version {done['version']} of {desk.model} is champion again, after "
            f"{done['from_version']}.\nNights go on but promote nothing until: sentiflow "
            "release-hold --reason …"
        )
        return done, text, 0

    answer_with(as_json, work, {})


@app.command("release-hold")
def release_hold(
    reason: ReasonOption,
    config: ConfigOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let nights promote again after a rollback."""

    def work() -> tuple[dict[str, Any], str, int]:
        from sentiflow.operations.releases import open_desk, release_hold

        desk = open_desk(config, tuple(overrides or ()), prepare_home())
        return release_hold(desk, reason), f"Nights may promote {desk.model} again.", 0

    answer_with(as_json, work, {})


@app.command()
def adopt(
    reason: ReasonOption,
    config: ConfigOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Accept a champion that was set outside sentiflow, in MLflow's UI."""

    def work() -> tuple[dict[str, Any], str, int]:
        from sentiflow.operations.releases import adopt, open_desk

        desk = open_desk(config, tuple(overrides or ()), prepare_home())
        done = adopt(desk, reason)
        return done, f"Version {done['version']} of {desk.model} is adopted as champion.", 0

    answer_with(as_json, work, {})


@app.command()
def revert(
    reason: ReasonOption,
    config: ConfigOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Undo a move of the champion alias made outside sentiflow."""

    def work() -> tuple[dict[str, Any], str, int]:
        from sentiflow.operations.releases import open_desk, revert

        desk = open_desk(config, tuple(overrides or ()), prepare_home())
        done = revert(desk, reason)
        return done, f"The champion of {desk.model} is version {done['version']} again.", 0

    answer_with(as_json, work, {})


@app.command()
def history(
    at: Annotated[
        str | None, typer.Option("--at", help="Which version was live on a date or at a time?")
    ] = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show every release event, or what was live at a moment."""

    def work() -> tuple[dict[str, Any], str, int]:
        from sentiflow.operations.history import find_live, read_history, write_history, write_live
        from sentiflow.operations.releases import open_desk

        desk = open_desk(config, tuple(overrides or ()), prepare_home())
        if at is not None:
            live = find_live(desk, at)
            return live, write_live(live), 0
        found = read_history(desk)
        return found, write_history(found), 0

    answer_with(as_json, work, {})


def _tell(text: str) -> None:
    print(text, file=sys.stderr)
