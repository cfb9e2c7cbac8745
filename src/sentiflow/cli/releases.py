"""The commands about what is live: promote, rollback, history and their like."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

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

if TYPE_CHECKING:
    from sentiflow.commands.releases import Desk


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

    def act(desk: Desk) -> tuple[dict[str, Any], str]:
        from sentiflow.commands.releases import promote

        done = promote(desk, version, reason, override, _tell)
        against = " against the gate's findings (recorded)" if done["override"] else ""
        return done, f"Version {version} of {desk.model} is champion now{against}."

    _answer_at_desk(act, config, overrides, as_json)


@app.command()
def rollback(
    reason: ReasonOption,
    to: Annotated[int | None, typer.Option("--to", help="A version; default the previous.")] = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Go back to the previous champion, and hold automatic promotion."""

    def act(desk: Desk) -> tuple[dict[str, Any], str]:
        from sentiflow.commands.releases import roll_back

        done = roll_back(desk, reason, to)
        return done, (
            f"Version {done['version']} of {desk.model} is champion again, after "
            f"{done['from_version']}.\nNights go on but promote nothing until: sentiflow "
            "release-hold --reason …"
        )

    _answer_at_desk(act, config, overrides, as_json)


@app.command("release-hold")
def release_hold(
    reason: ReasonOption,
    config: ConfigOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let nights promote again after a rollback."""

    def act(desk: Desk) -> tuple[dict[str, Any], str]:
        from sentiflow.commands.releases import release_hold

        return release_hold(desk, reason), f"Nights may promote {desk.model} again."

    _answer_at_desk(act, config, overrides, as_json)


@app.command()
def adopt(
    reason: ReasonOption,
    config: ConfigOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Accept a champion that was set outside sentiflow, in MLflow's UI."""

    def act(desk: Desk) -> tuple[dict[str, Any], str]:
        from sentiflow.commands.releases import adopt

        done = adopt(desk, reason)
        return done, f"Version {done['version']} of {desk.model} is adopted as champion."

    _answer_at_desk(act, config, overrides, as_json)


@app.command()
def revert(
    reason: ReasonOption,
    config: ConfigOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Undo a move of the champion alias made outside sentiflow."""

    def act(desk: Desk) -> tuple[dict[str, Any], str]:
        from sentiflow.commands.releases import revert

        done = revert(desk, reason)
        return done, f"The champion of {desk.model} is version {done['version']} again."

    _answer_at_desk(act, config, overrides, as_json)


@app.command()
def attest(
    versions: Annotated[list[int], typer.Argument(help="The versions to enter.")],
    reason: ReasonOption,
    config: ConfigOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Enter the files of versions that the ledger does not know, so that they may be loaded."""

    def act(desk: Desk) -> tuple[dict[str, Any], str]:
        from sentiflow.commands.attest import attest, write_attested

        done = attest(desk, versions, reason)
        return done, write_attested(done)

    _answer_at_desk(act, config, overrides, as_json)


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

    def act(desk: Desk) -> tuple[dict[str, Any], str]:
        from sentiflow.commands.history import find_live, read_history, write_history, write_live

        if at is not None:
            live = find_live(desk, at)
            return live, write_live(live)
        found = read_history(desk)
        return found, write_history(found)

    _answer_at_desk(act, config, overrides, as_json)


def _answer_at_desk(
    act: Callable[[Desk], tuple[dict[str, Any], str]],
    config: str | None,
    overrides: Sequence[str] | None,
    as_json: bool,
) -> None:
    """Open the desk of the model that the settings name, act there, and answer."""

    def work() -> tuple[dict[str, Any], str, int]:
        from sentiflow.commands.releases import open_desk

        return *act(open_desk(config, tuple(overrides or ()), prepare_home())), 0

    answer_with(as_json, work, {})


def _tell(text: str) -> None:
    print(text, file=sys.stderr)
