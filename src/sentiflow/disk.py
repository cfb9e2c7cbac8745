"""Say whether a disk is full: programs report that in a hundred ways, or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

# Databases and step results are written in pages and blocks; less than this holds nothing.
_LEAST_BYTES: Final = 1_000_000
_BEGINNING: Final = "The disk of {} must have room."


def explain_full_disk(folder: Path) -> str | None:
    """Return in one sentence that a folder's disk is full, or None where it has room.

    Args:
        folder: any folder on the disk.
    """
    try:
        disk = os.statvfs(folder)
    except OSError:
        return None
    free = disk.f_bavail * disk.f_frsize
    if free < _LEAST_BYTES:
        left = f"{free:,} bytes are left"
    elif disk.f_files and not disk.f_favail:
        left = "no file more can be made on it"
    else:
        return None
    return (
        f"{_BEGINNING.format(folder)} Received: {left}. Make room and run again: finished steps "
        "are kept."
    )


def tells_full_disk(sentence: str, folder: Path) -> bool:
    """Return whether a sentence is `explain_full_disk`'s, with however many bytes left."""
    return sentence.startswith(_BEGINNING.format(folder))
