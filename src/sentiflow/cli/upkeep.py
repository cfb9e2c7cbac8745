"""The commands that remove: prune what is old, forget a person, sweep up after dead nights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from sentiflow.cli.common import ReasonOption, add_home_command

if TYPE_CHECKING:
    from sentiflow.commands.context import ReleaseContext


@add_home_command()
def prune(
    context: ReleaseContext,
    keep: Annotated[int, typer.Option("--keep", help="How many newest versions stay, by model.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be removed.")
    ] = False,
) -> tuple[dict[str, Any], str]:
    """Remove old versions, runs, snapshots and leftovers; never what is live or waits."""
    from sentiflow.commands.upkeep import format_pruned, prune_home

    pruned = prune_home(context, keep, dry_run)
    return pruned, format_pruned(pruned)


@add_home_command()
def forget(
    context: ReleaseContext,
    reason: ReasonOption,
    review_id: Annotated[
        list[str] | None, typer.Option("--review-id", help="A review; may be repeated.")
    ] = None,
    user_id: Annotated[
        list[str] | None, typer.Option("--user-id", help="All reviews of a user; may be repeated.")
    ] = None,
) -> tuple[dict[str, Any], str]:
    """Remove a person's reviews from snapshots and quarantine, and record that it was done."""
    from sentiflow.commands.upkeep import forget_rows, format_forgotten

    forgotten = forget_rows(context, review_id or (), user_id or (), reason)
    return forgotten, format_forgotten(forgotten)


@add_home_command()
def sweep(context: ReleaseContext) -> tuple[dict[str, Any], str]:
    """Close what dead nights left: runs, leases, unfinished files. Every night does it too."""
    from sentiflow.commands.upkeep import sweep_home

    swept = sweep_home(context)
    return swept, "\n".join(swept["closed"]) or "Nothing was left open."
