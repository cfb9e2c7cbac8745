"""The commands that answer texts by the thousand: serve and score."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sentiflow.cli.common import (
    ConfigOption,
    JsonOption,
    ModelOption,
    SetOption,
    answer_with,
    app,
    prepare_home,
    show_progress,
)


@app.command()
def serve(
    port: Annotated[int | None, typer.Option(help="Default serving.port (8080).")] = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Answer over REST with the champion, and follow it when it changes."""

    def work() -> tuple[dict[str, Any], str, int]:
        from sentiflow.release.open_home import open_home
        from sentiflow.serving.app import serve

        asked = tuple(overrides or ())
        if port is not None:
            asked += (f"serving.port={port}",)
        context = open_home(config, asked, prepare_home())
        with show_progress():
            serve(context)
        return {"model": context.model, "stopped": True}, "", 0

    answer_with(as_json, work, {})


@app.command()
def score(
    data: Annotated[list[str], typer.Option("--data", help="Texts to score; may be repeated.")],
    output: Annotated[
        Path, typer.Option("--output", help="A .parquet, .csv or .jsonl file to write.")
    ],
    model: ModelOption = "champion",
    keep_columns: Annotated[
        bool,
        typer.Option(
            "--keep-columns",
            help="Put text, stars, label and date beside the answers; other columns of the source "
            "by review_id, which every answer has.",
        ),
    ] = False,
    config: ConfigOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a probability and label for every text of the sources."""

    def work() -> tuple[dict[str, Any], str, int]:
        from sentiflow.commands.score import ScoreRequest, answer_request, format_scored

        request = ScoreRequest(
            data=tuple(data),
            output=str(output),
            model=model,
            config=config,
            overrides=tuple(overrides or ()),
            keep_columns=keep_columns,
        )
        with show_progress():
            name, version, scored = answer_request(request, prepare_home())
        answer = {"model": name, "model_version": version, **scored.as_dict()}
        return answer, format_scored(answer), 0

    answer_with(as_json, work, {})
