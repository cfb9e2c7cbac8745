"""What the README tells people to type exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sentiflow.cli import app
from sentiflow.settings import list_keys, list_presets

REPOSITORY = Path(__file__).parents[1]
README = (REPOSITORY / "README.md").read_text()
LINES = [
    line.strip()
    for block in re.findall(r"```[a-z]*\n(.*?)```", README, flags=re.DOTALL)
    for line in block.splitlines()
]
COMMANDS = sorted({line for line in LINES if line.startswith("sentiflow ")})


def test_the_readme_shows_commands() -> None:
    assert len(COMMANDS) >= 7
    assert "@@" not in README


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_in_the_readme_parses(line: str) -> None:
    _, name, *arguments = shlex.split(line, comments=True)
    # --help is answered after the whole line is parsed: an unknown option still fails.
    answer = CliRunner().invoke(app, [name, *arguments, "--help"])
    assert answer.exit_code == 0, answer.output
    for setting in re.findall(r"--set ([a-z_.]+)=", line):
        assert setting in list_keys()


def test_the_check_above_notices_an_option_that_does_not_exist() -> None:
    assert CliRunner().invoke(app, ["run", "--datum", "x", "--help"]).exit_code == 2


def test_every_make_target_in_the_readme_exists() -> None:
    targets = set(
        re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), flags=re.MULTILINE)
    )
    named = set(re.findall(r"`?make ([a-z-]+)", README))
    assert named
    assert named <= targets


def test_every_preset_is_named_and_every_link_leads_somewhere() -> None:
    assert all(f"`{preset}`" in README for preset in list_presets() if preset != "default")
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert (REPOSITORY / link).exists(), link
