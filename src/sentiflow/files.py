"""Write files and folders so that a reader sees them whole or not at all; show addresses safely."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from sentiflow.errors import ArtifactError, describe_error
from sentiflow.processes import ProcessName, name_this_process

TEMPORARY_PREFIX = ".unfinished-"
_OWNED = re.compile(re.escape(TEMPORARY_PREFIX) + r"([0-9a-z]{12})-(\d+)-(\d+)-")
# An address ends at white space or a quote; what ends a sentence is not part of it.
_ADDRESS = re.compile(r"(https?|)://([^\s'\"]*?)(?=[).,:;]{0,2}(?:[\s'\"]|$))", re.IGNORECASE)
_PARAMETER = re.compile(r"[?&;]([\w.-]*)=")
_SECRET_NAME = re.compile(r"pass|pwd|secret|token|key|signature|credential", re.IGNORECASE)


def make_temporary_prefix() -> str:
    """Return how names of this process's unfinished files begin.

    Its owner is part of the name, so that a sweep can tell what a dead process left from what
    a living one is writing.
    """
    owner = name_this_process()
    return f"{TEMPORARY_PREFIX}{owner.machine}-{owner.pid}-{owner.started}-"


def parse_owner(path: Path) -> ProcessName | None:
    """Return whose unfinished file or folder this is; None when its name does not say so."""
    owned = _OWNED.match(path.name)
    return ProcessName(owned[1], int(owned[2]), int(owned[3])) if owned else None


@contextmanager
def use_scratch(home: Path) -> Iterator[Path]:
    """Let all temporary files, of this process and its children, lie below the home.

    So a kill leaves none outside it, and a sweep finds them. The folder is removed at the end.
    """
    root = home / "tmp"
    root.mkdir(parents=True, exist_ok=True)
    before = (tempfile.tempdir, os.environ.get("TMPDIR"))
    folder = tempfile.mkdtemp(prefix=make_temporary_prefix(), dir=root)
    tempfile.tempdir = os.environ["TMPDIR"] = folder
    try:
        yield Path(folder)
    finally:
        tempfile.tempdir = before[0]
        if before[1] is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = before[1]
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def new_file(target: Path) -> Iterator[IO[bytes]]:
    """Give a file to write that becomes `target` in one step when the block ends well.

    A `target` that exists already is replaced. When the block raises, nothing is left.
    """
    handle, name = tempfile.mkstemp(prefix=make_temporary_prefix(), dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(name, target)
    except BaseException:
        # An interrupt too must leave nothing unfinished behind.
        Path(name).unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8, replacing the file in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with new_file(path) as stream:
        stream.write(text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write a JSON value with sorted keys, replacing the file in one step."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file that sentiflow wrote.

    Raises:
        ArtifactError: the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(
            f"A stored result must be readable JSON. Received: path={path}, "
            f"{describe_error(error)}. "
            "Remove it and run again: it is made anew."
        ) from error


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Give a temporary folder that becomes `target` in one step when the block ends well.

    A `target` that exists already is replaced. When the block raises, nothing is left.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=make_temporary_prefix(), dir=target.parent))
    try:
        yield temporary
        if target.exists():
            # A folder cannot replace a full one in one step: move the old one aside first.
            aside = Path(tempfile.mkdtemp(prefix=make_temporary_prefix(), dir=target.parent))
            os.replace(target, aside / target.name)
            os.replace(temporary, target)
            shutil.rmtree(aside, ignore_errors=True)
        else:
            os.replace(temporary, target)
    except BaseException:
        # An interrupt too must leave nothing unfinished behind.
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def make_sqlite_url(path: Path, driver: str = "sqlite") -> str:
    """Return the address of a SQLite file, whatever characters its path has.

    >>> make_sqlite_url(Path("/srv/ledger.db"))
    'sqlite:////srv/ledger.db'
    >>> make_sqlite_url(Path("/srv/why?/ledger.db"))
    'sqlite+pysqlite:///file:/srv/why%3F/ledger.db?uri=true'

    Args:
        path: the file.
        driver: SQLAlchemy's name of who opens it.
    """
    if "?" not in str(path):
        # SQLAlchemy takes every other character as it is, and decodes none.
        return f"{driver}:///{path}"
    # With a driver's name MLflow makes no folder of the address.
    full = "sqlite+pysqlite" if driver == "sqlite" else driver
    return f"{full}:///file:{quote(str(path))}?uri=true"


def digest_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest_json(value: Any) -> str:
    """Return the SHA-256 of a JSON value, independent of the order of its keys."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def hide_secrets(text: str) -> str:
    """Return a text whose addresses show no password and no token.

    In doubt too much is hidden: a password that is not percent-encoded may hold any sign but
    white space and quotes.

    >>> hide_secrets("https://me:secret@host/reviews.csv?signature=abc")
    'https://***@host/reviews.csv?***'
    >>> hide_secrets("no postgresql://me:se/cr@et@db/nights?password=x, ask ada@example.org")
    'no postgresql://***@db/nights?password=***, ask ada@example.org'
    """
    hidden = _ADDRESS.sub(_hide_in_address, text)
    # A quote in a user or password seemed to end the address.
    return re.sub(r"://[^/@\s]*@", "://***@", hidden)


def _hide_in_address(found: re.Match[str]) -> str:
    scheme, rest = found[1], found[2]
    start = _locate_parameters(rest, is_web=bool(scheme))
    if start is None:
        return f"{scheme}://{_hide_user(rest)}"
    place, parameters = rest[:start], rest[start:]
    if "@" in parameters and (":" in place or "/" not in place):
        # A password may hold what looks like the beginning of parameters.
        return f"{scheme}://***"
    return f"{scheme}://{_hide_user(place)}***"


def _locate_parameters(rest: str, is_web: bool) -> int | None:
    """Return where in an address the values begin that may be secret, or None."""
    if is_web:
        # How a signed address calls its token is up to who signs.
        return rest.find("?") + 1 or None
    names = _PARAMETER.finditer(rest)
    return next((name.end() for name in names if _SECRET_NAME.search(name[1])), None)


def _hide_user(place: str) -> str:
    user, _, host = place.rpartition("@")
    if ":" not in user:
        # No password, so an @ after a slash is part of a path.
        user, _, host = place.partition("@")
        if "/" in user:
            return place
    return f"***@{host}" if "@" in place else place
