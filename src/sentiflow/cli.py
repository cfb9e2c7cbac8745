"""The command line: parse, call, print."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from sentiflow.errors import SentiflowError, UsageError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Nightly retraining of a review classifier: browse it in MLflow, promote it with reasons.",
)

DataOption = Annotated[
    list[str] | None,
    typer.Option("--data", help="File, glob, folder or URL of reviews; may be repeated."),
]
ConfigOption = Annotated[
    str | None, typer.Option("--config", help="A preset (article-2018, large, …) or a TOML file.")
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="group.key=value; may be repeated.")
]
ModelOption = Annotated[
    str, typer.Option("--model", help="champion, challenger or a version number.")
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on stdout; logs go to stderr.")
]


@app.command()
def run(
    data: DataOption = None,
    businesses: Annotated[
        str | None, typer.Option(help="Businesses file, to filter and slice by category.")
    ] = None,
    category: Annotated[
        str | None, typer.Option(help="Only reviews of this category, as a model of its own.")
    ] = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    as_of: Annotated[
        str | None, typer.Option(help="The night's date, YYYY-MM-DD; default today.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Train even if nothing changed.")] = False,
    new_lineage: Annotated[
        bool, typer.Option("--new-lineage", help="Start a lineage without a champion.")
    ] = False,
    reason: Annotated[str | None, typer.Option(help="Why a new lineage is started.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Run one night; without --data on the embedded sample."""

    def work() -> tuple[dict[str, Any], str, int]:
        from sentiflow.operations.night import check_request
        from sentiflow.operations.request import NightRequest

        request = NightRequest(
            data=tuple(data or ()),
            businesses=businesses,
            category=category,
            config=config,
            overrides=tuple(overrides or ()),
            as_of=_parse_date(as_of),
            force=force,
            new_lineage=new_lineage,
            reason=reason,
        )
        home = _prepare()
        check_request(request)
        with _progress():
            record = _run_flow(request, home)
        from sentiflow.reporting.summary import write_text

        text = write_text(record) + "\n\n" + _suggest(record)
        return record.model_dump(mode="json"), text, record.exit_code

    _answer(as_json, work, {"night": as_of or date.today().isoformat(), "outcome": "failed"})


@app.command()
def evaluate(
    data: Annotated[list[str], typer.Option("--data", help="Labelled reviews; may be repeated.")],
    model: ModelOption = "champion",
    businesses: Annotated[str | None, typer.Option(help="Businesses file, for slices.")] = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score a registered model on labelled reviews."""

    def work() -> tuple[dict[str, Any], str, int]:
        from sentiflow.operations.scoring import evaluate_version, write_evaluation

        evaluation = evaluate_version(
            data, businesses, model, config, tuple(overrides or ()), _prepare()
        )
        return evaluation, write_evaluation(evaluation), 0

    _answer(as_json, work, {})


@app.command()
def predict(
    texts: Annotated[list[str], typer.Argument(help="One or more texts.")],
    model: ModelOption = "champion",
    config: ConfigOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Answer each text with a label and P(positive)."""

    def work() -> tuple[dict[str, Any], str, int]:
        from sentiflow.operations.scoring import predict_texts

        answer = predict_texts(texts, model, config, tuple(overrides or ()), _prepare())
        lines = [
            f"{row['label']:<8}  {row['probability']:.4f}  {row['text']}"
            for row in answer["predictions"]
        ]
        return answer, "\n".join(lines), 0

    _answer(as_json, work, {})


@app.command()
def sample(
    output: Annotated[Path, typer.Option("--output", help="File to write.")],
    rows: Annotated[int | None, typer.Option(help="Lines to write.")] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed is another sample.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write the embedded sample as Yelp-shaped JSON lines."""

    def work() -> tuple[dict[str, Any], str, int]:
        from sentiflow.data.sample import SAMPLE_ROWS, SAMPLE_SEED, write_sample

        try:
            written = write_sample(
                output, SAMPLE_ROWS if rows is None else rows, SAMPLE_SEED if seed is None else seed
            )
        except OSError as error:
            raise UsageError(
                f"--output must be a file that can be written. Received: {output}: "
                f"{error.strerror}."
            ) from error
        return {"output": str(output), "lines": written}, f"{written:,} lines in {output}", 0

    _answer(as_json, work, {})


@app.command()
def status(
    config: ConfigOption = None, overrides: SetOption = None, as_json: JsonOption = False
) -> None:
    """Show champion, challenger and last night of every model."""

    def work() -> tuple[dict[str, Any], str, int]:
        from sentiflow.operations.scoring import describe_models, write_models

        described = describe_models(config, tuple(overrides or ()), _prepare())
        return described, write_models(described), 0

    _answer(as_json, work, {})


def main() -> None:
    """Run the command line; a signal ends it without a traceback."""
    try:
        app()
    except KeyboardInterrupt:
        print("Interrupted. Run again to go on: finished steps are kept.", file=sys.stderr)
        sys.exit(130)


def _answer(
    as_json: bool, work: Callable[[], tuple[dict[str, Any], str, int]], failed: dict[str, Any]
) -> None:
    """Do the work and print its answer; an error of ours is one line and its exit code."""
    try:
        answer, text, code = work()
    except SentiflowError as error:
        answer = {**failed, "reasons": [str(error)], "error": type(error).__name__}
        text, code = "", error.exit_code
        if not as_json:
            print(f"Error: {error}", file=sys.stderr)
    if as_json:
        print(json.dumps(answer, ensure_ascii=False))
    elif text:
        print(text)
    raise typer.Exit(code)


def _prepare() -> Path:
    from sentiflow.settings import find_home, prepare_environment

    home = find_home()
    prepare_environment(home)
    return home


def _parse_date(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError:
        raise UsageError(
            f"--as-of must be a date such as 2026-01-31. Received: {text!r}."
        ) from None


def _run_flow(request: Any, home: Path) -> Any:
    # Prefect's own lines stay in its database; on the terminal sentiflow speaks.
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "60")
    from flows.retrain import retrain
    from sentiflow.reporting.record import find_record

    state = retrain(request, return_state=True)
    record = find_record(home, str(state.state_details.flow_run_id))
    if record is None:
        # The night never opened: the flow's own error says why.
        error = state.result(raise_on_failure=False)
        if isinstance(error, SentiflowError):
            raise error
        raise SentiflowError(f"The night could not be opened: {error}.")
    return record


def _suggest(record: Any) -> str:
    from sentiflow.settings import SAMPLE_MODEL_NAME

    name = f" --set model.name={record.model}" if record.model != "sentiflow" else ""
    commands = []
    if record.champion_version is not None:
        commands.append(f'sentiflow predict "Great food, but we waited an hour."{name}')
    if record.model == SAMPLE_MODEL_NAME:
        commands.append("sentiflow run --data yelp_academic_dataset_review.json")
    commands += ["sentiflow status", "make ui    # MLflow on http://127.0.0.1:5000"]
    return "  Next\n" + "\n".join(f"    {command}" for command in commands)


class _LiveLine(logging.Handler):
    """Show sentiflow's log on stderr: progress as one live line on a terminal."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._is_terminal = sys.stderr.isatty()
        self._is_live = False
        self._last_share: dict[str, int] = {}

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if getattr(record, "live", False):
            share = getattr(record, "share", None)
            step = getattr(record, "step", "")
            if self._is_terminal:
                bar = "" if share is None else f"[{'#' * round(share * 20):<20}] "
                sys.stderr.write(f"\r\x1b[2K  {bar}{message}"[:160])
                self._is_live = True
            elif step != "train" and share and int(share * 4) != self._last_share.get(step):
                # Without a terminal a line for every quarter is enough; each epoch has its own.
                self._last_share[step] = int(share * 4)
                sys.stderr.write(f"  {message}\n")
        else:
            start = "\r\x1b[2K" if self._is_live else ""
            level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
            sys.stderr.write(f"{start}  {level}{message}\n")
            if record.exc_info:
                # Only what nobody foresaw comes with a traceback.
                sys.stderr.write(logging.Formatter().formatException(record.exc_info) + "\n")
            self._is_live = False
        sys.stderr.flush()


@contextmanager
def _progress() -> Iterator[None]:
    logger = logging.getLogger("sentiflow")
    handler = _LiveLine()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    # A root logger without any handler would print Prefect's tracebacks as a last resort.
    silence = logging.NullHandler()
    logging.getLogger().addHandler(silence)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(silence)
        logger.removeHandler(handler)
