"""Look at each request before the application: who may come in, how large it may be, what is noted.

Plain ASGI, because it has to see every request, also those that no route takes.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
import traceback
from typing import Final

from sentiflow.access.asgi import (
    Application,
    Message,
    Receive,
    Scope,
    Send,
    answer_head,
    send_answer,
)
from sentiflow.access.origins import explain_foreign, read_header
from sentiflow.serving.measurements import Measurements
from sentiflow.serving.schemas import Refusal

# Answered without a key.
OPEN_ROUTES: Final = frozenset(("/", "/health", "/ready", "/docs", "/openapi.json"))
ROUTES: Final = frozenset(("/v1/predict", "/v1/model", "/metrics", *OPEN_ROUTES))
_METHODS: Final = frozenset(("GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"))
# A sender that has not finished does not read the refusal: so much more is taken and dropped.
_DROPPED_BODIES: Final = 10
_CLIENT_LEFT: Final = 499

logger = logging.getLogger(__name__)


class _ClientLeft(Exception):
    """The connection ended before the whole request was there."""


class LimitsMiddleware:
    """An ASGI application that lets through to another what may come in."""

    def __init__(
        self,
        application: Application,
        measurements: Measurements,
        max_body_bytes: int,
        api_key: str | None,
        hosts: frozenset[str] | None,
        body_seconds: float = 30.0,
    ) -> None:
        """Keep the rules.

        Args:
            application: who answers.
            measurements: where requests are counted.
            max_body_bytes: largest body that is taken.
            api_key: what callers must show, or None.
            hosts: names a request may call this service by (lower case, without a port), or
                None for any. A web page that has its own name resolved to this machine (DNS
                rebinding) is refused by it.
            body_seconds: how long a body may take to come.
        """
        self._application = application
        self._measurements = measurements
        self._max_body_bytes = max_body_bytes
        self._api_key = api_key.encode() if api_key is not None else None
        self._hosts = hosts
        self._body_seconds = body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        started = time.perf_counter()
        status = 0

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            # Load balancers ask for the head alone of whatever can be got.
            await answer_head(self._let_through)(scope, receive, note_status)
        except Refusal as refusal:
            await _answer(refusal, note_status)
        except _ClientLeft:
            status = _CLIENT_LEFT
        except Exception as error:
            # The last line of defence: whatever it was, the caller gets one clear error. The
            # error's own words may hold a review; where it came from does not.
            where = "".join(traceback.format_tb(error.__traceback__)[-3:])
            logger.error("A request failed: %s\n%s", type(error).__name__, where)
            if not status:
                failure = Refusal(500, "internal", "The service failed. Its log says where.")
                await _answer(failure, note_status)
        finally:
            route = scope["path"] if scope["path"] in ROUTES else "other"
            method = scope["method"] if scope["method"] in _METHODS else "OTHER"
            seconds = time.perf_counter() - started
            self._measurements.count_request(method, route, status, seconds)
            logger.info("%s %s %d %.1f ms", method, route, status, seconds * 1e3)

    async def _let_through(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        self._check_host(headers)
        self._check_origin(scope)
        self._check_key(scope["path"], headers)
        body = await self._read_body(headers, receive)
        _check_encoding(headers)
        is_read = False

        async def replay() -> Message:
            nonlocal is_read
            if is_read:
                return await receive()
            is_read = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._application(scope, replay, send)

    def _check_host(self, headers: dict[bytes, bytes]) -> None:
        if self._hosts is None:
            return
        host = headers.get(b"host", b"").decode("latin-1").lower()
        name = host[: host.find("]") + 1] if host.startswith("[") else host.split(":")[0]
        if name not in self._hosts:
            raise Refusal(
                400,
                "unknown_host",
                "The Host header must name this machine: localhost, 127.0.0.1 or serving.host.",
            )

    def _check_origin(self, scope: Scope) -> None:
        """Refuse what the page of another site sends; a key, which it lacks, says as much."""
        if self._hosts is None:
            return
        # Which port it is reached at only the caller says; as a name it was checked before.
        own = frozenset((read_header(scope["headers"], b"host").lower(),))
        if reason := explain_foreign(scope["headers"], own, scope["method"]):
            raise Refusal(403, "foreign_origin", f"Refused: {reason}.")

    def _check_key(self, path: str, headers: dict[bytes, bytes]) -> None:
        if self._api_key is None or path in OPEN_ROUTES:
            return
        shown = headers.get(b"x-api-key", b"")
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() == b"bearer":
            shown = token.strip()
        if not hmac.compare_digest(shown, self._api_key):
            raise Refusal(
                401,
                "unauthorized",
                "A key is needed: send Authorization: Bearer … or X-API-Key: ….",
                {"WWW-Authenticate": "Bearer"},
            )

    async def _read_body(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        """Return the whole body; what is too large is dropped as it comes, never held."""
        too_large = Refusal(
            413, "body_too_large", f"A body must have at most {self._max_body_bytes} bytes."
        )
        announced = headers.get(b"content-length", b"0")
        if b"expect" in headers and int(announced) > self._max_body_bytes:
            # The sender asked first, so there is nothing to drop.
            raise too_large
        try:
            async with asyncio.timeout(self._body_seconds):
                chunks: list[bytes] = []
                size = 0
                more = True
                while more and size <= _DROPPED_BODIES * self._max_body_bytes:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _ClientLeft
                    size += len(message.get("body", b""))
                    if size <= self._max_body_bytes:
                        chunks.append(message.get("body", b""))
                    else:
                        chunks.clear()
                    more = message.get("more_body", False)
        except TimeoutError:
            raise Refusal(
                408, "body_too_slow", f"A body must arrive within {self._body_seconds:g} seconds."
            ) from None
        if size > self._max_body_bytes:
            raise too_large
        return b"".join(chunks)


def _check_encoding(headers: dict[bytes, bytes]) -> None:
    """Refuse a compressed body: what it unpacks to could be any size."""
    named = headers.get(b"content-encoding", b"identity").decode("latin-1").lower()
    if named.strip() not in ("", "identity"):
        raise Refusal(
            415,
            "compressed_body",
            "A body must be sent as it is. Received: one with a Content-Encoding. Send it "
            "without one; many texts go into one request.",
            {"Accept-Encoding": "identity"},
        )


async def _answer(refusal: Refusal, send: Send) -> None:
    headers = {"Content-Type": "application/json", **refusal.headers}
    await send_answer(send, refusal.status, refusal.as_json(), headers)
