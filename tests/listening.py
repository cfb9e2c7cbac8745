"""A web server of the tests' own that keeps what it was told."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Request:
    """One request that was received."""

    method: str
    path: str
    content_type: str | None
    body: Any


@dataclass(frozen=True)
class Answer:
    """What the next request gets: a status and a body, after a pause, perhaps another address."""

    status: int = 200
    pause: float = 0.0
    location: str | None = None
    body: bytes = b""


class Listener(ThreadingHTTPServer):
    """Listens on a free port of this machine; gives the planned answers in turn, then 200."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[Answer] = []
        self.requests: list[Request] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def bodies(self) -> list[Any]:
        return [request.body for request in self.requests]


class _Handler(BaseHTTPRequestHandler):
    server: Listener

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.requests.append(
            Request(
                self.command,
                self.path,
                self.headers.get("Content-Type"),
                json.loads(text) if text else None,
            )
        )
        answer = self.server.answers.pop(0) if self.server.answers else Answer()
        time.sleep(answer.pause)
        self.send_response(answer.status)
        if answer.location:
            self.send_header("Location", answer.location)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            # Whoever asked did not wait.
            return


@contextmanager
def listen() -> Iterator[Listener]:
    """Serve in a thread while the block runs."""
    with Listener() as listener:
        thread = threading.Thread(target=listener.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield listener
        finally:
            listener.shutdown()
            thread.join()
