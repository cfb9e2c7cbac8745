"""The commands that remove: prune what is old, forget a person, sweep up after dead nights."""

from __future__ import annotations

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
def prune(
    keep: Annotated[int, typer.Option("--keep", help="How many newest versions stay, by model.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be removed.")
    ] = False,
    config: ConfigOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove old versions, runs, snapshots and leftovers; never what is live or waits."""

    def work() -> tuple[dict[str, Any], str, int]:
        from sentiflow.commands.upkeep import format_pruned, prune_home

        pruned = prune_home(config, tuple(overrides or ()), prepare_home(), keep, dry_run)
        return pruned, format_pruned(pruned), 0

    answer_with(as_json, work, {})


@app.command()
def forget(
    reason: ReasonOption,
    review_id: Annotated[
        list[str] | None, typer.Option("--review-id", help="A review; may be repeated.")
    ] = None,
    user_id: Annotated[
        list[str] | None, typer.Option("--user-id", help="All reviews of a user; may be repeated.")
    ] = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove a person's reviews from snapshots and quarantine, and record that it was done."""

    def work() -> tuple[dict[str, Any], str, int]:
        from sentiflow.commands.upkeep import forget_rows, format_forgotten

        ids = (review_id or (), user_id or ())
        forgotten = forget_rows(config, tuple(overrides or ()), prepare_home(), *ids, reason)
        return forgotten, format_forgotten(forgotten), 0

    answer_with(as_json, work, {})


@app.command()
def sweep(
    config: ConfigOption = None, overrides: SetOption = None, as_json: JsonOption = False
) -> None:
    """Close what dead nights left: runs, leases, unfinished files. Every night does it too."""

    def work() -> tuple[dict[str, Any], str, int]:
        from sentiflow.commands.upkeep import sweep_home

        swept = sweep_home(config, tuple(overrides or ()), prepare_home())
        return swept, "\n".join(swept["closed"]) or "Nothing was left open.", 0

    answer_with(as_json, work, {})
