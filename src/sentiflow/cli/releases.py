"""The commands about what is live: promote, rollback, history and their like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from sentiflow.cli.common import ReasonOption, add_home_command
from sentiflow.cli.terminal import say

if TYPE_CHECKING:
    from sentiflow.commands.context import ReleaseContext


@add_home_command()
def promote(
    context: ReleaseContext,
    version: Annotated[int, typer.Argument(help="The version to make champion.")],
    reason: ReasonOption,
    override: Annotated[
        bool, typer.Option("--override", help="Promote against the gate's findings; recorded.")
    ] = False,
) -> tuple[dict[str, Any], str]:
    """Make a version champion; the gate's findings are shown first."""
    from sentiflow.commands.promote import promote

    done = promote(context, version, reason, override, say)
    against = " against the gate's findings (recorded)" if done["override"] else ""
    return done, f"Version {version} of {context.model} is champion now{against}."


@add_home_command()
def rollback(
    context: ReleaseContext,
    reason: ReasonOption,
    to: Annotated[int | None, typer.Option("--to", help="A version; default the previous.")] = None,
) -> tuple[dict[str, Any], str]:
    """Go back to the previous champion, and hold automatic promotion."""
    from sentiflow.commands.rollback import roll_back

    done = roll_back(context, reason, to)
    return done, (
        f"Version {done['version']} of {context.model} is champion again, after "
        f"{done['from_version']}.\nNights go on but promote nothing until: sentiflow "
        "release-hold --reason …"
    )


@add_home_command("release-hold")
def release_hold(context: ReleaseContext, reason: ReasonOption) -> tuple[dict[str, Any], str]:
    """Let nights promote again after a rollback."""
    from sentiflow.commands.rollback import release_hold

    return release_hold(context, reason), f"Nights may promote {context.model} again."


@add_home_command()
def adopt(context: ReleaseContext, reason: ReasonOption) -> tuple[dict[str, Any], str]:
    """Accept a champion that was set outside sentiflow, in MLflow's UI."""
    from sentiflow.commands.adopt import adopt

    done = adopt(context, reason)
    return done, f"Version {done['version']} of {context.model} is adopted as champion."


@add_home_command()
def revert(context: ReleaseContext, reason: ReasonOption) -> tuple[dict[str, Any], str]:
    """Undo a move of the champion alias made outside sentiflow."""
    from sentiflow.commands.adopt import revert

    done = revert(context, reason)
    return done, f"The champion of {context.model} is version {done['version']} again."


@add_home_command()
def attest(
    context: ReleaseContext,
    versions: Annotated[list[int], typer.Argument(help="The versions to enter.")],
    reason: ReasonOption,
) -> tuple[dict[str, Any], str]:
    """Enter the files of versions that the ledger does not know, so that they may be loaded."""
    from sentiflow.commands.attest import attest, format_attested

    done = attest(context, versions, reason)
    return done, format_attested(done)


@add_home_command()
def history(
    context: ReleaseContext,
    at: Annotated[
        str | None, typer.Option("--at", help="Which version was live on a date or at a time?")
    ] = None,
) -> tuple[dict[str, Any], str]:
    """Show every release event, or what was live at a moment."""
    from sentiflow.commands.history import describe_live, format_history, format_live, read_history

    if at is not None:
        live = describe_live(context, at)
        return live, format_live(live)
    found = read_history(context)
    return found, format_history(found)
