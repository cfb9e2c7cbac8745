"""Change what is live from Prefect's page, through the same code as the command line."""

from __future__ import annotations

from typing import Any, Final

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from pydantic import Field

from flows.actors import look_up_starter
from flows.allowed_files import check_run
from flows.faults import hide_foreign_words
from flows.notices import send
from sentiflow.commands import adopt as moves
from sentiflow.commands import promote as promotions
from sentiflow.commands import rollback as rollbacks
from sentiflow.commands.context import ReleaseContext, open_release_context
from sentiflow.markup import fence_markdown
from sentiflow.settings import prepare_environment, read_home

# Prefect shows of a field its name, which is the parameter's, and its description.
_REASON: Final[Any] = Field(
    description="Why, in a sentence that a colleague understands in a year; it is kept for good."
)
_BY: Final[Any] = Field(
    "", description="Your name, for the history. Empty where Prefect knows who you are."
)
_CONFIG: Final[Any] = Field(None, description="The nights' preset or TOML file. Leave it as it is.")
_OVERRIDES: Final[Any] = Field(
    (),
    description="The nights' settings, each as group.key=value. Leave them as they are; "
    "model.name=… names another model.",
)


@flow(name="promote", log_prints=False, persist_result=False)
@hide_foreign_words
def promote(
    version: int = Field(description="Its number, as MLflow's page of the model shows it."),
    reason: str = _REASON,
    override: bool = Field(
        False,
        description="Off: a version that the gate kept back is refused, and the run says why. On: "
        "it is promoted all the same, and that is recorded.",
    ),
    by: str = _BY,
    config: str | None = _CONFIG,
    overrides: tuple[str, ...] = _OVERRIDES,
) -> dict[str, Any]:
    """Make a version champion; what the gate found is left as an artifact before."""
    context = _open(config, overrides, by)
    return promotions.promote(context, version, reason, override, _publish_findings)


@flow(name="roll-back", log_prints=False, persist_result=False)
@hide_foreign_words
def roll_back(
    reason: str = _REASON,
    to: int | None = Field(
        None,
        description="The version to go back to. Empty: the champion before. Nights promote nothing "
        "afterwards, until release-hold is run.",
    ),
    by: str = _BY,
    config: str | None = _CONFIG,
    overrides: tuple[str, ...] = _OVERRIDES,
) -> dict[str, Any]:
    """Go back to an earlier champion and hold automatic promotion."""
    return rollbacks.roll_back(_open(config, overrides, by), reason, to)


@flow(name="release-hold", log_prints=False, persist_result=False)
@hide_foreign_words
def release_hold(
    reason: str = _REASON,
    by: str = _BY,
    config: str | None = _CONFIG,
    overrides: tuple[str, ...] = _OVERRIDES,
) -> dict[str, Any]:
    """End the hold that a rollback set: nights may promote again."""
    return rollbacks.release_hold(_open(config, overrides, by), reason)


@flow(name="adopt", log_prints=False, persist_result=False)
@hide_foreign_words
def adopt(
    reason: str = _REASON,
    by: str = _BY,
    config: str | None = _CONFIG,
    overrides: tuple[str, ...] = _OVERRIDES,
) -> dict[str, Any]:
    """Accept the version that somebody set as champion in MLflow."""
    return moves.adopt(_open(config, overrides, by), reason)


@flow(name="revert", log_prints=False, persist_result=False)
@hide_foreign_words
def revert(
    reason: str = _REASON,
    by: str = _BY,
    config: str | None = _CONFIG,
    overrides: tuple[str, ...] = _OVERRIDES,
) -> dict[str, Any]:
    """Put the champion alias back to where it was before somebody moved it in MLflow."""
    return moves.revert(_open(config, overrides, by), reason)


def _open(config: str | None, overrides: tuple[str, ...], by: str) -> ReleaseContext:
    home = read_home()
    prepare_environment(home)
    check_run(config)
    return open_release_context(config, overrides, home, look_up_starter(by), send)


def _publish_findings(text: str) -> None:
    create_markdown_artifact(
        key="gate-findings", markdown=fence_markdown(text), description="What the gate found"
    )
