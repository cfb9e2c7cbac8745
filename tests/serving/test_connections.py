"""Connections of every bad manner against a real service, beside callers of good ones."""

from __future__ import annotations

import http.client
import json
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from sentiflow.serving.connections import BACKLOG, compute_room

MANY = 2_000
HALF_A_HEAD = b"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Half: "
HALF_A_BODY = (
    b"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: key\r\n"
    b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
)
REFUSED_BODY = HALF_A_BODY.replace(b"X-API-Key: key\r\n", b"")
TLS_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256))
HEALTH = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
PAGE = b"GET /openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"

# The real application and protocol over a model that needs no TensorFlow: it answers when a file
# lets it.
SERVE = """
import json, logging, resource, sys, time
from datetime import UTC, datetime
from pathlib import Path
import numpy as np
logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
from sentiflow.release.explained import ChampionReader
from sentiflow.release.ledger import Ledger
from sentiflow.release.registry import Registry, Version
from sentiflow.serving.app import answer_requests, listen, make_app
from sentiflow.serving.champion import ChampionFollower
from sentiflow.serving.state import Served, State
from sentiflow.serving.measurements import Measurements
from sentiflow.settings import ServingSettings

serving = ServingSettings(**json.loads(sys.argv[1]))
closed = Path(sys.argv[2])

class Gated:
    def predict(self, texts):
        while closed.exists():
            time.sleep(0.01)
        return np.full(len(texts), 0.75, np.float32)

READER = ChampionReader(Ledger("sqlite:////nowhere/ledger.db", may_create=False), "model")

class ReleaseState(ChampionFollower):
    def __init__(self):
        super().__init__(Registry("sqlite://"), READER, "model", Path("nowhere"), 1.0, 1)
        version = Version("model", 4, "run-4", {})
        self.state = State(served=Served(version, Gated(), datetime.now(UTC), "registry"))
    def start(self):
        pass

# What most systems give a process: too few for the connections that are allowed.
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
listening = listen("127.0.0.1", 0, False)
measurements = Measurements("model")
application = make_app(ReleaseState(), serving, "key", frozenset({"127.0.0.1"}), measurements)
print(listening.getsockname()[1], flush=True)
answer_requests(application, listening, serving, measurements)
"""


@contextmanager
def serve(folder: Path, **limits: float) -> Iterator[int]:
    """Run the service in a process of its own and give its port."""
    with (folder / "service.log").open("wb") as log:
        service = subprocess.Popen(
            [sys.executable, "-c", SERVE, json.dumps(limits), str(folder / "closed")],
            stdout=subprocess.PIPE, stderr=log,
        )  # fmt: skip
        try:
            assert service.stdout is not None
            port = int(service.stdout.readline())
            ask(port, "/health", seconds=30)
            yield port
        finally:
            (folder / "closed").unlink(missing_ok=True)
            service.terminate()
            service.wait(30)


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A service with short deadlines."""
    limits = {"head_seconds": 1.0, "body_seconds": 1.0, "idle_seconds": 1.0, "answer_seconds": 1.0}
    with serve(tmp_path_factory.mktemp("connections"), **limits, drain_seconds=0) as port:
        yield port


def ask(port: int, path: str, body: bytes | None = None, seconds: float = 10.0) -> tuple[int, str]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)) as connection:
        headers = {"X-API-Key": "key", "Content-Type": "application/json"}
        connection.request("POST" if body else "GET", path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def predict(port: int) -> int:
    return ask(port, "/v1/predict", b'{"text": "Great food!"}')[0]


def connect(port: int, first: bytes = b"") -> socket.socket:
    calling = socket.create_connection(("127.0.0.1", port), timeout=20)
    calling.sendall(first)
    return calling


def read_to_end(calling: socket.socket) -> bytes:
    """Return all that comes until the service ends the connection."""
    parts = []
    try:
        while part := calling.recv(65_536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def is_held(calling: socket.socket) -> bool:
    calling.setblocking(False)
    try:
        while calling.recv(65_536):
            pass
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def ask_and_read_nothing(calling: socket.socket, seconds: float = 30.0) -> None:
    """Ask until the service can send no more, and on until it ends the connection."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        calling.sendall(PAGE * 20)
        time.sleep(0.1)


def wait_until(claim: Callable[[], bool], seconds: float = 30.0) -> None:
    ends = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < ends, "it must come true in time"
        time.sleep(0.05)


@pytest.mark.slow
def test_two_thousand_slow_connections_hold_up_nobody_and_are_let_go(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < MANY + 200:
        pytest.skip(f"this machine allows a process {hard} files, and the callers are one process")
    manners = [HALF_A_HEAD, HALF_A_BODY, REFUSED_BODY, b"", b"\r\n", HALF_A_HEAD[:1]]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, MANY + 200), hard))
    try:
        with serve(tmp_path, head_seconds=4.0, body_seconds=1.0) as port, ExitStack() as callers:
            slow = []
            answers = []
            for turn in range(MANY):
                calling = connect(port, manners[turn % len(manners)])
                slow.append(callers.enter_context(closing(calling)))
                if turn % 100 == 99:
                    answers += [predict(port), ask(port, "/health")[0], ask(port, "/ready")[0]]
            assert answers == [200] * 60, "nobody else notices"
            assert sum(map(is_held, slow)) <= 1_000, "so many at once, the newest"
            wait_until(lambda: sum(map(is_held, slow)) == 0)
            assert predict(port) == 200
            counted = ask(port, "/metrics")[1]
            assert 'sentiflow_connections_dropped_total{reason="displaced"}' in counted
            assert 'sentiflow_connections_dropped_total{reason="head"}' in counted
            assert "sentiflow_connections 1.0" in counted
            assert "Too many open files" not in (tmp_path / "service.log").read_text()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "then", "status"),
    [
        (b"", b"", b""),
        (b"", b"\r\n", b""),
        (HALF_A_HEAD, b"a", b"408"),
        (HALF_A_BODY, b" ", b"408"),
        (REFUSED_BODY, b" ", b"401"),
        (HEALTH, b"", b"200"),
        (HEALTH, b"\r\n", b"200"),
        (HEALTH + HALF_A_HEAD, b"a", b"200"),
    ],
    ids=[
        "silent", "line breaks", "half a head", "half a body", "a refused body", "idle",
        "idle line breaks", "half a head after an answer",
    ],
)  # fmt: skip
def test_a_slow_sender_is_let_go_however_long_it_keeps_on(
    port: int, first: bytes, then: bytes, status: bytes
) -> None:
    with closing(connect(port, first)) as calling:
        answers = b""
        ends = time.monotonic() + 20
        calling.settimeout(0.2)
        try:
            while time.monotonic() < ends:
                if then:
                    calling.sendall(then)
                try:
                    part = calling.recv(65_536)
                except TimeoutError:
                    continue
                if not part:
                    break
                answers += part
        except (ConnectionResetError, BrokenPipeError):
            pass
        assert time.monotonic() < ends, "the service ends it"
    assert answers.split(b" ")[1:2] == ([status] if status else [])


@pytest.mark.slow
def test_a_reader_that_takes_nothing_is_let_go(port: int) -> None:
    calling = socket.socket()
    calling.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    with closing(calling):
        calling.connect(("127.0.0.1", port))
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            ask_and_read_nothing(calling)
    assert 'dropped_total{reason="reader"}' in ask(port, "/metrics")[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "sent",
    [
        HALF_A_HEAD + b"a" * 500_000,
        b"GET /" + b"a" * 500_000,
        HALF_A_HEAD + b"a\r\n" + b"b: c\r\n" * 100_000,
    ],
    ids=["a header", "an address", "many headers"],
)
def test_a_head_without_an_end_is_refused(port: int, sent: bytes) -> None:
    with closing(connect(port)) as calling:
        try:
            for start in range(0, len(sent), 10_000):
                calling.sendall(sent[start : start + 10_000])
            answer = read_to_end(calling)
        except (ConnectionResetError, BrokenPipeError):
            answer = b""
    # Who goes on sending may see the connection end before it sees the answer.
    assert answer == b"" or b'"head_too_large"' in answer
    assert 'dropped_total{reason="too_large"}' in ask(port, "/metrics")[1]


@pytest.mark.slow
@pytest.mark.parametrize("sent", [TLS_HELLO, b"\x00" * 100, b"hello\r\n\r\n"])
def test_what_is_no_http_gets_the_one_form_of_error(port: int, sent: bytes) -> None:
    with closing(connect(port, sent)) as calling:
        head, _, body = read_to_end(calling).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert json.loads(body)["error"]["code"] == "bad_request"


@pytest.mark.slow
def test_requests_sent_ahead_are_answered_in_order_but_not_without_end(port: int) -> None:
    with closing(connect(port, HEALTH + HEALTH.replace(b"/health", b"/ready"))) as calling:
        answers = read_to_end(calling)
    assert [part[:3] for part in answers.split(b"HTTP/1.1 ")[1:]] == [b"200", b"200"]
    assert answers.index(b"alive") < answers.index(b"ready")
    with closing(connect(port, HEALTH * 3_000)) as calling:
        assert read_to_end(calling).count(b"HTTP/1.1 200") < 3_000


@pytest.mark.slow
def test_while_every_connection_is_being_answered_only_health_comes_in(tmp_path: Path) -> None:
    body = HALF_A_BODY.replace(b"Length: 100", b"Length: 15") + b'"text":"good"}'
    with serve(tmp_path, max_connections=16, head_seconds=60) as port, ExitStack() as callers:
        (tmp_path / "closed").touch()
        busy = [callers.enter_context(closing(connect(port, body))) for _ in range(16)]
        wait_until(lambda: ask(port, "/metrics")[0] == 503)
        assert ask(port, "/health")[0] == ask(port, "/ready")[0] == 200
        status, told = ask(port, "/v1/predict", b'{"text": "abc"}')
        assert (status, json.loads(told)["error"]["code"]) == (503, "too_many_connections")
        (tmp_path / "closed").unlink()
        for calling in busy:
            assert calling.recv(65_536).startswith(b"HTTP/1.1 200"), "none was dropped"
        wait_until(lambda: predict(port) == 200)


@pytest.mark.parametrize(
    ("soft", "hard", "room"),
    [(64, 256, 16), (1_024, 1_024, 240), (1_024, 4_096, 1_000), (4_096, 4_096, 1_000)],
)
def test_there_is_room_for_what_the_descriptors_allow(
    soft: int, hard: int, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Limits:
        """The system's limits of one process: lowering the real hard one is for good."""

        now = (soft, hard)

    def change(_: int, limits: tuple[int, int]) -> None:
        assert limits[0] <= Limits.now[1] == limits[1]
        Limits.now = limits

    monkeypatch.setattr(resource, "getrlimit", lambda _: Limits.now)
    monkeypatch.setattr(resource, "setrlimit", change)
    assert compute_room(1_000) == room
    assert room == 16 or room + BACKLOG < Limits.now[0], "what comes at once, and files, beside"
