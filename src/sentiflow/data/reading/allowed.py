"""Say what a run that somebody else's form fills in may read: the deployment's sources, no others.

A form takes any path and any URL: the worker's own files, addresses that only its network knows.
The command line's runs are the person's own and are not asked.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self
from urllib.parse import unquote

from fsspec.implementations.local import LocalFileSystem

from sentiflow.data.reading.local_files import is_local
from sentiflow.data.reading.streams import SourceFile
from sentiflow.errors import SourceError, UsageError
from sentiflow.files import hide_secrets

_LOCAL: Final = ("file", "local")
_WEB: Final = ("http", "https")
_MAGIC: Final = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class AllowedSources:
    """What may be read.

    Attributes:
        own: sources, word by word, whatever they are.
        roots: folders and URLs; what lies below them may be read.
    """

    own: frozenset[str]
    roots: tuple[str, ...]

    @classmethod
    def of(cls, own: Iterable[str], roots: Iterable[str]) -> Self:
        """Return the sources with the folders they lie in, and further roots."""
        named = frozenset(own)
        found = [root for root in map(_locate_root, sorted(named)) if root is not None]
        return cls(named, tuple(dict.fromkeys([*found, *roots])))

    def check(self, source: str) -> None:
        """Make sure of a path, glob, folder or URL before anything is asked about it.

        Raises:
            SourceError: it may not be read.
        """
        if source not in self.own and not self._is_below(source):
            raise _refuse(source)

    def check_files(self, files: Iterable[SourceFile]) -> None:
        """Make sure of the files that were found: a link may lead out of an allowed folder.

        Raises:
            SourceError: one may not be read.
        """
        for file in files:
            if is_local(file.filesystem) and not self._is_below_local(file.path):
                raise _refuse(file.name)

    def _is_below(self, source: str) -> bool:
        if "::" in source or source.startswith("data:") or _climbs(source):
            # One file system within another, or content in place of an address.
            return False
        scheme, mark, _ = source.partition("://")
        if not mark or scheme in _LOCAL:
            path = LocalFileSystem._strip_protocol(source)
            return self._is_below_local(_cut_pattern(path))
        return any(
            source == root.rstrip("/") or source.startswith(f"{root.rstrip('/')}/")
            for root in self.roots
            if root.startswith(f"{scheme}://")
        )

    def _is_below_local(self, path: str) -> bool:
        real = Path(os.path.realpath(path))
        roots = [root for root in self.roots if "://" not in root or root.startswith("file://")]
        return any(
            real.is_relative_to(os.path.realpath(LocalFileSystem._strip_protocol(root)))
            for root in roots
        )


def check_output_place(output: str, folders: Iterable[str | Path]) -> None:
    """Make sure that a run which a form fills in writes its answers where answers may go.

    Raises:
        UsageError: it would write elsewhere.
    """
    target = Path(output).expanduser().absolute()
    real = Path(os.path.realpath(target.parent), target.name)
    places = [Path(os.path.realpath(folder)) for folder in folders]
    if target.is_symlink() or not any(real.is_relative_to(place) for place in places):
        raise UsageError(
            "A scoring that Prefect starts writes below SENTIFLOW_HOME/scores or a folder of the "
            f"deployment's data.output_roots. Received: output={output!r}. Name a file there, "
            "deploy with that folder (sentiflow deploy --set 'data.output_roots=[\"FOLDER\"]'), or "
            "score from the command line."
        )


def _locate_root(source: str) -> str | None:
    """Return the folder a source lies in, or is; None where that would allow too much."""
    if "::" in source or source.startswith("data:"):
        return None
    scheme, mark, place = source.partition("://")
    if not mark or scheme in _LOCAL:
        path = LocalFileSystem._strip_protocol(source)
        folder = path if os.path.isdir(path) else os.path.dirname(_cut_pattern(f"{path}"))
        return folder if folder.strip("/") else None
    folder = _cut_pattern(re.split("[?#]", place)[0]).rpartition("/")[0]
    # A file at the top of a web server does not make its whole server one's own.
    is_enough = "/" in folder if scheme in _WEB else bool(folder)
    return f"{scheme}://{folder}" if is_enough else None


def _cut_pattern(path: str) -> str:
    """Return the path up to the folder in which a pattern begins; all of it without one."""
    found = _MAGIC.search(path)
    return path[: path.rfind("/", 0, found.start()) + 1] if found else path


def _climbs(source: str) -> bool:
    plain = unquote(unquote(source)).replace("\\", "/")
    return ".." in re.split("[/?#]", plain)


def _refuse(source: str) -> SourceError:
    return SourceError(
        "A run that Prefect starts may read its deployment's own sources, what lies in their "
        f"folders, and below data.allowed_roots. Received: {hide_secrets(source)!r}. Deploy with "
        "that source (sentiflow deploy --data …) or with its folder allowed (--set "
        "'data.allowed_roots=[\"FOLDER\"]'), or run it from the command line."
    )
