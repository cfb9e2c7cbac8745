"""Stand before Prefect's and MLflow's applications: who may call them, by HTTP and WebSocket.

Plain ASGI, because it has to see every request, also those that no route takes.
"""

from __future__ import annotations

import base64
import hmac
import json
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, urlencode

from sentiflow.access.asgi import (
    Application,
    Message,
    Receive,
    Scope,
    Send,
    answer_head,
    send_answer,
)
from sentiflow.access.origins import Headers, explain_foreign, is_navigation, read_header
from sentiflow.access.sessions import LINK_PARAMETER, Sessions

# What tells nothing but that a server lives; container probes call it by any name.
_OPEN_PATHS: Final = frozenset(("/api/health", "/api/ready", "/health", "/version"))
# Where Prefect's page asks whether it must ask for a password.
_PAGE_SETTINGS: Final = "/ui-settings"
_POLICY_VIOLATION: Final = 1008

_ASK_FOR_LINK: Final = """<!doctype html><meta charset="utf-8"><title>Sentiflow</title>
<body style="font: 16px/1.5 sans-serif; max-width: 40em; margin: 4em auto; padding: 0 1em">
<h1 style="font-size: 1.3em">This page opens by a link</h1>
<p>Say <code>sentiflow links</code> in a terminal on the machine where <code>sentiflow up</code>
runs, and open the address it prints. It works once; this browser is then known for 30 days.</p>
"""


@dataclass(frozen=True)
class AccessRules:
    """Who may call a server.

    Attributes:
        hosts: what the Host header may be, in lower case and with the port.
        credentials: the `user:password` that the server takes, or None.
        asks: refuse here whoever shows no credentials; False: the application asks itself.
        sessions: known browsers, who are given the credentials; None: there are none.
    """

    hosts: frozenset[str]
    credentials: str | None = None
    asks: bool = False
    sessions: Sessions | None = None


class AccessMiddleware:
    """An ASGI application that lets through to another what may come in."""

    def __init__(self, application: Application, rules: AccessRules) -> None:
        """Keep the rules.

        Args:
            application: who answers.
            rules: who may call it.
        """
        self._application = application
        self._rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, WebSocket or start of the server."""
        if scope["type"] == "http":
            await self._answer_request(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._answer_socket(scope, receive, send)
        else:
            await self._application(scope, receive, send)

    async def _answer_request(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: Headers = scope["headers"]
        if scope["method"] in ("GET", "HEAD") and scope["path"] in _OPEN_PATHS:
            await answer_head(self._application)(scope, receive, send)
            return
        if reason := explain_foreign(headers, self._rules.hosts, scope["method"]):
            await _refuse(send, 403, f"Refused: {reason}.")
            return
        is_known = self._is_known(headers)
        if self._rules.sessions is not None and is_navigation(headers, scope["method"]):
            query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
            token = dict(query).get(LINK_PARAMETER)
            if token is not None:
                await self._follow_link(scope, query, token, is_known, send)
                return
        if is_known:
            await self._let_in(scope, receive, send)
        elif self._rules.asks and not self._shows_credentials(headers):
            await self._ask(scope, send)
        else:
            await self._application(scope, receive, send)

    async def _answer_socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        if explain_foreign(scope["headers"], self._rules.hosts, None):
            # Before it is accepted: the browser is answered 403.
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
        elif self._is_known(scope["headers"]):
            scope = self._add_credentials(scope)
            await self._application(scope, self._fill_token(receive), send)
        else:
            # Prefect asks in the first message; MLflow has no WebSockets.
            await self._application(scope, receive, send)

    def _is_known(self, headers: Headers) -> bool:
        sessions = self._rules.sessions
        return sessions is not None and sessions.is_open(read_header(headers, b"cookie"))

    def _shows_credentials(self, headers: Headers) -> bool:
        shown = read_header(headers, b"authorization")
        wanted = _encode_basic(self._rules.credentials or "")
        return bool(self._rules.credentials) and hmac.compare_digest(shown.encode(), wanted)

    async def _follow_link(
        self, scope: Scope, query: list[tuple[str, str]], token: str, is_known: bool, send: Send
    ) -> None:
        sessions = self._rules.sessions
        assert sessions is not None
        headers = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
        # A known browser keeps its links working, and uses none of them up.
        if not is_known:
            if scope["method"] != "GET" or not sessions.use_link(token):
                await _refuse(send, 403, _ASK_FOR_LINK, "text/html; charset=utf-8")
                return
            headers["Set-Cookie"] = sessions.make_cookie()
        left = urlencode([(name, value) for name, value in query if name != LINK_PARAMETER])
        # One slash: two would be the address of another server.
        path = "/" + scope.get("raw_path", b"/").decode("latin-1").split("?")[0].lstrip("/\\")
        headers["Location"] = f"{path}?{left}" if left else path
        await send_answer(send, 303, b"", headers)

    async def _let_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope = self._add_credentials(scope)
        if scope["path"] == _PAGE_SETTINGS:
            scope["headers"] = [pair for pair in scope["headers"] if pair[0] != b"accept-encoding"]
            send = _ask_no_password(send)
        await self._application(scope, receive, send)

    def _add_credentials(self, scope: Scope) -> Scope:
        # Also in place of a password that the browser still holds for another home.
        headers = [pair for pair in scope["headers"] if pair[0] != b"authorization"]
        if self._rules.credentials is not None:
            headers.append((b"authorization", _encode_basic(self._rules.credentials)))
        return {**scope, "headers": headers}

    def _fill_token(self, receive: Receive) -> Receive:
        """Return what puts the credentials into the message by which Prefect's page logs in."""

        async def fill() -> Message:
            message = await receive()
            text = message.get("text")
            if message["type"] != "websocket.receive" or not text or '"auth"' not in text[:200]:
                return message
            try:
                said = json.loads(text)
            except ValueError:
                return message
            if isinstance(said, dict) and said.get("type") == "auth":
                said["token"] = self._rules.credentials
                return {**message, "text": json.dumps(said)}
            return message

        return fill

    async def _ask(self, scope: Scope, send: Send) -> None:
        if self._rules.sessions is not None and is_navigation(scope["headers"], scope["method"]):
            await _refuse(send, 401, _ASK_FOR_LINK, "text/html; charset=utf-8")
        else:
            await _refuse(send, 401, "Refused: it takes the secrets of this home (access.json).")


def _ask_no_password(send: Send) -> Send:
    """Return what tells Prefect's page that it needs no password: the cookie is enough."""
    start: Message = {}
    body = b""

    async def replace(message: Message) -> None:
        nonlocal start, body
        if message["type"] == "http.response.start":
            start = message
            return
        body += message.get("body", b"")
        if message.get("more_body"):
            return
        try:
            settings = json.loads(body)
        except ValueError:
            settings = None
        if isinstance(settings, dict):
            body = json.dumps({**settings, "auth": None}).encode()
        kept = [pair for pair in start["headers"] if pair[0].lower() != b"content-length"]
        kept.append((b"content-length", str(len(body)).encode()))
        await send({**start, "headers": kept})
        await send({"type": "http.response.body", "body": body})

    return replace


def _encode_basic(credentials: str) -> bytes:
    return b"Basic " + base64.b64encode(credentials.encode())


async def _refuse(
    send: Send, status: int, text: str, content_type: str = "text/plain; charset=utf-8"
) -> None:
    headers = {"Content-Type": content_type, "Cache-Control": "no-store"}
    await send_answer(send, status, text.encode(), headers)
