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
    from sentiflow.commands.context import ReleaseContext


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

    def act(context: ReleaseContext) -> tuple[dict[str, Any], str]:
        from sentiflow.commands.promote import promote

        done = promote(context, version, reason, override, _tell)
        against = " against the gate's findings (recorded)" if done["override"] else ""
        return done, f"Version {version} of {context.model} is champion now{against}."

    _answer_in_context(act, config, overrides, as_json)


@app.command()
def rollback(
    reason: ReasonOption,
    to: Annotated[int | None, typer.Option("--to", help="A version; default the previous.")] = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Go back to the previous champion, and hold automatic promotion."""

    def act(context: ReleaseContext) -> tuple[dict[str, Any], str]:
        from sentiflow.commands.rollback import roll_back

        done = roll_back(context, reason, to)
        return done, (
            f"Version {done['version']} of {context.model} is champion again, after "
            f"{done['from_version']}.\nNights go on but promote nothing until: sentiflow "
            "release-hold --reason …"
        )

    _answer_in_context(act, config, overrides, as_json)


@app.command("release-hold")
def release_hold(
    reason: ReasonOption,
    config: ConfigOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let nights promote again after a rollback."""

    def act(context: ReleaseContext) -> tuple[dict[str, Any], str]:
        from sentiflow.commands.rollback import release_hold

        return release_hold(context, reason), f"Nights may promote {context.model} again."

    _answer_in_context(act, config, overrides, as_json)


@app.command()
def adopt(
    reason: ReasonOption,
    config: ConfigOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Accept a champion that was set outside sentiflow, in MLflow's UI."""

    def act(context: ReleaseContext) -> tuple[dict[str, Any], str]:
        from sentiflow.commands.adopt import adopt

        done = adopt(context, reason)
        return done, f"Version {done['version']} of {context.model} is adopted as champion."

    _answer_in_context(act, config, overrides, as_json)


@app.command()
def revert(
    reason: ReasonOption,
    config: ConfigOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Undo a move of the champion alias made outside sentiflow."""

    def act(context: ReleaseContext) -> tuple[dict[str, Any], str]:
        from sentiflow.commands.adopt import revert

        done = revert(context, reason)
        return done, f"The champion of {context.model} is version {done['version']} again."

    _answer_in_context(act, config, overrides, as_json)


@app.command()
def attest(
    versions: Annotated[list[int], typer.Argument(help="The versions to enter.")],
    reason: ReasonOption,
    config: ConfigOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Enter the files of versions that the ledger does not know, so that they may be loaded."""

    def act(context: ReleaseContext) -> tuple[dict[str, Any], str]:
        from sentiflow.commands.attest import attest, format_attested

        done = attest(context, versions, reason)
        return done, format_attested(done)

    _answer_in_context(act, config, overrides, as_json)


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

    def act(context: ReleaseContext) -> tuple[dict[str, Any], str]:
        from sentiflow.commands.history import (
            describe_live,
            format_history,
            format_live,
            read_history,
        )

        if at is not None:
            live = describe_live(context, at)
            return live, format_live(live)
        found = read_history(context)
        return found, format_history(found)

    _answer_in_context(act, config, overrides, as_json)


def _answer_in_context(
    act: Callable[[ReleaseContext], tuple[dict[str, Any], str]],
    config: str | None,
    overrides: Sequence[str] | None,
    as_json: bool,
) -> None:
    """Open the release context of the model that the settings name, act in it, and answer."""

    def work() -> tuple[dict[str, Any], str, int]:
        from sentiflow.commands.context import open_release_context

        return *act(open_release_context(config, tuple(overrides or ()), prepare_home())), 0

    answer_with(as_json, work, {})


def _tell(text: str) -> None:
    print(text, file=sys.stderr)
