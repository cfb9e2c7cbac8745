"""Tiny real programs: started in order, started again, and all gone at the end."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from sentiflow.servers import logs
from sentiflow.servers import supervisor as supervising
from sentiflow.servers.guard import MARK
from sentiflow.servers.supervisor import (
    Program,
    ProgramFailed,
    Supervisor,
    compute_delay,
    count_deaths,
    select_needed,
)

REPOSITORY = Path(__file__).resolve().parents[2]
# A child that will not end when asked, in a session of its own, as detached programs are.
STUBBORN = (
    "import os, signal, time; os.setsid(); signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "time.sleep(60)"
)
# What a program begins with that has such a child.
BEAR = f"import subprocess, sys; subprocess.Popen([sys.executable, '-S', '-c', {STUBBORN!r}]); "


@contextmanager
def watch(program: Program, logs: Path) -> Iterator[None]:
    """Run a program under a supervisor that starts it again whenever it dies."""
    stop = threading.Event()
    with Supervisor([program], logs) as running:
        running.start(10, stop)
        watching = threading.Thread(target=running.watch, args=[stop])
        watching.start()
        try:
            yield
        finally:
            stop.set()
            watching.join()


@pytest.fixture
def write_program(tmp_path: Path) -> Callable[..., Program]:
    """Make a program of one line of Python, healthy when its file is there."""

    def write(name: str, line: str, *after: str, is_job: bool = False, **more: bool) -> Program:
        environment = {"PATH": os.environ["PATH"], "PLACE": str(tmp_path)}
        healthy = (tmp_path / f"{name}.healthy").exists
        command = (
            sys.executable,
            "-S",
            "-c",
            f"import os, time; os.chdir({str(tmp_path)!r}); {line}",
        )
        return Program(name, command, environment, None if is_job else healthy, after, **more)

    return write


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever a test does, no process of it is there after it; and none gets long to end."""
    monkeypatch.setattr(supervising, "_KILL_SECONDS", 0.3)
    monkeypatch.setattr(supervising, "_STOP_SECONDS", 0.3)
    monkeypatch.setattr(supervising, "_TICK_SECONDS", 0.05)
    yield
    assert list_alive(tmp_path) == []


def list_alive(place: Path) -> list[int]:
    alive = []
    for process in psutil.process_iter():
        try:
            environment = process.environ()
            if environment.get("PLACE") == str(place) and MARK in environment:
                alive.append(process.pid)
        except psutil.Error:
            continue
    return alive


def healthy(name: str) -> str:
    return f"open('{name}.healthy', 'w').close(); time.sleep(60)"


def wait_for(condition: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.05)


def count_lines(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


def test_the_pause_doubles_up_to_a_minute_and_a_steady_life_begins_anew() -> None:
    assert [compute_delay(deaths) for deaths in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert compute_delay(10_000) == 60
    assert count_deaths(3, 59.9) == 4
    assert count_deaths(3, 60.0) == 1


def test_what_a_program_needs_is_found_through_the_jobs_between(
    write_program: Callable[..., Program],
) -> None:
    programs = [
        write_program("server", ""), write_program("job", "", "server", is_job=True),
        write_program("worker", "", "job"), write_program("other", ""),
    ]  # fmt: skip
    assert select_needed(programs, ["worker"]) == {"server", "job"}
    assert select_needed(programs, ["server", "other"]) == set()


def test_programs_start_when_those_before_are_healthy_and_jobs_have_ended(
    write_program: Callable[..., Program], tmp_path: Path
) -> None:
    note = "open('order', 'a').write('{}\\n'); "
    programs = [
        write_program("worker", note.format("worker") + healthy("worker"), "job"),
        write_program("job", note.format("job") + "time.sleep(0.3)", "server", is_job=True),
        write_program("server", "time.sleep(0.3); " + note.format("server") + healthy("server")),
    ]
    with Supervisor(programs, tmp_path / "logs") as running:
        assert running.start(10, threading.Event())
        assert (tmp_path / "order").read_text().split() == ["server", "job", "worker"]
        assert set(running.seconds) == {"worker", "job", "server"}
        assert len(list_alive(tmp_path)) == 2


def test_a_program_that_dies_is_started_again_after_a_pause_and_its_orphans_end(
    write_program: Callable[..., Program], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervising, "_FIRST_DELAY", 0.4)
    line = BEAR + "open('starts', 'a').write(f'{time.monotonic()}\\n'); " + healthy("server")
    with watch(write_program("server", line), tmp_path / "logs"):
        wait_for(lambda: len(list_alive(tmp_path)) == 2)
        (leader,) = [
            process for process in psutil.Process().children()
            if process.pid in list_alive(tmp_path)
        ]  # fmt: skip
        first = set(list_alive(tmp_path))
        killed = time.monotonic()
        leader.kill()
        wait_for(lambda: count_lines(tmp_path / "starts") == 2)
        again = float((tmp_path / "starts").read_text().split()[1])
        assert again - killed >= compute_delay(1)
        wait_for(lambda: len(list_alive(tmp_path)) == 2)
        assert not first & set(list_alive(tmp_path))


def test_a_program_may_leave_its_children_alone_when_it_dies(
    write_program: Callable[..., Program], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervising, "_FIRST_DELAY", 0.1)
    line = BEAR + "open('starts', 'a').write('x\\n'); " + healthy("worker")
    program = write_program("worker", line, spares_children=True)
    with watch(program, tmp_path / "logs"):
        wait_for(lambda: len(list_alive(tmp_path)) == 2)
        first = set(list_alive(tmp_path))
        (leader,) = [p for p in psutil.Process().children() if p.pid in first]
        leader.kill()
        wait_for(lambda: count_lines(tmp_path / "starts") == 2)
        assert first - {leader.pid} <= set(list_alive(tmp_path))


def test_a_program_that_cannot_start_ends_all_with_its_last_words(
    write_program: Callable[..., Program], tmp_path: Path
) -> None:
    programs = [
        write_program("server", healthy("server")),
        write_program("worker", "print('postgresql://a:s3cret@db/x'); raise SystemExit('no disk')"),
    ]  # fmt: skip
    with (
        pytest.raises(ProgramFailed, match="worker must start") as failed,
        Supervisor(programs, tmp_path / "logs") as running,
    ):
        running.start(10, threading.Event())
    assert "exit code 1" in str(failed.value)
    assert "no disk" in str(failed.value)
    assert "s3cret" not in str(failed.value)
    assert failed.value.exit_code == 1


def test_a_failed_job_and_a_program_that_dies_while_others_start_are_told(
    write_program: Callable[..., Program], tmp_path: Path
) -> None:
    job = write_program("job", "raise SystemExit(3)", is_job=True)
    with (
        pytest.raises(ProgramFailed, match=r"job must start\. Received: exit code 3"),
        Supervisor([job], tmp_path / "logs") as running,
    ):
        running.start(10, threading.Event())
    short = "open('server.healthy', 'w').close(); time.sleep(0.4)"
    programs = [write_program("server", short), write_program("slow", "time.sleep(60)")]
    with (
        pytest.raises(ProgramFailed, match="server must start"),
        Supervisor(programs, tmp_path / "logs") as running,
    ):
        running.start(10, threading.Event())


def test_a_program_that_never_becomes_healthy_is_told_in_time(
    write_program: Callable[..., Program], tmp_path: Path
) -> None:
    program = write_program("server", "print('still thinking', flush=True); time.sleep(60)")
    with (
        pytest.raises(ProgramFailed, match=r"(?s)no answer within 0\.7 s.*still thinking"),
        Supervisor([program], tmp_path / "logs") as running,
    ):
        running.start(0.7, threading.Event())


def test_a_stop_while_starting_ends_what_was_started(
    write_program: Callable[..., Program], tmp_path: Path
) -> None:
    stop = threading.Event()
    with Supervisor([write_program("server", "time.sleep(60)")], tmp_path / "logs") as running:
        threading.Timer(0.5, stop.set).start()
        assert running.start(30, stop) is False


def test_children_that_ignore_the_signal_in_sessions_of_their_own_end_too(
    write_program: Callable[..., Program], tmp_path: Path
) -> None:
    line = f"import subprocess, sys; subprocess.Popen([sys.executable, '-S', '-c', {STUBBORN!r}]);"
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    program = write_program("server", stubborn + line + healthy("server"))
    with Supervisor([program], tmp_path / "logs") as running:
        running.start(10, threading.Event())
        wait_for(lambda: len(list_alive(tmp_path)) == 2)
        time.sleep(0.2)
    assert list_alive(tmp_path) == []


def test_children_may_be_ended_while_their_parent_can_still_tell(
    write_program: Callable[..., Program], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervising, "_STOP_SECONDS", 5.0)
    monkeypatch.setattr(supervising, "_TELL_SECONDS", 0.1)
    child = "import time; time.sleep(60)"
    line = f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-S', '-c', {child!r}]);"
    told = "open('worker.healthy', 'w').close(); open('told', 'w').write(str(p.wait()));"
    program = write_program("worker", line + told + "time.sleep(60)", ends_children_first=True)
    with Supervisor([program], tmp_path / "logs") as running:
        running.start(10, threading.Event())
    assert (tmp_path / "told").read_text() == "-15"


def test_the_programs_end_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    script = f"""
import os, sys, threading
from contextlib import contextmanager
from pathlib import Path
from sentiflow.servers import supervisor
from sentiflow.servers.supervisor import Program, Supervisor
supervisor._KILL_SECONDS = 0.3
line = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-S', '-c', {STUBBORN!r}]); time.sleep(60)"
place = Path({str(tmp_path)!r})
environment = {{"PATH": os.environ["PATH"], "PLACE": str(place)}}
program = Program("server", (sys.executable, "-S", "-c", line), environment, lambda: True)
with Supervisor([program], place / "logs") as running:
    running.start(10, threading.Event())
    running.watch(threading.Event())
"""  # noqa: E501
    path = tmp_path / "script.py"
    path.write_text(script)
    process = subprocess.Popen([sys.executable, path], cwd=REPOSITORY)
    try:
        wait_for(lambda: len(list_alive(tmp_path)) == 2)
    finally:
        process.kill()
        process.wait()
    wait_for(lambda: not list_alive(tmp_path))


def test_a_long_log_is_kept_once_and_begins_anew(
    write_program: Callable[..., Program], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "_MOST_BYTES", 1_000)
    line = "print('x' * 1500, flush=True); time.sleep(0.5); print('later', flush=True);"
    stop = threading.Event()
    program = write_program(
        "server", "open('server.healthy', 'w').close(); " + line + "time.sleep(60)"
    )
    with Supervisor([program], tmp_path / "logs") as running:
        running.start(10, stop)
        threading.Timer(0.8, stop.set).start()
        running.watch(stop)
    assert (tmp_path / "logs" / "server.log").read_text() == "later\n"
    assert (tmp_path / "logs" / "server.log.1").stat().st_size == 1_501
    assert (tmp_path / "logs" / "server.log").stat().st_mode & 0o077 == 0


def test_a_log_that_cannot_be_kept_begins_anew_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(logs, "_MOST_BYTES", 1_000)
    log = tmp_path / "server.log"
    log.write_text("x" * 1_001)
    log.with_suffix(".log.1").symlink_to("/dev/full")
    with logs.open_log(log) as opened:
        opened.write(b"later")
    assert log.read_text() == "later"
    assert not os.path.lexists(log.with_suffix(".log.1")), "half a copy helps nobody"
    assert "what was in it is lost: [Errno 28]" in caplog.text


def test_a_full_disk_ends_no_program_that_runs(
    write_program: Callable[..., Program], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with watch(write_program("server", healthy("server")), tmp_path / "logs"):
        first = list_alive(tmp_path)
        monkeypatch.setattr(logs, "_MOST_BYTES", 1_000)
        log = tmp_path / "logs" / "server.log"
        log.with_suffix(".log.1").symlink_to("/dev/full")
        log.write_text("x" * 1_001)
        wait_for(lambda: log.stat().st_size == 0)
        assert list_alive(tmp_path) == first


def test_a_program_that_cannot_be_started_again_is_tried_later_and_the_others_go_on(
    write_program: Callable[..., Program],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(supervising, "_FIRST_DELAY", 0.2)
    log = tmp_path / "logs" / "server.log"
    line = "open('starts', 'a').write('x\\n'); " + healthy("server")
    with watch(write_program("server", line), tmp_path / "logs"):
        # A folder in the place of its log stands for a machine that does not let it start.
        log.unlink()
        log.mkdir()
        (leader,) = list_alive(tmp_path)
        psutil.Process(leader).kill()
        wait_for(lambda: "the next try is in 0.8 s" in caplog.text)
        assert "server could not be started again: [Errno 21]" in caplog.text
        assert count_lines(tmp_path / "starts") == 1
        log.rmdir()
        wait_for(lambda: count_lines(tmp_path / "starts") == 2)
