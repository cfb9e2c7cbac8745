"""End a command by Ctrl-C, SIGTERM or SIGHUP alike; a night first records what it became."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Final, NoReturn

_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# What a shell reports of a program that a signal ended.
ENDED_CODES: Final = tuple(128 + number for number in _ENDING)
INTERRUPTED: Final = ENDED_CODES[0]


class Ended(KeyboardInterrupt):
    """Ctrl-C, SIGTERM or a closed terminal came; each ends a command in the same way.

    Attributes:
        exit_code: 130, 143 or 129.
        signal_name: SIGINT, SIGTERM or SIGHUP.
    """

    def __init__(self, number: int) -> None:
        """Keep what a shell would report of it."""
        super().__init__()
        self.exit_code = 128 + number
        self.signal_name = signal.Signals(number).name


@contextmanager
def end_by_signals() -> Iterator[None]:
    """Let Ctrl-C, SIGTERM and a closed terminal raise Ended while the block runs.

    What whoever started the process has ignored (nohup: SIGHUP) stays so. No signal arrives in
    another thread than the main one, so nothing is done there.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {
        number: handler
        for number in _ENDING
        if (handler := signal.getsignal(number)) != signal.SIG_IGN
    }
    for number in before:
        signal.signal(number, _end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int, _: FrameType | None) -> NoReturn:
    raise Ended(number)


class HeldInterrupts:
    """A context manager that, once told to, lets a first ending wait until it ends itself.

    What waited is dropped then: what it was to end is over. A second Ctrl-C, SIGTERM or SIGHUP
    does not wait. Only what ends as Ctrl-C does is held: a worker of Prefect handles SIGTERM in
    its own way, to cancel, which is left alone.
    """

    def __init__(self) -> None:
        """Prepare; nothing waits yet."""
        self._before: dict[int, Any] = {}
        self._is_waiting = False

    def __enter__(self) -> HeldInterrupts:
        """Begin; nothing waits yet."""
        return self

    def hold(self) -> None:
        """Hold back a first ending from now on; only the main thread ever gets one."""
        if self._before or threading.current_thread() is not threading.main_thread():
            return
        for number in _ENDING:
            if signal.getsignal(number) in (_end, signal.default_int_handler):
                self._before[number] = signal.signal(number, self._note)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Give the signals their former handlers back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._is_waiting:
            self._before[number](number, frame)
        self._is_waiting = True
