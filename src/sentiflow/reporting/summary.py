"""Tell in words and tables what came of a night."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from sentiflow.markup import escape_markdown
from sentiflow.mlflow_pages import open_on_training
from sentiflow.reporting.record import NightRecord
from sentiflow.reporting.titles import METRICS, describe_branches, name_baseline, sort_steps

Link = Callable[[str], str | None]

# What is stored under a key, and its word.
_UNUSED: Final = {
    "quarantined": "quarantined",
    "superseded": "outdated",
    "left_out": "left out",
}


def write_text(record: NightRecord) -> str:
    """Return the summary that the command line ends with."""
    lines = [
        "",
        f"Night {record.night} of {record.model}: {record.outcome.upper()}",
        *(f"  {reason}" for reason in record.reasons),
        *(f"  Warning: {warning}" for warning in record.warnings),
        *([f"  {record.no_champion}"] if record.no_champion else []),
        "",
    ]
    if record.rows:
        lines += [f"  Rows      {_describe_rows(record)}"]
    if record.quarantine:
        lines += [f"  Unused    {_shorten(record.quarantine)}"]
    if record.metrics:
        lines += ["", *("  " + row for row in _align(_tabulate_metrics(record)))]
    if record.branches:
        lines += ["", f"  Branches  {describe_branches(record.branches)}"]
    if record.version is not None:
        lines += ["", f"  Version   {record.model} version {record.version}, {_champion(record)}"]
    if record.report:
        lines += [f"  Report    {_shorten(record.report)}"]
    if record.seconds:
        lines += [f"  Seconds   {_describe_seconds(record)}"]
    if record.peak_memory_mb is not None:
        lines += [f"  Memory    {record.peak_memory_mb:,.0f} MB at most in one process"]
    if record.cpu_seconds:
        lines += [f"  CPU       {_describe_work(record)}"]
    if record.reused_steps:
        lines += [f"  Reused    {', '.join(record.reused_steps)}: finished before"]
    lines += [f"  MLflow    run {record.mlflow_run_id}"]
    return "\n".join(lines)


def format_markdown(record: NightRecord, link: Link | None = None) -> str:
    """Return the summary that Prefect shows with the flow run.

    Args:
        record: what came of the night.
        link: gives the address of a page of MLflow's, None where there is no server of its.
    """
    model = escape_markdown(record.model)
    lines = [
        f"# Night {record.night} of {model}: {record.outcome}",
        *(f"- {escape_markdown(reason)}" for reason in record.reasons),
        *(f"- Warning: {escape_markdown(warning)}" for warning in record.warnings),
        *([f"- {escape_markdown(record.no_champion)}"] if record.no_champion else []),
    ]
    if record.rows:
        lines += ["", f"**Rows** {_describe_rows(record)}"]
    if record.metrics:
        header, *rows = _tabulate_metrics(record)
        lines += ["", f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
        lines += [f"| {' | '.join(map(escape_markdown, row))} |" for row in rows]
    if record.branches:
        lines += ["", f"**Branches** {describe_branches(record.branches)}"]
    if record.version is not None:
        lines += ["", f"**Version** {record.version} of {model}, {_champion(record)}"]
    if record.decision:
        lines += ["", f"**Decision** `{record.decision[:12]}`: {_name_report(record, link)}"]
    lines += [
        "",
        f"**Seconds** {_describe_seconds(record)}",
        "",
        *([f"**CPU** {_describe_work(record)}", ""] if record.cpu_seconds else []),
        f"**MLflow run** {_name_run(record, link)}",
    ]
    return "\n".join(lines) + "\n"


def format_run_note(record: NightRecord) -> str:
    """Return what MLflow shows on top of a run's page: what the night became, and where to read."""
    model = escape_markdown(record.model)
    version = "" if record.version is None else f", version {record.version}, {_champion(record)}"
    lines = [
        f"**{record.outcome.capitalize()}**: night {record.night} of {model}{version}.",
        # Before the reasons: MLflow shows five lines, and the rest when it is asked to.
        *_list_artifacts(record),
        *map(escape_markdown, record.reasons),
        *([escape_markdown(record.no_champion)] if record.no_champion else []),
    ]
    return "  \n".join(lines)


def _list_artifacts(record: NightRecord) -> list[str]:
    """Return the line that leads to what a person reads of a run, by links inside MLflow's page."""
    if record.report is None or record.mlflow_run_path is None:
        return []
    named = {
        f"report/{Path(record.report).name}": "the report with its figures",
        "decision.json": "the decision",
        "night.json": "all numbers",
    }
    pages = (
        (name, open_on_training(f"{record.mlflow_run_path}/artifacts/{path}"))
        for path, name in named.items()
    )
    # From "#" on, so that it holds wherever MLflow's page is opened.
    links = (f"[{name}]({page[page.index('#') :]})" for name, page in pages)
    return [f"Read {', '.join(links)}."]


def _name_report(record: NightRecord, link: Link | None) -> str:
    page = f"{record.mlflow_run_path}/artifacts/report"
    if record.report is not None:
        page += f"/{Path(record.report).name}"
    if address := link(page) if link else None:
        return f"[its report]({address}) and `decision.json` are artifacts of the MLflow run"
    return f"report and `decision.json` are artifacts of the MLflow run (`{page}`)"


def _name_run(record: NightRecord, link: Link | None) -> str:
    page = record.mlflow_run_path
    if page and (address := link(page) if link else None):
        return f"[`{record.mlflow_run_id}`]({address})"
    return (
        f"`{record.mlflow_run_id}`: `{page}` under the address of the MLflow server "
        "(`sentiflow ui` starts one)"
    )


def _describe_rows(record: NightRecord) -> str:
    rows = record.rows
    unused = ", ".join(f"{rows[name]:,} {word}" for name, word in _UNUSED.items())
    used = " + ".join(f"{rows[name]:,} {name}" for name in ("train", "validation", "test"))
    text = f"{rows['read']:,} read = {unused}, {used}"
    if record.join_coverage is not None:
        text += f"; {record.join_coverage:.1%} of them are of a known business"
    return text


def _shorten(path: str) -> str:
    """Return the path as one would type it here."""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path


def _champion(record: NightRecord) -> str:
    if record.champion_version is None:
        return "no champion yet"
    if record.champion_version == record.version:
        return "now champion"
    return f"champion is version {record.champion_version}"


def _describe_seconds(record: NightRecord) -> str:
    return ", ".join(f"{step} {record.seconds[step]:.1f}" for step in sort_steps(record.seconds))


def _describe_work(record: NightRecord) -> str:
    """Return CPU seconds, the step with the most of them, and the bytes written."""
    steps = {step: value for step, value in record.cpu_seconds.items() if step != "total"}
    text = f"{record.cpu_seconds.get('total', sum(steps.values())):.1f} seconds"
    if steps:
        most = max(steps, key=lambda step: steps[step])
        text += f", {steps[most]:.1f} of them in {most}"
    if record.bytes_written is not None:
        text += f"; {record.bytes_written / 1e6:,.1f} MB written"
    return text


def _tabulate_metrics(record: NightRecord) -> list[list[str]]:
    shown = {metric.name: metric.short for metric in METRICS if metric.short}
    table = [["test rows", *shown.values()]]
    answerers: list[tuple[str, dict[str, Any]]] = [("tonight's model", record.metrics)]
    if record.champion_metrics:
        answerers.append((f"champion ({record.champion_version})", record.champion_metrics))
    answerers += [(name_baseline(name), held) for name, held in record.baselines.items()]
    for title, metrics in answerers:
        table.append([title, *(_format(metrics.get(name)) for name in shown)])
    return table


def _format(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _align(table: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in table
    ]
