"""What stands in Python's place where a warm start is wanted; see warm.py.

It hands its arguments, folder, environment, limits and standard streams to the warm process and
lives as long as what that started: signals go on to it, and the exit code comes back. Only the
standard library's quick parts are used, for this runs once per process that a test starts.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import struct
import sys

# What starts warm: sentiflow's own processes, and a night that a worker starts. Only the guard,
# which outlives everything, starts as ever.
WARM = ("sentiflow", "prefect.engine")
FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LIMITS = (resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE, resource.RLIMIT_AS, resource.RLIMIT_CORE)
STATUS = struct.Struct("!ii")


def main(address: str, python: str) -> None:
    """Start warm what can be, and the rest as ever."""
    words = sys.argv[1:]
    if not starts_warm(words):
        os.execv(python, [python, *words])
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(address)
        order = {
            "words": words, "folder": os.getcwd(), "environment": dict(os.environ),
            "executable": sys.argv[0], "limits": [[n, *resource.getrlimit(n)] for n in LIMITS],
        }  # fmt: skip
        socket.send_fds(line, [b"!"], [0, 1, 2])
        content = json.dumps(order).encode("ascii")
        line.sendall(struct.pack("!i", len(content)) + content)
        for number in FORWARDED:
            signal.signal(number, lambda number, _: line.sendall(bytes([number])))
        code = STATUS.unpack(line.recv(STATUS.size, socket.MSG_WAITALL))[0]
    if code < 0:
        # Ended by a signal: so is this one.
        signal.signal(-code, signal.SIG_DFL) if -code != signal.SIGKILL else None
        os.kill(os.getpid(), -code)
    os._exit(code)


def starts_warm(words: list[str]) -> bool:
    """Say whether it is a process of sentiflow's and not one that has to be bare."""
    if words[:1] == ["-P"]:
        words = words[1:]
    if not words:
        return False
    if words[0] in ("-m", "-c"):
        return any(name in words[1] for name in WARM) and "guard" not in words[1]
    return words[0].endswith(".py")
