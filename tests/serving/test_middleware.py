from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from sentiflow.access.asgi import Message, Receive, Scope, Send
from sentiflow.serving.measurements import Measurements
from sentiflow.serving.middleware import LimitsMiddleware

LIMIT = 1_000


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the number of bytes it was given."""
    body = (await receive())["body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(len(body)).encode()})


async def fail(scope: Scope, receive: Receive, send: Send) -> None:
    raise RuntimeError("a review: dreadful")


class Caller:
    """Plays the server and counts what is asked of it."""

    def __init__(self, door: LimitsMiddleware, chunks: list[bytes], **scope: Any) -> None:
        self.door = door
        self.chunks = chunks
        self.taken = 0
        self.sent: list[Message] = []
        self.scope: dict[str, Any] = {
            "type": "http", "method": "POST", "path": "/v1/predict", "headers": [], **scope,
        }  # fmt: skip

    async def receive(self) -> Message:
        if self.taken == len(self.chunks):
            return {"type": "http.disconnect"}
        self.taken += 1
        more = self.taken < len(self.chunks)
        return {"type": "http.request", "body": self.chunks[self.taken - 1], "more_body": more}

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    def ask(self) -> int:
        asyncio.run(self.door(self.scope, self.receive, self.send))
        return int(self.sent[0]["status"]) if self.sent else 0

    @property
    def body(self) -> bytes:
        return bytes(self.sent[1]["body"])

    @property
    def code(self) -> str:
        answer = json.loads(self.body)
        assert set(answer) == {"error"}
        assert set(answer["error"]) == {"code", "message"}
        return str(answer["error"]["code"])


def guard(
    application: Any = echo, key: str | None = None, hosts: frozenset[str] | None = None
) -> LimitsMiddleware:
    return LimitsMiddleware(application, Measurements("model"), LIMIT, key, hosts)


def test_a_body_comes_through_whole_up_to_the_limit() -> None:
    caller = Caller(guard(), [b"x" * 600, b"", b"x" * 400])
    assert caller.ask() == 200
    assert caller.body == b"1000"


def test_a_body_over_the_limit_is_refused_without_a_content_length() -> None:
    caller = Caller(guard(), [b"x" * 600, b"x" * 401])
    assert caller.ask() == 413
    assert caller.code == "body_too_large"


def test_an_endless_body_is_not_read_to_its_end() -> None:
    caller = Caller(guard(), [b"x" * 500] * 100)
    assert caller.ask() == 413
    assert caller.taken == 21, "ten times the limit is dropped, then the sender is left alone"


def test_a_sender_that_asks_first_is_told_before_it_sends() -> None:
    headers = [(b"content-length", b"1001"), (b"expect", b"100-continue")]
    caller = Caller(guard(), [b"x" * 1001], headers=headers)
    assert caller.ask() == 413
    assert caller.taken == 0


def test_a_body_that_does_not_come_is_given_up() -> None:
    class Slow(Caller):
        async def receive(self) -> Message:
            await asyncio.sleep(0.04)
            return {"type": "http.request", "body": b"x", "more_body": True}

    caller = Slow(LimitsMiddleware(echo, Measurements("model"), LIMIT, None, None, 0.05), [])
    assert caller.ask() == 408
    assert caller.code == "body_too_slow"


def test_a_caller_who_leaves_is_not_answered() -> None:
    class Leaving(Caller):
        async def receive(self) -> Message:
            self.taken += 1
            return {"type": "http.disconnect"}

    caller = Leaving(guard(), [])
    assert caller.ask() == 0
    assert caller.taken == 1


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([], 401),
        ([(b"x-api-key", b"wrong")], 401),
        ([(b"x-api-key", "schlüssel".encode())], 200),
        ([(b"authorization", "Bearer schlüssel".encode())], 200),
        ([(b"authorization", "bearer schlüssel".encode())], 200),
        ([(b"authorization", "Basic schlüssel".encode())], 401),
        ([(b"authorization", b"Bearer ")], 401),
        ([(b"authorization", b"Bearer wrong"), (b"x-api-key", b"wrong")], 401),
        ([(b"x-api-key", "schlüsse".encode())], 401),
        ([(b"x-api-key", b"\xff\xfe")], 401),
    ],
)
@pytest.mark.parametrize("path", ["/v1/predict", "/v1/model", "/metrics", "/nowhere"])
def test_a_key_opens_everything_that_is_not_open(
    headers: list[tuple[bytes, bytes]], status: int, path: str
) -> None:
    caller = Caller(guard(key="schlüssel"), [b""], path=path, headers=headers)
    assert caller.ask() == status
    if status == 401:
        assert caller.code == "unauthorized"
        assert (b"www-authenticate", b"Bearer") in caller.sent[0]["headers"]


@pytest.mark.parametrize("path", ["/health", "/ready", "/openapi.json"])
def test_probes_need_no_key(path: str) -> None:
    assert Caller(guard(key="key"), [b""], path=path).ask() == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        (b"localhost", 200),
        (b"LOCALHOST:8080", 200),
        (b"127.0.0.1:1", 200),
        (b"[::1]:8080", 200),
        (b"[::1]", 200),
        (b"evil.example", 400),
        (b"evil.example:8080", 400),
        (b"localhost.evil.example", 400),
        (b"evil-localhost", 400),
        (b"[::2]:8080", 400),
        (b"", 400),
    ],
)
def test_a_name_that_only_resolves_to_this_machine_is_refused(host: bytes, status: int) -> None:
    door = guard(hosts=frozenset({"127.0.0.1", "localhost", "[::1]"}))
    caller = Caller(door, [b""], headers=[(b"host", host)])
    assert caller.ask() == status
    assert status == 200 or caller.code == "unknown_host"


def test_what_nobody_foresaw_is_one_clear_error_and_keeps_the_review_out_of_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caller = Caller(guard(fail), [b""])
    assert caller.ask() == 500
    assert caller.code == "internal"
    assert b"dreadful" not in caller.body
    assert b"Traceback" not in caller.body
    assert "RuntimeError" in caplog.text
    assert "test_middleware.py" in caplog.text, "where it came from is logged"


def test_requests_are_counted_by_route_never_by_what_the_caller_wrote(
    caplog: pytest.LogCaptureFixture,
) -> None:
    measurements = Measurements("model")
    door = LimitsMiddleware(echo, measurements, LIMIT, None, None)
    caplog.set_level("INFO", "sentiflow.serving.middleware")
    for path in ("/v1/predict", "/v1/predict", "/a-dreadful-review"):
        Caller(door, [b""], path=path, query_string=b"text=dreadful").ask()
    Caller(door, [b"x" * 2_000], method="DREADFUL").ask()
    text = measurements.render().decode()
    assert 'requests_total{method="POST",route="/v1/predict",status="200"} 2.0' in text
    assert 'requests_total{method="POST",route="other",status="200"} 1.0' in text
    assert 'requests_total{method="OTHER",route="/v1/predict",status="413"} 1.0' in text
    assert 'request_seconds_count{route="/v1/predict"} 3.0' in text
    assert len(caplog.records) == 4
    assert "dreadful" not in (text + caplog.text).lower()


def test_the_page_of_another_site_is_refused_and_its_own_is_answered() -> None:
    door = guard(hosts=frozenset({"127.0.0.1", "localhost", "[::1]"}))
    own = (b"host", b"localhost:8080")
    for origin in (b"https://evil.example", b"http://localhost:3000", b"null"):
        caller = Caller(door, [b""], headers=[own, (b"origin", origin)])
        assert (caller.ask(), caller.code) == (403, "foreign_origin")
    assert Caller(door, [b""], headers=[own, (b"origin", b"http://localhost:8080")]).ask() == 200
    fetched = Caller(door, [b""], headers=[own, (b"sec-fetch-site", b"cross-site")])
    assert fetched.ask() == 403
    # With a key any name may call: a page has no key to send.
    keyed = Caller(guard(key="k"), [b""], headers=[(b"x-api-key", b"k"), (b"origin", b"http://x")])
    assert keyed.ask() == 200
