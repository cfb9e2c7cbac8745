"""No traceback reaches a user: it lies in a file under the home, and one line names it."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from sentiflow.errors import SentiflowError, UnforeseenError
from sentiflow.tracebacks import drop_tracebacks, explain_unforeseen, keep_traceback

# As a library quotes what it chokes on.
WORDS = "could not convert: Great soup"
SCRIPT = """
import gc, logging, sys, threading
from pathlib import Path
from sentiflow.tracebacks import hide_tracebacks
hide_tracebacks(lambda: Path(sys.argv[1]))

words = "Great so" + "up"

def fail():
    raise ValueError(words)

class Broken:
    def __del__(self):
        fail()

broken = Broken()
del broken
gc.collect()
thread = threading.Thread(target=fail)
thread.start()
thread.join()
try:
    fail()
except ValueError:
    logging.getLogger("asyncio").exception("a task broke")
fail()
"""


def fail() -> Exception:
    try:
        raise ValueError(WORDS)
    except ValueError as error:
        return error


def test_frames_are_kept_for_the_owner_alone_without_the_words(tmp_path: Path) -> None:
    told = explain_unforeseen(fail(), tmp_path)
    (path,) = (tmp_path / "errors").iterdir()
    assert str(told).endswith(f"Where it came from: {path}")
    assert "soup" not in path.read_text() + str(told)
    assert "in fail" in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_what_a_flow_called_unforeseen_is_called_so_once(tmp_path: Path) -> None:
    told = explain_unforeseen(UnforeseenError.of(fail()), tmp_path)
    assert str(told).count("not foreseen") == 1


@pytest.mark.parametrize("place", ["nowhere", "a file"])
def test_without_a_home_frames_go_to_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    (tmp_path / "a file").touch()
    told = explain_unforeseen(fail(), tmp_path / place)
    shown = capsys.readouterr().err
    assert "in fail" in shown
    assert "soup" not in shown + str(told)
    assert "Where" not in str(told)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a file"]


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "errors"
    folder.mkdir()
    for number in range(60):
        (folder / f"20200101T0000{number:02}Z-1-1.txt").touch()
    path = keep_traceback(fail(), tmp_path)
    assert path is not None
    kept = sorted(entry.name for entry in folder.iterdir())
    assert len(kept) == 50
    assert kept[-1] == path.name
    assert kept[0] == "20200101T000011Z-1-1.txt"


def test_nothing_that_a_process_meets_shows_a_traceback(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    thread, logged, last = ended.stderr.splitlines()
    assert logged == "a task broke"
    for line in (thread, last):
        assert line.startswith("Error: ValueError. This was not foreseen")
        assert str(tmp_path) in line
    assert "soup" not in ended.stderr
    # Of the destructor nothing is said, but it can be found too.
    text = "".join(path.read_text() for path in (tmp_path / "errors").iterdir())
    assert text.count("ValueError") == 3
    assert "__del__" in text


def test_the_lines_of_a_log_are_shown_without_tracebacks() -> None:
    chain: list[str] = []
    for error in (SentiflowError("first"), ValueError("second")):
        chain += [
            "During handling of the above exception, another exception occurred:",
            "Traceback (most recent call last):", '  File "x.py", line 1, in <module>', "    f()",
            f"{type(error).__name__}: {error}",
        ]  # fmt: skip
    framed = ["╭─ Traceback (most recent call last) ─╮", "│ x.py │", "╰──╯", "OSError: 28"]
    assert drop_tracebacks(["begin", *chain, *framed, "  end"]) == [
        "begin", "SentiflowError: first", "ValueError: second", "OSError: 28", "  end",
    ]  # fmt: skip


def test_a_record_keeps_its_traceback_for_other_handlers() -> None:
    from sentiflow.tracebacks import _OneLine

    error = fail()
    record = logging.LogRecord(
        "x", logging.ERROR, __file__, 1, "broken", None, (ValueError, error, error.__traceback__)
    )
    full = logging.Formatter().format(record)
    assert _OneLine().format(record) == "broken"
    assert logging.Formatter().format(record) == full
