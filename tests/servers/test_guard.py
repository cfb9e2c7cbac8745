from __future__ import annotations

import subprocess
import sys
import time

import psutil
import pytest

PARENT = """
import subprocess, sys, time
from sentiflow.servers.guard import guard_this_process
guard_this_process(seconds=1)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"],
                         start_new_session=True)
print(child.pid, flush=True)
if sys.argv[1] == "waits":
    time.sleep(100)
"""


@pytest.mark.parametrize("way", ["waits", "ends"])
def test_what_a_guarded_process_started_does_not_outlive_it(way: str) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, way], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    assert child.is_running()
    if way == "waits":
        parent.kill()
    parent.wait()
    parent.stdout.close()
    ends = time.monotonic() + 30
    while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < ends, "it lives on"
        time.sleep(0.05)
