"""The commands of docs/sources.md, on files as thirteen public sets have them."""

from __future__ import annotations

import json
import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest
from conftest import REPOSITORY
from outside import make_environment, type_in
from public_sets import PUBLIC_SETS

from sentiflow.data.preview.advice import apply_settings
from sentiflow.settings import load_settings

PAGE = (REPOSITORY / "docs" / "sources.md").read_text()
COMMANDS = dict(re.findall(r"^\| ([^|]+) \| `(sentiflow check [^`]+)` \|$", PAGE, re.M))
OUTPUTS = re.findall(r"^```\n\$ (sentiflow check [^\n]+)\n(.*?)^```$", PAGE, re.M | re.S)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sets")
    for one in PUBLIC_SETS.values():
        one.write(path)
    return path


def list_overrides(words: list[str]) -> list[str]:
    return [value for option, value in pairwise(words) if option == "--set"]


def test_every_set_has_its_command() -> None:
    assert list(COMMANDS) == list(PUBLIC_SETS)


@pytest.mark.parametrize("name", PUBLIC_SETS)
def test_the_command_of_a_set_takes_its_rows_and_is_what_check_suggests(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.chdir(folder)
    _, _, *words = shlex.split(COMMANDS[name])
    answer = type_in(("check", "--json", *words), make_environment(), capfd)
    found = json.loads(answer.stdout)
    assert (answer.returncode, found["reasons"]) == (0, [])
    expected = PUBLIC_SETS[name].count()
    assert {key: found["rows"][key] for key in expected} == expected
    assert found["suggested"] == {}, "nothing is left to be said"
    assert name == "A folder that Spark wrote" or found["dates"]["written_as"] != "unreadable"

    plain = type_in(("check", "--json", *words[:2]), make_environment(), capfd)
    suggested = json.loads(plain.stdout)["suggested"]
    assert apply_settings(load_settings(), suggested) == load_settings(None, list_overrides(words))


@pytest.mark.parametrize(("command", "output"), OUTPUTS)
def test_the_page_prints_what_check_prints(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
    command: str, output: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(folder)
    _, *words = shlex.split(command)
    assert type_in(tuple(words), make_environment(), capfd).stdout == output


def test_the_page_shows_outputs() -> None:
    assert len(OUTPUTS) >= 2
