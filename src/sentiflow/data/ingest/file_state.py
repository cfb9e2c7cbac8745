"""Tell whether a file still holds the bytes it held when it was read before.

What the file system says of a file is believed only where it cannot be wrong: size, times,
inode and device are all the same, and the file had rested for a while before it was read.
Otherwise its bytes are compared, by their digest.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sentiflow.data.reading.local_files import is_local
from sentiflow.data.reading.streams import SourceFile

# Size, time of the last change of the content and of anything, in ns, inode and device.
Stamp = tuple[int, ...]


@dataclass(frozen=True)
class FileState:
    """How a file looked at one moment.

    Attributes:
        stamp: what the file system said of it.
        is_settled: whether it had rested for a while then, so that any later change shows.
    """

    stamp: Stamp
    is_settled: bool

    @property
    def size(self) -> int:
        """How many bytes the file had."""
        return self.stamp[0]

    @property
    def lasting(self) -> Stamp | None:
        """The stamp, if a file that has the same one later is surely unchanged; else None."""
        return self.stamp if self.is_settled else None


# File systems round their times: a second change within so long may have the same stamp.
_SETTLING_NS: Final = 2_000_000_000
_BLOCK_BYTES: Final = 1 << 20


def read_file_state(file: SourceFile) -> FileState | None:
    """Return how a file looks just now; None where it cannot be told, or the file is gone.

    The time of the last change (ctime) cannot be set back by anybody, unlike that of the
    content. What servers say of a file they hold is not taken for more than it is.
    """
    if not is_local(file.filesystem):
        return None
    try:
        found = os.stat(file.path)
    except OSError:
        return None
    rested = time.time_ns() - max(found.st_mtime_ns, found.st_ctime_ns)
    stamp = (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev)
    return FileState(stamp, rested > _SETTLING_NS)


def digest_beginnings(file: SourceFile, sizes: Sequence[int]) -> tuple[str, ...]:
    """Return the SHA-256 of a file's first bytes, for each of some sizes, in one pass.

    Args:
        file: a local file.
        sizes: in bytes, from the least to the greatest; a shorter file gives the digest of
            what it has.

    Raises:
        SourceError: it cannot be opened.
    """
    digest = hashlib.sha256()
    digests = []
    done = 0
    with file.open() as handle:
        for size in sizes:
            while done < size and (block := handle.read(min(_BLOCK_BYTES, size - done))):
                digest.update(block)
                done += len(block)
            digests.append(digest.hexdigest())
    return tuple(digests)
