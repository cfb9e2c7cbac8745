"""Name a process so that another one can tell later whether it still lives."""

from __future__ import annotations

import hashlib
import os
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_PID_NAMESPACE: Final = Path("/proc/self/ns/pid")


@dataclass(frozen=True)
class ProcessName:
    """One process, on any machine, now or before.

    Attributes:
        machine: 12 hexadecimal digits for host, boot and process namespace: where the same
            process id is the same process.
        pid: the process id.
        started: when it started, in seconds since 1970: ids are used again.
    """

    machine: str
    pid: int
    started: int


def name_this_process() -> ProcessName:
    """Return the name of the process that asks."""
    import psutil

    return ProcessName(name_this_machine(), os.getpid(), int(psutil.Process().create_time()))


@cache
def name_this_machine() -> str:
    """Return 12 hexadecimal digits for this host, its boot and this process namespace.

    Containers on one host differ in the namespace, and after a restart of the machine no
    process of before is left.
    """
    parts = [socket.gethostname()]
    if _BOOT_ID.exists():
        parts.append(_BOOT_ID.read_text().strip())
    if _PID_NAMESPACE.is_symlink():
        parts.append(os.readlink(_PID_NAMESPACE))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def is_gone(name: ProcessName) -> bool:
    """Return whether a process has certainly ended; of another machine's nothing is certain."""
    if name.machine != name_this_machine():
        return False
    import psutil

    try:
        process = psutil.Process(name.pid)
        # A zombie has ended: its parent just has not asked how.
        if process.status() == psutil.STATUS_ZOMBIE:
            return True
        # A clock that was set in between moves the start by as much; the id alone is older news.
        return abs(process.create_time() - name.started) > 2
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False
