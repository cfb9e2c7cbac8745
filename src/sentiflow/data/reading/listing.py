"""Find the files of reviews that paths, globs, folders and URLs name."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

import fsspec
from fsspec.spec import AbstractFileSystem

from sentiflow.data.reading.columns import WantedColumns, want_reviews
from sentiflow.data.reading.files import FORMATS
from sentiflow.data.reading.folders import choose_reviews, is_private
from sentiflow.data.reading.lines import choose_codec
from sentiflow.data.reading.local_files import describe_odd_kind, is_local, refuse_odd_kind
from sentiflow.data.reading.streams import TAR_SUFFIXES, SourceFile, strip_compression
from sentiflow.data.reading.watching import Watch
from sentiflow.errors import SourceError, describe_error
from sentiflow.files import hide_secrets
from sentiflow.settings import DataSettings

_SHOWN_NAMES: Final = 5
_SHOWN_CHARACTERS: Final = 80

logger = logging.getLogger(__name__)


def list_source_files(
    paths: Sequence[str],
    data: DataSettings,
    warn: Callable[[str], object] | None = None,
    wanted: WantedColumns | None = None,
) -> list[SourceFile]:
    """Find the files that paths, globs, folders and URLs name, in that order, each once.

    Of a folder all files with a known suffix are taken, those in folders below it too, sorted
    by name; hidden files and those of tools are passed over, and with a warning what is no file
    but has its name, and what surely holds something else (`choose_reviews`).

    Args:
        paths: what the user named, for example "reviews/", "2024-*.csv" or "s3://bucket/key".
        data: how the files will be read; an encoding that does not exist is refused here.
        warn: told in a sentence what was passed over; the log, if it is not given.
        wanted: the columns that will be taken; those of reviews, if it is not given.

    Raises:
        SourceError: something named is not there, cannot be reached, or holds nothing.
    """
    choose_codec(data.encoding)
    if not paths:
        raise SourceError("At least one file is required. Received: none. Name it with --data.")
    told = warn or (lambda sentence: logger.warning("%s", sentence))
    found: dict[tuple[Any, str], SourceFile] = {}
    odd: list[str] = []
    for group in _list_in_time(paths, data.stall_seconds):
        regular = []
        for file in group:
            if is_local(file.filesystem) and (kind := describe_odd_kind(file.path)):
                odd.append(f"{os.path.basename(file.path)} ({kind})")
            else:
                regular.append(replace(file, stall_seconds=data.stall_seconds))
        for file in choose_reviews(regular, wanted or want_reviews(data.columns), data, told):
            local = is_local(file.filesystem)
            place = os.path.realpath(file.path) if local else file.path
            found.setdefault((file.filesystem, place), file)
    if odd:
        told(_describe_passed_over(odd))
        if not found:
            raise SourceError(
                f"At least one regular file is required. Received: {len(odd)} pipes, sockets or "
                "devices. Write what comes out of them to files first, and name those."
            )
    return list(found.values())


def _list_in_time(paths: Sequence[str], seconds: float) -> Iterator[list[SourceFile]]:
    """Find each path's files in a thread that is left behind when a file system is silent.

    It is one thread for all of them: to fsspec, one file system is two in two threads.
    """
    if not seconds:
        yield from map(_find, paths)
        return
    watch = Watch("", seconds)
    try:
        for path in paths:
            watch.name = hide_secrets(path)
            yield watch.do(_find, path)
    finally:
        watch.end()


def _describe_passed_over(odd: Sequence[str]) -> str:
    named = ", ".join(name[:_SHOWN_CHARACTERS] for name in sorted(odd)[:_SHOWN_NAMES])
    more = f" and {len(odd) - _SHOWN_NAMES} more" if len(odd) > _SHOWN_NAMES else ""
    return f"{len(odd)} sources are no regular files and were passed over: {named}{more}."


def _find(path: str) -> list[SourceFile]:
    """Return the files that one path, glob, folder or URL names."""
    shown = hide_secrets(path)
    if not path.strip():
        # An empty path would be the working directory, and is more likely an unset variable.
        raise SourceError(f"A path must not be empty. Received: {path!r}. Name a file with --data.")
    try:
        # fsspec's client asks by the proxies of the environment only where it is told to.
        fsspec.config.conf.setdefault("http", {"client_kwargs": {"trust_env": True}})
        fsspec.config.conf.setdefault("https", {"client_kwargs": {"trust_env": True}})
        # A file system that is kept for the life of the process, which may be longer than a
        # night, would go on with the listings of its first night.
        filesystem, inner = fsspec.core.url_to_fs(path, skip_instance_cache=True)
    except ImportError as error:
        raise SourceError(
            f"Reading this URL needs a package that is not installed. Received: {shown!r} "
            f"({error}). Install that package beside sentiflow."
        ) from error
    except Exception as error:
        raise SourceError(
            "A path or a URL of a known protocol is required. "
            f"Received: {shown!r} ({describe_error(error)}). Correct it.",
            detail=hide_secrets(str(error)),
        ) from error
    try:
        return _list_files(filesystem, inner, shown)
    except SourceError:
        raise
    except Exception as error:
        raise SourceError(
            f"The source must be there and readable. Received: {shown!r} "
            f"({describe_error(error)}). Check the address, the permissions and the connection.",
            detail=hide_secrets(str(error)),
        ) from error


def _list_files(filesystem: AbstractFileSystem, path: str, shown: str) -> list[SourceFile]:
    try:
        info = filesystem.info(path)
    except FileNotFoundError:
        return _expand_glob(filesystem, path, shown)
    if info["type"] == "directory":
        return _list_folder(filesystem, path, shown)
    kind = describe_odd_kind(path) if is_local(filesystem) else None
    if refusal := refuse_odd_kind(shown, kind):
        raise refusal
    return [SourceFile(shown, filesystem, path, int(info.get("size") or 0))]


def _expand_glob(filesystem: AbstractFileSystem, pattern: str, shown: str) -> list[SourceFile]:
    """Return the files, and those in folders, that match; tools' own only if asked for."""
    if not re.search(r"[*?\[]", pattern):
        raise SourceError(
            f"The file or folder must exist. Received: {shown!r}, which is not there. "
            "Check the path; a relative one starts at the working directory."
        )
    matches = filesystem.glob(pattern, detail=True)
    asked = pattern.split("/")
    wants_private = is_private(asked[-1:])
    files: list[SourceFile] = []
    for path in sorted(matches):
        *folders, base = path.split("/")
        if is_private([name for name in folders if name not in asked]):
            continue
        if is_private([base]) and not wants_private:
            continue
        if matches[path]["type"] == "directory":
            files += _list_suffixes(filesystem, path)
        else:
            files.append(_name_file(filesystem, path, matches[path]))
    if not files:
        raise SourceError(
            f"The pattern must match at least one file. Received: {shown!r}, which matches none. "
            "Check the pattern, and quote it so that the shell passes it on."
        )
    return files


def _list_folder(filesystem: AbstractFileSystem, path: str, shown: str) -> list[SourceFile]:
    files = _list_suffixes(filesystem, path)
    if not files:
        raise SourceError(
            f"The folder must hold at least one file ending in {', '.join(FORMATS)} or .tar, "
            f"plain or compressed. Received: {shown!r}, which has none. "
            "Name the files themselves if theirs are other endings; save spreadsheets as CSV first."
        )
    return files


def _list_suffixes(filesystem: AbstractFileSystem, folder: str) -> list[SourceFile]:
    """Return the files below a folder that have a known suffix and are no tool's own."""
    files = []
    others = 0
    has_log = False
    for path, info in sorted(filesystem.find(folder, detail=True).items()):
        below = path[len(folder) :].strip("/").split("/")
        if is_private(below):
            has_log = has_log or "_delta_log" in below
            continue
        if strip_compression(path).endswith((*FORMATS, *TAR_SUFFIXES)):
            files.append(_name_file(filesystem, path, info))
        else:
            others += 1
    if has_log:
        logger.warning(
            "%s is a Delta table: its files are read without its log, so rows that were deleted or "
            "changed there come out too; export what it holds now if there are any",
            hide_secrets(folder),
        )
    if others:
        logger.warning("%s: %d files of unknown kind are not read", hide_secrets(folder), others)
    return files


def _name_file(filesystem: AbstractFileSystem, path: str, info: dict[str, Any]) -> SourceFile:
    name = path if is_local(filesystem) else hide_secrets(filesystem.unstrip_protocol(path))
    return SourceFile(name, filesystem, path, int(info.get("size") or 0))


def _base(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]
