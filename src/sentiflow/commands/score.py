"""Say what a batch scoring is asked to do, and do it with a registered model."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from sentiflow.release.chosen_version import choose_version
from sentiflow.release.open_home import open_home
from sentiflow.serving.answers import check_output
from sentiflow.serving.scoring import Scored, score_sources
from sentiflow.settings import prepare_environment

if TYPE_CHECKING:
    from sentiflow.release.registry import RegisteredModel


class ScoreRequest(BaseModel):
    """What a batch scoring is asked to do; also the form of the score flow in Prefect's page."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        # Whoever opens the form reads it.
        json_schema_extra={
            "description": "Answer every review of the sources with a registered model, and write "
            "the answers into one file."
        },
    )

    data: tuple[str, ...] = Field(
        min_length=1, description="Files, globs, folders or URLs of reviews."
    )
    output: str = Field(description="File to write: .parquet, .csv, .jsonl, .csv.gz or .jsonl.gz.")
    model: str = Field("champion", description="champion, challenger or a version number.")
    config: str | None = Field(None, description="A preset's name or a TOML file.")
    overrides: tuple[str, ...] = Field((), description="group.key=value, later ones win.")
    keep_columns: bool = Field(
        False,
        description="Put text, stars, label and date of the source beside the answers; other "
        "columns can be joined by review_id, which every answer has.",
    )


def answer_request(request: ScoreRequest, home: Path) -> tuple[str, int, Scored]:
    """Score the sources of a request with the registered model it names.

    The champion is looked up once, at the start: a champion that moves meanwhile does not mix
    two models in one output.

    Returns:
        The model's name, its version, and what came of it.

    Raises:
        NoModelError: there is no such version.
        UsageError: the output or a source cannot be used.
        RegistryUnreachable: the registry did not answer.
    """
    prepare_environment(home)
    output = Path(request.output).expanduser().absolute()
    # A wrong path is told before a server is asked.
    check_output(output)
    context = open_home(request.config, request.overrides, home)
    answering = choose_version(context, request.model)
    version = answering.version

    @cache
    def load() -> RegisteredModel:
        # Loading takes seconds, which a wrong source or a finished job need not wait for.
        return answering.load()

    scored = score_sources(
        lambda texts: load().predict(texts),
        version.name,
        version.number,
        request.data,
        output,
        context.settings,
        home,
        keeps_columns=request.keep_columns,
    )
    return version.name, version.number, scored


def format_scored(answer: dict[str, Any]) -> str:
    """Return what came of a scoring as text."""
    resumed = f", {answer['resumed_rows']:,} of them before this run" * bool(answer["resumed_rows"])
    lines = [
        f"{answer['scored']:,} of {answer['rows_read']:,} reviews answered by {answer['model']} "
        f"version {answer['model_version']}{resumed}",
        f"  {answer['reviews_per_second']:,.0f} reviews a second, {answer['seconds']:.1f} s",
        f"  Output     {answer['output']}",
    ]
    if answer["quarantine"]:
        lines.append(f"  Unused     {answer['quarantined']:,} rows: {answer['quarantine']}")
    return "\n".join(lines)
