"""What `sentiflow up` starts: commands, environments, and when each is healthy."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from listening import Answer, listen

from sentiflow.night.request import NightRequest
from sentiflow.servers.addresses import Addresses, Credentials
from sentiflow.servers.databases import name_databases
from sentiflow.servers.programs import WORKER, plan_programs
from sentiflow.servers.supervisor import Program
from sentiflow.settings import ServerSettings, Settings

HOME_CREDENTIALS = Credentials("sentiflow:x", "sentiflow", "y", False, False)
CREDENTIALS = Credentials("ada:prefect-secret", "ada", "mlflow-secret")
PLACES = Addresses("127.0.0.1", 4200, 5000, "127.0.0.1", 8080)


def plan(
    home: Path,
    request: NightRequest | None = None,
    credentials: Credentials = HOME_CREDENTIALS,
    address: str | None = None,
    first_night: bool = False,
    places: Addresses = PLACES,
    settings: Settings | None = None,
) -> dict[str, Program]:
    databases = name_databases(address) if address else None
    programs = plan_programs(
        settings or Settings(),
        request or NightRequest(),
        first_night,
        home,
        places,
        credentials,
        databases,
    )
    return {program.name: program for program in programs}


def test_what_a_night_does_is_deployed_and_its_model_served(tmp_path: Path) -> None:
    request = NightRequest(data=("/a", "/b"), config="large", overrides=("training.epochs=3",))
    programs = plan(tmp_path, request, first_night=True)
    deploy = " ".join(programs["deploy"].command)
    assert deploy.endswith(
        "deploy --data /a --data /b --config large --set training.epochs=3 --first-night"
    )
    assert programs["deploy"].is_healthy is None
    served = " ".join(programs["predictions"].command)
    assert "--port 8080 --config large --set training.epochs=3" in served
    assert served.endswith("--set model.name=sentiflow")
    assert "--first-night" not in plan(tmp_path)["deploy"].command


def test_no_command_line_holds_a_secret(tmp_path: Path) -> None:
    programs = plan(tmp_path, None, CREDENTIALS, "postgresql://ada:db-secret@db/nights")
    for program in programs.values():
        assert "secret" not in " ".join(program.command)
    for path in tmp_path.rglob("*"):
        assert "secret" not in path.read_text()


def test_credentials_reach_the_servers_and_those_who_call_them(tmp_path: Path) -> None:
    programs = plan(tmp_path, None, CREDENTIALS)
    assert "--users" in programs["mlflow"].command
    mlflow, worker = programs["mlflow"].environment, programs["worker"].environment
    assert mlflow["MLFLOW_AUTH_ADMIN_USERNAME"] == worker["MLFLOW_TRACKING_USERNAME"] == "ada"
    assert mlflow["MLFLOW_AUTH_ADMIN_PASSWORD"] == worker["MLFLOW_TRACKING_PASSWORD"]
    assert len(mlflow["MLFLOW_FLASK_SERVER_SECRET_KEY"]) == 64
    prefect = programs["prefect"].environment
    assert prefect["PREFECT_SERVER_API_AUTH_STRING"] == worker["PREFECT_API_AUTH_STRING"]
    # Who was given them meets the pages' own question for a password.
    assert not {"--asks"} & {*programs["mlflow"].command, *programs["prefect"].command}


def test_without_given_credentials_the_home_s_secret_is_asked_for(tmp_path: Path) -> None:
    programs = plan(tmp_path)
    for name in ("prefect", "mlflow"):
        assert {"--asks", "--links"} <= {*programs[name].command}
    assert "--users" not in programs["mlflow"].command
    worker = programs["worker"].environment
    assert programs["prefect"].environment["PREFECT_SERVER_API_AUTH_STRING"] == "sentiflow:x"
    assert worker["PREFECT_API_AUTH_STRING"] == "sentiflow:x"
    assert worker["MLFLOW_TRACKING_PASSWORD"] == "y"


def test_a_server_answers_to_its_own_address_and_to_names_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_SERVER_ALLOWED_HOSTS", "runs.example")
    servers = ServerSettings(allowed_hosts=("nights.example:443",))
    programs = plan(tmp_path, settings=Settings(servers=servers))
    named = {
        name: programs[name].command[programs[name].command.index("--names") + 1]
        for name in ("prefect", "mlflow")
    }
    assert named == {
        "prefect": "127.0.0.1:4200,nights.example:443",
        "mlflow": "127.0.0.1:5000,nights.example:443,runs.example",
    }


def test_mlflow_keeps_artifacts_where_nights_without_a_server_keep_them(tmp_path: Path) -> None:
    environment = plan(tmp_path)["mlflow"].environment
    assert environment["MLFLOW_DEFAULT_ARTIFACT_ROOT"] == (tmp_path / "mlartifacts").as_uri()
    assert environment["MLFLOW_BACKEND_STORE_URI"] == f"sqlite:///{tmp_path}/mlflow.db"
    assert "MLFLOW_TRACKING_URI" not in environment


def test_with_a_database_each_server_gets_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTIFLOW_LEDGER_URL_FILE", str(tmp_path / "of-another-ledger"))
    programs = plan(tmp_path, None, HOME_CREDENTIALS, "postgresql://ada@db/nights")
    prefect = programs["prefect"].environment["PREFECT_SERVER_DATABASE_CONNECTION_URL"]
    assert prefect == "postgresql+asyncpg://ada@db/nights_prefect"
    store = programs["mlflow"].environment["MLFLOW_BACKEND_STORE_URI"]
    assert store == "postgresql+psycopg2://ada@db/nights_mlflow"
    ledger = programs["worker"].environment["SENTIFLOW_LEDGER_URL"]
    assert ledger == "postgresql://ada@db/nights_ledger"
    assert "SENTIFLOW_LEDGER_URL_FILE" not in programs["worker"].environment


@pytest.fixture
def answering() -> Callable[[str], int]:
    """Start a server that answers POST and GET with a text, and asks for the credentials."""

    def start(answer: str) -> int:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = self.headers.get("Authorization")
                self.send_response(200 if asked == "Basic YWRhOnByZWZlY3Qtc2VjcmV0" else 401)
                self.end_headers()
                self.wfile.write(answer.encode())

            def log_message(self, *_: object) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server.server_port

    return start


@pytest.mark.parametrize(
    ("name", "beat", "is_there"),
    [
        (WORKER, "2999-01-01T00:00:00+00:00", True),
        (WORKER, "2001-01-01T00:00:00+00:00", False),
        ("another", "2999-01-01T00:00:00+00:00", False),
        (WORKER, "no time", False),
    ],
)
def test_only_our_worker_since_the_start_counts(
    tmp_path: Path, answering: Callable[[str], int], name: str, beat: str, is_there: bool
) -> None:
    port = answering(json.dumps([{"name": name, "last_heartbeat_time": beat}]))
    places = Addresses("127.0.0.1", port, 5000, "127.0.0.1", 8080)
    for credentials, expected in ((CREDENTIALS, is_there), (HOME_CREDENTIALS, False)):
        asked = plan(tmp_path, None, credentials, places=places)["worker"].is_healthy
        assert asked is not None
        assert asked() is expected


def test_a_server_that_is_not_there_is_not_healthy(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    places = Addresses("127.0.0.1", port, port, "127.0.0.1", port)
    for name in ("prefect", "mlflow", "worker", "predictions"):
        asked = plan(tmp_path, places=places)[name].is_healthy
        assert asked is not None
        assert not asked()


def test_the_servers_of_this_machine_are_asked_by_no_proxy_and_a_redirect_is_no_health(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with listen() as server, listen() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        port = server.server_address[1]
        places = Addresses("127.0.0.1", 4200, port, "127.0.0.1", 8080)
        is_healthy = plan(tmp_path, places=places)["mlflow"].is_healthy
        assert is_healthy is not None
        server.answers = [Answer(), Answer(status=302, location="/elsewhere"), Answer(status=500)]
        assert [is_healthy() for _ in range(3)] == [True, False, False]
        assert [request.path for request in server.requests] == ["/health"] * 3
        assert proxy.requests == []
    assert not is_healthy()
