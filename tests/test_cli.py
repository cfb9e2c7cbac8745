"""The command line as a user types it: real processes, real exit codes.

What does not depend on the process is typed into this one: loading the libraries again costs more
than most commands.
"""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import typer
from outside import make_environment, type_in
from small import QUICK

from sentiflow.cli import app
from sentiflow.cli.common import answer_with, show_progress
from sentiflow.reporting.record import read_last_records

Run = Callable[..., subprocess.CompletedProcess[str]]
CONTRACT = {
    "night", "lineage", "outcome", "reasons", "version", "champion_version", "rows", "metrics",
    "baselines", "seconds", "peak_memory_mb", "fingerprint", "mlflow_run_id",
    "prefect_flow_run_id",
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the user stands; `.sentiflow` comes to lie there."""
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def environment(folder: Path, prefect_server: None) -> dict[str, str]:
    """The user's: nothing but the session's Prefect server, which spares each night its own."""
    from prefect.settings import PREFECT_API_URL

    return make_environment(PREFECT_API_URL=str(PREFECT_API_URL.value()))


@pytest.fixture(scope="module")
def sentiflow(folder: Path, environment: dict[str, str], warm_python: str) -> Run:
    """Run `sentiflow …` as from a shell."""

    def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [warm_python, "-m", "sentiflow", *arguments],
            cwd=folder, env={**environment, **more}, capture_output=True, text=True,
            timeout=300, check=False,
        )  # fmt: skip

    return run


@pytest.fixture
def typed(
    folder: Path,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Run:
    """Run `sentiflow …` in this process, from its arguments to its exit code."""
    monkeypatch.chdir(folder)
    return lambda *words, **more: type_in(words, {**environment, **more}, capfd)


def parse(answer: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The one JSON object that --json promises, whatever the exit code."""
    value: dict[str, Any] = json.loads(answer.stdout)
    return value


def read_night_of_readme() -> str:
    """What the README says that `make run` ends with."""
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    (block,) = re.findall(r"^```\n(Night .*?)^```", readme, flags=re.DOTALL | re.MULTILINE)
    return str(block)


def mask_night(printed: str) -> list[str]:
    """The lines that a night ends with, without what differs from one night to another.

    What is warned of depends on the training; and a night with settings of its
    own repeats the model's name for `status`.
    """
    for found, shown in (
        (r"(\S+/)?(python\S* -m )?sentiflow (?=predict|status|ui|run)", "PROGRAM "),
        (r"(?<=PROGRAM status) --set \S+", ""),
        (r"\b[0-9a-f]{16,64}\b", "ID"),
        (r"[+−]?\d[\d,.]*\d|\d", "N"),
        (r"(?<=of them in )\w+", "STEP"),
        (r"(?m)^  Warning: .*\n", ""),
    ):
        printed = re.sub(found, shown, printed)
    return [line.rstrip() for line in printed.strip().splitlines()]


@pytest.fixture(scope="module")
def answer(sentiflow: Run) -> subprocess.CompletedProcess[str]:
    """How the one whole night of these tests ended; its home lies in the folder."""
    night = sentiflow("run", *QUICK)
    assert night.returncode == 0, night.stderr
    return night


def test_a_night_from_the_shell_and_all_commands_after_it(
    answer: subprocess.CompletedProcess[str], sentiflow: Run, typed: Run, folder: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    assert mask_night(answer.stdout) == mask_night(read_night_of_readme())
    (record,) = read_last_records(folder / ".sentiflow", "sentiflow-sample")
    night = record.model_dump(mode="json")
    assert night["outcome"] == "promoted"
    rows = night["rows"]
    assert rows["quarantined"] > 0
    assert rows["superseded"] > 0
    assert rows["read"] == sum(value for name, value in rows.items() if name != "read")
    assert night["metrics"]["accuracy"] > night["baselines"]["majority"]["accuracy"]
    assert "Traceback" not in answer.stderr

    again = sentiflow("run", "--json", *QUICK)
    skipped = parse(again)
    assert (again.returncode, skipped["outcome"]) == (0, "skipped")
    assert set(skipped) >= CONTRACT

    status = parse(typed("status", "--json"))
    (model,) = status["models"]
    assert model["model"] == "sentiflow-sample"
    assert model["champion"]["version"] == 1
    assert model["last_night"]["outcome"] == "skipped"

    named = ("--set", "model.name=sentiflow-sample")
    texts = ("It was great!", "", "\N{PILE OF POO}", "caf\udce9")
    answered = sentiflow("predict", *named, "--json", *texts, PYTHONIOENCODING="utf-8:strict")
    shown = [row["text"] for row in parse(answered)["predictions"]]
    # What is no UTF-8 on the command line is JSON in the answer all the same.
    assert shown == [*texts[:3], "caf\N{REPLACEMENT CHARACTER}"]
    assert all(0 <= row["probability"] <= 1 for row in parse(answered)["predictions"])

    sample = tmp_path / "other.jsonl"
    made = typed("sample", "--output", str(sample), "--rows", "500", "--seed", "9")
    assert made.returncode == 0
    evaluation = parse(typed("evaluate", *named, "--data", str(sample), "--json"))
    assert set(evaluation) >= {"model_version", "rows", "seen_share", "metrics", "slices"}
    assert evaluation["seen_share"] < 0.01
    assert evaluation["rows"] + evaluation["quarantined"] <= 500
    assert evaluation["metrics"]["accuracy"] > 0.5

    refused = typed("predict", "--json", "text")
    assert refused.returncode == 2
    assert "sentiflow run" in parse(refused)["reasons"][0]


@pytest.mark.usefixtures("answer")
def test_what_a_night_left_is_whole_and_quotes_no_review(folder: Path) -> None:
    from mlflow import MlflowClient

    home = folder / ".sentiflow"
    assert list(home.rglob(".unfinished-*")) == []
    assert not any((home / "checkpoints").iterdir())
    client = MlflowClient(f"sqlite:///{home / 'mlflow.db'}")
    version = client.get_model_version("sentiflow-sample", "1")
    assert version.tags["sentiflow.outcome"] == "promoted"
    assert client.get_run(version.run_id).info.status == "FINISHED"
    (artifacts,) = (home / "mlartifacts").rglob(f"{version.run_id}/artifacts")
    assert {path.name for path in artifacts.iterdir()} >= {
        "decision.json", "night.json", "settings.json", "data", "environment", "evaluation",
        "figures", "report",
    }  # fmt: skip

    (sample,) = (home / "sample").iterdir()
    texts = re.findall(r'"text":"([^"\\]{90,})"', sample.read_text(errors="replace"))
    # From the middle: behaviours begin with sentences that reviews begin with as well.
    quotes = {text[20:80].encode() for text in texts[:400] if text.isascii()}
    assert len(quotes) > 100
    shown = [*(home / "nights").rglob("*"), *(home / "mlartifacts").rglob("*")]
    for path in shown:
        if path.is_file() and path.suffix in (".json", ".html", ".parquet", ".txt", ".yaml"):
            content = path.read_bytes()
            assert not any(quote in content for quote in quotes), path


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "--data", "nowhere.jsonl"), "nowhere.jsonl"),
        (("run", "--set", "training.epoch=3"), "training.epochs"),
        (("run", "--set", "training.epochs=none"), "training.epochs"),
        (("run", "--set", "epochs"), "group.key=value"),
        (("run", "--config", "no-such-preset"), "article-2018"),
        (("run", "--as-of", "yesterday"), "2026-01-31"),
        (("run", "--as-of", "9999-01-01"), "must not be later than today"),
        (("run", "--set", "schedule.timezone=Mars/Base"), "Europe/Berlin"),
        (("history", "--at", "9998-01-01"), "must not be later than today"),
        (("run", "--category", "Restaurants"), "--businesses"),
        (("run", "--new-lineage"), "--reason"),
        (("predict", "text", "--model", "best"), "champion"),
        (("evaluate", "--data", "nowhere.csv"), "nowhere.csv"),
        (("sample", "--output", "/proc/nowhere/file"), "--output"),
        (("sample", "--output", "x.jsonl", "--rows", "0"), "rows"),
    ],
)
def test_a_mistake_is_one_clear_line_and_exit_code_2(
    typed: Run, arguments: tuple[str, ...], words: str
) -> None:
    answer = typed(*arguments)
    assert answer.returncode == 2, answer.stderr
    assert words in answer.stderr
    assert len(answer.stderr.strip().splitlines()) == 1
    assert answer.stdout == ""
    as_json = typed(*arguments, "--json")
    assert as_json.returncode == 2
    assert words in parse(as_json)["reasons"][0]


def test_a_mistake_in_a_process_of_its_own_prints_nothing_else(sentiflow: Run) -> None:
    answer = sentiflow("predict", "text", "--model", "best")
    assert (answer.returncode, answer.stdout) == (2, "")
    (line,) = answer.stderr.strip().splitlines()
    assert line.startswith("Error: ")
    assert "champion" in line


@pytest.mark.parametrize("as_json", [False, True])
def test_bytes_that_are_no_text_are_repeated_as_text(
    capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    with pytest.raises(typer.Exit):
        answer_with(as_json, lambda: ({"text": "caf\udce9"}, "caf\udce9", 0), {})
    shown = "caf\N{REPLACEMENT CHARACTER}"
    printed = capsys.readouterr().out
    assert (json.loads(printed) if as_json else printed) == (
        {"text": shown} if as_json else f"{shown}\n"
    )


def test_a_home_that_cannot_be_one_is_one_clear_line(sentiflow: Run) -> None:
    # `status` makes none, so it says that there is nothing yet.
    answer = sentiflow("history", SENTIFLOW_HOME="/proc/nope")
    assert (answer.returncode, answer.stdout) == (2, "")
    (line,) = answer.stderr.strip().splitlines()
    assert line.startswith("Error: SENTIFLOW_HOME must be a folder")
    assert "/proc/nope" in line


def test_help_names_every_command_and_answers_without_heavy_imports(sentiflow: Run) -> None:
    answer = sentiflow("--help")
    assert answer.returncode == 0
    for command in ("run", "evaluate", "predict", "sample", "status"):
        assert command in answer.stdout
    script = (
        "import sys; sys.argv = ['sentiflow', '--help']\n"
        "import atexit\n"
        "heavy = ('tensorflow', 'mlflow', 'prefect', 'great_expectations', 'pandas')\n"
        "atexit.register(lambda: print('HEAVY', [name for name in heavy if name in sys.modules]))\n"
        "from sentiflow.cli import main; main()"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "HEAVY []" in answer.stdout


def test_data_that_is_rejected_ends_with_exit_code_3_and_the_reasons(
    sentiflow: Run, typed: Run, tmp_path: Path
) -> None:
    path = tmp_path / "few.jsonl"
    assert typed("sample", "--output", str(path), "--rows", "300").returncode == 0
    answer = sentiflow("run", "--json", "--data", str(path))
    night = parse(answer)
    assert (answer.returncode, night["outcome"]) == (3, "rejected")
    assert len(night["reasons"]) >= 1
    assert night["rows"]["read"] == 300
    assert "Traceback" not in answer.stderr


def test_what_is_told_to_a_reader_who_is_gone_ends_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    went_on = False
    # It fails once more when it is closed: what was not written is still in it.
    with suppress(BrokenPipeError), os.fdopen(writing, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with show_progress():
            logging.getLogger("sentiflow.night").info("ingest: 400 rows read")
            went_on = True
    assert went_on, "sentiflow run 2>&1 | head -1 would end the night"


def test_every_command_of_a_home_takes_settings_and_answers_as_json() -> None:
    names = (
        "promote", "rollback", "release-hold", "adopt", "revert", "attest", "history",
        "evaluate", "predict", "status", "prune", "forget", "sweep",
    )  # fmt: skip
    commands = typer.main.get_group(app).commands
    for name in names:
        listed = [option.opts[-1] for option in commands[name].params]
        assert listed[-3:] == ["--config", "--set", "--json"], name
        assert commands[name].help


@pytest.mark.parametrize("name", ["reviews.csv", "reviews.jsonl", "reviews.parquet"])
def test_a_wrong_column_is_told_before_anything_is_started(
    typed: Run, tmp_path: Path, name: str
) -> None:
    reviews = pd.DataFrame({"Review": ["Good soup", "Bad soup"], "stars": [5, 1]})
    write = {
        ".csv": lambda path: reviews.to_csv(path, index=False),
        ".jsonl": lambda path: reviews.to_json(path, orient="records", lines=True),
        ".parquet": reviews.to_parquet,
    }
    write[Path(name).suffix](tmp_path / name)
    home = tmp_path / "home"
    answer = typed("run", "--data", str(tmp_path / name), SENTIFLOW_HOME=str(home))
    assert answer.returncode == 2
    assert "data.columns.text" in answer.stderr
    assert f"sentiflow check --data {tmp_path / name}" in answer.stderr
    assert not list(home.glob("*")), "no database and no server was made for it"
