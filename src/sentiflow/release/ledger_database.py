"""Connect to the ledger's database, SQLite or PostgreSQL, one transaction at a time.

SQLite keeps its rollback journal (no WAL): the ledger stays one file that can be copied, on
any file system, and every commit is on disk before it is reported. Writers begin IMMEDIATE, so
that they queue (up to 30 s) at the start and never fail half-way; readers wait milliseconds.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import unquote

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from sentiflow.errors import LedgerUnreachable, SettingsError
from sentiflow.files import hide_secrets
from sentiflow.release.ledger_tables import create_tables, has_events, has_tables

_WAIT_SECONDS: Final = 30
_CONNECT_SECONDS: Final = 10
_IDLE_SECONDS: Final = 300
_DRIVERS: Final = {"sqlite", "sqlite+pysqlite", "postgresql", "postgresql+psycopg2"}


class LedgerDatabase:
    """The database at one address.

    No connection outlives its transaction, so it may be used from threads and after a fork.
    """

    def __init__(self, url: str) -> None:
        """Remember the address; nothing is asked yet.

        Raises:
            SettingsError: it names neither a SQLite file nor a PostgreSQL database.
        """
        self._url = _parse_url(url)
        self.is_sqlite = self._url.get_backend_name() == "sqlite"
        self._engine = (
            _create_sqlite(self._url) if self.is_sqlite else _create_postgresql(self._url)
        )
        self._has_tables = False

    @contextmanager
    def begin(self, *, writes: bool = False) -> Iterator[Connection]:
        """Open a transaction that is committed at the end of the block, or undone by an error.

        The ledger's tables are made first where they are missing.

        Args:
            writes: whether the block may write; on SQLite writers queue for one lock.

        Raises:
            LedgerUnreachable: the database did not answer, or another writer took too long.
            SettingsError: the database belongs to something else.
        """
        with self._explain():
            self._prepare()
            with self._open(writes) as connection:
                yield connection

    @contextmanager
    def _explain(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, OSError) as error:
            said = " ".join(str(getattr(error, "orig", None) or error).split())
            reason = hide_secrets(said)[:300]
            raise LedgerUnreachable(
                f"The release ledger must answer. Received: url={_show_url(self._url)}, "
                f"error={reason}. Mend that and run again; the champion is kept."
            ) from error

    def is_there(self) -> bool:
        """Return whether the ledger's tables are there; nothing is made.

        Raises:
            LedgerUnreachable: the database did not answer.
            SettingsError: the database belongs to something else.
        """
        if self._has_tables:
            return True
        if self.is_sqlite and not os.path.exists(_read_path(self._url)):
            return False
        with self._explain(), self._open(writes=False) as connection:
            # Tables that an older version lacks besides are not needed for reading.
            self._has_tables = has_events(connection)
        return self._has_tables

    def is_whole(self) -> bool:
        """Return whether all tables are there, also those that an older version lacks.

        Raises:
            LedgerUnreachable: the database did not answer.
            SettingsError: the database belongs to something else.
        """
        if not self.is_there():
            return False
        with self._explain(), self._open(writes=False) as connection:
            return has_tables(connection)

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    @contextmanager
    def _open(self, writes: bool) -> Iterator[Connection]:
        connecting = self._engine.connect().execution_options(writes=writes)
        with connecting as connection, connection.begin():
            yield connection

    def _prepare(self) -> None:
        if self._has_tables:
            return
        if self.is_sqlite and not os.path.exists(_read_path(self._url)):
            # SQLite would make the file with the umask's mode; reasons and names are nobody else's.
            os.close(os.open(_read_path(self._url), os.O_CREAT | os.O_RDWR, 0o600))
        with self._open(writes=False) as connection:
            self._has_tables = has_tables(connection)
        if not self._has_tables:
            with self._open(writes=True) as connection:
                create_tables(connection)
            self._has_tables = True


def _parse_url(text: str) -> URL:
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        # The text is not repeated: it may hold a password.
        raise SettingsError(
            "ledger.url must be a database's address. Received: one that cannot be read. "
            f"{_EXAMPLES}"
        ) from None
    is_uri = str(url.database).startswith("file:")
    # As `make_sqlite_url` writes what it must quote; other URIs may name what is no file.
    is_file = url.database not in (None, "", ":memory:") and (
        not is_uri or (dict(url.query) == {"uri": "true"} and _read_path(url).startswith("/"))
    )
    if url.drivername not in _DRIVERS or (url.get_backend_name() == "sqlite" and not is_file):
        raise SettingsError(
            "ledger.url must name a SQLite file or a PostgreSQL database. Received: "
            f"{_show_url(url)}. {_EXAMPLES}"
        )
    if url.get_backend_name() == "postgresql" and "@" in f"{url.host}{url.database}":
        # The driver would take part of the password for the name it then complains of.
        raise SettingsError(
            "ledger.url must have one @, before the host. Received: several. In its user and "
            "password write %40 for @, %2F for / and %3A for a colon."
        )
    return url


def _read_path(url: URL) -> str:
    path = str(url.database)
    return unquote(path.removeprefix("file:")) if path.startswith("file:") else path


_EXAMPLES: Final = (
    "For example sqlite:////srv/ledger.db or postgresql://user@host/ledger. An address with a "
    "password belongs into SENTIFLOW_LEDGER_URL, or the file that SENTIFLOW_LEDGER_URL_FILE names."
)


def _create_sqlite(url: URL) -> Engine:
    engine = create_engine(url, poolclass=NullPool, connect_args={"timeout": _WAIT_SECONDS})

    @event.listens_for(engine, "connect")
    def _leave_transactions_alone(connection: Any, _record: Any) -> None:
        # Python's sqlite3 begins on its own and too late (at the first write): we begin instead.
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _create_postgresql(url: URL) -> Engine:
    wait = {} if "connect_timeout" in url.query else {"connect_timeout": _CONNECT_SECONDS}
    # A head is read after a lock: only READ COMMITTED then sees what the lock waited for.
    engine = create_engine(
        url, poolclass=NullPool, connect_args=wait, isolation_level="READ COMMITTED",
        # Else the driver takes the database's encoding, and a SQL_ASCII one (of a cluster without
        # a locale) could hold no word beyond ASCII.
        client_encoding="utf8",
    )  # fmt: skip

    @event.listens_for(engine, "begin")
    def _limit_waits(connection: Connection) -> None:
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_WAIT_SECONDS}s'")
        # The server frees the lock of a machine that left the network, not hours later.
        connection.exec_driver_sql(
            f"SET LOCAL idle_in_transaction_session_timeout = '{_IDLE_SECONDS}s'"
        )

    return engine


def _show_url(url: URL) -> str:
    return hide_secrets(url.render_as_string(hide_password=True))
