"""Where the servers of `sentiflow up` listen, and who may reach them."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from sentiflow.errors import UsageError
from sentiflow.servers.addresses import Credentials, choose_addresses, read_credentials
from sentiflow.settings import load_access, load_settings

HOME_CREDENTIALS = Credentials("sentiflow:x", "sentiflow", "y", False, False)
CREDENTIALS = Credentials("ada:prefect-secret", "ada", "mlflow-secret")
ANY_PORT = ("servers.prefect_port=0", "servers.mlflow_port=0", "serving.port=0")


def test_secrets_are_read_from_variables_and_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING",
                 "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    own = load_access(tmp_path)
    found = read_credentials(tmp_path)
    assert found == Credentials(own.prefect, own.mlflow_user, own.mlflow_password, False, False)
    (tmp_path / "secret").write_text("ada:from-file\n")
    monkeypatch.setenv("PREFECT_API_AUTH_STRING_FILE", str(tmp_path / "secret"))
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    found = read_credentials(tmp_path)
    assert found.prefect == "ada:from-file"
    assert found.prefect_is_given
    assert not found.mlflow_is_given, "a name alone opens nothing"
    assert (found.mlflow_user, found.mlflow_password) == (own.mlflow_user, own.mlflow_password)


def test_a_taken_port_is_named_with_its_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for setting in ("servers.prefect_port", "servers.mlflow_port", "serving.port"):
            settings = load_settings(None, [*ANY_PORT, f"{setting}={port}"])
            with pytest.raises(UsageError, match=rf"Port {port} .*--set {setting}=…"):
                choose_addresses(settings, HOME_CREDENTIALS)


def test_any_free_port_can_be_asked_for() -> None:
    places = choose_addresses(load_settings(None, ANY_PORT), HOME_CREDENTIALS)
    ports = {places.prefect_port, places.mlflow_port, places.predictions_port}
    assert 0 not in ports
    assert places.prefect == f"http://127.0.0.1:{places.prefect_port}"


def test_servers_that_others_can_reach_need_all_credentials() -> None:
    settings = load_settings(None, [*ANY_PORT, "servers.host=0.0.0.0"])
    for credentials in (HOME_CREDENTIALS, Credentials("ada:x", "ada", "y", True, False)):
        with pytest.raises(UsageError, match="need credentials"):
            choose_addresses(settings, credentials)
    places = choose_addresses(settings, CREDENTIALS)
    assert places.prefect.startswith("http://127.0.0.1:")
