"""End every process that was started under a mark, also those whose parents are gone.

A mark is an environment variable, which children hand down to theirs: sessions, process groups
and detached processes do not get away. As a program (`python -m sentiflow.servers.guard
MARK SECONDS`) it waits until whoever holds the other end of its input is gone, even by kill -9,
and then ends what is left.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

from sentiflow.processes import make_module_command

if TYPE_CHECKING:
    import psutil

MARK: Final = "SENTIFLOW_UP"
_LOOK_SECONDS: Final = 0.1
_GIVE_UP_SECONDS: Final = 10.0


def start_guard(mark: str, seconds: float, stdin: int) -> subprocess.Popen[bytes]:
    """Start the program that ends what carries a mark once its input has ended.

    Args:
        mark: how the marks begin.
        seconds: how long what is left may take to end on its own.
        stdin: its input: a descriptor, or subprocess.PIPE.
    """
    return subprocess.Popen(
        make_module_command("sentiflow.servers.guard", mark, str(seconds)),
        stdin=stdin, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip


def guard_this_process(seconds: float) -> None:
    """Let nothing that this process starts from now on outlive it, even if it is killed.

    Args:
        seconds: how long what is left may take to end on its own.
    """
    mark = os.environ.get(MARK, "") + secrets.token_hex(8)
    # The writing end is never closed: the kernel does it when this process is gone.
    reading, _ = os.pipe()
    start_guard(mark, seconds, reading)
    os.close(reading)
    os.environ[MARK] = mark


def list_marked(mark: str) -> list[psutil.Process]:
    """Return the living processes whose mark begins with `mark`."""
    import psutil

    found = []
    for process in psutil.process_iter():
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            if process.environ().get(MARK, "").startswith(mark):
                found.append(process)
        except (psutil.Error, OSError):
            # Somebody else's, or gone in between.
            continue
    return found


def end_marked(mark: str, seconds: float) -> int:
    """End the processes under a mark: by SIGTERM, and after some seconds by SIGKILL.

    Args:
        mark: how their marks begin.
        seconds: how long they may take to end on their own.

    Returns:
        How many had to be killed.
    """
    import psutil

    asked: set[int] = set()
    killed: set[int] = set()
    deadline = time.monotonic() + seconds
    # What not even SIGKILL ends (a disk that hangs) must not keep us for ever.
    while (found := list_marked(mark)) and time.monotonic() < deadline + _GIVE_UP_SECONDS:
        is_over = time.monotonic() > deadline
        for process in found:
            try:
                if is_over:
                    process.kill()
                    killed.add(process.pid)
                elif process.pid not in asked:
                    process.terminate()
                    asked.add(process.pid)
            except psutil.NoSuchProcess:
                continue
        # What they start while they end is found by the next look.
        time.sleep(_LOOK_SECONDS)
    return len(killed)


def main() -> None:
    """Wait for the end of the input, then end what carries the mark."""
    mark, seconds = sys.argv[1], float(sys.argv[2])
    # It ends with its owner, not by a signal that was sent to all.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while sys.stdin.buffer.read(1):
        pass
    end_marked(mark, seconds)


if __name__ == "__main__":
    main()
