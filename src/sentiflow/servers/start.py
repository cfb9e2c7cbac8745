"""Start Prefect's or MLflow's server behind the middleware that checks who calls.

As a program: `python -m sentiflow.servers.start prefect --port 4200`. Credentials come from
the environment (`PREFECT_SERVER_API_AUTH_STRING`; `MLFLOW_TRACKING_USERNAME` and `…_PASSWORD`),
so that no list of processes shows them. The only module that knows uvicorn beside the service.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import uuid
import warnings
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final, cast

from sentiflow.access.asgi import Application
from sentiflow.access.middleware import AccessMiddleware, AccessRules
from sentiflow.access.origins import list_own_hosts
from sentiflow.access.sessions import Sessions
from sentiflow.errors import describe_error
from sentiflow.files import hide_secrets
from sentiflow.servers.options import ServerOptions
from sentiflow.settings import load_access, read_home, read_secret
from sentiflow.tracebacks import hide_tracebacks

if TYPE_CHECKING:
    from collections.abc import Sequence

_OPTIONS: Final = "SENTIFLOW_SERVER_OPTIONS"


def read_options(arguments: Sequence[str] | None = None) -> ServerOptions:
    """Return the options of a command line.

    >>> read_options(["prefect", "--port", "4200", "--asks"]).asks
    True
    """
    parser = argparse.ArgumentParser(prog="python -m sentiflow.servers.start")
    parser.add_argument("service", choices=("prefect", "mlflow"))
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at")
    parser.add_argument("--port", type=int, default=0, help="port to listen at")
    parser.add_argument(
        "--names", default="", metavar="NAME:PORT,…", help="names it is called by, beside loopback"
    )
    parser.add_argument("--socket", type=int, default=-1, help=argparse.SUPPRESS)
    parser.add_argument("--workers", type=int, default=1, help="processes that answer (MLflow)")
    parser.add_argument("--asks", action="store_true", help="take the secrets of the home only")
    parser.add_argument("--links", action="store_true", help="let browsers in by signed links")
    parser.add_argument("--users", action="store_true", help="MLflow keeps users of its own")
    parser.add_argument("--artifacts", default="", help="where MLflow's proxied artifacts lie")
    found = vars(parser.parse_args(arguments))
    names = tuple(name for name in found.pop("names").split(",") if name)
    return ServerOptions(names=names, **found)


def main() -> None:
    """Run a server until it is ended."""
    hide_tracebacks(read_home)
    # About the code of other packages, for those who write it.
    warnings.simplefilter("ignore")
    options = read_options()
    # Worker processes of this server read their options there; they hold no secret.
    os.environ[_OPTIONS] = json.dumps(asdict(options))
    if options.service == "prefect":
        _run(options, make_prefect(), _read_prefect_options())
    else:
        _prepare_mlflow(options)
        # Several worker processes make an application each.
        is_shared = options.workers > 1
        application = "sentiflow.servers.start:make_mlflow" if is_shared else make_mlflow()
        _run(options, application, {"log_level": "warning", "factory": is_shared})


def make_prefect() -> Application:
    """Return Prefect's application, with its scheduler and other services, behind the checks."""
    from prefect.server.api.server import create_app

    credentials = read_secret("PREFECT_SERVER_API_AUTH_STRING")
    # `final`: no other server is made in this process.
    return _protect(create_app(final=True), _load_options(), credentials)


def make_mlflow() -> Application:
    """Return MLflow's application behind the checks."""
    options = _load_options()
    if options.users:
        from mlflow.server.auth import create_app

        application = create_app()
    else:
        from mlflow.server.fastapi_app import app as application
    user, password = (read_secret(f"MLFLOW_TRACKING_{part}") for part in ("USERNAME", "PASSWORD"))
    return _protect(application, options, f"{user}:{password}" if user and password else None)


def _protect(application: Any, options: ServerOptions, credentials: str | None) -> Application:
    if options.asks and credentials is None:
        raise SystemExit("--asks takes credentials in the environment, and there are none.")
    sessions = Sessions(load_access(read_home()).links, options.service) if options.links else None
    rules = AccessRules(_list_hosts(options), credentials, options.asks, sessions)
    return AccessMiddleware(cast("Application", application), rules)


def _list_hosts(options: ServerOptions) -> frozenset[str]:
    return list_own_hosts(options.port, options.names)


def _load_options() -> ServerOptions:
    values = json.loads(os.environ[_OPTIONS])
    return ServerOptions(**{**values, "names": tuple(values["names"])})


def _run(options: ServerOptions, application: Any, more: dict[str, Any]) -> None:
    import uvicorn

    settings: dict[str, Any] = {"access_log": False, **more}
    if options.socket >= 0:
        config = uvicorn.Config(application, **settings)
        uvicorn.Server(config).run(sockets=[socket.socket(fileno=options.socket)])
    else:
        uvicorn.run(
            application, host=options.host, port=options.port, workers=options.workers, **settings
        )


def _read_prefect_options() -> dict[str, Any]:
    """Return what `prefect server start` tells uvicorn."""
    from prefect.settings import get_current_settings

    server = get_current_settings().server
    return {
        "timeout_keep_alive": server.api.keepalive_timeout,
        "ws_ping_interval": server.api.websocket_ping_interval,
        "ws_ping_timeout": server.api.websocket_ping_timeout,
        "log_level": server.logging_level.lower(),
    }


def _prepare_mlflow(options: ServerOptions) -> None:
    """Do what `mlflow server` does before its application is imported."""
    # These names are MLflow's own, from its command line to its application; `constants` has
    # them, but to import that imports the application, which reads them.
    store = os.environ["MLFLOW_BACKEND_STORE_URI"]
    hosts = sorted(_list_hosts(options))
    told = {
        "_MLFLOW_SERVER_FILE_STORE": store,
        "_MLFLOW_SERVER_REGISTRY_STORE": os.environ.get("MLFLOW_REGISTRY_STORE_URI", store),
        "_MLFLOW_SERVER_BOOT_ID": uuid.uuid4().hex,
        "_MLFLOW_IN_JOB_EXECUTOR": "false",
        "_MLFLOW_SGI_NAME": "uvicorn",
        # Its own check of Host and Origin stays, behind ours and with the same names.
        "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(hosts),
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": ",".join(
            f"{scheme}://{name}" for name in hosts for scheme in ("http", "https")
        ),
    }
    if options.artifacts:
        told["_MLFLOW_SERVER_SERVE_ARTIFACTS"] = "true"
        told["_MLFLOW_SERVER_ARTIFACT_DESTINATION"] = options.artifacts
    os.environ.update(told)
    from mlflow.server.handlers import initialize_backend_stores
    from mlflow.utils.server_cli_utils import resolve_default_artifact_root

    root = resolve_default_artifact_root(
        bool(options.artifacts), os.environ.get("MLFLOW_DEFAULT_ARTIFACT_ROOT", ""), store
    )
    os.environ["_MLFLOW_SERVER_ARTIFACT_ROOT"] = root
    # Brings the database up to date, once, before any process answers.
    try:
        initialize_backend_stores(store, told["_MLFLOW_SERVER_REGISTRY_STORE"], root)
    except Exception as error:
        # Each database raises errors of its own.
        raise SystemExit(
            f"Error: MLflow must be able to open its database. Received: {hide_secrets(store)}: "
            f"{describe_error(error)}. Restore it, or name another."
        ) from None
    if options.users:
        from mlflow.server.auth import bootstrap_admin_user, get_flask_server_secret_key

        get_flask_server_secret_key()
        bootstrap_admin_user()
        os.environ["_MLFLOW_AUTH_ADMIN_BOOTSTRAPPED"] = "true"


if __name__ == "__main__":
    main()
