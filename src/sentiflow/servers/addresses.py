"""Choose where the servers of `sentiflow up` listen, and what they ask of those who call."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from pathlib import Path

from sentiflow.errors import UsageError
from sentiflow.settings import Settings, load_access, read_secret


@dataclass(frozen=True)
class Addresses:
    """Where the servers listen, and where those on this machine reach them.

    Attributes:
        host: Prefect's and MLflow's address.
        prefect_port: Prefect's port.
        mlflow_port: MLflow's port.
        predictions_host: the prediction service's address.
        predictions_port: its port.
    """

    host: str
    prefect_port: int
    mlflow_port: int
    predictions_host: str
    predictions_port: int

    @property
    def prefect(self) -> str:
        """Prefect's address."""
        return f"http://{name_host(self.host)}:{self.prefect_port}"

    @property
    def mlflow(self) -> str:
        """MLflow's address."""
        return f"http://{name_host(self.host)}:{self.mlflow_port}"

    @property
    def predictions(self) -> str:
        """The prediction service's address."""
        return f"http://{name_host(self.predictions_host)}:{self.predictions_port}"


@dataclass(frozen=True)
class Credentials:
    """What the servers ask of those who call.

    Attributes:
        prefect: Prefect's `user:password`.
        mlflow_user: the name of MLflow's administrator.
        mlflow_password: its password.
        prefect_is_given: the environment gave Prefect's; else it is the home's own secret.
        mlflow_is_given: the same of MLflow's.
    """

    prefect: str
    mlflow_user: str
    mlflow_password: str
    prefect_is_given: bool = True
    mlflow_is_given: bool = True


def read_credentials(home: Path) -> Credentials:
    """Return the credentials of the environment; what it does not give, the home has.

    Raises:
        SettingsError: a file with a secret cannot be read, or a secret is empty.
    """
    prefect = read_secret("PREFECT_SERVER_API_AUTH_STRING")
    prefect = prefect or read_secret("PREFECT_API_AUTH_STRING")
    user = read_secret("MLFLOW_TRACKING_USERNAME")
    password = read_secret("MLFLOW_TRACKING_PASSWORD")
    own = load_access(home)
    is_given = user is not None and password is not None
    return Credentials(
        prefect=prefect or own.prefect,
        mlflow_user=user if user and is_given else own.mlflow_user,
        mlflow_password=password if password and is_given else own.mlflow_password,
        prefect_is_given=prefect is not None,
        mlflow_is_given=is_given,
    )


def choose_addresses(settings: Settings, credentials: Credentials) -> Addresses:
    """Return where the servers shall listen; port 0 becomes one that is free.

    Raises:
        UsageError: a port is taken, or a server would be open to everyone.
    """
    servers, serving = settings.servers, settings.serving
    has_all = credentials.prefect_is_given and credentials.mlflow_is_given
    if not has_all and not _is_loopback(servers.host):
        raise UsageError(
            "Servers that others can reach need credentials. Received: "
            f"servers.host={servers.host} without all of PREFECT_SERVER_API_AUTH_STRING, "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD. Set them, or listen on "
            "127.0.0.1."
        )
    return Addresses(
        host=servers.host,
        prefect_port=_choose_port(servers.host, servers.prefect_port, "servers.prefect_port"),
        mlflow_port=_choose_port(servers.host, servers.mlflow_port, "servers.mlflow_port"),
        predictions_host=serving.host,
        predictions_port=_choose_port(serving.host, serving.port, "serving.port"),
    )


def name_host(host: str) -> str:
    """Return where programs on this machine reach an address that is listened on."""
    if host in ("0.0.0.0", "::"):
        return "127.0.0.1" if host == "0.0.0.0" else "[::1]"
    return f"[{host}]" if ":" in host else host


def _choose_port(host: str, port: int, setting: str) -> int:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(address)
            chosen: int = taken.getsockname()[1]
            return chosen
    except OSError as error:
        raise UsageError(
            f"Port {port} of {host} must be free. Received: {error.strerror}. "
            f"Choose another with --set {setting}=…"
        ) from None


def _is_loopback(host: str) -> bool:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return all(ipaddress.ip_address(entry[4][0]).is_loopback for entry in found)
