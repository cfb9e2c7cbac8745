"""Open regular local files; refuse pipes, sockets and devices, which would hang the reader."""

from __future__ import annotations

import os
import stat
from typing import IO, Final

from fsspec.spec import AbstractFileSystem

from sentiflow.errors import SourceError

_KINDS: Final = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def is_local(filesystem: AbstractFileSystem) -> bool:
    """Return whether it is this machine's own file system."""
    protocol = filesystem.protocol
    return "file" in ((protocol,) if isinstance(protocol, str) else protocol)


def describe_odd_kind(path: str) -> str | None:
    """Return what a path leads to if that can hold no rows, such as "a named pipe"; else None.

    What is not there, or may not be looked at, is left to whoever opens it.
    """
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return None
    return _KINDS.get(stat.S_IFMT(mode))


def open_regular(path: str, name: str) -> IO[bytes]:
    """Open a regular file for reading bytes.

    It is opened without waiting and looked at through what was opened: a file that was replaced
    by a pipe a moment ago is refused as well.

    Args:
        path: of a local file.
        name: what errors call it.

    Raises:
        SourceError: it is a pipe, a socket or a device.
        OSError: it cannot be opened.
    """
    refusal = refuse_odd_kind(name, describe_odd_kind(path))
    if refusal is not None:
        # Looked at first, because opening a device can do something.
        raise refusal
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    refusal = refuse_odd_kind(name, _KINDS.get(stat.S_IFMT(os.fstat(handle).st_mode)))
    if refusal is not None:
        os.close(handle)
        raise refusal
    try:
        return os.fdopen(handle, "rb")
    except OSError:
        # A folder.
        os.close(handle)
        raise


def refuse_odd_kind(name: str, kind: str | None) -> SourceError | None:
    """Return the error that names a pipe, a socket or a device; None where it is none."""
    if kind is None:
        return None
    return SourceError(
        f"Only regular files can be read. Received: {name!r}, which is {kind}. Write what comes "
        "out of it to a file first, and name that."
    )
