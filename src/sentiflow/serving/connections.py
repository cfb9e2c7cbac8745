"""Hold every connection to deadlines and a size, and their number to what the process can have.

uvicorn times a connection only while it idles after an answer, and counts requests only once
their heads are read: a head that is never finished costs its sender nothing and the service a
descriptor, for ever. Here each phase of a connection has a deadline that no further byte moves,
and where there are too many connections the one that has kept the service waiting longest makes
room. A connection whose answer is being computed is never dropped for another.
"""

from __future__ import annotations

import asyncio
import http
import logging
import resource
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sentiflow.access.asgi import Application, Receive, Scope, Send
from sentiflow.serving.middleware import OPEN_ROUTES
from sentiflow.serving.schemas import Refusal
from sentiflow.settings import ServingSettings

# Connections that wait to be accepted; in one turn of the loop so many may come at once.
BACKLOG: Final = 512
# Connections beyond the most, for whoever asks /health and /ready while all are being answered.
RESERVED: Final = 16
# Descriptors of the service's own: the follower's files and databases, libraries, logs.
_OWN_FILES: Final = 256
_FEWEST: Final = 16
_SWEEP_SECONDS: Final = 0.5
_MOST_HEAD_BYTES: Final = 65_536
# A chunk of one byte comes in six, so that no honest body has more around it.
_MOST_AROUND: Final = 8
_MOST_PIPELINED: Final = 64
# After this the middleware has told the sender of a slow body; the connection itself ends then.
_AFTER_BODY_SECONDS: Final = 2.0
_RETRY: Final = {"Retry-After": "1"}

Phase = Literal["new", "head", "body", "answer", "idle"]
Drop = Literal["head", "body", "reader", "displaced", "too_large", "too_many"]

logger = logging.getLogger(__name__)


class Connections:
    """The connections of one process."""

    def __init__(
        self, serving: ServingSettings, most: int, count_drop: Callable[[str], None]
    ) -> None:
        """Remember the limits.

        Args:
            serving: the deadlines.
            most: how many connections there may be.
            count_drop: told why a connection was dropped, one of Drop.
        """
        self.serving = serving
        self._most = most
        self._count_drop = count_drop
        self._open: set[GuardedProtocol] = set()
        # Those that keep the service waiting, the one that has for longest first.
        self._waiting: OrderedDict[GuardedProtocol, None] = OrderedDict()
        self._is_sweeping = False

    def count(self) -> int:
        """Return how many connections are open."""
        return len(self._open)

    def admit(self, connection: GuardedProtocol) -> None:
        """Take in a new connection; where there are too many, another makes room for it."""
        self._open.add(connection)
        self.wait_for(connection)
        if not self._is_sweeping:
            self._is_sweeping = True
            connection.loop.call_later(_SWEEP_SECONDS, self._sweep, connection.loop)
        if len(self._open) <= self._most:
            return
        oldest = next(iter(self._waiting))
        if oldest is not connection:
            self.drop(oldest, "displaced")
        elif len(self._open) <= self._most + RESERVED:
            connection.restrict()
        else:
            self._count_drop("too_many")
            connection.refuse(_TOO_MANY)

    def wait_for(self, connection: GuardedProtocol) -> None:
        """Note that a connection keeps the service waiting from now on."""
        self._waiting[connection] = None
        self._waiting.move_to_end(connection)

    def stop_waiting(self, connection: GuardedProtocol) -> None:
        """Note that it is the service's turn."""
        self._waiting.pop(connection, None)

    def forget(self, connection: GuardedProtocol) -> None:
        """Note that a connection has ended."""
        self._open.discard(connection)
        self._waiting.pop(connection, None)

    def note_drop(self, reason: Drop) -> None:
        """Count a connection that is ended with an answer."""
        self._count_drop(reason)

    def drop(self, connection: GuardedProtocol, reason: Drop) -> None:
        """End a connection at once, whatever is still to be written."""
        self._count_drop(reason)
        # Not when its end is reported: until then it would count beside the one it made room for.
        self.forget(connection)
        connection.transport.abort()

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for connection in tuple(self._open):
            connection.check(now)
        self._is_sweeping = bool(self._open)
        if self._is_sweeping:
            loop.call_later(_SWEEP_SECONDS, self._sweep, loop)


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with a deadline for each phase of a connection.

    - new: nothing of a request has come; head: a request's head has begun.
    - body: the head is whole, the body is not.
    - answer: the request is whole, the service is at work.
    - idle: it is answered.
    """

    # `guard_connections` makes the class that has it.
    guard: Connections

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._message = 0
        self._around = 0
        self._body = 0
        self._write_by: float | None = None
        self._end_by: float | None = None
        self._enter("new", self.guard.serving.head_seconds)
        self.guard.admit(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of it."""
        self.guard.forget(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came; a head, or what surrounds a body, must end at some size."""
        message, body = self._message, self._body
        super().data_received(data)
        if self._message == message and self._phase in ("head", "body"):
            self._around += len(data) - (self._body - body)
            if self._around > _MOST_HEAD_BYTES + _MOST_AROUND * self._body:
                self.guard.note_drop("too_large")
                self.refuse(_HEAD_TOO_LARGE)

    def on_message_begin(self) -> None:
        """Begin to wait for the rest of a head."""
        super().on_message_begin()
        self._message += 1
        self._around = self._body = 0
        self._enter("head", self.guard.serving.head_seconds)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; what a sender puts behind a body is of no use."""
        if self._phase == "head":
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin to wait for a body, if there is to be one."""
        super().on_headers_complete()
        if len(self.pipeline) > _MOST_PIPELINED:
            self.guard.note_drop("too_many")
            # The parser hands it on as its own error, which ends the connection.
            raise ValueError("too many requests before the first was answered")
        self._enter("body", self.guard.serving.body_seconds + _AFTER_BODY_SECONDS)

    def on_body(self, body: bytes) -> None:
        """Count and keep a part of a body."""
        self._body += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Leave the next step to the service, unless it has refused already."""
        super().on_message_complete()
        if self.cycle.response_complete:
            self._enter("idle", self.guard.serving.idle_seconds)
        else:
            self._enter("answer", None)

    def on_response_complete(self) -> None:
        """Begin to wait for the next request; of a body that is refused the rest may come."""
        super().on_response_complete()
        if self._phase == "answer" and not self.pipeline:
            self._enter("idle", self.guard.serving.idle_seconds)

    def pause_writing(self) -> None:
        """Begin to wait for a reader that takes nothing more."""
        super().pause_writing()
        self._write_by = self.loop.time() + self.guard.serving.answer_seconds
        self.guard.wait_for(self)

    def resume_writing(self) -> None:
        """Go on writing."""
        super().resume_writing()
        self._write_by = None
        if self._phase == "answer":
            self.guard.stop_waiting(self)

    def check(self, now: float) -> None:
        """End the connection if a deadline has passed.

        Args:
            now: the loop's time.
        """
        if self.transport.is_closing():
            # Closing writes what is left first: to a reader that does not read, for ever.
            if self._end_by is None:
                self._end_by = now + self.guard.serving.answer_seconds
            elif now >= self._end_by:
                self.guard.drop(self, "reader")
        elif self._write_by is not None and now >= self._write_by:
            self.guard.drop(self, "reader")
        elif self._read_by is not None and now >= self._read_by:
            self._end_late(now)

    def restrict(self) -> None:
        """Let this connection ask nothing but whether the service lives."""
        self.app = cast("Any", _RestrictedApplication(cast("Application", self.app)))

    def refuse(self, refusal: Refusal) -> None:
        """Answer without a look at the request, and end the connection."""
        if self.transport.is_closing():
            return
        if self._is_answering():
            # It would be taken for the answer to a request before.
            self.transport.abort()
            return
        self.transport.write(_write_answer(refusal))
        self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, in the form that every error has."""
        self.refuse(Refusal(400, "bad_request", msg))

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _enter(self, phase: Phase, seconds: float | None) -> None:
        self._phase = phase
        if seconds is None:
            self._read_by: float | None = None
            self.guard.stop_waiting(self)
        else:
            self._read_by = self.loop.time() + seconds
            self.guard.wait_for(self)

    def _end_late(self, now: float) -> None:
        if self.flow.read_paused or (self._phase == "head" and self._is_answering()):
            # It is the service that lets the sender wait: a request before is not answered yet.
            self._read_by = now + self.guard.serving.head_seconds
        elif self._phase == "head":
            self.guard.note_drop("head")
            self.refuse(
                Refusal(
                    408,
                    "head_too_slow",
                    "A request's head must arrive within "
                    f"{self.guard.serving.head_seconds:g} seconds.",
                )
            )
        elif self._phase == "body":
            self.guard.drop(self, "body")
        else:
            self.transport.close()


class _RestrictedApplication:
    """Answers what is open to all, and refuses the rest."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in OPEN_ROUTES:
            await self._application(scope, receive, send)
            return
        headers = [
            (name.lower().encode(), value.encode())
            for name, value in _list_headers(_TOO_MANY).items()
        ]
        await send({"type": "http.response.start", "status": _TOO_MANY.status, "headers": headers})
        await send({"type": "http.response.body", "body": _TOO_MANY.as_json()})


def guard_connections(connections: Connections) -> type[GuardedProtocol]:
    """Return the protocol that uvicorn makes one of for each connection."""

    class Guarded(GuardedProtocol):
        """uvicorn's protocol under the deadlines of one process."""

        guard = connections

    return Guarded


def compute_room(most: int) -> int:
    """Return how many connections this process can have, its own files apart.

    The soft limit of descriptors is raised as far as it takes and the hard one allows.

    Args:
        most: how many are wanted (serving.max_connections).
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    beside = RESERVED + BACKLOG + _OWN_FILES
    if soft != resource.RLIM_INFINITY and soft < most + beside:
        raised = most + beside if hard == resource.RLIM_INFINITY else min(most + beside, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
        soft = raised
    if soft == resource.RLIM_INFINITY or soft >= most + beside:
        return most
    room = max(soft - beside, _FEWEST)
    logger.warning(
        "Only %d connections are served at once, not %d (serving.max_connections): this process "
        "may open %d files (LimitNOFILE of systemd, ulimit -n).", room, most, soft,
    )  # fmt: skip
    return room


def _write_answer(refusal: Refusal) -> bytes:
    phrase = http.HTTPStatus(refusal.status).phrase
    lines = [f"HTTP/1.1 {refusal.status} {phrase}"]
    lines += [f"{name.lower()}: {value}" for name, value in _list_headers(refusal).items()]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + refusal.as_json()


def _list_headers(refusal: Refusal) -> Mapping[str, str]:
    return {
        "Content-Type": "application/json",
        "Content-Length": str(len(refusal.as_json())),
        "Connection": "close",
        **refusal.headers,
    }


_TOO_MANY: Final = Refusal(
    503, "too_many_connections", "Every connection is being answered. Come again.", _RETRY
)
_HEAD_TOO_LARGE: Final = Refusal(
    431, "head_too_large", f"A request's head must have at most {_MOST_HEAD_BYTES} bytes."
)
