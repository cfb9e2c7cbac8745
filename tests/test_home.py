"""Finding and removing what is unfinished, beside others that do so too."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sentiflow.cli.refusals import foresee
from sentiflow.errors import SettingsError
from sentiflow.files import TEMPORARY_PREFIX, make_temporary_prefix
from sentiflow.home import (
    check_writable,
    choose_scratch,
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


@pytest.fixture
def forbidden(tmp_path: Path) -> Iterator[Path]:
    """A home that may be read and not written; as root, by acting as somebody without rights."""
    home = Path(tempfile.mkdtemp())
    (home / "ledger.db").write_text("kept")
    home.chmod(0o555)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65_534)
    try:
        yield home
    finally:
        if is_root:
            os.seteuid(0)
        home.chmod(0o755)
        shutil.rmtree(home)


def test_a_home_that_cannot_be_written_is_refused_to_who_writes_and_read_by_who_reads(
    forbidden: Path,
) -> None:
    with pytest.raises(SettingsError, match=r"write to. Received: .*Permission denied") as caught:
        check_writable(forbidden)
    assert "\n" not in str(caught.value)
    assert choose_scratch(forbidden) == Path(tempfile.gettempdir())
    # What broke over it in a command is told as that, and is no fault to report.
    assert "write to" in str(foresee_in(forbidden, PermissionError(13, "Permission denied")))


def foresee_in(home: Path, error: Exception) -> Exception:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SENTIFLOW_HOME", str(home))
        return foresee(error)


def test_a_home_that_can_be_written_is_left_as_it_was(tmp_path: Path) -> None:
    check_writable(tmp_path)
    assert choose_scratch(tmp_path) == tmp_path / "scratch"
    assert list(tmp_path.iterdir()) == []
