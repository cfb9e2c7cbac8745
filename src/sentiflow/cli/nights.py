"""The commands about nights: check, run, evaluate, predict, sample, status."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sentiflow.cli.common import (
    ConfigOption,
    DataOption,
    JsonOption,
    ModelOption,
    SetOption,
    add_home_command,
    answer_with,
    app,
    load_prefect,
    prepare_home,
    show_progress,
)
from sentiflow.cli.next_steps import name_program, name_program_in, suggest_next
from sentiflow.errors import SentiflowError, UnforeseenError, UsageError, describe_error

if TYPE_CHECKING:
    from sentiflow.commands.context import ReleaseContext


@app.command()
def check(
    data: Annotated[
        list[str],
        typer.Option("--data", help="File, glob, folder or URL of reviews; may be repeated."),
    ],
    businesses: Annotated[
        str | None, typer.Option(help="Businesses file, to filter by category.")
    ] = None,
    category: Annotated[str | None, typer.Option(help="Only reviews of this category.")] = None,
    rows: Annotated[
        int, typer.Option(min=1, help="How many rows to read, of all files together.")
    ] = 20_000,
    read_all: Annotated[bool, typer.Option("--all", help="Read all rows.")] = False,
    config: ConfigOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a night would make of its sources; nothing is trained or written."""

    def work() -> tuple[dict[str, Any], str, int]:
        from sentiflow.commands.check import check_sources, describe_check
        from sentiflow.commands.check_text import format_check
        from sentiflow.night.night import read_settings
        from sentiflow.night.request import NightRequest

        request = NightRequest(
            data=tuple(data),
            businesses=businesses,
            category=category,
            config=config,
            overrides=tuple(overrides or ()),
        )
        checked = check_sources(request, read_settings(request), None if read_all else rows)
        answer = describe_check(checked)
        return answer, format_check(answer, request, name_program()), checked.exit_code

    answer_with(as_json, work, {})


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
    supersede: Annotated[
        bool, typer.Option("--supersede", help="Replace a champion that no longer loads.")
    ] = False,
    reason: Annotated[
        str | None, typer.Option(help="Why: for --new-lineage and --supersede.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run one night; without --data on the embedded sample."""

    def work() -> tuple[dict[str, Any], str, int]:
        from sentiflow.night.night import check_request
        from sentiflow.night.request import NightRequest

        request = NightRequest(
            data=tuple(data or ()),
            businesses=businesses,
            category=category,
            config=config,
            overrides=tuple(overrides or ()),
            as_of=_parse_date(as_of),
            force=force,
            new_lineage=new_lineage,
            supersede=supersede,
            reason=reason,
        )
        home = prepare_home()
        check_request(request, name_program())
        with show_progress():
            record, detail = _run_flow(request, home)
        from sentiflow.reporting.summary import write_text

        text = (
            name_program_in(write_text(record))
            + (f"\n\n  {detail}" if detail else "")
            + "\n\n"
            + suggest_next(record, request, home)
        )
        return record.model_dump(mode="json"), text, record.exit_code

    answer_with(
        as_json,
        work,
        {"night": as_of or _name_today(config, overrides), "outcome": "failed"},
    )


@add_home_command()
def evaluate(
    context: ReleaseContext,
    data: Annotated[list[str], typer.Option("--data", help="Labelled reviews; may be repeated.")],
    model: ModelOption = "champion",
    businesses: Annotated[str | None, typer.Option(help="Businesses file, for slices.")] = None,
) -> tuple[dict[str, Any], str]:
    """Score a registered model on labelled reviews."""
    from sentiflow.commands.evaluate import evaluate_version, format_evaluation

    evaluation = evaluate_version(context, data, businesses, model)
    return evaluation, format_evaluation(evaluation)


@add_home_command()
def predict(
    context: ReleaseContext,
    texts: Annotated[list[str], typer.Argument(help="One or more texts.")],
    model: ModelOption = "champion",
) -> tuple[dict[str, Any], str]:
    """Answer each text with a label and P(positive)."""
    from sentiflow.commands.predict import predict_texts

    answer = predict_texts(context, texts, model)
    lines = [
        f"{row['label']:<8}  {row['probability']:.4f}  {row['text']}"
        for row in answer["predictions"]
    ]
    return answer, "\n".join(lines)


@app.command()
def sample(
    output: Annotated[Path, typer.Option("--output", help="File to write.")],
    rows: Annotated[int | None, typer.Option(help="Lines to write.")] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed is another sample.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write the embedded sample as Yelp-shaped JSON lines."""

    def work() -> tuple[dict[str, Any], str, int]:
        from sentiflow.sample.reviews import SAMPLE_ROWS, SAMPLE_SEED, write_sample

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

    answer_with(as_json, work, {})


@add_home_command(may_make=False)
def status(context: ReleaseContext) -> tuple[dict[str, Any], str]:
    """Show what is live, runs, waits and is held of every model, and when the next night starts."""
    from sentiflow.commands.status import describe_models
    from sentiflow.commands.status_text import format_models
    from sentiflow.servers.next_start import look_up_next_start

    described = {**describe_models(context), "next_start": look_up_next_start()}
    return described, name_program_in(format_models(described, name_program()))


def _parse_date(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError:
        raise UsageError(
            f"--as-of must be a date such as 2026-01-31. Received: {text!r}."
        ) from None


def _name_today(config: str | None, overrides: list[str] | None) -> str:
    from sentiflow.night.night import name_night_asked
    from sentiflow.night.request import NightRequest

    return name_night_asked(NightRequest(config=config, overrides=tuple(overrides or ())))


def _run_flow(request: Any, home: Path) -> Any:
    from sentiflow.home import check_writable
    from sentiflow.servers.guard import guard_this_process

    # A server of its own must end with the command, even if that is killed.
    guard_this_process(seconds=5)
    is_over = False
    with load_prefect(home):
        from flows.own_server import run_own_server
    try:
        check_writable(home)
        with run_own_server(home) as wait_until_it_answers:
            from flows.retrain import retrain

            wait_until_it_answers()
            state = retrain(request, return_state=True)
            is_over = True
            return _read_outcome(state, home)
    except Exception as error:
        if is_over:
            raise
        # Without Prefect the night never began, so nothing else tells of it.
        raise _tell_unstarted(request, home, error) from error


def _tell_unstarted(request: Any, home: Path, error: Exception) -> SentiflowError:
    """Tell of a night that Prefect did not run, and return the error for the terminal."""
    from flows.notices import tell
    from sentiflow.disk import explain_full_disk
    from sentiflow.night.night import describe_request_lineage, name_night_asked, read_settings
    from sentiflow.reporting.record import NightRecord

    if isinstance(error, SentiflowError):
        failure = error
    else:
        failure = SentiflowError(
            explain_full_disk(home)
            or f"Prefect must run the night. Received: {describe_error(error)}. See that its "
            "server answers (PREFECT_API_URL), and run again."
        )
    record = NightRecord(
        night=name_night_asked(request),
        model=describe_request_lineage(request, read_settings(request)).name,
        reasons=[str(failure)],
        exit_code=failure.exit_code,
    )
    tell(request, record)
    return failure


def _read_outcome(state: Any, home: Path) -> Any:
    from sentiflow.disk import explain_full_disk
    from sentiflow.reporting.record import NightRecord, read_record

    record = read_record(home, str(state.state_details.flow_run_id))
    if record is not None and record.mlflow_run_id is not None:
        return record, _read_detail(state)
    answer: Any = state.result(raise_on_failure=False)
    if isinstance(answer, NightRecord):
        # It came to its end on a disk that could not keep its record.
        return answer, None
    # The night never opened, or could not write what it became: the flow's own error says why.
    full_disk = explain_full_disk(home)
    if isinstance(answer, SentiflowError) and not (
        full_disk and isinstance(answer, UnforeseenError)
    ):
        raise answer
    raise SentiflowError(full_disk or f"The night could not be opened: {describe_error(answer)}.")


def _read_detail(state: Any) -> str | None:
    """Return the detail of a night's error, which only the terminal of who asked may show."""
    error = state.result(raise_on_failure=False)
    return error.detail if isinstance(error, SentiflowError) else None
