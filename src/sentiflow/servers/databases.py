"""Make the three databases of a PostgreSQL server: Prefect's, MLflow's and the ledger's."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from sentiflow.errors import UsageError
from sentiflow.files import hide_secrets

_EXAMPLE: Final = "For example --database postgresql://user@host/sentiflow."
_OPTIONS: Final = frozenset({"host", "sslmode"})
_MOST_NAME: Final = 50
_CONNECT_SECONDS: Final = 10


@dataclass(frozen=True)
class Databases:
    """The addresses of the databases, each as the one who connects wants it.

    Attributes:
        prefect: for Prefect's server (asyncpg).
        mlflow: for MLflow's server.
        ledger: for the release ledger.
    """

    prefect: str
    mlflow: str
    ledger: str

    @property
    def shown_ledger(self) -> str:
        """The ledger's address without its password, to be kept in a file."""
        parts = urlsplit(self.ledger)
        user, _, host = parts.netloc.rpartition("@")
        netloc = f"{user.partition(':')[0]}@{host}" if user else host
        return _join(parts.scheme, netloc, parts.path.lstrip("/"), parts.query)


def name_databases(address: str) -> Databases:
    """Return the addresses of three databases whose names begin with that of the address.

    >>> name_databases("postgresql://ada@db/nights").ledger
    'postgresql://ada@db/nights_ledger'

    Raises:
        UsageError: it is no address of a PostgreSQL database.
    """
    try:
        parts = urlsplit(address)
        has_port = parts.port is None or parts.port > 0
    except ValueError:
        parts, has_port = urlsplit(""), False
    name = parts.path.lstrip("/")
    options = dict(parse_qsl(parts.query))
    if parts.scheme not in ("postgresql", "postgres") or not has_port:
        raise UsageError(
            "--database must be the address of a PostgreSQL server. Received: "
            f"{hide_secrets(address)}. {_EXAMPLE}"
        )
    if not re.fullmatch(r"[a-z_][a-z0-9_]*", name) or len(name) > _MOST_NAME:
        raise UsageError(
            "--database must end in a name of small letters, digits and underscores, which the "
            f"names of three databases begin with. Received: {name!r}. {_EXAMPLE}"
        )
    if unknown := sorted(set(options) - _OPTIONS):
        raise UsageError(
            f"--database knows the options {' and '.join(sorted(_OPTIONS))}. Received: "
            f"{', '.join(unknown)}. Leave them out."
        )

    def write(driver: str, suffix: str, options: dict[str, str]) -> str:
        return _join(driver, parts.netloc, f"{name}_{suffix}", urlencode(options, safe="/"))

    # asyncpg calls the option by another name.
    asynchronous = {"ssl" if key == "sslmode" else key: value for key, value in options.items()}
    return Databases(
        prefect=write("postgresql+asyncpg", "prefect", asynchronous),
        mlflow=write("postgresql+psycopg2", "mlflow", options),
        ledger=write("postgresql", "ledger", options),
    )


def make_databases(databases: Databases) -> None:
    """Make those that do not exist, with the extension that Prefect needs.

    Raises:
        UsageError: the server does not let us, or one of them is not UTF8.
    """
    import psycopg2

    plain = [
        _as_plain(databases.prefect),
        _as_plain(databases.mlflow),
        databases.ledger,
    ]
    try:
        for url in plain:
            _make_database(url)
        with psycopg2.connect(plain[0], connect_timeout=_CONNECT_SECONDS) as connection:
            connection.cursor().execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
        connection.close()
    except psycopg2.Error as error:
        reason = hide_secrets(" ".join(str(error).split()))[:300]
        raise UsageError(
            "PostgreSQL must answer, let its user make databases, and have the extension pg_trgm "
            f"(Debian: in postgresql itself). Received: {hide_secrets(plain[0])}: {reason}"
        ) from None


def create_database(cursor: Any, name: str, owner: str | None = None) -> None:
    """Create a database that takes any character, whatever the locale of its cluster.

    A cluster that was made without a locale gives SQL_ASCII, over which MLflow and Prefect break
    at the first character beyond ASCII.

    Args:
        cursor: psycopg2's, outside of a transaction.
        name: the database's.
        owner: the role it shall belong to; None: who is connected.
    """
    from psycopg2.errors import InvalidParameterValue
    from psycopg2.sql import SQL, Identifier

    words = SQL("CREATE DATABASE {} ENCODING 'UTF8' TEMPLATE template0").format(Identifier(name))
    if owner is not None:
        words += SQL(" OWNER {}").format(Identifier(owner))
    try:
        cursor.execute(words)
    except InvalidParameterValue:
        # The cluster's locale has an encoding of its own, such as de_DE.ISO-8859-1.
        cursor.execute(words + SQL(" LC_COLLATE 'C' LC_CTYPE 'C'"))


def check_encoding(encoding: str, name: str) -> None:
    """Refuse a database that was made with another encoding than UTF8.

    Raises:
        UsageError: its encoding is another.
    """
    if encoding != "UTF8":
        raise UsageError(
            f"The database {name} must be UTF8. Received: {encoding}. Name another one, or make it "
            "anew: pg_dump, dropdb, createdb --encoding=UTF8 --template=template0, pg_restore."
        )


def _make_database(url: str) -> None:
    import psycopg2
    from psycopg2.errors import DuplicateDatabase

    parts = urlsplit(url)
    name = parts.path.lstrip("/")
    try:
        connection = psycopg2.connect(url, connect_timeout=_CONNECT_SECONDS)
        encoding = str(connection.info.parameter_status("server_encoding"))
        connection.close()
        check_encoding(encoding, name)
        return
    except psycopg2.OperationalError:
        # It may not exist. If it is something else, the next connection says so.
        pass
    server = _join(parts.scheme, parts.netloc, "postgres", parts.query)
    connection = psycopg2.connect(server, connect_timeout=_CONNECT_SECONDS)
    try:
        # A database cannot be made within a transaction.
        connection.autocommit = True
        create_database(connection.cursor(), name)
    except DuplicateDatabase:
        pass
    finally:
        connection.close()


def _as_plain(url: str) -> str:
    parts = urlsplit(url)
    options = parts.query.replace("ssl=", "sslmode=") if "asyncpg" in parts.scheme else parts.query
    scheme = parts.scheme.partition("+")[0]
    return _join(scheme, parts.netloc, parts.path.lstrip("/"), options)


def _join(scheme: str, netloc: str, name: str, query: str) -> str:
    # urlunsplit drops the slashes of an address without a host.
    return f"{scheme}://{netloc}/{name}" + (f"?{query}" if query else "")
