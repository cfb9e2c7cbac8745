"""Where the servers of `sentiflow up` listen, and who may reach them."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from sentiflow.errors import UsageError
from sentiflow.operations.places import Credentials, choose_places, read_credentials
from sentiflow.settings import load_settings

NO_CREDENTIALS = Credentials(None, None, None)
CREDENTIALS = Credentials("ada:prefect-secret", "ada", "mlflow-secret")
ANY_PORT = ("servers.prefect_port=0", "servers.mlflow_port=0", "serving.port=0")


def test_secrets_are_read_from_variables_and_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING",
                 "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    assert read_credentials() == NO_CREDENTIALS
    (tmp_path / "secret").write_text("ada:from-file\n")
    monkeypatch.setenv("PREFECT_API_AUTH_STRING_FILE", str(tmp_path / "secret"))
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    found = read_credentials()
    assert found.prefect == "ada:from-file"
    assert not found.has_mlflow, "a name alone opens nothing"


def test_a_taken_port_is_named_with_its_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for setting in ("servers.prefect_port", "servers.mlflow_port", "serving.port"):
            settings = load_settings(None, [*ANY_PORT, f"{setting}={port}"])
            with pytest.raises(UsageError, match=rf"Port {port} .*--set {setting}=…"):
                choose_places(settings, NO_CREDENTIALS)


def test_any_free_port_can_be_asked_for() -> None:
    places = choose_places(load_settings(None, ANY_PORT), NO_CREDENTIALS)
    ports = {places.prefect_port, places.mlflow_port, places.predictions_port}
    assert 0 not in ports
    assert places.prefect == f"http://127.0.0.1:{places.prefect_port}"


def test_servers_that_others_can_reach_need_all_credentials() -> None:
    settings = load_settings(None, [*ANY_PORT, "servers.host=0.0.0.0"])
    for credentials in (NO_CREDENTIALS, Credentials("ada:x", None, None)):
        with pytest.raises(UsageError, match="need credentials"):
            choose_places(settings, credentials)
    places = choose_places(settings, CREDENTIALS)
    assert places.prefect.startswith("http://127.0.0.1:")
