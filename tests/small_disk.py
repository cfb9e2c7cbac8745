"""A small disk of its own for a test: what a full one does, no stand-in does.

Limits on file sizes give other errors (EFBIG, "disk I/O error"), let small files through, and
hold for one process only.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

only_root_mounts = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("mount"), reason="only root can mount a small disk"
)


@contextmanager
def mount_small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """Let a folder be a disk of so many megabytes while the block runs."""
    folder.mkdir(parents=True, exist_ok=True)
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip(f"no disk can be mounted here: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill_disk(folder: Path) -> Path:
    """Write a file until the disk of a folder has no byte left; return it."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as stream:
        for size in (1_000_000, 4_096, 1):
            try:
                while stream.write(b"\0" * size):
                    pass
            except OSError:
                continue
    return filler
