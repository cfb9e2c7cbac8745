"""Say which settings would help a source to be read, and what about it is hardly meant."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sentiflow.data.preview.counting import Counted
from sentiflow.data.preview.mapping import (
    MIN_WORDS,
    Samples,
    count_words,
    name_roles,
    suggest_roles,
)
from sentiflow.data.preview.recognition import Recognized
from sentiflow.data.preview.values import has_neutral, tell_labels, tell_order, tell_scale
from sentiflow.data.reading.columns import look_like_names
from sentiflow.rounding import show_percent
from sentiflow.settings import ColumnSettings, DataSettings, Settings
from sentiflow.settings.notations import USUAL_DATES, USUAL_LABELS, USUAL_SCALE

Suggested = dict[str, Any]

_MANY: Final = 0.2


def suggest_columns(found: Sequence[Recognized], samples: Samples, data: DataSettings) -> Suggested:
    """Return the settings, by their dotted keys, that would help to find these columns."""
    suggested: Suggested = {}
    encodings = {one.likely_encoding for one in found} - {None}
    if len(encodings) == 1:
        suggested["data.encoding"] = encodings.pop()
    columns = data.columns
    have_headers = {one.has_header for one in found}
    if have_headers == {False} and samples:
        names = name_roles(samples)
        suggested |= {"data.header": False, "data.column_names": names}
        samples = dict(zip(names, samples.values(), strict=True))
    # A long name may be a text: it is told by its place (list_mistakes).
    shown = {name: values for name, values in samples.items() if look_like_names([name])}
    roles = {role.key: role.column for role in suggest_roles(shown, columns)}
    if len(have_headers) == 1:
        suggested |= {f"data.columns.{key}": column for key, column in roles.items()}
    return suggested


def suggest_notations(samples: Samples, data: DataSettings) -> Suggested:
    """Return how the values of the columns are written, where the settings say otherwise.

    Args:
        samples: the values of the first rows, read as `data` says.
        data: with the columns that were suggested.
    """
    columns, suggested = data.columns, Suggested()
    if columns.label is not None and columns.label in samples:
        values = samples[columns.label]
        labels = tell_labels(values)
        if labels is not None and data.labels == USUAL_LABELS != labels:
            suggested["data.labels"] = labels
        if labels is not None and has_neutral(values, labels) and data.neutral == "keep":
            suggested["data.neutral"] = "leave_out"
    elif columns.stars in samples:
        scale = tell_scale(samples[str(columns.stars)])
        if scale not in (None, data.stars_scale) and data.stars_scale == USUAL_SCALE:
            suggested["data.stars_scale"] = scale
    if columns.date in samples and data.date_format == USUAL_DATES:
        order = tell_order(samples[str(columns.date)])
        if order is not None:
            suggested["data.date_format"] = order
    return suggested


def apply_settings(settings: Settings, suggested: Suggested) -> Settings:
    """Return the settings with those that are suggested."""
    values = settings.model_dump()
    for key, value in suggested.items():
        group = values
        *path, name = key.split(".")
        for part in path:
            group = group[part]
        group[name] = value
    return Settings.model_validate(values)


def format_toml(suggested: Suggested) -> str:
    """Return settings as TOML, to be put into a file for --config.

    >>> print(format_toml({"data.encoding": "cp1252", "data.columns.text": "Review"}))
    [data]
    encoding = "cp1252"
    <BLANKLINE>
    [data.columns]
    text = "Review"
    """
    tables: dict[str, list[str]] = {}
    for key, value in suggested.items():
        table, _, name = key.rpartition(".")
        tables.setdefault(table, []).append(f"{name} = {format_value(value)}")
    return "\n\n".join("\n".join([f"[{table}]", *lines]) for table, lines in sorted(tables.items()))


def format_override(key: str, value: Any) -> str:
    """Return a setting as `--set` takes it; text without quotes, where it cannot be mistaken.

    >>> format_override("data.columns.text", "Review"), format_override("data.columns.text", "7")
    ('data.columns.text=Review', 'data.columns.text="7"')
    """
    if isinstance(value, str) and value == value.strip() and value.lower() not in ("none", "null"):
        try:
            tomllib.loads(f"value = {value}")
        except tomllib.TOMLDecodeError:
            return f"{key}={value}"
    return f"{key}={format_value(value)}"


def format_value(value: Any) -> str:
    """Return a value as TOML in one line."""
    if isinstance(value, Mapping):
        inner = ", ".join(f"{key} = {format_value(one)}" for key, one in value.items())
        return f"{{{inner}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(format_value, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value)


def list_mistakes(
    found: Sequence[Recognized],
    samples: Samples,
    columns: ColumnSettings,
    counted: Counted | None,
) -> list[str]:
    """Return in sentences what about a source is hardly meant; none of them quotes a text."""
    return [
        *_list_of_files(found),
        *(_list_of_values(samples, columns) if all(one.has_header for one in found) else []),
        *(_list_of_rows(counted) if counted else []),
    ]


def _list_of_files(found: Sequence[Recognized]) -> list[str]:
    told = []
    headless = [one for one in found if not one.has_header]
    if headless:
        told.append(
            f"{_count(len(headless), 'file')} without a header, it seems: what stands in place "
            f"of the names looks like values ({headless[0].name})."
        )
    undecoded = [one for one in found if one.likely_encoding is not None]
    if undecoded:
        one = undecoded[0]
        told.append(
            f"{_count(len(undecoded), 'file')} with bytes that are not {one.encoding}, as "
            f"data.encoding says; they look like {one.likely_encoding} ({one.name})."
        )
    layouts = {one.columns for one in found if one.columns and one.has_header}
    if len(layouts) > 1 and {one.format for one in found} <= {"csv", "parquet"}:
        told.append(f"The files have different columns: {len(layouts)} sets of them.")
    empty = [one for one in found if one.format is None and not one.problem]
    if empty:
        told.append(f"{_count(len(empty), 'file')} without a single byte ({empty[0].name}).")
    return told


def _list_of_values(samples: Samples, columns: ColumnSettings) -> list[str]:
    places = {column: place for place, column in enumerate(samples, 1)}
    told = [
        f"Column {places[role.column]} seems to hold the {role.key}. Its name is too long to be "
        f"shown, as it may be a text: name it with data.columns.{role.key}."
        for role in suggest_roles(samples, columns)
        if not look_like_names([role.column])
    ]
    nested = [
        place
        for place, values in enumerate(samples.values(), 1)
        if any(isinstance(value, dict) and any(map(_is_long, value.values())) for value in values)
    ]
    if nested:
        told.append(
            f"Column {nested[0]} holds objects with texts in them, but only what stands at the top "
            "of a line is read. Flatten them first: "
            "jq -c '. + .NAME | del(.NAME)' FILE > flat.jsonl"
        )
    return told


def _is_long(value: Any) -> bool:
    return isinstance(value, str) and count_words([value]) >= MIN_WORDS


def _list_of_rows(counted: Counted) -> list[str]:
    profile, told = counted.profile, []
    taken = profile.rows_read - profile.quarantined
    others = profile.superseded_by_others
    if others > _MANY * taken:
        several = (
            f", in {counted.files_sharing_ids} files that share ids"
            if counted.files_sharing_ids
            else ""
        )
        told.append(
            f"{others:,} of {taken:,} rows have the id of another review{several}: a night takes "
            f"{_percent(others, taken)} for outdated versions and drops them. If the column does "
            "not name one review each, name another with data.columns.review_id, or leave it out."
        )
    copies = profile.superseded - others
    if copies > _MANY * taken:
        told.append(
            f"{copies:,} of {taken:,} rows are copies of another one, in all columns that are "
            "read: they count once."
        )
    if profile.rows and profile.smaller_class_share == 0:
        side = "positive" if profile.positive_rows else "negative"
        told.append(
            f"All of these rows are {side}: there is nothing to tell apart. Look at the column of "
            "stars or labels, and whether the file is sorted by it (--all reads the whole of it)."
        )
    return told


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def _percent(part: int, whole: int) -> str:
    return show_percent(part / whole, 0).replace("\xa0", " ")
