"""What a person at a terminal has: an environment, a free port, patience, a look at what runs."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest


def make_environment(**own: str) -> dict[str, str]:
    """Return an environment without what other tests of this process left of their servers."""
    # Without bytecode every process pays seconds of uncached imports.
    foreign = ("PREFECT_", "MLFLOW_", "SENTIFLOW_", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {**kept, **own}


def find_port() -> int:
    """Return a port of this machine that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def wait_for(ask: Callable[[], Any], seconds: float, every: float = 0.1) -> Any:
    """Return the first answer that is something."""
    ends = time.monotonic() + seconds
    while not (found := ask()):
        assert time.monotonic() < ends, "it took too long"
        time.sleep(every)
    return found


def list_alive(home: Path) -> list[str]:
    """Return the command lines of all that runs on a home."""
    alive = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("SENTIFLOW_HOME") == str(home):
                alive.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return alive


def type_in(
    words: tuple[str, ...], environment: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> subprocess.CompletedProcess[str]:
    """Run `sentiflow …` in this process, from its arguments to its exit code."""
    from sentiflow.cli import main

    before = dict(os.environ)
    capfd.readouterr()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["sentiflow", *words])
        # What a command hangs in for good is this process's own again.
        for owner, name in (
            (sys, "excepthook"),
            (sys, "unraisablehook"),
            (threading, "excepthook"),
        ):
            patch.setattr(owner, name, getattr(owner, name))
        os.environ.clear()
        os.environ.update(environment)
        try:
            with pytest.raises(SystemExit) as ended:
                main()
        finally:
            os.environ.clear()
            os.environ.update(before)
    code = int(ended.value.code or 0)
    return subprocess.CompletedProcess([*words], code, *capfd.readouterr())
