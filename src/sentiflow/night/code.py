"""Say which code a result was made by."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

_SUFFIXES: Final = (".py", ".toml", ".html", ".css")


@dataclass(frozen=True)
class Code:
    """The identity of the installed code.

    Attributes:
        digest: SHA-256 over the sources of `sentiflow` and `flows`.
        lock_digest: SHA-256 of requirements.lock, or "" where there is none.
        lock_file: its path, or None.
        git_commit: the commit checked out, or "" outside a repository.
        git_dirty: whether tracked files differ from that commit.
    """

    digest: str
    lock_digest: str
    lock_file: Path | None
    git_commit: str
    git_dirty: bool

    @property
    def identity(self) -> str:
        """One digest of code and lock file."""
        return hashlib.sha256(f"{self.digest}{self.lock_digest}".encode()).hexdigest()


def digest_sources(folders: list[Path]) -> str:
    """Return the SHA-256 over all source files below the folders, names and contents.

    A change in any module, helper or data file changes it; caches do not count.
    """
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.suffix in _SUFFIXES and path.is_file():
                name = path.relative_to(folder.parent).as_posix()
                digest.update(name.encode() + b"\0")
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


@cache
def describe_code() -> Code:
    """Return the identity of the code this process runs; read once per process."""
    package = Path(__file__).resolve().parents[1]
    root = package.parents[1]
    flows = next(
        (path for path in (root / "flows", package.parent / "flows") if path.is_dir()), None
    )
    lock = next(
        (path for path in (package / "requirements.lock", root / "requirements.lock")
         if path.is_file()),
        None,
    )  # fmt: skip
    commit, dirty = _ask_git(root)
    return Code(
        digest=digest_sources([package, *([flows] if flows else [])]),
        lock_digest=hashlib.sha256(lock.read_bytes()).hexdigest() if lock else "",
        lock_file=lock,
        git_commit=commit,
        git_dirty=dirty,
    )


def _ask_git(root: Path) -> tuple[str, bool]:
    if not (root / ".git").exists():
        return "", False
    try:
        commit, status = (
            subprocess.run(
                ["git", "-C", str(root), *arguments],
                capture_output=True,
                text=True,
                timeout=10,
                check=True,
            ).stdout.strip()
            for arguments in (("rev-parse", "HEAD"), ("status", "--porcelain", "-uno"))
        )
    except (OSError, subprocess.SubprocessError):
        return "", False
    return commit, bool(status)
