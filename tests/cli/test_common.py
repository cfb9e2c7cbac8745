"""What a shell and a person ask of the program itself: version, help, completion."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest
from outside import make_environment

from sentiflow import __version__
from sentiflow.cli.common import show_progress


def run_sentiflow(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sentiflow", *words],
        env=make_environment(**environment), capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_version_is_told() -> None:
    answer = run_sentiflow("--version")
    assert (answer.returncode, answer.stdout) == (0, f"sentiflow {__version__}\n")


@pytest.mark.parametrize("words", [("-h",), ("run", "-h"), ("promote", "-h")])
def test_help_has_a_short_name(words: tuple[str, ...]) -> None:
    short, long = run_sentiflow(*words), run_sentiflow(*words[:-1], "--help")
    assert (short.returncode, short.stdout) == (0, long.stdout)


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("sentiflow st", {"status"}),
        ("sentiflow run --conf", {"--config"}),
        ("sentiflow run --set training.ep", {"training.epochs="}),
        ("sentiflow predict --config art", {"article-2018", "article-2018-verbatim"}),
    ],
)
def test_a_shell_completes_commands_options_settings_and_presets(
    typed: str, completed: set[str]
) -> None:
    answer = run_sentiflow(
        _SENTIFLOW_COMPLETE="complete_bash", COMP_WORDS=typed, COMP_CWORD=str(typed.count(" "))
    )
    assert set(answer.stdout.split()) == completed


def test_what_the_answer_will_say_is_not_said_before_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with show_progress():
        logger = logging.getLogger("sentiflow.night")
        logger.warning("few rows", extra={"is_recorded": True})
        logger.warning("nobody was told")
    assert capsys.readouterr().err == "  warning: nobody was told\n"
