"""A home that an older sentiflow made (commit b0e1101) is opened by this one, and goes on.

Its records hold the paths of where it was made, so it is unpacked there and nowhere else. It had
two nights of synthetic reviews: the first promoted, the second kept, promoted by hand and rolled
back.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

pytestmark = [pytest.mark.slow]

PLACE = Path("/srv/sentiflow")
ARCHIVE = Path(__file__).with_name("homes") / "b0e1101.tar.xz"
TEXTS = ("the soup was lovely", "the waiter was rude")
# What the older version answered, by its own command.
ANSWERS = (("positive", 0.998744), ("negative", 0.002714))

Ask = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    """The home where it was made, and the variables of a terminal there."""
    try:
        PLACE.mkdir()
    except OSError as error:
        pytest.skip(f"{PLACE} cannot be made here: {error.strerror}")
    try:
        with tarfile.open(ARCHIVE) as archive:
            archive.extractall(PLACE.parent)
        foreign = ("PREFECT_", "MLFLOW_", "SENTIFLOW_")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
        yield {**kept, "SENTIFLOW_HOME": str(PLACE / "home")}
    finally:
        shutil.rmtree(PLACE)


@pytest.fixture(scope="module")
def ask(environment: dict[str, str], warm_python: str) -> Ask:
    def run(*words: str) -> tuple[int, dict[str, Any]]:
        # A night hands a socket to the server that it starts.
        program = sys.executable if words[0] == "run" else warm_python
        done = subprocess.run(
            [program, "-m", "sentiflow", *words, "--json"],
            cwd=PLACE, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stderr
        return done.returncode, json.loads(done.stdout)

    return run


@pytest.fixture(scope="module")
def refused(ask: Ask) -> tuple[int, dict[str, Any]]:
    """The first night after the upgrade, before anybody vouched for the old versions."""
    return ask("run", "--data", "reviews", "--config", "small.toml", "--as-of", "2026-07-03")


@pytest.fixture(scope="module")
def attested(ask: Ask, refused: tuple[int, dict[str, Any]]) -> tuple[int, dict[str, Any]]:
    del refused
    return ask("attest", "1", "2", "--reason", "registered before the upgrade")


def test_its_history_and_status_are_read(ask: Ask) -> None:
    code, told = ask("history")
    assert code == 0
    assert [(event["kind"], event["to_version"]) for event in told["events"]][:8] == [
        ("registered", 1), ("promoted", 1), ("registered", 2), ("kept", 2), ("promoted", 2),
        ("rolled_back", 1), ("hold", None), ("released", None),
    ]  # fmt: skip
    code, told = ask("status")
    (model,) = told["models"]
    assert (code, model["champion"]["version"], model["challenger"]["version"]) == (0, 1, 2)
    assert (model["champion"]["night"], model["champion"]["kind"]) == ("2026-07-01", "rolled_back")


def test_its_first_night_names_what_a_person_has_to_attest(
    refused: tuple[int, dict[str, Any]],
) -> None:
    code, told = refused
    assert (code, told["outcome"]) == (4, "failed")
    assert told["reasons"][0].endswith("sentiflow attest 1 2 --reason …")


def test_its_champion_answers_as_it_did(ask: Ask, attested: tuple[int, dict[str, Any]]) -> None:
    assert attested[0] == 0
    code, told = ask("predict", *TEXTS)
    assert (code, told["model_version"]) == (0, 1)
    for row, (label, probability) in zip(told["predictions"], ANSWERS, strict=True):
        assert row["label"] == label
        assert row["probability"] == pytest.approx(probability, abs=1e-5)


def test_a_further_night_is_compared_with_its_champion(
    ask: Ask, attested: tuple[int, dict[str, Any]]
) -> None:
    del attested
    code, told = ask("run", "--data", "reviews", "--config", "small.toml", "--as-of", "2026-07-03")
    assert (code, told["outcome"], told["version"], told["champion_version"]) == (0, "kept", 3, 1)
    assert told["reasons"][0].startswith("Accuracy 1.0000 against the champion's 1.0000")
    assert (told["rows"]["read"], told["rows"]["superseded"]) == (446, 5)


def test_its_version_answers_through_mlflow_models_serve(environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    folder = Path(sys.executable).parent
    served = subprocess.Popen(
        [
            sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/sentiflow/1",
            "--env-manager", "local", "--port", str(port),
        ],
        env={
            **environment, "MLFLOW_TRACKING_URI": f"sqlite:///{PLACE / 'home' / 'mlflow.db'}",
            "PATH": f"{folder}:{environment['PATH']}",
        },
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        asked = {"dataframe_split": {"columns": ["text"], "data": [[text] for text in TEXTS]}}
        answer = ask_until_it_answers(served, f"http://127.0.0.1:{port}/invocations", asked)
    finally:
        os.killpg(served.pid, 15)
        served.wait()
    for row, (label, probability) in zip(answer["predictions"], ANSWERS, strict=True):
        assert row["label"] == label
        assert row["probability"] == pytest.approx(probability, abs=1e-5)


def ask_until_it_answers(
    served: subprocess.Popen[bytes], url: str, asked: dict[str, Any]
) -> dict[str, Any]:
    ends = time.monotonic() + 180
    with httpx.Client(trust_env=False, timeout=60) as client:
        while served.poll() is None and time.monotonic() < ends:
            try:
                return dict(client.post(url, json=asked).raise_for_status().json())
            except httpx.ConnectError:
                time.sleep(0.2)
    pytest.fail("mlflow models serve did not start")
