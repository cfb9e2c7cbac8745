"""Refuse an address of MLflow or Prefect under which nothing can be, before anybody asks it."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final
from urllib.parse import urlsplit

from sentiflow.errors import SettingsError
from sentiflow.files import hide_secrets

_WEB: Final = frozenset({"http", "https"})
# Database → the package that speaks to it where none is named after a +.
_DATABASES: Final = {
    "sqlite": "sqlite3", "postgresql": "psycopg2", "mysql": "MySQLdb", "mssql": "pyodbc",
}  # fmt: skip


def check_tracking_address(address: str) -> str:
    """Return the address as it is, if MLflow can be there.

    Raises:
        SettingsError: it names no server and no database; MLflow keeps models in no plain folder.
    """
    if _is_web_address(address) or address == "databricks":
        return address
    try:
        parts = urlsplit(address)
    except ValueError:
        raise _refuse(address, "no address") from None
    if parts.scheme in _WEB:
        raise _refuse(address, "no host, or a port that is none")
    if parts.scheme == "databricks":
        return address
    database, _, driver = parts.scheme.partition("+")
    if database not in _DATABASES:
        raise _refuse(address, "another kind of place")
    if database == "sqlite" and parts.path in ("", "/", "/:memory:"):
        raise _refuse(address, "SQLite without a file")
    # pysqlite is SQLAlchemy's own name for what comes with Python.
    package = {"": _DATABASES[database], "pysqlite": "sqlite3"}.get(driver, driver)
    if find_spec(package) is None:
        raise _refuse(address, f"a database whose package {package} is not installed")
    return address


def check_web_address(name: str, address: str) -> None:
    """Refuse what a variable holds if it is no address of a server.

    Args:
        name: the variable, to name it by.
        address: what it holds.

    Raises:
        SettingsError: so it is.
    """
    if not _is_web_address(address):
        raise SettingsError(
            f"{name} must be the address of a server (http, https). Received: "
            f"{hide_secrets(address)!r}. Correct or unset it."
        )


def _is_web_address(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return parts.scheme in _WEB and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _refuse(address: str, received: str) -> SettingsError:
    return SettingsError(
        "MLflow must be at a server (http, https) or in a database (sqlite, postgresql). "
        f"Received: {hide_secrets(address)!r}: {received}. Correct tracking.uri, or the variable "
        "MLFLOW_TRACKING_URI; unset, MLflow is kept in the home."
    )
