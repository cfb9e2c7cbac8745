"""Name a process so that another one can tell later whether it still lives.

A name holds nothing that a corrected clock moves: the start is counted in ticks since the
machine's boot, and the boot has a random id.
"""

from __future__ import annotations

import hashlib
import os
import socket
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Literal

_PROC: Final = Path("/proc")
_BOOT_ID: Final = _PROC / "sys/kernel/random/boot_id"
_PID_NAMESPACE: Final = _PROC / "self/ns/pid"
# Where start ticks are counted from.
_TIME_NAMESPACE: Final = _PROC / "self/ns/time"
# The first two signs of `machine`. Names without it held a start in seconds since 1970.
_FORMAT: Final = "v2"
# The ledger keeps `started` in 32 bits; a tick is 10 ms.
_MOST_STARTED: Final = 2**31
_ENDED_STATES: Final = frozenset("ZXx")

Life = Literal["alive", "gone", "unknown"]


@dataclass(frozen=True)
class ProcessName:
    """One process, on any machine, now or before.

    Attributes:
        machine: the format's version, and 10 hexadecimal digits for host, boot and namespaces:
            where the same process id is the same process.
        pid: the process id.
        started: when it started, because ids are used again: in ticks since boot (modulo 2³¹),
            or in seconds since 1970 where there is no /proc.
    """

    machine: str
    pid: int
    started: int


def make_module_command(module: str, *arguments: str) -> list[str]:
    """Return what runs an installed module as a program.

    What lies in the folder of who calls, a secrets.py for example, is never taken for a package.
    """
    return [sys.executable, "-P", "-m", module, *arguments]


def name_this_process() -> ProcessName:
    """Return the name of the process that asks."""
    return name_process(os.getpid())


def name_process(pid: int) -> ProcessName:
    """Return the name of a living process of this machine."""
    stat = _read_stat(pid)
    if stat is not None:
        return ProcessName(name_this_machine(), pid, stat[1])
    import psutil

    return ProcessName(name_this_machine(), pid, int(psutil.Process(pid).create_time()))


@cache
def name_this_machine() -> str:
    """Return 12 signs for this host, its boot and its namespaces; see `ProcessName.machine`.

    Containers on one host differ in the namespace, and after a restart of the machine no
    process of before is left.
    """
    return _FORMAT + _digest_machine(_PID_NAMESPACE, _TIME_NAMESPACE)[:10]


@cache
def _name_this_machine_v1() -> str:
    return _digest_machine(_PID_NAMESPACE)[:12]


def _digest_machine(*namespaces: Path) -> str:
    parts = [socket.gethostname()]
    if _BOOT_ID.exists():
        parts.append(_BOOT_ID.read_text().strip())
    parts += [os.readlink(namespace) for namespace in namespaces if namespace.is_symlink()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def look_up(name: ProcessName) -> Life:
    """Return whether a process certainly lives, has certainly ended, or nobody can say.

    Of another machine's nothing is certain, nor of one whose name is of an older format.
    """
    if name.machine != name_this_machine():
        return "unknown"
    if not _PROC.joinpath("self/stat").exists():
        return _ask_psutil(name)
    try:
        # No signal is sent; asked first, because /proc may hide other users' processes.
        os.kill(name.pid, 0)
    except ProcessLookupError:
        return "gone"
    except PermissionError:
        pass
    stat = _read_stat(name.pid)
    if stat is None:
        return "unknown"
    state, started = stat
    # A zombie has ended: its parent just has not asked how.
    return "gone" if state in _ENDED_STATES or started != name.started else "alive"


def is_gone(name: ProcessName) -> bool:
    """Return whether a process has certainly ended; of another machine's nothing is certain."""
    return look_up(name) == "gone"


def may_live_here(name: ProcessName) -> bool:
    """Return whether a name may be that of a living process of this machine.

    Of the older format the start says nothing: whatever has its id may be the one.
    """
    if name.machine == name_this_machine():
        return not is_gone(name)
    import psutil

    return name.machine == _name_this_machine_v1() and psutil.pid_exists(name.pid)


def _read_stat(pid: int) -> tuple[str, int] | None:
    """Return state and start of a process, of which only an end moves; None if hidden or gone."""
    try:
        text = (_PROC / str(pid) / "stat").read_bytes().decode("ascii", "replace")
    except OSError:
        return None
    # The second field is the program's name in brackets, which may hold blanks and brackets.
    fields = text[text.rindex(")") + 1 :].split()
    return fields[0], int(fields[19]) % _MOST_STARTED


def _ask_psutil(name: ProcessName) -> Life:
    """Return what is known without /proc, where a start may move with the clock."""
    import psutil

    try:
        process = psutil.Process(name.pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return "gone"
        return "alive" if abs(process.create_time() - name.started) <= 1 else "unknown"
    except psutil.NoSuchProcess:
        return "gone"
    except psutil.Error:
        return "unknown"
