"""Finding and removing what is unfinished, beside others that do so too."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sentiflow.files import TEMPORARY_PREFIX, make_temporary_prefix
from sentiflow.home import (
    list_leftovers,
    list_unfinished_files,
    read_last_change,
    remove_whole,
)
from sentiflow.processes import _name_this_machine_v1, name_process, name_this_machine


def name_dead_owner() -> str:
    ended = subprocess.Popen(["true"])
    ended.wait()
    return f"{TEMPORARY_PREFIX}{name_this_machine()}-{ended.pid}-1-"


def fill(folder: Path, hours: float = 0.0) -> Path:
    (folder / "inside").mkdir(parents=True)
    changed = time.time() - hours * 3_600
    for number in range(100):
        (folder / "inside" / str(number)).write_text("x")
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (changed, changed))
    return folder


def test_unfinished_files_are_found_wherever_they_lie_and_each_once(home: Path) -> None:
    top = home / f"{TEMPORARY_PREFIX}a"
    deep = fill(home / "steps" / "train" / f"{TEMPORARY_PREFIX}b")
    fill(deep / f"{TEMPORARY_PREFIX}inner")
    scratch = fill(home / "tmp" / f"{TEMPORARY_PREFIX}c")
    fill(home / "mlartifacts" / f"{TEMPORARY_PREFIX}foreign")
    fill(home / "steps" / "finished")
    top.write_text("x")
    assert list_unfinished_files(home) == sorted([top, deep, scratch])
    assert list_unfinished_files(home / "nothing") == []


def test_of_two_that_remove_the_same_folder_none_fails(home: Path) -> None:
    gate = threading.Barrier(2)

    def remove(folder: Path) -> None:
        gate.wait()
        remove_whole(folder)

    with ThreadPoolExecutor(2) as pool:
        for turn in range(20):
            folder = fill(home / "tmp" / f"{TEMPORARY_PREFIX}{turn}")
            for removed in [pool.submit(remove, folder) for _ in range(2)]:
                removed.result()
    assert list((home / "tmp").iterdir()) == []


def test_what_is_gone_was_changed_at_the_beginning_of_time(home: Path) -> None:
    assert read_last_change(home / "gone") == 0.0
    assert abs(read_last_change(fill(home / "old", hours=5)) - (time.time() - 5 * 3_600)) < 60


def test_old_leftovers_are_found_but_not_what_a_living_process_owns(home: Path) -> None:
    old = [
        fill(home / place / f"{name_dead_owner()}old", hours=30)
        for place in ("nights", "snapshots", "tmp")
    ]
    fill(home / "tmp" / f"{name_dead_owner()}young", hours=1)
    # The scratch folder of `sentiflow up` may stay as it is for long.
    parent = name_process(os.getppid())
    for machine, started in ((parent.machine, parent.started), (_name_this_machine_v1(), 1)):
        living = f"{machine}-{parent.pid}-{started}-"
        fill(home / "tmp" / f"{TEMPORARY_PREFIX}{living}x", hours=30)
    old.append(fill(home / "tmp" / f"{make_temporary_prefix()}of-an-earlier-try", hours=30))
    elsewhere = fill(home / "tmp" / f"{TEMPORARY_PREFIX}{'0' * 12}-1-1-x", hours=30)
    assert list_leftovers(home, 24 * 3_600) == sorted([*old, elsewhere])
