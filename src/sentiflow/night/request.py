"""Say what a night is asked to do."""

from __future__ import annotations

from datetime import date

from pydantic import BaseModel, ConfigDict, Field


class NightRequest(BaseModel):
    """What a night is asked to do; also the form of the retrain flow in Prefect's page."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        # Whoever opens the form reads it.
        json_schema_extra={
            "description": "One night: read the reviews, train, compare with the champion, decide. "
            "Fields that are left as they are do what every night does."
        },
    )

    data: tuple[str, ...] = Field(
        (), description="Reviews: files, globs, folders or URLs. Empty: the embedded sample."
    )
    businesses: str | None = Field(
        None, description="File of the businesses; category looks them up there."
    )
    category: str | None = Field(
        None,
        description="Only reviews of businesses of this category, as a model of its own. "
        "Empty: all reviews.",
    )
    config: str | None = Field(
        None,
        title="Settings",
        description="A preset's name (article-2018, large) or a TOML file of settings.",
    )
    overrides: tuple[str, ...] = Field(
        (),
        title="Single settings",
        description="Each as group.key=value (training.epochs=3); they win over the settings "
        "above.",
    )
    as_of: date | None = Field(
        None,
        title="Date of the night",
        description="To make up for one that was missed. Empty: today.",
    )
    force: bool = Field(
        False,
        title="Train anyway",
        description="Train even if nothing changed; otherwise such a night is skipped.",
    )
    new_lineage: bool = Field(
        False,
        description="Begin anew without a champion: settings changed that decide what may be "
        "compared. Needs a reason.",
    )
    supersede: bool = Field(
        False,
        title="Replace a champion that does not load",
        description="Let the night's model take its place if the other rules pass. Needs a reason.",
    )
    reason: str | None = Field(
        None,
        description="Why a new lineage is started, or why the champion is replaced; it is kept.",
    )
