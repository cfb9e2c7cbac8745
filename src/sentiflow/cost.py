"""Measure what a night costs: wall and CPU seconds by step, peak memory, bytes written."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

# What a block of getrusage's ru_oublock stands for on Linux, whatever the disk's blocks are.
_BLOCK_BYTES: Final = 512


def measure_peak_memory_mb() -> float:
    """Return the most resident memory this process and its ended children ever held, in MiB.

    The two are not added: they rarely peak together, and the greater one is what a machine
    must have.
    """
    # getrusage counts KiB on Linux and bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return max(own, children) * unit / 2**20


@dataclass(frozen=True)
class Spent:
    """What was spent up to a moment, or between two.

    Attributes:
        seconds: by the clock on the wall.
        cpu_seconds: of all processors together, so there may be more of them than seconds.
        bytes_written: sent to a disk, or on their way there.
    """

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    bytes_written: int = 0

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            self.seconds + other.seconds,
            self.cpu_seconds + other.cpu_seconds,
            self.bytes_written + other.bytes_written,
        )

    def __sub__(self, earlier: Spent) -> Spent:
        return Spent(
            self.seconds - earlier.seconds,
            self.cpu_seconds - earlier.cpu_seconds,
            self.bytes_written - earlier.bytes_written,
        )


def measure_spent() -> Spent:
    """Return what this process and its ended children have spent so far.

    A child counts, all at once, when it has ended and was waited for: a training counts in the
    step that waits for it, a server that goes on running does not. Bytes are those of files that
    were written to, in whole pages of memory (4 KiB), as the kernel charges them to the process
    that made a page dirty: what SQLite or a log writes counts, what is only sent over a
    connection does not, nor what lies in memory (tmpfs). A file that is removed before it reaches
    the disk counts all the same. Only Linux counts bytes; elsewhere they are 0.
    """
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    blocks = own.ru_oublock + children.ru_oublock if sys.platform == "linux" else 0
    return Spent(
        seconds=time.monotonic(),
        cpu_seconds=own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime,
        bytes_written=blocks * _BLOCK_BYTES,
    )


class StepClock:
    """What is spent, by step and in total."""

    def __init__(self, measure: Callable[[], Spent] = measure_spent) -> None:
        """Start the total.

        Args:
            measure: returns what was spent so far; only differences count.
        """
        self._measure = measure
        self._started = measure()
        self._steps: dict[str, Spent] = {}

    @contextmanager
    def measure(self, step: str) -> Iterator[None]:
        """Add what the block spends to the step."""
        started = self._measure()
        try:
            yield
        finally:
            spent = self._measure() - started
            self._steps[step] = self._steps.get(step, Spent()) + spent

    def read(self) -> dict[str, float]:
        """Return wall-clock seconds by step and `total`, rounded to milliseconds."""
        return {step: round(spent.seconds, 3) for step, spent in self._read().items()}

    def read_cpu(self) -> dict[str, float]:
        """Return CPU seconds by step and `total`, rounded to milliseconds."""
        return {step: round(spent.cpu_seconds, 3) for step, spent in self._read().items()}

    def read_bytes_written(self) -> int:
        """Return the bytes written in total."""
        return self._read()["total"].bytes_written

    def _read(self) -> dict[str, Spent]:
        return {**self._steps, "total": self._measure() - self._started}
