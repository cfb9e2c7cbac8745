"""Show what a night would make of its sources: nothing is trained, nothing is written."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sentiflow.data.checks.expectations import list_table_expectations
from sentiflow.data.checks.quick import judge_table
from sentiflow.data.preview.advice import (
    Suggested,
    apply_settings,
    format_toml,
    list_mistakes,
    suggest_columns,
    suggest_notations,
)
from sentiflow.data.preview.counting import Counted, count_rows
from sentiflow.data.preview.mapping import Samples
from sentiflow.data.preview.recognition import Recognized, read_samples, recognize_file
from sentiflow.data.preview.values import count_distinct, name_dates
from sentiflow.data.reading.businesses import read_categories
from sentiflow.data.reading.columns import look_like_names
from sentiflow.data.reading.listing import list_source_files
from sentiflow.data.reviews import REVIEW_COLUMNS
from sentiflow.dates import read_today
from sentiflow.errors import SourceError
from sentiflow.night.request import NightRequest
from sentiflow.settings import DataSettings

if TYPE_CHECKING:
    from sentiflow.data.checks.table_report import TableReport
    from sentiflow.data.reading.streams import SourceFile
    from sentiflow.settings import ColumnSettings, Settings

FIRST_ROWS: Final = 20_000
_MOST_FILES: Final = 100
_MOST_SAMPLES: Final = 5
_MOST_VALUES: Final = 12
_QUARANTINE: Final = " Look at the quarantine file."
# What only all rows can tell.
_OF_ALL_ROWS: Final = (
    "rows", "test_rows", "test_class_rows", "train_class_rows", "validation_class_rows",
)  # fmt: skip


@dataclass
class Checked:
    """What was found out about the sources.

    Attributes:
        files: how many there are.
        found: what the first of them are.
        samples: values of the first rows of one of them, by column.
        columns: which column holds what, where it is there.
        best_columns: the same with the settings that are suggested.
        data: how values are read, with the settings that are suggested.
        suggested: settings that would help.
        counted: what the first rows come to; None where they cannot be read.
        report: the expectations of a night, of these rows.
        better: what the rows come to with the settings that are suggested, if they were counted.
        reasons: why a night would not accept them.
        warnings: what is hardly meant, or should be looked at.
        detail: more about the first reason, for the terminal of who asked.
        exit_code: 0, 2 or 3.
    """

    files: int = 0
    found: list[Recognized] = field(default_factory=list)
    samples: Samples = field(default_factory=dict)
    columns: Mapping[str, str | None] = field(default_factory=dict)
    best_columns: Mapping[str, str | None] = field(default_factory=dict)
    data: DataSettings = field(default_factory=DataSettings)
    suggested: Suggested = field(default_factory=dict)
    counted: Counted | None = None
    report: TableReport | None = None
    better: Counted | None = None
    reasons: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    detail: str | None = None
    exit_code: int = 0

    def note(self, error: SourceError) -> None:
        """Keep why a source cannot be read."""
        if str(error) not in self.reasons:
            self.reasons.append(str(error))
        self.detail = self.detail or error.detail
        self.exit_code = error.exit_code


def check_sources(request: NightRequest, settings: Settings, most: int | None) -> Checked:
    """Recognise the files of a night and count what would become of their first rows.

    Args:
        request: data and businesses are used.
        settings: of the night.
        most: how many rows to read; None for all.

    Raises:
        SourceError: there is no file to look at.
    """
    checked = Checked()
    with _collect_warnings(checked.warnings):
        _look(request, settings, most, checked)
    checked.warnings += list_mistakes(
        checked.found, checked.samples, settings.data.columns, checked.counted or checked.better
    )
    if checked.report is not None:
        checked.warnings += checked.report.warnings
    return checked


def _look(request: NightRequest, settings: Settings, most: int | None, checked: Checked) -> None:
    files = list_source_files(request.data, settings.data, checked.warnings.append)
    checked.files = len(files)
    heads = _recognize(files, settings, checked)
    samples = _read_values(heads, settings.data, checked)
    checked.suggested = suggest_columns(checked.found, samples, settings.data)
    better = apply_settings(settings, checked.suggested)
    # Once more: classes of Parquet have names in the columns that are read.
    checked.samples = _read_values(heads, better.data, checked)
    checked.suggested |= suggest_notations(checked.samples, better.data)
    better = apply_settings(settings, checked.suggested)
    checked.columns = _map_columns(settings.data.columns, checked.samples)
    checked.best_columns = _map_columns(better.data.columns, checked.samples)
    checked.data = better.data
    try:
        checked.counted = _count(files, request, settings, most)
    except SourceError as error:
        checked.note(error)
    else:
        checked.report = _judge(checked.counted, settings)
        # There is none, and the lines are told beside it.
        checked.reasons += [one.replace(_QUARANTINE, "") for one in checked.report.reasons]
        if checked.report.reasons:
            checked.exit_code = 3
        if checked.counted.profile.superseded_share > settings.data.max_superseded_share:
            checked.suggested["data.columns.review_id"] = "none"
            better = apply_settings(settings, checked.suggested)
    if checked.exit_code and checked.suggested:
        try:
            checked.better = _count(files, request, better, most)
        except SourceError as error:
            checked.note(error)


@contextmanager
def _collect_warnings(warnings: list[str]) -> Iterator[None]:
    """Keep what readers warn of, each sentence once."""

    class _Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if (sentence := record.getMessage()) not in warnings:
                warnings.append(sentence)

    collector, logger = _Collector(logging.WARNING), logging.getLogger("sentiflow")
    logger.addHandler(collector)
    try:
        yield
    finally:
        logger.removeHandler(collector)


def _recognize(
    files: Sequence[SourceFile], settings: Settings, checked: Checked
) -> list[tuple[SourceFile, Recognized]]:
    """Look at the first files, and return the heads of those whose values are looked at."""
    heads: list[tuple[SourceFile, Recognized]] = []
    for file in files[:_MOST_FILES]:
        try:
            found, head = recognize_file(file, settings.data)
        except SourceError as error:
            checked.note(error)
            found = Recognized(file.name, file.size, None, problem=str(error))
        checked.found.append(found)
        if found.columns and len(heads) < _MOST_SAMPLES:
            heads.append((head, found))
    return heads


def _read_values(
    heads: Sequence[tuple[SourceFile, Recognized]], data: DataSettings, checked: Checked
) -> Samples:
    """Return the values of several files, so that ids which begin anew in each are seen."""
    samples: list[Samples] = []
    for head, found in heads:
        try:
            samples.append(read_samples(head, found, data))
        except SourceError as error:
            checked.note(error)
    alike = [one for one in samples if one.keys() == samples[0].keys()]
    columns = samples[0] if samples else {}
    return {column: [value for one in alike for value in one[column]] for column in columns}


def _map_columns(columns: ColumnSettings, samples: Samples) -> dict[str, str | None]:
    """Return which column holds what; None where the one that is set is not there."""
    named = {key: getattr(columns, key) for key in REVIEW_COLUMNS}
    if columns.label is not None:
        named["stars"] = None
    return {key: column if column in samples else None for key, column in named.items()}


def _count(
    files: Sequence[SourceFile], request: NightRequest, settings: Settings, most: int | None
) -> Counted:
    categories = None
    if request.businesses:
        categories = read_categories(request.businesses, settings.data)
    return count_rows(files, settings, read_today(settings.schedule), categories, most)


def _judge(counted: Counted, settings: Settings) -> TableReport:
    """Return what a night would say of these rows, where not only all of them can tell."""
    listed = list_table_expectations(
        counted.profile, None, settings, read_today(settings.schedule), replay=False
    )
    return judge_table([one for one in listed if counted.is_whole or one.name not in _OF_ALL_ROWS])


def describe_check(checked: Checked) -> dict[str, Any]:
    """Return what was found as JSON; names of columns only where they look like names."""
    profiles = [one.profile for one in (checked.counted, checked.better) if one is not None]
    dated = next((profile for profile in profiles if profile.earliest_date), None)
    return {
        "files": [_describe_file(one) for one in checked.found],
        "files_found": checked.files,
        "columns": {**checked.columns},
        "columns_with_suggested": {**checked.best_columns},
        "target": _describe_target(checked),
        "dates": {
            "written_as": _name_dates(checked),
            "earliest": dated.earliest_date if dated else None,
            "latest": dated.latest_date if dated else None,
        },
        "rows": _describe_rows(checked.counted),
        "rejected": _describe_rejected(checked.counted),
        "reasons": checked.reasons,
        "warnings": checked.warnings,
        "suggested": checked.suggested,
        "toml": format_toml(checked.suggested),
        "rows_with_suggested": _describe_rows(checked.better),
        "rejected_with_suggested": _describe_rejected(checked.better),
        "exit_code": checked.exit_code,
    }


def _describe_file(found: Recognized) -> dict[str, Any]:
    described = asdict(found)
    if not look_like_names(found.columns):
        described["columns"] = None
    return {**described, "column_count": len(found.columns)}


def _describe_target(checked: Checked) -> dict[str, Any] | None:
    key = "label" if checked.best_columns.get("label") else "stars"
    column = checked.best_columns.get(key)
    values = count_distinct(checked.samples[column]) if column is not None else None
    if not values:
        return None
    is_safe = len(values) <= _MOST_VALUES and all(map(_is_plain, values))
    shown = dict(sorted(values.items())) if is_safe else None
    labels = checked.data.labels
    read_as = labels if isinstance(labels, str) else labels.model_dump(mode="json")
    return {
        "kind": key,
        "column": column,
        "read_as": checked.data.stars_scale if key == "stars" else read_as,
        "values": shown,
        "distinct": len(values),
    }


def _is_plain(value: str) -> bool:
    """Say whether a value is a number or a name, so that it may be shown."""
    return look_like_names([value]) or value.replace(".", "", 1).lstrip("+-").isdigit()


def _name_dates(checked: Checked) -> str | None:
    column = checked.best_columns.get("date")
    return (
        name_dates(checked.samples[column], checked.data.date_format)
        if column is not None
        else None
    )


def _describe_rows(counted: Counted | None) -> dict[str, Any] | None:
    if counted is None:
        return None
    profile = counted.profile
    return {
        "read": profile.rows_read,
        "taken": profile.rows,
        "rejected": profile.quarantined,
        "superseded": profile.superseded,
        "left_out": profile.left_out,
        "positive": profile.positive_rows,
        "negative": profile.rows - profile.positive_rows,
        "neutral": profile.left_out_neutral,
        "is_whole": counted.is_whole,
    }


def _describe_rejected(counted: Counted | None) -> list[dict[str, Any]]:
    if counted is None:
        return []
    return [
        {
            "rule": rule,
            "reason": one.reason,
            "rows": one.rows,
            "places": [{"file": file, "line": line} for file, line in one.places],
        }
        for rule, one in counted.rejected.items()
    ]
