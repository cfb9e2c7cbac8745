"""What a hostile web page can send to the published ports, and what comes of it."""

from __future__ import annotations

import socket
from collections.abc import Mapping

import httpx
import pytest
from engine.stack import Stack

# A page elsewhere; a page of another service of this machine; a file or a sandboxed frame.
FOREIGN_ORIGINS = ("https://evil.example", "http://localhost:1", "null")
FOREIGN_HOSTS = ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example")
SOCKETS = ("/api/events/in", "/api/events/out", "/api/logs/out")
# What makes a deployment whose pull step runs a shell on the worker, in the shortest form.
ATTACK = b'{"name": "evil", "flow_id": "00000000-0000-0000-0000-000000000000"}'


def call(
    stack: Stack, name: str, path: str, method: str = "POST", credentials: bool = False,
    **headers: str,
) -> httpx.Response:  # fmt: skip
    """Send a request as a page's script would: without a Content-Type unless one is given."""
    if credentials:
        headers |= find_credentials(stack, name)
    content = ATTACK if method == "POST" else None
    url = f"{stack.find_url(name)}{path}"
    return httpx.request(method, url, headers=headers, content=content, timeout=20)


def find_credentials(stack: Stack, name: str) -> dict[str, str]:
    """What the browser of somebody who is logged in would send along."""
    if name == "predictions":
        return {"X-API-Key": stack.read_secret("predictions", "SENTIFLOW_API_KEY")}
    if name == "prefect-server":
        return stack.prefect_headers()
    return {"Authorization": httpx.BasicAuth(*stack.mlflow_user())._auth_header}


DOORS = (
    ("prefect-server", "/api/deployments/"), ("prefect-server", "/api/deployments/filter"),
    ("prefect-server", "/api/flows/"), ("prefect-server", "/api/work_pools/"),
    ("mlflow", "/api/2.0/mlflow/experiments/create"),
    ("mlflow", "/ajax-api/2.0/mlflow/registered-models/create"), ("mlflow", "/graphql"),
    ("predictions", "/v1/predict"),
)  # fmt: skip


@pytest.mark.parametrize(("name", "path"), DOORS)
def test_a_post_without_a_type_gets_nowhere_without_a_secret(
    stack: Stack, name: str, path: str
) -> None:
    for origin in (None, *FOREIGN_ORIGINS, stack.find_url(name)):
        headers = {} if origin is None else {"Origin": origin}
        answer = call(stack, name, path, **headers)
        assert "content-type" not in answer.request.headers
        assert answer.status_code in (401, 403), (origin, answer.status_code, answer.text[:200])


@pytest.mark.parametrize(("name", "path"), [door for door in DOORS if door[0] != "predictions"])
def test_a_foreign_page_gets_nowhere_with_the_secret_that_a_browser_remembers(
    stack: Stack, name: str, path: str
) -> None:
    for origin in FOREIGN_ORIGINS:
        answer = call(stack, name, path, credentials=True, Origin=origin)
        assert answer.status_code == 403, origin
    for site in ("cross-site", "same-site"):
        headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"}
        assert call(stack, name, path, credentials=True, **headers).status_code == 403, site
    # What any page may not send is what the service's own may.
    own = call(stack, name, path, credentials=True, Origin=stack.find_url(name))
    assert own.status_code not in (401, 403)


@pytest.mark.parametrize("name", ["prefect-server", "mlflow"])
def test_a_name_that_was_resolved_to_this_machine_is_refused(stack: Stack, name: str) -> None:
    port = stack.ports[name]
    paths = {"prefect-server": ("/", "/api/admin/version"), "mlflow": ("/", "/graphql")}[name]
    for path in paths:
        for host in FOREIGN_HOSTS:
            for named in (host, f"{host}:{port}"):
                answer = call(stack, name, path, "GET", credentials=True, Host=named)
                assert answer.status_code == 403, (path, named)
        for host in ("localhost", "127.0.0.1"):
            answer = call(stack, name, path, "GET", credentials=True, Host=f"{host}:{port}")
            assert answer.status_code != 403, (path, host)
    # What programs inside the stack call them by.
    inside = {"prefect-server": "prefect-server:4200", "mlflow": "mlflow:5000"}[name]
    assert call(stack, name, paths[0], "GET", credentials=True, Host=inside).status_code != 403


def test_predictions_answer_to_any_name_that_brings_the_key_and_to_no_other(stack: Stack) -> None:
    # A page cannot send the key: it is in no cookie and no dialog, so a browser has none.
    for host in FOREIGN_HOSTS:
        for path in ("/v1/model", "/metrics"):
            assert call(stack, "predictions", path, "GET", Host=host).status_code == 401
        assert call(stack, "predictions", "/v1/predict", Host=host).status_code == 401
    asked = {"Origin": FOREIGN_ORIGINS[0], "Access-Control-Request-Method": "POST"}
    preflight = call(stack, "predictions", "/v1/predict", "OPTIONS", **asked)
    assert "access-control-allow-origin" not in preflight.headers


@pytest.mark.parametrize("name", ["prefect-server", "mlflow"])
def test_no_foreign_page_is_told_that_it_may_read(stack: Stack, name: str) -> None:
    asked = {
        "Origin": FOREIGN_ORIGINS[0], "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }  # fmt: skip
    path = {"prefect-server": "/api/deployments/filter", "mlflow": "/graphql"}[name]
    preflight = call(stack, name, path, "OPTIONS", **asked)
    assert preflight.headers.get("access-control-allow-origin") not in ("*", asked["Origin"])


def open_socket(stack: Stack, name: str, path: str, headers: Mapping[str, str]) -> int:
    """Ask for a WebSocket, and return the status of the answer."""
    lines = {
        "Host": f"127.0.0.1:{stack.ports[name]}", "Connection": "Upgrade", "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==",
        "Sec-WebSocket-Protocol": "prefect", **headers,
    }  # fmt: skip
    head = "".join(f"{key}: {value}\r\n" for key, value in lines.items())
    with socket.create_connection(("127.0.0.1", stack.ports[name]), timeout=20) as asking:
        asking.sendall(f"GET {path} HTTP/1.1\r\n{head}\r\n".encode())
        return int(asking.recv(4096).split()[1])


@pytest.mark.parametrize("path", SOCKETS)
def test_no_foreign_page_opens_a_websocket(stack: Stack, path: str) -> None:
    port = stack.ports["prefect-server"]
    for origin in FOREIGN_ORIGINS:
        assert open_socket(stack, "prefect-server", path, {"Origin": origin}) == 403, origin
    for host in FOREIGN_HOSTS:
        named = {"Host": f"{host}:{port}", "Origin": f"http://{host}:{port}"}
        assert open_socket(stack, "prefect-server", path, named) == 403, host
    own = {"Origin": stack.find_url("prefect-server")}
    assert open_socket(stack, "prefect-server", path, own) == 101


@pytest.mark.parametrize("path", SOCKETS)
def test_a_websocket_without_the_secret_is_closed_before_it_hears_anything(
    stack: Stack, path: str
) -> None:
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import connect
    from websockets.typing import Subprotocol

    url = f"ws://127.0.0.1:{stack.ports['prefect-server']}{path}"
    for message in ('{"type": "auth", "token": "sentiflow:wrong"}', '{"type": "auth"}', "{}"):
        with connect(url, subprotocols=[Subprotocol("prefect")]) as connection:
            connection.send(message)
            with pytest.raises(ConnectionClosed):
                connection.recv(timeout=20)


def test_who_shows_nothing_or_something_else_is_let_in_nowhere(stack: Stack) -> None:
    wrong = httpx.BasicAuth("admin", "password1234")
    prefect, mlflow = stack.find_url("prefect-server"), stack.find_url("mlflow")
    for path in ("deployments", "flow_runs", "logs", "block_documents"):
        url = f"{prefect}/api/{path}/filter"
        assert httpx.post(url, json={}).status_code == 401, url
        assert httpx.post(url, json={}, auth=wrong).status_code == 401, url
    for path in (
        "", "api/2.0/mlflow/experiments/search?max_results=1", "graphql", "metrics",
        "api/2.0/mlflow-artifacts/artifacts", "ajax-api/2.0/mlflow/registered-models/search",
    ):  # fmt: skip
        assert httpx.get(f"{mlflow}/{path}").status_code == 401, path
        assert httpx.get(f"{mlflow}/{path}", auth=wrong).status_code == 401, path
    assert stack.ask_for_predictions("another-key").status_code == 401


def test_the_database_is_published_nowhere_and_its_network_leads_nowhere(stack: Stack) -> None:
    assert not stack.inspect("postgres")["HostConfig"]["PortBindings"]
    networks = stack.inspect("postgres")["NetworkSettings"]["Networks"]
    assert list(networks) == ["sentiflow_database"]
    assert stack.docker(
        "network", "inspect", "-f", "{{.Internal}}", "sentiflow_database"
    ).strip() == ("true")
    # Predictions read the ledger there, as a role that can do nothing else.
    for statement in ("DELETE FROM events", "CREATE TABLE mine (a int)"):
        words = ("psql", "-h", "127.0.0.1", "-U", "ledger_reader", "-d", "ledger", "-c", statement)
        password = stack.read_secret("database", "LEDGER_READER_DATABASE_PASSWORD")
        asked = ("env", f"PGPASSWORD={password}", *words)
        assert "permission denied" in stack.execute("postgres", *asked, check=False)
