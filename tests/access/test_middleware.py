"""What the middleware before Prefect and MLflow lets through, and to whom."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

from sentiflow.access.asgi import Message, Receive, Scope, Send
from sentiflow.access.middleware import AccessMiddleware, AccessRules
from sentiflow.access.origins import list_own_hosts
from sentiflow.access.sessions import LINK_PARAMETER, Sessions

CREDENTIALS = "sentiflow:s3cret"
BASIC = f"Basic {base64.b64encode(CREDENTIALS.encode()).decode()}"
PAGE = {"accept": "text/html"}


class Application:
    """Stands for Prefect's and MLflow's applications: says what reached it."""

    def __init__(self, body: bytes = b"answer") -> None:
        self.scopes: list[Scope] = []
        self.received: list[Message] = []
        self.body = body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
            self.received.append(await receive())
            return
        length = str(len(self.body)).encode()
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]}
        )
        await send({"type": "http.response.body", "body": self.body})

    def find_credentials(self) -> list[bytes]:
        return [value for name, value in self.scopes[-1]["headers"] if name == b"authorization"]


class Server:
    """Calls the middleware as uvicorn does."""

    def __init__(self, asks: bool = True, sessions: Sessions | None = None) -> None:
        self.application = Application()
        rules = AccessRules(list_own_hosts(4200), CREDENTIALS, asks, sessions)
        self.door = AccessMiddleware(self.application, rules)

    def ask(
        self, method: str = "GET", path: str = "/api/flows/", query: str = "", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        sent = self._call("http", method, path, query, headers)
        answered = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return sent[0]["status"], answered, sent[1]["body"]

    def open_socket(self, first: str = "", **headers: str) -> str:
        sent = self._call("websocket", "", "/api/events/out", "", headers, first)
        return str(sent[0]["type"])

    def _call(
        self, kind: str, method: str, path: str, query: str, headers: dict[str, str],
        first: str = "",
    ) -> list[Message]:  # fmt: skip
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": f"{kind}.receive", "text": first}

        async def send(message: Message) -> None:
            sent.append(message)

        named = {"host": "localhost:4200", **headers}
        scope: dict[str, Any] = {
            "type": kind, "path": path, "raw_path": path.encode(), "query_string": query.encode(),
            "headers": [
                (name.replace("_", "-").encode(), value.encode()) for name, value in named.items()
            ],
            **({"method": method} if method else {}),
        }  # fmt: skip
        asyncio.run(self.door(scope, receive, send))
        return sent


def test_who_shows_the_credentials_comes_in_and_nobody_else() -> None:
    server = Server()
    assert server.ask(authorization=BASIC)[0] == 200
    for shown in ("", "Basic", BASIC + "x", BASIC.lower(), "Bearer s3cret", "Basic ü"):
        assert server.ask("POST", authorization=shown)[0] == 401, shown
    assert server.ask("POST")[0] == 401
    assert len(server.application.scopes) == 1


def test_where_the_application_asks_itself_the_middleware_checks_host_and_origin_only() -> None:
    server = Server(asks=False)
    assert server.ask("POST")[0] == 200
    assert server.ask("POST", host="evil.example")[0] == 403
    assert server.ask("POST", origin="https://evil.example")[0] == 403


def test_other_pages_and_names_are_refused_even_with_credentials_and_cookie() -> None:
    sessions = Sessions("secret", "prefect")
    cookie = sessions.make_cookie().partition(";")[0]
    server = Server(sessions=sessions)
    for foreign in ({"host": "evil.example:4200"}, {"origin": "https://evil.example"}):
        for method in ("GET", "POST", "OPTIONS"):
            answer = server.ask(method, authorization=BASIC, cookie=cookie, **foreign)
            assert answer[0] == 403
        assert server.open_socket(authorization=BASIC, cookie=cookie, **foreign) == (
            "websocket.close"
        )
    assert server.application.scopes == []


def test_only_a_sign_of_life_is_given_to_everyone() -> None:
    server = Server()
    for path in ("/api/health", "/health"):
        assert server.ask(path=path, host="10.0.0.7:4200")[0] == 200
        assert server.ask("POST", path=path)[0] == 401
    for path in ("/api/health/", "/api/healthz", "/api/x/health", "//api/health"):
        assert server.ask(path=path)[0] == 401


def test_a_link_leaves_a_cookie_that_stands_for_the_credentials() -> None:
    sessions = Sessions("secret", "prefect")
    server = Server(sessions=sessions)
    link = sessions.make_link("http://localhost:4200/runs?a=1")
    query = link.partition("?")[2]
    status, headers, _ = server.ask(path="/runs", query=query, **PAGE)
    assert (status, headers["location"]) == (303, "/runs?a=1")
    cookie = headers["set-cookie"].partition(";")[0]
    assert server.ask("POST", cookie=cookie, origin="http://localhost:4200")[0] == 200
    # In place of what the browser kept of another home.
    assert server.ask("POST", cookie=cookie, authorization="Basic b2xkOm9sZA==")[0] == 200
    assert server.application.find_credentials() == [BASIC.encode()]
    assert server.ask("POST", cookie=cookie + "x")[0] == 401
    # The link is used up, but for the browser that it let in.
    status, headers, body = server.ask(path="/runs", query=query, **PAGE)
    assert (status, "set-cookie" in headers) == (403, False)
    assert b"sentiflow links" in body
    assert server.ask(path="/runs", query=query, cookie=cookie, **PAGE)[0] == 303


def test_a_link_leads_to_no_other_server() -> None:
    sessions = Sessions("secret", "prefect")
    server = Server(sessions=sessions)
    for path in ("//evil.example/", "/\\evil.example/", "/%2Fevil.example"):
        query = sessions.make_link("http://localhost:4200/").partition("?")[2]
        location = server.ask(path=path, query=query, **PAGE)[1]["location"]
        assert location.startswith("/")
        assert not location.startswith(("//", "/\\"))


def test_a_program_that_fetches_a_link_does_not_use_it_up() -> None:
    sessions = Sessions("secret", "prefect")
    server = Server(sessions=sessions)
    query = sessions.make_link("http://localhost:4200/").partition("?")[2]
    assert server.ask("HEAD", path="/", query=query, **PAGE)[0] == 403
    assert server.ask(path="/", query=query, accept="image/*")[0] == 401
    assert server.ask(path="/", query=query, **PAGE)[0] == 303


def test_a_browser_that_is_not_known_is_told_how_to_come_in() -> None:
    server = Server(sessions=Sessions("secret", "prefect"))
    status, headers, body = server.ask(path="/dashboard", **PAGE)
    assert status == 401
    assert b"sentiflow links" in body
    # A dialog would ask for a password that nobody knows.
    assert "www-authenticate" not in headers


def test_prefect_s_page_asks_a_known_browser_for_no_password() -> None:
    sessions = Sessions("secret", "prefect")
    server = Server(asks=False, sessions=sessions)
    server.application.body = json.dumps({"auth": "BASIC", "api_url": "/api"}).encode()
    cookie = sessions.make_cookie().partition(";")[0]
    _, headers, body = server.ask(path="/ui-settings", cookie=cookie, accept_encoding="gzip")
    assert json.loads(body) == {"auth": None, "api_url": "/api"}
    assert int(headers["content-length"]) == len(body)
    assert json.loads(server.ask(path="/ui-settings")[2])["auth"] == "BASIC"


def test_a_known_browser_s_socket_logs_in_with_the_credentials() -> None:
    sessions = Sessions("secret", "prefect")
    server = Server(sessions=sessions)
    cookie = sessions.make_cookie().partition(";")[0]
    login = json.dumps({"type": "auth", "token": None})
    assert server.open_socket(login, cookie=cookie) == "websocket.accept"
    said = json.loads(server.application.received[-1]["text"])
    assert said == {"type": "auth", "token": CREDENTIALS}
    # Without the cookie it is Prefect who asks, in that message.
    assert server.open_socket(login) == "websocket.accept"
    assert json.loads(server.application.received[-1]["text"])["token"] is None
    for other in ("", "not json", '["auth"]', '{"type": "filter", "auth": 1}'):
        server.open_socket(other, cookie=cookie)
        assert server.application.received[-1]["text"] == other


def test_whatever_else_the_server_says_passes() -> None:
    server = Server()
    asyncio.run(server.door({"type": "lifespan", "headers": []}, None, _ignore))  # type: ignore[arg-type]
    assert server.application.scopes[0]["type"] == "lifespan"
    assert LINK_PARAMETER == "sentiflow-link", "printed links stay readable"


async def _ignore(_: Message) -> None:
    return None


def test_a_monitor_may_ask_for_the_head_alone() -> None:
    server = Server()
    status, headers, body = server.ask("HEAD", "/health")
    assert (status, headers["content-length"], body) == (200, "6", b"")
    # Prefect's application answers GET only.
    assert server.application.scopes[-1]["method"] == "GET"
    assert server.ask("HEAD", "/api/flows/")[0] == 401
