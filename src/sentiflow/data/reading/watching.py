"""Read with a deadline of progress: a source that gives nothing for too long ends the reading.

A read of a network file system or of a URL can block for ever, and nothing interrupts it. So a
thread reads, and the caller waits for each answer no longer than it may take; a thread that
hangs is left behind.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import IO, Any, TypeVar

from sentiflow.errors import SourceError

T = TypeVar("T")


class Watch:
    """A thread that does one thing at a time for a caller who waits only so long.

    Attributes:
        name: of the source, for the error.
        has_stalled: whether it was waited for in vain; it does nothing more then.
    """

    def __init__(self, name: str, seconds: float) -> None:
        """Start the thread.

        Args:
            name: of the source, for the error.
            seconds: how long one thing may take.
        """
        self.has_stalled = False
        self.name = name
        self._seconds = seconds
        self._asked: SimpleQueue[tuple[Callable[..., Any], tuple[Any, ...]] | None] = SimpleQueue()
        self._answers: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
        # As a daemon: a read that never ends must not keep the process from ending.
        threading.Thread(target=self._serve, name="sentiflow-reading", daemon=True).start()

    def do(self, action: Callable[..., T], *arguments: Any) -> T:
        """Return what the action gives, or raise what it raises.

        Raises:
            SourceError: it took longer than it may.
        """
        if not self.has_stalled:
            self._asked.put((action, arguments))
            try:
                answer, error = self._answers.get(timeout=self._seconds)
            except Empty:
                self.has_stalled = True
            else:
                if error is not None:
                    raise error
                result: T = answer
                return result
        raise SourceError(
            f"A source must give something within {self._seconds:g} s (data.stall_seconds). "
            f"Received: {self.name!r}, nothing for so long. Look at the server or the network "
            "behind it, and run again; what was read before is kept."
        )

    def end(self) -> None:
        """Let the thread end once it has nothing to do."""
        self._asked.put(None)

    def _serve(self) -> None:
        while (asked := self._asked.get()) is not None:
            action, arguments = asked
            try:
                self._answers.put((action(*arguments), None))
            except BaseException as error:
                # Whatever it is, it is raised again where the answer is waited for.
                self._answers.put((None, error))


class WatchedFile(io.RawIOBase):
    """A file whose every read must give something in time."""

    def __init__(self, handle: IO[bytes], watch: Watch) -> None:
        """Take over an open file and the watch under which it was opened."""
        self._handle = handle
        self._watch = watch

    def readable(self) -> bool:
        """Say yes, as Python's readers ask."""
        return True

    def seekable(self) -> bool:
        """Say yes: what cannot seek says so when it is asked to."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes, as the file gives them."""
        return self._watch.do(self._handle.read, size)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to a place in the file."""
        return self._watch.do(self._handle.seek, offset, whence)

    def tell(self) -> int:
        """Return the place in the file."""
        return self._watch.do(self._handle.tell)

    def close(self) -> None:
        """Close the file, unless its reading hangs: that would hang as well."""
        if not self.closed:
            super().close()
            if not self._watch.has_stalled:
                self._watch.do(self._handle.close)
            self._watch.end()
