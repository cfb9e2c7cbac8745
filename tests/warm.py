"""Python processes that start with TensorFlow and MLflow already imported.

Importing them costs a process six to nine seconds of processor, and a whole night starts three
processes. `WarmPython.executable` is used as sys.executable is: what it starts is a real process
of its own, with its own arguments, environment, streams, signals and exit code, forked from one
that has imported libraries and done nothing else. Sentiflow, Prefect and settings are not among
them. Tests of a start itself, of what is imported when and of whole servers use sys.executable.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import resource
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

from warm_client import STATUS

TESTS = Path(__file__).resolve().parent
LIBRARIES = (
    "tensorflow", "keras", "pandas", "pyarrow.parquet", "matplotlib.pyplot", "mlflow",
    "mlflow.store.tracking.sqlalchemy_store", "mlflow.store.model_registry.sqlalchemy_store",
    "mlflow.pyfunc", "sklearn.linear_model", "sklearn.feature_extraction.text",
    "great_expectations", "typer", "pydantic", "sqlalchemy",
)  # fmt: skip


class WarmPython:
    """The warm process, and the program that starts others from it."""

    def __init__(self, folder: Path) -> None:
        self.executable = str(folder / "python")
        self._address = str(folder / "line")
        self._process: subprocess.Popen[bytes] | None = None
        Path(self.executable).write_text(
            f"#!{sys.executable} -IS\nimport sys\nsys.path.insert(0, {str(TESTS)!r})\n"
            f"from warm_client import main\nmain({self._address!r}, {sys.executable!r})\n"
        )
        Path(self.executable).chmod(0o700)

    def start(self) -> None:
        """Start the warm process; what is asked of it before it is ready waits."""
        foreign = ("PREFECT_", "MLFLOW_", "SENTIFLOW_", "PYTEST_")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
        quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "MLFLOW_DISABLE_TELEMETRY": "true",
                 "GX_ANALYTICS_ENABLED": "false"}  # fmt: skip
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self._address)
        listener.listen(64)
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(listener.fileno())],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={**kept, **quiet}, pass_fds=(listener.fileno(),), start_new_session=True,
        )  # fmt: skip
        listener.close()

    def stop(self) -> None:
        """End the warm process; what it started ends with whoever asked for it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def serve(listener: socket.socket) -> None:
    """Start what is asked for, for ever; returns in each process that was started."""
    gc.disable()
    for name in LIBRARIES:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    gc.enable()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        line, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            mind(line)
            return
        line.close()


def mind(line: socket.socket) -> None:
    """Start one process and stay beside it until it ends; returns in that process."""
    _, streams, _, _ = socket.recv_fds(line, 1, 3)
    (length,) = struct.unpack("!i", line.recv(4, socket.MSG_WAITALL))
    order = json.loads(line.recv(length, socket.MSG_WAITALL))
    pid = os.fork()
    if pid == 0:
        line.close()
        become(order, streams)
        return
    for stream in streams:
        os.close(stream)
    ended = os.pidfd_open(pid)
    while True:
        ready, _, _ = select.select([line, ended], [], [])
        if ended in ready:
            break
        numbers = line.recv(1)
        # Who asked for it is gone: as if it had been ended itself.
        os.kill(pid, numbers[0] if numbers else signal.SIGKILL)
        if not numbers:
            break
    _, status = os.waitpid(pid, 0)
    try:
        line.sendall(STATUS.pack(os.waitstatus_to_exitcode(status), 0))
    except OSError:
        os._exit(0)
    os._exit(0)


def become(order: dict[str, Any], streams: list[int]) -> None:
    """Take over the streams, folder, environment and limits of who asked."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    for number, soft, hard in order["limits"]:
        resource.setrlimit(number, (soft, hard))
    # Anew, for the old ones remember what kind of file they were.
    encoding, _, errors = os.environ.get("PYTHONIOENCODING", "").partition(":")
    encoding = encoding or "utf-8"
    sys.stdin = os.fdopen(0, encoding=encoding, closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding=encoding, errors=errors or "strict", closefd=False)
    sys.stderr = os.fdopen(
        2, "w", encoding=encoding, errors="backslashreplace", buffering=1, closefd=False
    )
    sys.executable = order["executable"]
    sys.argv = order["words"]


def run() -> None:
    """Run the module, the text or the file that the words name, as Python would."""
    words = sys.argv
    extra = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    sys.path[:0] = extra
    # -P: the folder of whoever asks is not looked in.
    is_safe = words[0] == "-P"
    words = words[is_safe:]
    if words[0] == "-m":
        sys.argv = words[1:]
        if not is_safe:
            sys.path.insert(0, os.getcwd())
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    elif words[0] == "-c":
        sys.argv = ["-c", *words[2:]]
        if not is_safe:
            sys.path.insert(0, "")
        exec(compile(words[1], "<string>", "exec"), {"__name__": "__main__"})
    else:
        if not is_safe:
            sys.path.insert(0, str(Path(words[0]).resolve().parent))
        runpy.run_path(words[0], run_name="__main__")


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
    # This process was started for somebody; the warm one never gets here.
    sys.path.remove(str(TESTS))
    run()
