"""Names of processes: certain of their own machine's, whatever its clock says."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest

from sentiflow import processes
from sentiflow.processes import (
    ProcessName,
    is_gone,
    look_up,
    may_live_here,
    name_process,
    name_this_machine,
    name_this_process,
)

ENDED = 2**22 + 1


def test_a_living_process_is_not_gone_and_an_ended_one_is() -> None:
    child = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE)
    name = name_process(child.pid)
    assert look_up(name) == look_up(name_this_process()) == "alive"
    child.communicate()
    assert look_up(name) == "gone"
    assert is_gone(name)


def test_a_child_and_its_parent_call_it_by_one_name() -> None:
    code = "from sentiflow.processes import *; n = name_this_process(); print(n); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline().strip() == repr(name_process(child.pid))
        child.communicate()


def test_an_id_that_was_used_again_is_not_the_old_process() -> None:
    own = name_this_process()
    assert look_up(ProcessName(own.machine, own.pid, own.started - 1)) == "gone"


@pytest.mark.parametrize("machine", ["0" * 12, "v2" + "0" * 10, "v3" + "0" * 10])
def test_nothing_is_certain_about_a_process_of_another_machine(machine: str) -> None:
    name = ProcessName(machine, ENDED, 0)
    assert look_up(name) == "unknown"
    assert not may_live_here(name)


def test_a_name_of_the_older_format_is_never_certainly_gone() -> None:
    machine = processes._name_this_machine_v1()
    assert machine != name_this_machine()
    for pid, may_live in ((os.getpid(), True), (ENDED, False)):
        name = ProcessName(machine, pid, 1_790_000_000)
        assert look_up(name) == "unknown"
        assert may_live_here(name) == may_live


def test_a_zombie_has_ended() -> None:
    child = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE)
    name = name_process(child.pid)
    assert child.stdin is not None
    child.stdin.close()
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
        pass
    assert look_up(name) == "gone"
    child.wait()


LOOK = """
import sys
from sentiflow.processes import ProcessName, is_gone
print(is_gone(ProcessName(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
"""


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare"),
    reason="only root can put another /proc/stat in the place of the machine's",
)
def test_a_clock_that_is_corrected_ends_no_living_process(tmp_path: Path) -> None:
    own = name_this_process()
    stat = Path("/proc/stat").read_text()
    (clock,) = (line for line in stat.splitlines() if line.startswith("btime"))
    for hours in (-1, 1):
        moved = tmp_path / f"stat{hours}"
        # What a clock that is set by an hour changes, for one process in its own mount namespace.
        moved.write_text(stat.replace(clock, f"btime {int(clock.split()[1]) + 3_600 * hours}"))
        answer = subprocess.run(
            ["unshare", "-m", "sh", "-c", 'mount --bind "$0" /proc/stat && exec "$@"',
             str(moved), sys.executable, "-c", LOOK, *map(str, asdict(own).values())],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert answer.stdout.strip() == "False"


def test_without_proc_a_start_that_moved_is_no_proof(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_PROC", tmp_path)
    own = name_this_process()
    assert look_up(own) == "alive"
    assert look_up(ProcessName(own.machine, own.pid, own.started - 3_600)) == "unknown"
    assert look_up(ProcessName(own.machine, ENDED, own.started)) == "gone"
