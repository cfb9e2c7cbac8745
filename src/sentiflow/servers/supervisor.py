"""Start programs that need each other, start again what dies, and end them all without a trace.

Every program leads a session of its own, so that Ctrl-C in a terminal reaches the supervisor
only, and carries a mark (see guard.py) by which all that it started is found and ended.
"""

from __future__ import annotations

import logging
import secrets
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Final

from sentiflow.errors import SentiflowError
from sentiflow.servers.guard import MARK, end_marked, start_guard
from sentiflow.servers.logs import bound_log, open_log, read_last_lines

logger = logging.getLogger(__name__)

_TICK_SECONDS: Final = 0.2
_FIRST_DELAY: Final = 1.0
_LONGEST_DELAY: Final = 60.0
# A program that ran for so long did not fail at its start.
_STEADY_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 15.0
_KILL_SECONDS: Final = 5.0
# How long a parent may take to report how its children ended.
_TELL_SECONDS: Final = 1.0


class ProgramFailed(SentiflowError):
    """A program did not start, so none of them runs."""


@dataclass(frozen=True)
class Program:
    """A program to run.

    Attributes:
        name: short; its log is named by it.
        command: the program and its arguments.
        environment: all of its environment.
        is_healthy: asked again and again until it says yes; quick, never raises. None: it is a
            job that has done its work when it ends with 0.
        after: the names of the programs that must be healthy before it starts.
        spares_children: what it started lives on when it dies and is started again.
        ends_children_first: its children are asked to end before it is, so that they and it can
            still tell what became of them.
        folder: where it works; None: where this process does.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    is_healthy: Callable[[], bool] | None
    after: tuple[str, ...] = ()
    spares_children: bool = False
    ends_children_first: bool = False
    folder: Path | None = None


@dataclass
class _Child:
    program: Program
    log: Path
    process: subprocess.Popen[bytes] | None = None
    log_start: int = 0
    started: float = 0.0
    is_ready: bool = False
    deaths: int = 0
    due: float = 0.0

    @property
    def is_job(self) -> bool:
        return self.program.is_healthy is None

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None


def compute_delay(deaths: int) -> float:
    """Return how many seconds to wait before a program that died is started again.

    >>> [compute_delay(deaths) for deaths in (1, 2, 3, 9)]
    [1.0, 2.0, 4.0, 60.0]
    """
    return min(_FIRST_DELAY * 2.0 ** min(deaths - 1, 30), _LONGEST_DELAY)


def count_deaths(deaths: int, lived_seconds: float) -> int:
    """Return the deaths in a row after another one; after a steady life counting begins anew.

    >>> count_deaths(4, lived_seconds=2.0), count_deaths(4, lived_seconds=3_600.0)
    (5, 1)
    """
    return 1 if lived_seconds >= _STEADY_SECONDS else deaths + 1


def select_needed(programs: Sequence[Program], names: Sequence[str]) -> set[str]:
    """Return the names of the programs that these need, directly or through others."""
    after = {program.name: program.after for program in programs}
    needed: set[str] = set()
    waiting = list(names)
    while waiting:
        new = set(after[waiting.pop()]) - needed
        needed |= new
        waiting += new
    return needed


@dataclass
class Supervisor:
    """Runs programs; a context manager that leaves none behind.

    Attributes:
        programs: what to run; one may be `after` those before it.
        logs: the folder of their logs.
        seconds: the time each program started took until it was healthy, by name.
    """

    programs: Sequence[Program]
    logs: Path
    seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Prepare; nothing is started yet."""
        self._mark = secrets.token_hex(8)
        self._children = {
            program.name: _Child(program, self.logs / f"{program.name}.log")
            for program in self.programs
        }
        self._guard: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Supervisor:
        """Start the guard, which ends the programs should this process be killed."""
        self.logs.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._guard = start_guard(self._mark, _KILL_SECONDS, subprocess.PIPE)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop everything."""
        self.stop()

    def start(self, within_seconds: float, stop: Event) -> bool:
        """Start the programs in order and return when all are healthy.

        Args:
            within_seconds: how long that may take.
            stop: ends the waiting when it is set.

        Returns:
            False if it was told to stop before.

        Raises:
            ProgramFailed: one ended, or did not become healthy in time. None runs any more
                once the context is left.
            OSError: one could not be started, or its log not be opened.
        """
        deadline = time.monotonic() + within_seconds
        while not all(child.is_ready for child in self._children.values()):
            for child in self._children.values():
                if child.is_ready:
                    self._check_lives(child)
                elif child.process is not None:
                    self._check_start(child)
                elif all(self._children[name].is_ready for name in child.program.after):
                    self._spawn(child)
            if time.monotonic() > deadline:
                late = next(child for child in self._children.values() if not child.is_ready)
                raise _explain(late, f"no answer within {within_seconds:g} s")
            if stop.wait(_TICK_SECONDS):
                return False
        return True

    def watch(self, stop: Event) -> None:
        """Start again whatever dies, later each time it dies young, until told to stop."""
        while not stop.wait(_TICK_SECONDS):
            for child in self._children.values():
                if child.is_job or child.is_running:
                    # A log that cannot be kept short is no reason to end what writes it.
                    with suppress(OSError):
                        bound_log(child.log)
                elif child.due:
                    if time.monotonic() >= child.due:
                        self._spawn_again(child)
                else:
                    self._bury(child)

    def stop(self) -> None:
        """End the programs, those that need others first, and all that they started."""
        running = [child for child in self._children.values() if child.is_running]
        while running:
            needed = select_needed(self.programs, [child.program.name for child in running])
            wave = [child for child in running if child.program.name not in needed]
            _end(wave)
            running = [child for child in running if child not in wave]
        end_marked(self._mark, _KILL_SECONDS)
        for child in self._children.values():
            if child.process is not None:
                child.process.wait()
        if self._guard is not None and self._guard.stdin is not None:
            self._guard.stdin.close()
            self._guard.wait()

    def _spawn(self, child: _Child) -> None:
        program = child.program
        child.due = 0.0
        with open_log(child.log) as log:
            child.log_start = log.tell()
            child.process = subprocess.Popen(
                program.command,
                env={**program.environment, MARK: f"{self._mark}/{program.name}/"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=program.folder,
                start_new_session=True,
            )
        child.started = time.monotonic()

    def _spawn_again(self, child: _Child) -> None:
        try:
            self._spawn(child)
        except OSError as error:
            # No memory or no disk now; the others go on.
            child.deaths += 1
            delay = compute_delay(child.deaths)
            child.due = time.monotonic() + delay
            logger.warning(
                "%s could not be started again: %s; the next try is in %g s",
                child.program.name, error, delay,
            )  # fmt: skip

    def _check_start(self, child: _Child) -> None:
        assert child.process is not None
        code = child.process.poll()
        if code is not None and (code != 0 or not child.is_job):
            raise _explain(child, f"exit code {code}")
        asked = child.program.is_healthy
        child.is_ready = code == 0 if asked is None else asked()
        if child.is_ready:
            took = time.monotonic() - child.started
            self.seconds[child.program.name] = round(took, 1)

    def _check_lives(self, child: _Child) -> None:
        if not child.is_job and not child.is_running:
            assert child.process is not None
            raise _explain(child, f"exit code {child.process.returncode}")

    def _bury(self, child: _Child) -> None:
        assert child.process is not None
        if not child.program.spares_children:
            # An orphan of its own would still hold its port.
            end_marked(f"{self._mark}/{child.program.name}/", _KILL_SECONDS)
        child.deaths = count_deaths(child.deaths, time.monotonic() - child.started)
        delay = compute_delay(child.deaths)
        child.due = time.monotonic() + delay
        logger.warning(
            "%s ended with exit code %d; it starts again in %g s (log: %s)",
            child.program.name, child.process.returncode, delay, child.log,
        )  # fmt: skip


def _end(children: Sequence[_Child]) -> None:
    for child in children:
        if child.program.ends_children_first:
            _end_children(child)
    deadline = time.monotonic() + _STOP_SECONDS
    for child in children:
        assert child.process is not None
        child.process.terminate()
    for child in children:
        assert child.process is not None
        try:
            child.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.process.kill()


def _end_children(child: _Child) -> None:
    import psutil

    assert child.process is not None
    try:
        found = psutil.Process(child.process.pid).children()
    except psutil.NoSuchProcess:
        return
    for process in found:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    if found:
        psutil.wait_procs(found, timeout=_STOP_SECONDS)
        time.sleep(_TELL_SECONDS)


def _explain(child: _Child, received: str) -> ProgramFailed:
    lines = read_last_lines(child.log, child.log_start) if child.process is not None else []
    shown = "".join(f"\n  {line}" for line in lines) or " empty."
    return ProgramFailed(
        f"{child.program.name} must start. Received: {received}. Its log {child.log} ends with:"
        f"{shown}"
    )
