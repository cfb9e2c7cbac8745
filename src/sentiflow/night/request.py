"""Say what a night is asked to do."""

from __future__ import annotations

from datetime import date

from pydantic import BaseModel, ConfigDict, Field


class NightRequest(BaseModel):
    """What a night is asked to do; the form of the retrain flow in Prefect's UI."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: tuple[str, ...] = Field(
        (), description="Files, globs, folders or URLs. Empty: the embedded sample."
    )
    businesses: str | None = Field(None, description="A businesses file, for --category.")
    category: str | None = Field(None, description="Only reviews of this business category.")
    config: str | None = Field(None, description="A preset's name or a TOML file.")
    overrides: tuple[str, ...] = Field((), description="group.key=value, later ones win.")
    as_of: date | None = Field(
        None,
        description="The logical date, not later than today. Empty: today in schedule.timezone.",
    )
    force: bool = Field(False, description="Train even if nothing changed.")
    new_lineage: bool = Field(False, description="Start a lineage without a champion.")
    supersede: bool = Field(
        False, description="Let the night's model replace a champion that no longer loads."
    )
    reason: str | None = Field(
        None, description="Why a new lineage is started, or why the champion is replaced."
    )
