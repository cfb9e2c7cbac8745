"""The ledger's tables, and what its database itself refuses.

`events` can only grow, by the next number: triggers refuse every UPDATE, DELETE and TRUNCATE,
and an INSERT that is not the next of its model (which also stops SQLite's INSERT OR REPLACE,
a delete in disguise). So the history holds even against someone with a database shell.

`projections` remembers, per model, up to which event MLflow's alias was last made to follow
the ledger and where it then pointed. It is a bookmark and may change.

`leases` names who is at work, so that two nights of one model are held apart on any machine.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from sqlalchemy import (
    DDL,
    JSON,
    Column,
    Connection,
    DateTime,
    Dialect,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    event,
    inspect,
    text,
)
from sqlalchemy.types import TypeDecorator

from sentiflow.errors import SettingsError


class UtcTime(TypeDecorator[datetime]):
    """A moment in UTC, with its time zone on both databases (SQLite has no type for one)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(
        self,
        value: datetime | None,
        dialect: Dialect,  # noqa: ARG002 (SQLAlchemy's signature)
    ) -> datetime | None:
        """Store in UTC."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(
        self,
        value: datetime | None,
        dialect: Dialect,  # noqa: ARG002 (SQLAlchemy's signature)
    ) -> datetime | None:
        """Read as UTC; PostgreSQL answers in the session's zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


METADATA: Final = MetaData()

EVENTS: Final = Table(
    "events",
    METADATA,
    Column("model", String(250), primary_key=True),
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("lineage", String(64)),
    Column("kind", String(32), nullable=False),
    Column("time", UtcTime, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("reason", Text, nullable=False),
    Column("from_version", Integer),
    Column("to_version", Integer),
    Column("decision", String(64)),
    Column("details", JSON, nullable=False),
)

PROJECTIONS: Final = Table(
    "projections",
    METADATA,
    Column("model", String(250), primary_key=True),
    Column("sequence", Integer, nullable=False),
    Column("version", Integer),
)

LEASES: Final = Table(
    "leases",
    METADATA,
    Column("name", String(300), primary_key=True),
    Column("holder", String(32), nullable=False),
    Column("actor", String(200), nullable=False),
    Column("machine", String(12), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started", Integer, nullable=False),
    Column("taken", UtcTime, nullable=False),
    Column("beaten", UtcTime, nullable=False),
    Column("details", JSON, nullable=False),
)

_SQLITE: Final = (
    """CREATE TRIGGER events_refuse_update BEFORE UPDATE ON events BEGIN
         SELECT RAISE(ABORT, 'the ledger is append-only'); END""",
    """CREATE TRIGGER events_refuse_delete BEFORE DELETE ON events BEGIN
         SELECT RAISE(ABORT, 'the ledger is append-only'); END""",
    """CREATE TRIGGER events_refuse_gap BEFORE INSERT ON events
       WHEN NEW.sequence IS NOT
         (SELECT COALESCE(MAX(sequence), 0) + 1 FROM events WHERE model = NEW.model) BEGIN
         SELECT RAISE(ABORT, 'an event must have the next sequence'); END""",
)

_POSTGRESQL: Final = (
    """CREATE OR REPLACE FUNCTION events_refuse_change() RETURNS trigger AS $$ BEGIN
         RAISE EXCEPTION 'the ledger is append-only'
           USING ERRCODE = 'integrity_constraint_violation'; END $$ LANGUAGE plpgsql""",
    """CREATE OR REPLACE FUNCTION events_refuse_gap() RETURNS trigger AS $$ BEGIN
         IF NEW.sequence IS DISTINCT FROM
            (SELECT COALESCE(MAX(sequence), 0) + 1 FROM events WHERE model = NEW.model) THEN
           RAISE EXCEPTION 'an event must have the next sequence'
             USING ERRCODE = 'integrity_constraint_violation';
         END IF; RETURN NEW; END $$ LANGUAGE plpgsql""",
    """CREATE TRIGGER events_refuse_change BEFORE UPDATE OR DELETE ON events
       FOR EACH ROW EXECUTE FUNCTION events_refuse_change()""",
    """CREATE TRIGGER events_refuse_truncate BEFORE TRUNCATE ON events
       FOR EACH STATEMENT EXECUTE FUNCTION events_refuse_change()""",
    """CREATE TRIGGER events_refuse_gap BEFORE INSERT ON events
       FOR EACH ROW EXECUTE FUNCTION events_refuse_gap()""",
)

for _dialect, _statements in (("sqlite", _SQLITE), ("postgresql", _POSTGRESQL)):
    for _statement in _statements:
        _trigger = DDL(_statement)  # type: ignore[no-untyped-call]
        event.listen(EVENTS, "after_create", _trigger.execute_if(dialect=_dialect))

# Any number that no other program takes: the start of sha256(b"sentiflow ledger").
_CREATION_LOCK: Final = 0x33184D2F68B4501


def has_events(connection: Connection) -> bool:
    """Return whether there are tables to read a history from.

    Raises:
        SettingsError: the database belongs to something else.
    """
    return has_tables(connection) or {EVENTS.name, PROJECTIONS.name} <= set(
        inspect(connection).get_table_names()
    )


def has_tables(connection: Connection) -> bool:
    """Return whether all of the ledger's tables are there.

    Raises:
        SettingsError: the database belongs to something else.
    """
    names = set(inspect(connection).get_table_names())
    if names >= set(METADATA.tables):
        return True
    # A ledger of an earlier version lacks the younger tables, and gets them.
    if names and not {EVENTS.name, PROJECTIONS.name} <= names:
        raise SettingsError(
            "ledger.url must name a database of the ledger's own. Received: one with the tables "
            f"{', '.join(sorted(names)[:5])}. Make an empty database for the ledger."
        )
    return False


def create_tables(connection: Connection) -> None:
    """Create the tables that are missing and their triggers, in the caller's transaction.

    Two first users meet: on SQLite the second waits for the first one's transaction, on
    PostgreSQL for this lock (CREATE TABLE IF NOT EXISTS is no guard: two at once still fail).
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_CREATION_LOCK})"))
    if not has_tables(connection):
        METADATA.create_all(connection)
