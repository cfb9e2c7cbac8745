"""Say how a server is started, as options of its program (see start.py)."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class ServerOptions:
    """How a server is started.

    Attributes:
        service: `prefect` or `mlflow`.
        host: the address it listens at.
        port: the port there.
        names: what else it may be called, as `name:port`, besides loopback's names.
        socket: a descriptor that listens already, in place of host and port; -1: none.
        workers: processes that answer; Prefect takes one.
        asks: refuse whoever shows no credentials before the application sees the request.
        links: let browsers in by links that the home's secret signed.
        users: let MLflow keep users and passwords of its own.
        artifacts: where MLflow keeps what goes through it; empty: nothing does.
    """

    service: str
    host: str = "127.0.0.1"
    port: int = 0
    names: tuple[str, ...] = ()
    socket: int = -1
    workers: int = 1
    asks: bool = False
    links: bool = False
    users: bool = False
    artifacts: str = ""


def make_command(options: ServerOptions) -> tuple[str, ...]:
    """Return the module and arguments that start such a server, after `python -m`."""
    arguments = ["sentiflow.servers.start", options.service]
    for name, value in asdict(options).items():
        if name == "service" or value == getattr(ServerOptions, name):
            continue
        arguments.append(f"--{name}")
        if value is not True:
            arguments.append(",".join(value) if name == "names" else str(value))
    return tuple(arguments)
