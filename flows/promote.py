"""Promote a version or roll back from Prefect's UI, through the same code as the command line."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from pydantic import Field

from flows.faults import hide_foreign_words
from flows.permissions import check_run
from sentiflow.markup import fence_markdown
from sentiflow.operations.releases import Desk, open_desk
from sentiflow.operations.releases import promote as promote_version
from sentiflow.operations.releases import roll_back as roll_back_to
from sentiflow.settings import find_home, prepare_environment


@flow(name="promote", log_prints=False, persist_result=False)
@hide_foreign_words
def promote(
    version: int = Field(description="The version to make champion."),
    reason: str = Field(description="Why; it is kept in the ledger."),
    override: bool = Field(False, description="Promote against the gate's findings; recorded."),
    config: str | None = Field(None, description="A preset's name or a TOML file."),
    overrides: tuple[str, ...] = Field((), description="group.key=value, later ones win."),
) -> dict[str, Any]:
    """Make a version champion; what the gate found is left as an artifact before."""
    return promote_version(_open(config, overrides), version, reason, override, _publish_findings)


@flow(name="roll-back", log_prints=False, persist_result=False)
@hide_foreign_words
def roll_back(
    reason: str = Field(description="Why; it is kept in the ledger."),
    to: int | None = Field(None, description="A version. Empty: the previous champion."),
    config: str | None = Field(None, description="A preset's name or a TOML file."),
    overrides: tuple[str, ...] = Field((), description="group.key=value, later ones win."),
) -> dict[str, Any]:
    """Go back to an earlier champion and hold automatic promotion."""
    return roll_back_to(_open(config, overrides), reason, to)


def _open(config: str | None, overrides: tuple[str, ...]) -> Desk:
    home = find_home()
    prepare_environment(home)
    check_run(config)
    return open_desk(config, overrides, home)


def _publish_findings(text: str) -> None:
    create_markdown_artifact(
        key="gate-findings", markdown=fence_markdown(text), description="What the gate found"
    )
