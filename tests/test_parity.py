"""One model, five ways to ask it, the same answers: on real reviews and on odd texts."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from attested import crown, know
from outside import find_port

from sentiflow.gate.checks import TOLERANCE, count_changed_labels, inspect_version
from sentiflow.gate.odd_texts import make_odd_texts
from sentiflow.model.bundle import Bundle, load_bundle, save_bundle
from sentiflow.model.network import build_network
from sentiflow.model.stack import Stack
from sentiflow.model.tokenization import encode_texts, fit_vocabulary
from sentiflow.model.wide import fit_wide
from sentiflow.release.registry import CHAMPION, Registry
from sentiflow.settings import load_settings
from sentiflow.tracking import track_run

pytestmark = [pytest.mark.slow]

REAL = 1_000
SURROGATE = re.compile("[\ud800-\udfff]")


@pytest.fixture(scope="module")
def texts(real_reviews: Path) -> list[str]:
    with gzip.open(real_reviews, "rt", encoding="utf-8") as stream:
        real = [json.loads(line)["text"] for line in itertools.islice(stream, REAL)]
    return real + make_odd_texts()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def bundle(home: Path, texts: list[str]) -> Bundle:
    """A registered champion with a real vocabulary; weights drawn wide, so answers spread."""
    settings = load_settings(None, ["tokens.vocabulary_size=3000", "network.units=[16]"])
    vocabulary = fit_vocabulary(texts[:REAL], settings.tokens)
    size = len(vocabulary) + 2
    token_ids = encode_texts(texts[:REAL], vocabulary, settings.tokens)
    # Labels that say nothing: what counts is that every n-gram weighs something.
    labels = (np.arange(REAL) % 3 == 0).astype(np.int8)
    wide = fit_wide(
        token_ids, labels, token_ids, labels, np.arange(REAL) % 5, size, settings.wide
    ).branch
    network = build_network(settings.network, size)
    draw = np.random.default_rng(5)
    network.set_weights(
        [draw.normal(0, 0.4, weight.shape).astype(np.float32) for weight in network.get_weights()]
    )
    weights = home / "network.weights.h5"
    for _ in range(2):
        network.save_weights(weights)
        made = save_bundle(
            home / "bundle", vocabulary, weights, settings, np.array([1], np.uint64),
            wide, Stack(0.5, 1.0, 0.0),
        )  # fmt: skip
        # The second round moves the middle of the answers to a half.
        middle = float(np.median(made.predict(texts[:REAL])))
        *others, bias = network.get_weights()
        shift = np.array([0, np.log(middle / (1 - middle))], np.float32)
        network.set_weights([*others, bias - shift])
    registry = Registry(f"sqlite:///{home / 'mlflow.db'}")
    with track_run(registry.uri, "test", home / "mlartifacts", "run", {}) as run:
        version = registry.register("sentiflow", run.id, home / "bundle", {}, {}, "")
    registry.point("sentiflow", CHAMPION, version.number)
    crown(home, version, home / "bundle")
    return made


@pytest.fixture(scope="module")
def expected(bundle: Bundle, texts: list[str]) -> npt.NDArray[np.float32]:
    answers = bundle.predict(texts)
    assert 0.2 < (answers >= 0.5).mean() < 0.8, "a model that says one thing proves little"
    assert answers.std() > 0.1
    return answers


def check_same(answers: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> None:
    assert answers.shape == expected.shape
    assert np.abs(answers - expected).max() <= TOLERANCE
    assert count_changed_labels(answers, expected) == 0


def environment(home: Path) -> dict[str, str]:
    return {
        **os.environ, "SENTIFLOW_HOME": str(home), "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_TRACKING_URI": f"sqlite:///{home / 'mlflow.db'}", "TF_CPP_MIN_LOG_LEVEL": "3",
        "MLFLOW_REGISTRY_URI": f"sqlite:///{home / 'mlflow.db'}",
        # MLflow starts its server by name.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }  # fmt: skip


@contextmanager
def run_service(command: list[str], home: Path, ready: str) -> Iterator[None]:
    with (home / "service.log").open("w") as log:
        process = subprocess.Popen(
            command, env=environment(home), cwd=home, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
        try:
            deadline = time.monotonic() + 120
            while time.monotonic() < deadline and process.poll() is None:
                try:
                    if httpx.get(ready, timeout=2).status_code == 200:
                        break
                except httpx.TransportError:
                    pass
                time.sleep(0.2)
            else:
                raise AssertionError((home / "service.log").read_text()[-2_000:])
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)


def post(url: str, content: Any) -> httpx.Response:
    # Lone surrogates travel as JSON escapes.
    body = json.dumps(content).encode("ascii")
    headers = {"Content-Type": "application/json"}
    answer = httpx.post(url, content=body, headers=headers, timeout=120)
    assert answer.status_code == 200, answer.text[:500]
    return answer


def test_the_registered_version_answers_alike_in_a_fresh_process(
    home: Path, bundle: Bundle, texts: list[str], expected: npt.NDArray[np.float32]
) -> None:
    uri = f"sqlite:///{home / 'mlflow.db'}"
    version = Registry(uri).look_up_version("sentiflow", 1)
    assert version is not None
    known = know(version, home / "bundle")
    found = inspect_version(uri, "sentiflow", 1, known, texts, expected, home / "scratch", 120)
    assert found.difference <= TOLERANCE
    assert (found.changed_labels, found.odd_failures) == (0, 0)


def test_the_service_answers_alike(
    home: Path, bundle: Bundle, texts: list[str], expected: npt.NDArray[np.float32],
    warm_python: str,
) -> None:  # fmt: skip
    port = find_port()
    url = f"http://127.0.0.1:{port}"
    command = [warm_python, "-m", "sentiflow", "serve", "--port", str(port)]
    with run_service(command, home, f"{url}/ready"):
        answers: list[dict[str, Any]] = []
        for start in range(0, len(texts), 200):
            answer = post(f"{url}/v1/predict", {"texts": texts[start : start + 200]}).json()
            assert answer["model_version"] == 1
            answers += answer["predictions"]
    check_same(np.array([row["probability"] for row in answers], np.float32), expected)
    labels = ["positive" if row["probability"] >= 0.5 else "negative" for row in answers]
    assert [row["label"] for row in answers] == labels


def test_batch_scoring_answers_alike(
    home: Path,
    tmp_path: Path,
    bundle: Bundle,
    texts: list[str],
    expected: npt.NDArray[np.float32],
    warm_python: str,
) -> None:
    source, output = tmp_path / "texts.jsonl", tmp_path / "answers.parquet"
    source.write_text(
        "".join(json.dumps({"review_id": f"r{n}", "text": t}) + "\n" for n, t in enumerate(texts))
    )
    finished = subprocess.run(
        [warm_python, "-m", "sentiflow", "score", "--data", str(source), "--output",
         str(output), "--json"],
        env=environment(home), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr[-2_000:]
    counts = json.loads(finished.stdout)
    assert counts["scored"] + counts["quarantined"] == len(texts)
    answers = pd.read_parquet(output)
    positions = answers["review_id"].str[1:].astype(int).to_numpy()
    # A text of nothing is quarantined, and those only.
    missing = set(range(len(texts))) - set(positions)
    assert len(missing) == counts["quarantined"]
    assert all(position >= REAL for position in missing)
    check_same(answers["probability"].to_numpy(np.float32), expected[positions])


def test_plain_mlflow_serves_alike(
    home: Path, bundle: Bundle, texts: list[str], expected: npt.NDArray[np.float32]
) -> None:
    port = find_port()
    command = [
        sys.executable, "-m", "mlflow", "models", "serve", "--model-uri",
        "models:/sentiflow@champion", "--env-manager", "local", "--port", str(port),
        "--workers", "1",
    ]  # fmt: skip
    with run_service(command, home, f"http://127.0.0.1:{port}/ping"):
        # MLflow's own scoring server refuses half a surrogate pair before any model sees it.
        whole = [text for text in texts if not SURROGATE.search(text)]
        assert len(whole) > 1_800
        answers: list[float] = []
        for start in range(0, len(whole), 500):
            rows = [{"text": text} for text in whole[start : start + 500]]
            answer = post(f"http://127.0.0.1:{port}/invocations", {"dataframe_records": rows})
            answers += [row["probability"] for row in answer.json()["predictions"]]
    is_whole = [not SURROGATE.search(text) for text in texts]
    check_same(np.array(answers, np.float32), expected[is_whole])


def test_the_champion_loads_by_its_alias_in_plain_mlflow(
    home: Path, bundle: Bundle, texts: list[str], expected: npt.NDArray[np.float32]
) -> None:
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{home / 'mlflow.db'}")
    mlflow.set_registry_uri(f"sqlite:///{home / 'mlflow.db'}")
    model = mlflow.pyfunc.load_model("models:/sentiflow@champion")
    answers = model.predict(pd.DataFrame({"text": texts}, dtype=object))
    check_same(answers["probability"].to_numpy(np.float32), expected)
    assert load_bundle(bundle.folder).predict(texts[:3]) == pytest.approx(expected[:3], abs=1e-6)
