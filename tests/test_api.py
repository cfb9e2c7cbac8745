"""From Python: predict, load and run do what the commands do and spare the environment."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import psutil
import pytest
from recorded import FirstNight
from small import SMALL

import sentiflow
from sentiflow.api import _read_night, _write_overrides
from sentiflow.commands.predict import predict_texts
from sentiflow.errors import (
    DataRejected,
    GateNotEvaluated,
    NoModelError,
    SentiflowError,
    SettingsError,
    SourceError,
    UnknownFiles,
    UsageError,
)
from sentiflow.release.open_home import open_home
from sentiflow.settings import load_settings

TEXTS = ["good food", "", "bad \ud800 day"]
PAGE = (Path(__file__).parents[1] / "docs" / "python.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.fixture(autouse=True)
def no_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SENTIFLOW_LEDGER_URL", "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.delenv(name, raising=False)


def test_the_import_loads_nothing_but_itself() -> None:
    code = (
        "import sys; before = set(sys.modules); import sentiflow; dir(sentiflow); "
        "sentiflow.__version__; print(*sorted(set(sys.modules) - before))"
    )
    listed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert set(listed.stdout.split()) <= {"sentiflow", "__future__"}


def test_every_public_name_is_there_and_no_other() -> None:
    assert all(getattr(sentiflow, name) is not None for name in sentiflow.__all__)
    assert set(sentiflow.__all__) <= set(dir(sentiflow))
    assert sentiflow.errors.SentiflowError is SentiflowError
    with pytest.raises(AttributeError, match="no attribute 'predikt'"):
        _ = sentiflow.predikt  # type: ignore[attr-defined]


def test_the_answers_are_the_commands(released_home: Path) -> None:
    said = predict_texts(open_home(None, [], released_home), TEXTS, "champion")
    answers = sentiflow.predict(iter(TEXTS), home=released_home)
    assert answers.shape == (3,)
    assert answers.dtype == np.float32
    assert np.allclose(answers, [row["probability"] for row in said["predictions"]], atol=1e-6)
    model = sentiflow.load(2, home=released_home)
    assert (model.name, model.version) == ("sentiflow", 2)
    assert np.array_equal(model.predict(TEXTS), sentiflow.predict(TEXTS, model))
    assert sentiflow.predict([], model).shape == (0,)


def test_prefect_is_not_needed(released_home: Path, warm_python: str) -> None:
    code = (
        "import sys; sys.modules['prefect'] = None; import sentiflow; "
        f"print(len(sentiflow.predict(['good food'], home={str(released_home)!r})))"
    )
    answered = subprocess.run(
        [warm_python, "-c", code], capture_output=True, text=True, check=False
    )
    assert answered.stdout.strip() == "1", answered.stderr


def test_the_environment_is_left_as_it_was(released_home: Path) -> None:
    before = dict(os.environ)
    sentiflow.load(home=released_home)
    assert dict(os.environ) == before


def test_two_homes_do_not_mix(released_home: Path, tmp_path: Path) -> None:
    with pytest.raises(NoModelError):
        sentiflow.predict(TEXTS, home=tmp_path / "empty")
    assert sentiflow.load(home=released_home).version == 3
    with pytest.raises(NoModelError):
        sentiflow.load(home=tmp_path / "empty")


def test_files_that_the_ledger_does_not_know_are_refused(released_home: Path) -> None:
    for path in released_home.rglob("model.keras"):
        path.write_bytes(b"PK somebody else's")
    with pytest.raises(UnknownFiles):
        sentiflow.predict(TEXTS, home=released_home)


@pytest.mark.parametrize(
    ("texts", "received"),
    [
        ("Secret soup", "one str"),
        (7, "int"),
        (["Secret soup", float("nan")], "float at position 1"),
    ],
)
def test_what_is_no_text_is_told_by_type_and_place(texts: Any, received: str) -> None:
    with pytest.raises(UsageError, match=f"Received: {received}") as raised:
        sentiflow.predict(texts)
    assert "Secret" not in str(raised.value)


def test_settings_come_through_as_they_are() -> None:
    wanted = {
        "network.units": [64, 32], "training.epochs": 3, "training.learning_rate": 0.5,
        "data.category": "Thai \"hot\" = yes", "notices.prefect_url": None, "model.name": "true",
    }  # fmt: skip
    read = load_settings(None, _write_overrides(wanted)).model_dump()
    for key, value in wanted.items():
        group, name = key.split(".")
        found = read[group][name]
        assert (list(found) if isinstance(found, tuple) else found) == value, key
    with pytest.raises(SettingsError, match=r"Did you mean training\.epochs"):
        sentiflow.load(settings={"training.epoch": 1})


def test_an_error_is_the_one_that_ended_the_night() -> None:
    def read(code: int, check: bool = True, **values: Any) -> Any:
        return _read_night(json.dumps({"night": "2026-07-01", **values}), code, check)

    good = read(0, outcome="kept", reasons=["Equal."], exit_code=0)
    assert (good.outcome, good.reasons) == ("kept", ["Equal."])
    rejected = {"outcome": "rejected", "reasons": ["Too few.", "Too old."], "exit_code": 3}
    with pytest.raises(DataRejected) as raised:
        read(3, **rejected)
    assert raised.value.reasons == ("Too few.", "Too old.")
    assert read(3, check=False, **rejected).outcome == "rejected"
    for name, kind in (("SourceError", SourceError), ("Interrupted", SentiflowError)):
        with pytest.raises(SentiflowError, match=r"^No\.$") as told:
            read(2, check=False, outcome="failed", reasons=["No."], error=name)
        assert type(told.value) is kind
    with pytest.raises(GateNotEvaluated):
        read(4, outcome="failed", reasons=["Away."], exit_code=4)
    with pytest.raises(SentiflowError, match="exit code -9"):
        _read_night("", -9, True)


def test_a_mistake_is_raised_as_what_the_command_says(home: Path) -> None:
    with pytest.raises(SourceError, match=r"nowhere\.jsonl"):
        sentiflow.run(home / "nowhere.jsonl", home=home)


def test_the_page_shows_what_works(
    released_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SENTIFLOW_HOME", str(released_home))
    names: dict[str, Any] = {}
    for block in BLOCKS[:2]:
        exec(compile(block, "docs/python.md", "exec"), names)
    assert names["probabilities"].shape == (2,)
    assert capsys.readouterr().out.startswith("sentiflow 3 ['")
    assert [block for block in BLOCKS[:2] if "sentiflow.run(" in block] == []


@pytest.mark.slow
def test_a_night_of_the_page_runs_in_a_thread_beside_an_event_loop(
    lived: FirstNight, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lived.reviews.rename(tmp_path / "reviews.jsonl")
    (tmp_path / "night.toml").write_text("\n".join(SMALL).replace("=report", '="report"'))
    # What lies where a user works is not taken for our own package.
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "__init__.py").write_text("raise SystemExit('somebody else\\'s flows')")
    names: dict[str, Any] = {"sentiflow": sentiflow}

    async def work() -> None:
        for block in BLOCKS[2:]:
            exec(compile(block, "docs/python.md", "exec"), names)

    thread = Thread(target=lambda: asyncio.run(work()))
    thread.start()
    thread.join()
    night = names["night"]
    assert isinstance(night, sentiflow.NightRecord)
    assert (night.outcome, night.champion_version) == ("skipped", lived.record.version)
    assert "errors" in names, "the last block ran too"


@pytest.mark.slow
def test_a_night_ends_with_whoever_called_it(home: Path) -> None:
    code = "import logging, sentiflow; logging.basicConfig(level=20); sentiflow.run()"
    caller = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    assert caller.stderr is not None
    assert any("MLflow run" in line for line in caller.stderr), "the night opened"
    caller.send_signal(signal.SIGKILL)
    caller.wait()
    deadline = time.monotonic() + 120
    while (left := list_processes(home)) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert left == []


def list_processes(home: Path) -> list[str]:
    """The command lines of the living processes of a home, but for this one."""
    found = []
    for process in psutil.process_iter():
        try:
            is_of_home = process.environ().get("SENTIFLOW_HOME") == str(home)
            if is_of_home and process.pid != os.getpid():
                found.append(" ".join(process.cmdline()))
        except (psutil.Error, OSError):
            continue
    return found
