"""Let Ctrl-C wait while a night says what it became."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class HeldInterrupts:
    """A context manager that, once told to, lets a first Ctrl-C wait until it ends.

    What waited is dropped then: what it was to end is over. A second Ctrl-C does not wait.
    """

    def __init__(self) -> None:
        """Prepare; nothing waits yet."""
        self._before: Any = None
        self._is_waiting = False

    def __enter__(self) -> HeldInterrupts:
        """Begin; nothing waits yet."""
        return self

    def hold(self) -> None:
        """Let a Ctrl-C wait from now on; in another thread than the main one it comes to no one."""
        if self._before is None and threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._note)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Let Ctrl-C be what it was."""
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._is_waiting and callable(self._before):
            self._before(number, frame)
        self._is_waiting = True
