"""A web page of another origin that attacks servers on loopback, opened in a real browser."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

BROWSERS = ("chromium", "chromium-browser", "google-chrome")

# What a page may send without asking first, and what it may open: it says what it could see.
_PAGE = """<!doctype html><meta charset="utf-8"><script>
const servers = SERVERS, seen = [];
const note = (name, what) => seen.push([name, String(what)]);
const post = (url, body, mode) => fetch(url, {method: "POST", mode, credentials: "include",
  body: new Blob([JSON.stringify(body)])});
async function attack() {
  for (const [url, body] of Object.entries(servers.posts)) {
    await post(url, body, "no-cors").then(() => note("sent " + url, "sent"),
                                          e => note("sent " + url, e));
    await post(url, body, "cors").then(async a => note("read " + url, "READ " + await a.text()),
                                       e => note("read " + url, e));
  }
  for (const url of servers.sockets) for (const protocols of [[], ["prefect"]]) {
    await new Promise(done => {
      const socket = new WebSocket(url, protocols), name = "socket " + url + protocols;
      socket.onopen = () => { note(name, "OPEN"); done(); };
      socket.onerror = () => { note(name, "refused"); done(); };
    });
  }
  await fetch("/seen", {method: "POST", body: JSON.stringify(seen)});
}
attack();
</script>"""


def find_browser() -> str | None:
    """Return a Chromium of this machine, or None."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


def attack_with_browser(
    browser: str, folder: Path, posts: Mapping[str, Any], sockets: list[str]
) -> Mapping[str, str]:
    """Open the page from another port of this machine, and return what it saw.

    Args:
        browser: Chromium.
        folder: for its profile.
        posts: addresses to POST to, each with a body, and to read the answer of.
        sockets: WebSockets to open.
    """
    page = _PAGE.replace("SERVERS", json.dumps({"posts": dict(posts), "sockets": sockets})).encode()
    seen: list[tuple[str, str]] = []
    is_over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.extend((name, what) for name, what in json.loads(body))
            self.send_response(204)
            self.end_headers()
            is_over.set()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        command = [
            browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
            f"--user-data-dir={folder}", f"http://127.0.0.1:{server.server_port}/",
        ]  # fmt: skip
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            assert is_over.wait(120), "the page did not say what it saw"
        finally:
            process.terminate()
            process.wait(30)
            server.shutdown()
    return dict(seen)
