"""Measure what a night costs: seconds by step and peak memory."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


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


class StepClock:
    """Wall-clock seconds by step."""

    def __init__(self) -> None:
        """Start the total."""
        self._started = time.monotonic()
        self._seconds: dict[str, float] = {}

    @contextmanager
    def measure(self, step: str) -> Iterator[None]:
        """Add the block's duration to the step's seconds."""
        started = time.monotonic()
        try:
            yield
        finally:
            self._seconds[step] = self._seconds.get(step, 0.0) + time.monotonic() - started

    def read(self) -> dict[str, float]:
        """Return seconds by step and `total`, rounded to milliseconds."""
        total = time.monotonic() - self._started
        return {step: round(value, 3) for step, value in {**self._seconds, "total": total}.items()}
