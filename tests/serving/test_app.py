from __future__ import annotations

import gzip
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from fastapi.testclient import TestClient

from sentiflow.errors import UsageError
from sentiflow.release.explained import ChampionReader
from sentiflow.release.ledger import Ledger
from sentiflow.release.registry import Registry, Version
from sentiflow.serving.app import listen, make_app
from sentiflow.serving.batching import Model
from sentiflow.serving.champion import ChampionFollower
from sentiflow.serving.copies import LocalCopies
from sentiflow.serving.state import Failure, Served, State
from sentiflow.settings import ServingSettings

SECRET = "dreadful"
READER = ChampionReader(Ledger("sqlite:////nowhere/ledger.db", may_create=False), "model")


class StandingFollower(ChampionFollower):
    """Serves what it is given and asks nobody: the limits and errors need no registry."""

    def __init__(self, model: Model | None, version: Version | None = None) -> None:
        super().__init__(Registry("sqlite://"), READER, "model", Path("nowhere"), 1.0, 1)
        version = version or Version("model", 4, "run-4", {})
        if model is not None:
            self.state = State(served=Served(version, model, datetime.now(UTC), "registry"))

    def start(self) -> None:
        pass


@contextmanager
def call(
    follower: ChampionFollower, api_key: str | None = None, **limits: Any
) -> Iterator[TestClient]:
    serving = ServingSettings(**limits)
    app = make_app(follower, serving, api_key, frozenset({"127.0.0.1"}))
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def client(constant_model: Callable[..., Any]) -> Iterator[TestClient]:
    with call(StandingFollower(constant_model()), max_texts=3, max_characters=50) as client:
        yield client


def test_texts_are_answered_in_order_with_the_version_that_answered() -> None:
    class Lengths:
        """Answers a text's length in tenths, so that the order shows."""

        def predict(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
            return np.array([len(text) / 10 for text in texts], np.float32)

    with call(StandingFollower(Lengths())) as client:
        answer = client.post("/v1/predict", json={"texts": ["four", "fives", "", "no"]})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "model": "model",
        "model_version": 4,
        "predictions": [
            {"label": "negative", "probability": pytest.approx(0.4)},
            {"label": "positive", "probability": 0.5},
            {"label": "negative", "probability": 0.0},
            {"label": "negative", "probability": pytest.approx(0.2)},
        ],
    }


def test_one_text_is_answered_like_a_list_of_one(client: TestClient) -> None:
    one = client.post("/v1/predict", json={"text": "Good"})
    assert one.status_code == 200
    assert one.json() == client.post("/v1/predict", json={"texts": ["Good"]}).json()


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 422, "no_object"),
        (b'{"text": "dreadful', 400, "invalid_json"),
        (b'"dreadful"', 422, "no_object"),
        (b'["dreadful"]', 422, "no_object"),
        (b"null", 422, "no_object"),
        (b"[" * 100_000, 400, "bad_request"),
        (b'{"text": "\xff dreadful"}', 400, "bad_request"),
        (b"{}", 422, "one_of_both"),
        (b'{"text": null}', 422, "one_of_both"),
        (b'{"text": "dreadful", "texts": ["dreadful"]}', 422, "one_of_both"),
        (b'{"dreadful": "dreadful", "text": ""}', 422, "unknown_key"),
        (b'{"texts": "dreadful"}', 422, "no_list"),
        (b'{"texts": {"dreadful": 1}}', 422, "no_list"),
        (b'{"texts": ["dreadful", ["dreadful"]]}', 422, "no_text"),
        (b'{"texts": [null]}', 422, "no_text"),
        (b'{"text": 3}', 422, "no_text"),
        (b'{"texts": []}', 422, "number_of_texts"),
        (b'{"texts": ["dreadful", "", "", ""]}', 422, "number_of_texts"),
        (b'{"text": "' + b"dreadful " * 6 + b'"}', 422, "text_too_long"),
    ],
)
def test_a_bad_body_gets_one_clear_error_that_does_not_quote_it(
    client: TestClient, body: bytes, status: int, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer = client.post("/v1/predict", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert set(answer.json()) == {"error"}
    assert set(answer.json()["error"]) == {"code", "message"}
    assert len(answer.json()["error"]["message"].splitlines()) == 1
    assert SECRET not in answer.text + caplog.text


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", None])
def test_a_body_that_does_not_say_it_is_json_is_told_so(client: TestClient, kind: str) -> None:
    headers = {"content-type": kind} if kind else {}
    answer = client.post("/v1/predict", content=b'{"text": "dreadful"}', headers=headers)
    assert answer.status_code == 422
    assert "Content-Type" in answer.json()["error"]["message"]


def test_the_position_of_what_is_wrong_is_named(client: TestClient) -> None:
    answer = client.post("/v1/predict", json={"texts": ["", 7]})
    assert answer.json()["error"]["message"] == "texts[1] must be a string."
    answer = client.post("/v1/predict", json={"texts": ["", "x" * 51]})
    assert "text 1 of 51 characters" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/v1/predict/", 404, "not_found"),
        ("GET", "/v1/predict", 405, "method_not_allowed"),
        ("POST", "/health", 405, "method_not_allowed"),
    ],
)
def test_a_wrong_address_gets_an_error_of_the_same_shape(
    client: TestClient, method: str, path: str, status: int, code: str
) -> None:
    answer = client.request(method, path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize("text", ["\ud83d", "a\udfffb", "\x00", "", "🙂", "\u202eabc"])
def test_odd_texts_reach_the_model_as_they_are(
    text: str, constant_model: Callable[..., Any]
) -> None:
    model = constant_model()
    with call(StandingFollower(model)) as client:
        body = json.dumps({"texts": [text]})
        answer = client.post(
            "/v1/predict", content=body, headers={"content-type": "application/json"}
        )
    assert answer.status_code == 200
    assert model.batches == [[text]]


def test_a_body_over_the_limit_is_refused(constant_model: Callable[..., Any]) -> None:
    with call(StandingFollower(constant_model()), max_body_bytes=1_000) as client:
        answer = client.post("/v1/predict", json={"text": "x" * 1_000})
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")
        assert client.post("/v1/predict", json={"text": "x" * 900}).status_code == 200


def test_without_a_model_the_service_is_alive_but_not_ready() -> None:
    with call(StandingFollower(None)) as client:
        assert client.get("/health").json() == {"status": "alive"}
        for answer in (client.get("/ready"), client.post("/v1/predict", json={"text": "a"})):
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "not_ready")
            assert answer.headers["retry-after"] == "1"
        assert client.get("/v1/model").json()["model_version"] is None


def test_a_model_that_fails_is_a_500_without_the_text(caplog: pytest.LogCaptureFixture) -> None:
    class Failing:
        """Fails as TensorFlow does: with the input in its message."""

        def predict(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
            raise RuntimeError(str(texts))

    with call(StandingFollower(Failing())) as client:
        answer = client.post("/v1/predict", json={"text": SECRET})
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "model_failed")
        assert SECRET not in answer.text + caplog.text
        assert client.get("/health").status_code == 200


def test_a_full_queue_answers_429_and_says_when_to_come_again() -> None:
    gate, entered = threading.Event(), threading.Event()

    class Slow:
        """Answers when the test lets it."""

        def predict(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
            entered.set()
            assert gate.wait(10)
            return np.full(len(texts), 0.25, np.float32)

    with call(StandingFollower(Slow()), max_waiting=2) as client:
        statuses: list[int] = []

        def ask() -> None:
            statuses.append(client.post("/v1/predict", json={"texts": ["a", "b"]}).status_code)

        threads = [threading.Thread(target=ask) for _ in range(2)]
        threads[0].start()
        assert entered.wait(10)
        threads[1].start()
        while "sentiflow_waiting_texts 2.0" not in client.get("/metrics").text:
            time.sleep(0.01)
        refused = client.post("/v1/predict", json={"text": "c"})
        gate.set()
        for thread in threads:
            thread.join(10)
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many_waiting")
    assert refused.headers["retry-after"] == "1"
    assert statuses == [200, 200]


def test_a_key_is_asked_for_where_it_is_set(constant_model: Callable[..., Any]) -> None:
    with call(StandingFollower(constant_model()), "key") as client:
        assert client.get("/ready").status_code == 200
        for path in ("/v1/model", "/metrics"):
            assert client.get(path).status_code == 401
            assert client.get(path, headers={"x-api-key": "key"}).status_code == 200
        answer = client.post("/v1/predict", json={"text": ""})
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthorized")
        bearer = {"authorization": "Bearer key"}
        assert client.post("/v1/predict", json={"text": ""}, headers=bearer).status_code == 200


def test_the_model_page_says_what_serves_and_what_failed(
    constant_model: Callable[..., Any],
) -> None:
    tags = {
        "sentiflow.night": "2026-01-02", "sentiflow.outcome": "promoted",
        "sentiflow.decision": "abc",
    }  # fmt: skip
    follower = StandingFollower(constant_model(), Version("model", 7, "run-7", tags))
    follower._update(
        failure=Failure(Version("model", 8, "run-8", {}), "ArtifactError: broken", 2, 0.0),
        unreachable_since=datetime(2026, 1, 3, 4, 5, 6, tzinfo=UTC),
    )
    with call(follower) as client:
        page = client.get("/v1/model").json()
    assert datetime.now(UTC).isoformat().startswith(page.pop("served_since")[:10])
    assert page == {
        "model": "model",
        "model_version": 7,
        "run_id": "run-7",
        "loaded_from": "registry",
        "night": "2026-01-02",
        "outcome": "promoted",
        "decision": "abc",
        "registry": "unreachable since 2026-01-03T04:05:06+00:00",
        "ledger": "no answer yet",
        "warnings": [],
        "failed_version": 8,
        "failure": "ArtifactError: broken",
    }


def test_what_was_answered_is_measured(client: TestClient) -> None:
    client.post("/v1/predict", json={"texts": ["a", "b", "c"]})
    client.post("/v1/predict", json={"texts": []})
    text = client.get("/metrics").text
    assert 'sentiflow_requests_total{method="POST",route="/v1/predict",status="200"} 1.0' in text
    assert 'sentiflow_requests_total{method="POST",route="/v1/predict",status="422"} 1.0' in text
    assert "sentiflow_texts_total 3.0" in text
    assert 'sentiflow_model_info{model="model",version="4"} 1.0' in text


def test_the_interface_describes_itself(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert set(document["paths"]) == {"/v1/predict", "/v1/model", "/health", "/ready", "/metrics"}
    predict = document["paths"]["/v1/predict"]["post"]
    assert set(predict["responses"]) >= {"200", "400", "401", "413", "422", "429", "500", "503"}
    schemas = document["components"]["schemas"]
    assert schemas["PredictRequest"]["properties"]["texts"]["anyOf"][0]["items"] == {
        "type": "string"
    }
    assert predict["responses"]["422"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/ErrorAnswer"
    }


def test_a_taken_port_is_told_in_one_line() -> None:
    with listen("127.0.0.1", 0, has_key=False) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"127.0.0.1:{port}: Address already in use") as told:
            listen("127.0.0.1", port, has_key=False)
    assert len(str(told.value).splitlines()) == 1


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_an_address_others_can_reach_needs_a_key(host: str) -> None:
    with pytest.raises(UsageError, match="SENTIFLOW_API_KEY"):
        listen(host, 0, has_key=False)


def test_an_address_others_can_reach_is_fine_with_a_key() -> None:
    with listen("0.0.0.0", 0, has_key=True) as listening:
        assert listening.getsockname()[1] > 0


@pytest.mark.parametrize("host", ["no.such.host.invalid", "127.0.0..1", "caf\udce9"])
def test_a_host_that_is_not_there_is_a_mistake_in_the_call(host: str) -> None:
    with pytest.raises(UsageError, match=r"serving\.host"):
        listen(host, 0, has_key=True)


def test_accepted_connections_send_small_answers_at_once() -> None:
    """Asyncio turns Nagle's delay (40 ms) off for sockets that say they are TCP only."""
    with listen("127.0.0.1", 0, has_key=False) as listening:
        assert listening.proto == socket.IPPROTO_TCP


SERVE = """
import logging, sys
from pathlib import Path
logging.basicConfig(level=logging.INFO, stream=sys.stderr)
from sentiflow.settings import prepare_environment
home = Path(sys.argv[1])
prepare_environment(home)
from sentiflow.release.open_home import open_home
from sentiflow.serving.app import serve
serve(open_home(None, ["model.name=model", *sys.argv[2:]], home))
"""


@contextmanager
def run_service(
    home: Path, *overrides: str, log: Path
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run a real service and give it with its port; the log tells the port."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(home), "serving.port=0", *overrides], stderr=output
        )
    try:
        ends = time.monotonic() + 60
        while "on http://127.0.0.1:" not in (text := log.read_text()):
            assert process.poll() is None, text
            assert time.monotonic() < ends, text
            time.sleep(0.05)
        yield process, int(text.split("on http://127.0.0.1:")[1].split()[0])
    finally:
        # Whatever a test found, no service outlives it.
        process.kill()
        process.wait(30)


def wait_ready(port: int) -> None:
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/ready")
        if connection.getresponse().status == 200:
            return
        time.sleep(0.1)
    raise AssertionError("not ready")


def ask(port: int, texts: Sequence[str]) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    body = json.dumps({"texts": list(texts)})
    connection.request("POST", "/v1/predict", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def get(port: int, path: str) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    return json.loads(connection.getresponse().read())


@pytest.fixture
def kept_home(tmp_path: Path, constant_bundle: Callable[[float], Path]) -> Path:
    """A home that holds a local copy only; its registry is not there."""
    home = tmp_path / "home"
    copies = LocalCopies(home / "serving" / "model")

    def fetch(folder: Path) -> Path:
        return Path(shutil.copytree(constant_bundle(0.2), folder / "bundle"))

    with copies.make(Version("model", 5, "run-5", {}), fetch):
        pass
    return home


@pytest.mark.slow
def test_the_service_starts_from_its_local_copy_while_the_registry_is_down(
    kept_home: Path, tmp_path: Path
) -> None:
    uri = "tracking.uri=http://127.0.0.1:9"
    with run_service(kept_home, uri, log=tmp_path / "log") as (process, port):
        wait_ready(port)
        status, answer = ask(port, ["good", "bad"])
        assert status == 200
        assert answer["model_version"] == 5
        assert [row["probability"] for row in answer["predictions"]] == pytest.approx([0.2] * 2)
        page = get(port, "/v1/model")
        assert page["loaded_from"] == "local copy"
        ends = time.monotonic() + 30
        while page["registry"] == "no answer yet" and time.monotonic() < ends:
            time.sleep(0.1)
            page = get(port, "/v1/model")
        assert page["registry"].startswith("unreachable since 20")
        process.terminate()
        assert process.wait(30) == 0


@pytest.mark.slow
def test_sigterm_finishes_what_is_in_flight_and_ends_with_0(
    kept_home: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    uri = "tracking.uri=http://127.0.0.1:9"
    # Some seconds of work, so that the signal meets it in the middle.
    texts = ["word " * 19_000 for _ in range(40)]
    answers: list[tuple[int, dict[str, Any]]] = []
    with run_service(kept_home, uri, log=log) as (process, port):
        wait_ready(port)
        threads = [
            threading.Thread(target=lambda: answers.append(ask(port, texts))) for _ in range(6)
        ]
        for thread in threads:
            thread.start()
        # All six are in: what was answered and what waits, but for the batch the model is at.
        ends = time.monotonic() + 30
        taken = 0.0
        while taken < 200 and time.monotonic() < ends:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
            taken = sum(
                float(text.split(f"\n{name} ")[1].split()[0])
                for name in ("sentiflow_waiting_texts", "sentiflow_texts_total")
            )
        in_flight = [thread for thread in threads if thread.is_alive()]
        os.kill(process.pid, signal.SIGTERM)
        code = process.wait(60)
        for thread in threads:
            thread.join(30)
        assert in_flight, "the signal must meet requests in flight"
        assert [status for status, _ in answers] == [200] * 6
        assert all(len(answer["predictions"]) == 40 for _, answer in answers)
        assert code == 0, log.read_text()
        assert "Traceback" not in log.read_text()
        with pytest.raises(ConnectionRefusedError):
            ask(port, ["late"])


@pytest.mark.slow
def test_mistakes_in_the_call_end_with_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for overrides in ([f"serving.port={port}"], ["serving.host=0.0.0.0"]):
            ended = subprocess.run(
                [sys.executable, "-m", "sentiflow", "serve"]
                + [part for override in overrides for part in ("--set", override)],
                env={**os.environ, "SENTIFLOW_HOME": str(tmp_path)},
                capture_output=True, text=True, check=False, timeout=60,
            )  # fmt: skip
            assert ended.returncode == 2
            assert ended.stderr.startswith("Error: ")
            assert len(ended.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "path", ["/", "/health", "/ready", "/v1/model", "/metrics", "/docs", "/openapi.json"]
)
def test_whatever_answers_get_answers_head_without_a_body(client: TestClient, path: str) -> None:
    got, asked = client.get(path), client.head(path)
    assert (asked.status_code, asked.content) == (200, b"")
    assert asked.headers["content-type"] == got.headers["content-type"]
    if path != "/metrics":
        # Its numbers have moved between the two.
        assert asked.headers["content-length"] == got.headers["content-length"]


def test_head_says_what_get_would_say_where_it_is_refused(client: TestClient) -> None:
    for path, status in (("/nowhere", 404), ("/v1/predict", 405)):
        answer = client.head(path)
        assert (answer.status_code, answer.content) == (status, b"")
    with call(StandingFollower(None), "key") as closed:
        statuses = [closed.head(path).status_code for path in ("/ready", "/v1/model", "/health")]
    assert statuses == [503, 401, 200]


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, identity", "GZIP"])
def test_a_compressed_body_is_refused_in_words(client: TestClient, coding: str) -> None:
    headers = {"content-type": "application/json", "content-encoding": coding}
    packed = gzip.compress(b'{"text": "dreadful"}')
    answer = client.post("/v1/predict", content=packed, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "compressed_body")
    assert "Content-Encoding" in answer.json()["error"]["message"]
    del headers["content-encoding"]
    answer = client.post("/v1/predict", content=packed, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request")
    assert "not compressed" in answer.json()["error"]["message"]
    headers["content-encoding"] = "identity"
    plain = client.post("/v1/predict", content=b'{"text": "a"}', headers=headers)
    assert plain.status_code == 200


def test_the_page_of_the_interface_needs_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/docs").text
    assert re.findall(r"(?:src|href|action)=\"([^\"]*)", page) == ["openapi.json"]
    assert not re.findall(r"(?:https?:)?//[a-z]", page)
    for path in client.get("/openapi.json").json()["paths"]:
        assert path in page


def test_the_start_says_where_to_go(client: TestClient) -> None:
    routes = client.get("/").json()
    assert routes["predict"] == "POST /v1/predict"
    for route in routes.values():
        method, _, path = route.partition(" ")
        if method == "GET":
            assert client.get(path).status_code == 200
    asked = {"accept": "text/html,application/xhtml+xml"}
    opened = client.get("/", headers=asked)
    assert "Try it" in opened.text
