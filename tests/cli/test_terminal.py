"""Whatever the terminal, pipe or file can take, an answer is printed and the exit code is right."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from outside import make_environment

from sentiflow.cli import terminal

TEXT = "Nights → −1.5 · “café” … \N{PILE OF POO} caf\udce9"
# What Python is told of a stream that is not UTF-8, in every way that it can be.
PLACES = (
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "cp1252"},
    {"PYTHONIOENCODING": "latin-1:strict"},
    {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
)
SCRIPT = f"""# -*- coding: utf-8 -*-
from sentiflow.cli import terminal
terminal.mend_streams()
terminal.print_answer({TEXT!r})
terminal.print_json({{"text": {TEXT!r}}})
terminal.say({TEXT!r})
"""


def run_sentiflow(*words: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "sentiflow", *words],
        env=make_environment(**environment), capture_output=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("place", PLACES, ids=lambda place: "-".join(place.values()))
def test_a_place_that_is_not_utf_8_gets_every_answer_in_signs_it_has(
    tmp_path: Path, place: dict[str, str]
) -> None:
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    shown = subprocess.run(
        [sys.executable, str(tmp_path / "script.py")],
        env=make_environment(**place), capture_output=True, check=True,
    )  # fmt: skip
    encoding = place.get("PYTHONIOENCODING", "ascii").partition(":")[0]
    answer, as_json = shown.stdout.decode(encoding).splitlines()
    assert answer.startswith("Nights -> -1.5 ")
    assert answer.endswith("? caf?")
    if encoding == "ascii":
        assert answer == 'Nights -> -1.5 * "cafe" ... ? caf?'
    # A stand-in for a quote would have ended the string.
    expected = TEXT.replace("\udce9", "\N{REPLACEMENT CHARACTER}")
    assert json.loads(as_json) == {"text": expected}
    assert b"Traceback" not in shown.stderr
    assert shown.stderr.decode(encoding).startswith("Nights -> -1.5 ")


@pytest.mark.parametrize("width", ["20", "60", "wide"])
def test_help_is_printed_on_any_width_without_colours(width: str) -> None:
    answer = run_sentiflow(
        "run", "--help", COLUMNS=width, NO_COLOR="1", PYTHONIOENCODING="ascii", TERM="dumb"
    )
    assert (answer.returncode, answer.stderr) == (0, b"")
    assert b"\x1b" not in answer.stdout
    if width == "60":
        assert b"--new-lineage" in answer.stdout
        assert max(len(line) for line in answer.stdout.splitlines()) <= 60


@pytest.mark.parametrize("words", [("--help",), ("history",), ("history", "--json")])
def test_a_reader_who_is_gone_changes_nothing(tmp_path: Path, words: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    answer = subprocess.run(
        [sys.executable, "-m", "sentiflow", *words],
        env=make_environment(SENTIFLOW_HOME=str(tmp_path)),
        stdout=writing, stderr=subprocess.PIPE, check=False,
    )  # fmt: skip
    os.close(writing)
    assert (answer.returncode, answer.stderr) == (0, b"")


@pytest.mark.parametrize("closed", ["1>&-", "2>&-", "1>&- 2>&-"])
def test_a_closed_stream_is_one_that_nobody_reads(tmp_path: Path, closed: str) -> None:
    answer = subprocess.run(
        f'"{sys.executable}" -m sentiflow history --json {closed}',
        shell=True, env=make_environment(SENTIFLOW_HOME=str(tmp_path)),
        capture_output=True, check=False,
    )  # fmt: skip
    assert (answer.returncode, answer.stderr) == (0, b"")
    if not closed.startswith("1"):
        assert json.loads(answer.stdout)["events"] == []
    # What is opened while it runs must not get the answer in it.
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and '"events": []' in
                path.read_bytes().decode("utf-8", "replace")[:200]]  # fmt: skip


def test_an_answer_that_finds_no_room_is_told(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        answer = subprocess.run(
            [sys.executable, "-m", "sentiflow", "history"],
            env=make_environment(SENTIFLOW_HOME=str(tmp_path)),
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert answer.returncode == 1
    assert "its answer could not be written: No space left on device" in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


def test_a_live_line_fits_on_the_terminal_and_a_dumb_one_gets_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import logging

    from sentiflow.cli.common import show_progress

    class Terminal(io.StringIO):
        """Is a terminal for whoever asks."""

        def isatty(self) -> bool:
            return True

    def show(kind: str) -> str:
        stream = Terminal()
        monkeypatch.setenv("TERM", kind)
        monkeypatch.setenv("COLUMNS", "40")
        monkeypatch.setattr(sys, "stderr", stream)
        with show_progress():
            logging.getLogger("sentiflow.night").info(
                "ingest: %s", "x" * 90, extra={"live": True, "share": 0.5, "step": "ingest"}
            )
        return stream.getvalue()

    (shown,) = show("xterm").split("\r\x1b[2K")[1:]
    assert len(shown) == 39
    assert "\x1b" not in show("dumb")


def test_words_of_a_call_that_cannot_be_read_are_one_line_or_one_object() -> None:
    for words, told in (
        (("predict",), "Missing argument"),
        (("rn",), "'run'"),
        (("run", "--dat", "x"), "--data"),
    ):
        plain = run_sentiflow(*words)
        assert (plain.returncode, plain.stdout) == (2, b"")
        (line,) = plain.stderr.decode().splitlines()
        assert line.startswith("Error: ")
        assert told in line
        as_json = run_sentiflow(*words, "--json")
        assert (as_json.returncode, as_json.stderr) == (2, b"")
        assert told in json.loads(as_json.stdout)["reasons"][0]


def test_signs_that_a_letter_is_made_of_stay_letters() -> None:
    assert terminal._replace_sign("é") == "e"
    assert terminal._replace_sign("界") == "?"
