"""A real MLflow server of the tests' own that can be held, killed and started again.

`lose_answers` stands before it and loses the answer to a request that was carried out.
"""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from outside import find_port, make_environment


class MlflowServer:
    """MLflow on SQLite, artifacts proxied, at one port of this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.artifacts = folder / "artifacts"
        self._port = find_port()
        self.uri = f"http://127.0.0.1:{self._port}"
        self.database_uri = f"sqlite:///{folder / 'mlflow.db'}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._process = subprocess.Popen(
            [
                sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1",
                "--port", str(self._port), "--workers", "1",
                "--backend-store-uri", self.database_uri,
                "--artifacts-destination", str(self.artifacts),
            ],
            env=make_environment(
                MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false", MLFLOW_DISABLE_TELEMETRY="true"
            ),
            stdout=subprocess.DEVNULL,
            stderr=(self._folder / "server.log").open("ab"),
            start_new_session=True,
        )  # fmt: skip
        for _ in range(600):
            try:
                with urlopen(f"{self.uri}/health", timeout=1):
                    return
            except (URLError, OSError):
                assert self._process.poll() is None, (self._folder / "server.log").read_text()
                time.sleep(0.1)
        raise TimeoutError("the MLflow server did not start within 60 s")

    def ensure_running(self) -> None:
        """Start it unless it runs."""
        if self._process is None:
            self.start()

    def hold(self) -> None:
        """Let it keep its connections and answer nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once, with all its processes."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, number)


class _Forwarder(BaseHTTPRequestHandler):
    """Pass a request on and its answer back, unless that answer is to be lost."""

    target = ""
    lost: list[str]

    def _forward(self) -> None:
        body = self._read_body()
        connection = http.client.HTTPConnection(self.target, timeout=30)
        own = ("host", "content-length", "transfer-encoding")
        headers = {key: value for key, value in self.headers.items() if key.lower() not in own}
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        self.close_connection = True
        for path in self.lost:
            if path in self.path:
                self.lost.remove(path)
                return
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.headers.get("Content-Type", ""))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        # As an empty file is uploaded.
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _forward  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""


@contextmanager
def lose_answers(server: MlflowServer, *paths: str) -> Iterator[str]:
    """Give an address that passes everything on, and loses the first answer to each path."""
    handler = type(
        "Forwarder",
        (_Forwarder,),
        {"target": server.uri.removeprefix("http://"), "lost": [*paths]},
    )
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{proxy.server_address[1]}"
            assert handler.lost == [], "not asked for"
        finally:
            proxy.shutdown()
            thread.join()
