"""Every command in every broken situation: the right code, one line that says why, no traceback.

All are typed into this process, every other one with --json. Those that would go on for ever where
nothing is broken are told a port that is taken (`serve`), or stop where they would become a server
(`ui`).
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer
from outside import make_environment, type_in
from recorded import copy_home
from small import write_plain_reviews
from small_disk import mount_small_disk, only_root_mounts

from sentiflow.cli import app

Settle = Callable[[Path, Path], dict[str, str]]
WHY = ("--reason", "a reason")
# In an order in which none takes from the next what it needs.
CALLS: dict[str, tuple[str, ...]] = {
    "check": ("--data", "reviews.jsonl"),
    "predict": ("good", ""),
    "evaluate": ("--data", "reviews.jsonl"),
    "score": ("--data", "reviews.jsonl", "--output", "scored.csv"),
    "status": (),
    "history": (),
    "links": (),
    "ui": (),
    "serve": ("--port", "PORT"),
    "sample": ("--output", "sample.jsonl", "--rows", "5"),
    "promote": ("4", *WHY),
    "release-hold": WHY,
    "adopt": WHY,
    "revert": WHY,
    "attest": ("1", *WHY),
    "prune": ("--keep", "4"),
    "forget": ("--review-id", "nobody", *WHY),
    "sweep": (),
    "rollback": WHY,
}
# They start Prefect, or servers: processes of their own, at the end of this file.
OTHERS = {
    "run": ("--data", "reviews.jsonl", "--set", "validation.min_rows=1000000"),
    "deploy": ("--data", "reviews.jsonl"),
    "up": ("--data", "reviews.jsonl"),
}
# What they end with. deploy finds no server; where `up` would start for ever, it is not asked.
OTHERS_END: dict[str, dict[str, int]] = {
    "no home yet": {"run": 3},
    "the home is a file": {"run": 2, "up": 2},
    "the ledger is no database": {"run": 4, "up": 4},
    "the databases are folders": {"run": 4, "up": 4},
    "MLflow's database is none": {"run": 4},
    "files of the home hold anything": {"run": 2, "up": 2},
    "the settings are no TOML": {"run": 2, "up": 2},
    "the environment names nonsense": {"run": 2, "up": 2},
}
# What each ends with where its home is sound.
SOUND = {
    **dict.fromkeys(CALLS, 0), "check": 3,
    "links": 2, "serve": 2, "promote": 4, "release-hold": 2, "adopt": 2, "revert": 2, "attest": 2,
}  # fmt: skip
# Four hundred reviews are too few for a night by the default settings.
WITHOUT_HOME = {"check": 3, "sample": 0}
WITHOUT_LEDGER = {**dict.fromkeys(CALLS, 4), **WITHOUT_HOME, "links": 2, "ui": 0, "serve": 2}
WITHOUT_MODEL = {
    **SOUND, "predict": 2, "evaluate": 2, "score": 2, "promote": 2, "rollback": 2,
}  # fmt: skip


def leave(*_: Path) -> dict[str, str]:
    return {}


def remove_home(home: Path, _: Path) -> dict[str, str]:
    shutil.rmtree(home)
    return {}


def make_home_a_file(home: Path, _: Path) -> dict[str, str]:
    shutil.rmtree(home)
    home.write_text("no folder")
    return {}


def spoil(*names: str) -> Settle:
    def settle(home: Path, _: Path) -> dict[str, str]:
        for name in names:
            (home / name).write_bytes(bytes(range(256)) * 20)
        return {}

    return settle


def make_folders(*names: str) -> Settle:
    def settle(home: Path, _: Path) -> dict[str, str]:
        for name in names:
            (home / name).unlink()
            (home / name).mkdir()
        return {}

    return settle


def remove_artifacts(home: Path, _: Path) -> dict[str, str]:
    shutil.rmtree(home / "mlartifacts")
    return {}


def write_bad_settings(_: Path, work: Path) -> dict[str, str]:
    (work / "bad.toml").write_bytes(b"[training\n\xff")
    return {}


def name_nonsense(*_: Path) -> dict[str, str]:
    return {
        "MLFLOW_TRACKING_URI": "ftp://[::1", "SENTIFLOW_LEDGER_URL": "what:is this",
        "PREFECT_API_URL": "::::", "PREFECT_LOGGING_LEVEL": "LOUD", "COLUMNS": "wide",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "soon", "TZ": "Mars", "NO_PROXY": ",,",
        "SENTIFLOW_WEBHOOK_URL": "://", "KERAS_BACKEND": "abacus",
    }  # fmt: skip


SETTINGS = ("--config", "bad.toml")
SITUATIONS: dict[str, tuple[Settle, tuple[str, ...], dict[str, int]]] = {
    "nothing is broken": (leave, (), SOUND),
    "no home yet": (remove_home, (), WITHOUT_MODEL),
    "the home is a file": (make_home_a_file, (), {**dict.fromkeys(CALLS, 2), **WITHOUT_HOME}),
    "the ledger is no database": (spoil("ledger.db"), (), WITHOUT_LEDGER),
    "the databases are folders": (make_folders("ledger.db", "mlflow.db"), (), WITHOUT_LEDGER),
    "MLflow's database is none": (
        spoil("mlflow.db"), (),
        {**WITHOUT_LEDGER, "status": 0, "history": 0, "forget": 0},
    ),
    "files of the home hold anything": (
        spoil("access.json", "servers.json"), (), {**SOUND, "ui": 2},
    ),
    "the settings are no TOML": (
        write_bad_settings, SETTINGS, {**dict.fromkeys(CALLS, 2), "sample": 0, "ui": 0},
    ),
    "a model that is not there": (leave, ("--set", "model.name=nobody"), WITHOUT_MODEL),
    "the environment names nonsense": (
        name_nonsense, (), {**dict.fromkeys(CALLS, 2), **WITHOUT_HOME, "ui": 0},
    ),
    "the artifacts are deleted": (
        remove_artifacts, (),
        {**SOUND, "predict": 1, "evaluate": 1, "score": 1, "rollback": 4},
    ),
}  # fmt: skip


class _WouldServe(SystemExit):
    """`ui` got as far as to become a server."""


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the user stands, with reviews and a port that is taken."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    write_plain_reviews(folder / "reviews.jsonl")

    def stop(*_: object) -> None:
        raise _WouldServe(0)

    monkeypatch.setattr(os, "execve", stop)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setitem(CALLS, "serve", ("--port", str(taken.getsockname()[1])))
        yield folder


def call_all(
    home: Path, more: tuple[str, ...], environment: dict[str, str], codes: dict[str, int],
    capfd: pytest.CaptureFixture[str],
) -> list[str]:  # fmt: skip
    """Type every command; return what was wrong, a line each."""
    wrong = []
    for place, (name, words) in enumerate(CALLS.items()):
        takes_settings = name not in ("links", "ui", "sample")
        as_json = place % 2 == 0 and name != "ui"
        options = (*(more if takes_settings else ()), *(["--json"] if as_json else []))
        answer = type_in(
            (name, *words, *options), make_environment(SENTIFLOW_HOME=str(home), **environment),
            capfd,
        )  # fmt: skip
        shown = answer.stdout + answer.stderr
        if answer.returncode != codes[name]:
            wrong.append(f"{name}: {answer.returncode} for {codes[name]}: {shown[-300:]}")
        if "Traceback" in shown or 'File "' in shown:
            wrong.append(f"{name}: a traceback: {shown[-900:]}")
        if "not foreseen" in shown:
            wrong.append(f"{name}: nobody foresaw it: {shown[-300:]}")
        if as_json:
            try:
                json.loads(answer.stdout)
            except ValueError:
                wrong.append(f"{name}: no JSON object: {answer.stdout[:300]}")
        elif answer.returncode in (1, 2, 3) and "Error: " not in answer.stderr.splitlines()[-1]:
            wrong.append(f"{name}: no line that says why: {answer.stderr[-300:]}")
    return wrong


@pytest.mark.usefixtures("warm_children")
@pytest.mark.parametrize("situation", SITUATIONS)
def test_every_command_says_in_a_line_what_is_broken(
    released_home: Path, work: Path, capfd: pytest.CaptureFixture[str], situation: str
) -> None:
    settle, more, codes = SITUATIONS[situation]
    environment = settle(released_home, work)
    assert call_all(released_home, more, environment, codes, capfd) == []


# What only looks answers; what would write is refused.
READ_ONLY = {
    **dict.fromkeys(CALLS, 4), "check": 3, "links": 2, "serve": 2, "evaluate": 2, "score": 2,
    "ui": 2, **dict.fromkeys(("sample", "predict", "status", "history", "sweep"), 0),
}  # fmt: skip


@only_root_mounts
@pytest.mark.usefixtures("warm_children")
def test_every_command_says_in_a_line_that_the_home_is_read_only(
    released_home: Path, work: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with mount_small_disk(tmp_path / "disk", 200) as disk:
        home = copy_home(released_home, disk / "home")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        wrong = call_all(home, (), {}, READ_ONLY, capfd)
        assert wrong == [], "\n".join(wrong)


def test_no_command_is_left_out() -> None:
    assert CALLS.keys() | OTHERS.keys() == typer.main.get_group(app).commands.keys()
    assert all(codes.keys() >= CALLS.keys() for _, _, codes in SITUATIONS.values())


@pytest.mark.slow
@pytest.mark.parametrize("situation", OTHERS_END)
def test_what_starts_servers_says_in_a_line_what_is_broken(
    released_home: Path, work: Path, situation: str
) -> None:
    settle, more, _ = SITUATIONS[situation]
    environment = make_environment(SENTIFLOW_HOME=str(released_home), **settle(released_home, work))
    for name, code in {"deploy": 2, **OTHERS_END[situation]}.items():
        answer = subprocess.run(
            [sys.executable, "-m", "sentiflow", name, *OTHERS[name], *more], env=environment,
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        shown = answer.stdout + answer.stderr
        assert answer.returncode == code, f"{name}: {shown}"
        assert "Traceback" not in shown
        assert 'File "' not in shown
        assert "not foreseen" not in shown
        assert code == 3 or answer.stderr.splitlines()[-1].startswith("Error: ")
