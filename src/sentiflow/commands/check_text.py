"""Put what a check found into lines for a terminal."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

from sentiflow.data.preview.advice import format_override
from sentiflow.files import hide_secrets
from sentiflow.night.request import NightRequest

_FORMATS: Final = {
    "jsonl": "JSON, one object per line",
    "csv": "CSV",
    "parquet": "Parquet",
    "tar": "JSON lines in a tar archive",
    None: "empty",
}
_LAYOUTS: Final = {
    "array": "JSON, an array of objects",
    "objects": "JSON, a table or objects over several lines",
}
_DELIMITERS: Final = {
    "\t": "tab",
    ",": "comma",
    ";": "semicolon",
    "|": "bar",
    " ": "space",
    "\x01": "Ctrl-A",
    "\x1f": "nothing",
}
_SHOWN_COLUMNS: Final = 12


def format_check(
    answer: Mapping[str, Any], request: NightRequest, program: str = "sentiflow"
) -> str:
    """Return the answer of `describe_check` as text, with the command to go on with.

    Args:
        answer: what was found.
        request: what was asked for.
        program: what a shell runs sentiflow by.
    """
    lines = [*_list_files(answer)]
    lines += [*_list_columns(answer)]
    rows, better = answer["rows"], answer["rows_with_suggested"]
    if rows is not None:
        lines += ["", *_list_rows(rows, answer["rejected"], "Rows")]
    for title in ("reasons", "warnings"):
        word = {"reasons": "Refused", "warnings": "Warning"}[title]
        lines += ["", *(f"  {word}   {sentence}" for sentence in answer[title])] * bool(
            answer[title]
        )
    if answer["suggested"]:
        lines += ["", "  Settings that would help, as TOML for a file of --config:", ""]
        lines += [f"    {line}".rstrip() for line in answer["toml"].splitlines()]
    if better is not None:
        lines += ["", *_list_rows(better, answer["rejected_with_suggested"], "With them")]
    return "\n".join([*lines, *_list_next(answer, request, program)])


def _list_files(answer: Mapping[str, Any]) -> Iterator[str]:
    for what, alike in groupby(answer["files"], key=_format_kind):
        files = list(alike)
        size = _format_size(sum(file["size"] for file in files))
        first = files[0]["name"]
        if len(files) == 1:
            yield f"{first}{size}"
        else:
            folder = os.path.commonpath([os.path.dirname(file["name"]) for file in files])
            yield f"{len(files):,} files in {folder or '.'}{size}, the first {_cut(first, folder)}"
        yield f"  Format    {what}"
        if dialect := files[0]["dialect"]:
            yield f"            read so as {dialect['reason']}"
    looked_at = len(answer["files"])
    if answer["files_found"] > looked_at:
        yield f"  Files     {answer['files_found']:,}, of which {looked_at} were looked at"


def _cut(name: str, folder: str) -> str:
    return os.path.relpath(name, folder) if folder else name


def _format_size(size: int) -> str:
    if not size:
        return ""
    return f" ({size / 1e6:,.1f} MB)" if size >= 1e6 else f" ({max(size / 1e3, 0.1):,.1f} kB)"


def _format_kind(file: Mapping[str, Any]) -> str:
    if file["problem"]:
        return "cannot be looked into"
    parts = [_LAYOUTS.get(file["layout"], _FORMATS[file["format"]])]
    if file["dialect"]:
        parts += _describe_dialect(file["dialect"])
    if not file["has_header"]:
        parts.append("no header")
    if file["likely_encoding"]:
        parts.append(f"not {file['encoding']}, rather {file['likely_encoding']}")
    elif file["encoding"]:
        parts.append(file["encoding"])
    if file["line_ends"]:
        parts.append(f"lines end in {file['line_ends']}")
    if file["compression"]:
        parts.append(file["compression"])
    return ", ".join(parts)


def _describe_dialect(dialect: Mapping[str, Any]) -> list[str]:
    delimiter = dialect["delimiter"]
    parts = [f"values parted by {_DELIMITERS.get(delimiter, repr(delimiter))}"]
    if not dialect["quote"] or dialect["quoting"] == "unquoted":
        parts.append("quotes mean nothing")
    elif dialect["quoting"] == "quoted":
        parts.append(f"quoted by {dialect['quote']}")
    if dialect["escape"]:
        parts.append(f"escaped by {dialect['escape']}")
    return parts


def _list_columns(answer: Mapping[str, Any]) -> Iterator[str]:
    given, best = answer["columns"], answer["columns_with_suggested"]
    if any(file["column_count"] for file in answer["files"]):
        read = [
            f"{key} ← {column}{'' if given[key] == column else '*'}"
            for key, column in best.items()
            if column
        ]
        yield f"  Columns   {', '.join(read) if read else 'none of those that are looked for'}"
        mapped = set(best.values())
        others = [name for name in answer["files"][0]["columns"] or () if name not in mapped]
        if others:
            shown = ", ".join(others[:_SHOWN_COLUMNS])
            more = len(others) - _SHOWN_COLUMNS
            yield f"            not read: {shown}{f' and {more} more' if more > 0 else ''}"
        if given != best:
            yield "            * with the settings below"
    target = answer["target"]
    if target is not None:
        values = (
            ", ".join(f"{value} ({count:,})" for value, count in target["values"].items())
            if target["values"]
            else f"{target['distinct']:,} different values"
        )
        read_as = target["read_as"] if isinstance(target["read_as"], str) else "data.labels"
        yield f"  {target['kind'].capitalize():<9} by {read_as}: {values} in the first rows"
    dates = answer["dates"]
    if dates["written_as"] or dates["earliest"]:
        span = f": {dates['earliest']} to {dates['latest']}" if dates["earliest"] else ""
        yield f"  Dates     {dates['written_as'] or 'not recognised'}{span}"


def _list_rows(
    rows: Mapping[str, Any], rejected: Sequence[Mapping[str, Any]], title: str
) -> Iterator[str]:
    which = "all" if rows["is_whole"] else "the first"
    yield (
        f"  {title:<9} {which} {rows['read']:,} read = {rows['rejected']:,} rejected, "
        f"{rows['superseded']:,} outdated, {rows['left_out']:,} left out, "
        f"{rows['taken']:,} taken ({rows['positive']:,} positive, {rows['negative']:,} negative)"
    )
    for one in rejected:
        places = ", ".join(f"{place['line']}" for place in one["places"])
        yield f"            {one['rows']:,} × {one['reason']} Lines {places}"


def _list_next(answer: Mapping[str, Any], request: NightRequest, program: str) -> list[str]:
    """Return the command to go on with, as it can be pasted."""
    suggested = answer["suggested"]
    options = [
        *(("--data", source) for source in request.data),
        *([("--businesses", request.businesses)] if request.businesses else []),
        *([("--category", request.category)] if request.category else []),
        *([("--config", request.config)] if request.config else []),
        *(
            ("--set", override)
            for override in request.overrides
            if override.partition("=")[0].strip() not in suggested
        ),
        *(("--set", format_override(key, value)) for key, value in suggested.items()),
    ]
    # What is printed may be kept: no address shows its password.
    words = " ".join(f"{option} {shlex.quote(hide_secrets(value))}" for option, value in options)
    if answer["exit_code"] and not suggested:
        return []
    name = "check" if answer["exit_code"] else "run"
    return ["", "  Next", f"    {program} {name} {words}"]
