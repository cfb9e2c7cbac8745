"""What is suggested can be pasted where the command was typed."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from outside import make_environment

from sentiflow.cli.next_steps import name_program, name_program_in, suggest_next
from sentiflow.night.request import NightRequest
from sentiflow.reporting.record import NightRecord

PROGRAM = Path(sys.executable).with_name("sentiflow")


def make_record(model: str) -> NightRecord:
    return NightRecord(
        night="2026-11-24", model=model, outcome="promoted", version=1, champion_version=1
    )


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The program as a shell without an activated environment starts it."""
    monkeypatch.setattr(sys, "argv", [str(PROGRAM)])
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    return monkeypatch


@pytest.mark.parametrize("place", ["inside", "outside", "beside it"])
def test_without_its_environment_the_program_is_named_by_its_path(
    started: pytest.MonkeyPatch, tmp_path: Path, place: str
) -> None:
    folder = {"inside": PROGRAM.parents[2], "outside": tmp_path, "beside it": PROGRAM.parent}[place]
    started.chdir(folder)
    named = name_program()
    expected = {
        "inside": ".venv/bin/sentiflow", "outside": str(PROGRAM), "beside it": "./sentiflow",
    }[place]  # fmt: skip
    assert named == expected
    assert os.access(folder / named, os.X_OK)


def test_an_activated_environment_needs_the_name_only(started: pytest.MonkeyPatch) -> None:
    started.setenv("PATH", f"{PROGRAM.parent}:/usr/bin:/bin")
    assert name_program() == "sentiflow"


def test_a_module_is_named_as_one(started: pytest.MonkeyPatch, tmp_path: Path) -> None:
    started.chdir(tmp_path)
    started.setattr(sys, "argv", ["/anywhere/sentiflow/__main__.py"])
    assert name_program() == f"{sys.executable} -m sentiflow"


def test_a_path_with_blanks_can_be_pasted(started: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "my tools"
    folder.mkdir()
    (folder / "sentiflow").touch()
    started.setattr(sys, "argv", [str(folder / "sentiflow")])
    started.chdir(tmp_path)
    assert shlex.split(name_program()) == ["my tools/sentiflow"]


@pytest.mark.parametrize(
    ("request_", "model", "options"),
    [
        (NightRequest(), "sentiflow", []),
        (NightRequest(), "sentiflow-sample", ["--set", "model.name=sentiflow-sample"]),
        (
            NightRequest(config="my settings.toml", overrides=("training.epochs=1",)),
            "sentiflow-sample",
            ["--config", "my settings.toml", "--set", "model.name=sentiflow-sample"],
        ),
        (
            NightRequest(data=("x",), overrides=("model.name=shop", "tracking.uri=http://m:5000")),
            "shop",
            ["--set", "model.name=shop", "--set", "tracking.uri=http://m:5000"],
        ),
        (
            NightRequest(data=("x",), overrides=("tracking.uri=http://me:secret@m:5000",)),
            "sentiflow",
            [],
        ),
    ],
)
def test_the_model_and_its_places_are_named_where_they_are_not_the_defaults(
    started: pytest.MonkeyPatch, tmp_path: Path, request_: NightRequest, model: str,
    options: list[str],
) -> None:  # fmt: skip
    started.chdir(tmp_path)
    (tmp_path / "my settings.toml").touch()
    text = suggest_next(make_record(model), request_, tmp_path)
    predict = next(line for line in text.splitlines() if " predict " in line)
    assert shlex.split(predict)[3:] == options
    assert "secret" not in text


def test_every_suggested_command_runs_as_it_is_pasted(
    started: pytest.MonkeyPatch, released_home: Path, tmp_path: Path, warm_python: str
) -> None:
    program = tmp_path / "my tools" / "sentiflow"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {warm_python} -m sentiflow "$@"\n')
    program.chmod(0o700)
    started.setattr(sys, "argv", [str(program)])
    started.chdir(tmp_path)
    text = suggest_next(make_record("sentiflow"), NightRequest(data=("x",)), released_home)
    commands = [line.strip() for line in text.splitlines() if line.startswith("    ")]
    assert [shlex.split(command)[1] for command in commands] == ["predict", "status", "ui"]
    environment = make_environment(SENTIFLOW_HOME=str(released_home), PATH="/usr/bin:/bin")
    for command in commands[:2]:
        # In the shell of somebody else: no environment is activated.
        ran = subprocess.run(
            ["/bin/sh", "-c", command],
            env=environment, cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (ran.returncode, ran.stderr) == (0, ""), command


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("See sentiflow status.", "See {} status."),
        ("sentiflow adopt --reason … or sentiflow release-hold --reason …",
         "{} adopt --reason … or {} release-hold --reason …"),
        ("(`sentiflow ui` starts one)", "(`{} ui` starts one)"),
        ("Run .venv/bin/sentiflow status, or bin/python -m sentiflow status.", None),
        ("sentiflow has no champion; my-sentiflow run of sentiflow statuses", None),
    ],
)  # fmt: skip
def test_advice_names_the_program_as_it_was_called(
    started: pytest.MonkeyPatch, tmp_path: Path, text: str, named: str | None
) -> None:
    started.chdir(tmp_path)
    assert name_program_in(text) == (text if named is None else named.replace("{}", str(PROGRAM)))
    started.chdir(PROGRAM.parents[2])
    assert ".venv/bin/sentiflow status" in name_program_in("sentiflow status")
    # In an environment that is activated the name is enough.
    started.setenv("PATH", f"{PROGRAM.parent}:/usr/bin:/bin")
    assert name_program_in(text) == text
    started.setattr(sys, "argv", ["/anywhere/sentiflow/__main__.py"])
    assert "python -m sentiflow status" in name_program_in("sentiflow status")


@pytest.mark.parametrize(
    ("words", "advice"),
    [(("rollback", "--reason", "r"), "See {} status."), (("prune",), "See {} prune --help.")],
)
def test_an_error_can_be_followed_without_an_activated_environment(
    tmp_path: Path, words: tuple[str, ...], advice: str
) -> None:
    environment = make_environment(SENTIFLOW_HOME=str(tmp_path / "home"), PATH="/usr/bin:/bin")
    answer = subprocess.run(
        [PROGRAM, *words], cwd=tmp_path, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert answer.returncode == 2
    assert advice.replace("{}", str(PROGRAM)) in answer.stderr
