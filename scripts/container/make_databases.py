"""Make every service's database and role on the server, and set the passwords of tonight.

It may run any number of times: what is there is left as it is, but passwords follow the secrets,
so that a renewed one is in force after the next start.

Usage: make_databases.py; POSTGRES_PASSWORD and the others come from the environment.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import encrypt_password

from sentiflow.errors import SentiflowError
from sentiflow.servers.databases import check_encoding, create_database

# Each role and the databases that are its own.
ROLES = {"prefect": ("prefect",), "mlflow": ("mlflow", "mlflow_auth"), "ledger": ("ledger",)}
# Roles that may read one database, of the owner named, and nothing else: predictions say by the
# ledger which version is champion, and others can reach them.
READERS = {"ledger_reader": ("ledger", "ledger")}


def main() -> None:
    """Make roles and databases, then bring MLflow's own password up to date."""
    with connect("postgres") as cursor:
        for role, databases in ROLES.items():
            make_role(cursor, role, os.environ[f"{role.upper()}_DATABASE_PASSWORD"])
            for database in databases:
                make_database(cursor, database, role)
        for role in READERS:
            make_role(cursor, role, os.environ[f"{role.upper()}_DATABASE_PASSWORD"])
    for role, (database, owner) in READERS.items():
        with connect(database) as cursor:
            let_read(cursor, role, database, owner)
    with connect("prefect") as cursor:
        cursor.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    with connect("mlflow_auth") as cursor:
        cursor.execute("SELECT to_regclass('public.users')")
        is_first_start = cursor.fetchone()[0] is None
    if not is_first_start:
        set_mlflow_password(os.environ["MLFLOW_AUTH_URL"], os.environ["MLFLOW_AUTH_ADMIN_PASSWORD"])


@contextmanager
def connect(database: str) -> Iterator[Any]:
    """Give a cursor of the superuser in one database; every statement is committed."""
    host, _, port = (os.environ.get("DATABASE_HOST") or "postgres:5432").partition(":")
    connection = psycopg2.connect(
        host=host,
        port=port,
        dbname=database,
        user="postgres",
        password=os.environ["POSTGRES_PASSWORD"],
    )
    with closing(connection):
        connection.autocommit = True
        with connection.cursor() as cursor:
            yield cursor


def make_role(cursor: Any, role: str, password: str) -> None:
    """Make a role that may log in and nothing else."""
    name = sql.Identifier(role)
    cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", (role,))
    if cursor.fetchone() is None:
        cursor.execute(sql.SQL("CREATE ROLE {} LOGIN").format(name))
    # Sent as a digest: a statement that fails is written to the server's log as it is.
    digest = encrypt_password(password, role, cursor.connection, "scram-sha-256")
    cursor.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(name, sql.Literal(digest)))


def make_database(cursor: Any, database: str, owner: str) -> None:
    """Make a database that only its owner may enter."""
    name = sql.Identifier(database)
    cursor.execute(
        "SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = %s", (database,)
    )
    if found := cursor.fetchone():
        check_encoding(found[0], database)
    else:
        create_database(cursor, database, owner)
    cursor.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))


def let_read(cursor: Any, role: str, database: str, owner: str) -> None:
    """Let a role read the tables of a database, those that its owner makes later too."""
    for statement in (
        "GRANT CONNECT ON DATABASE {database} TO {role}",
        "GRANT USAGE ON SCHEMA public TO {role}",
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}",
        "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public "
        "GRANT SELECT ON TABLES TO {role}",
    ):
        names = {"database": database, "role": role, "owner": owner}
        quoted = {key: sql.Identifier(name) for key, name in names.items()}
        cursor.execute(sql.SQL(statement).format(**quoted))


def set_mlflow_password(url: str, password: str) -> None:
    """Give MLflow's administrator this password: MLflow reads it on its very first start only."""
    from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore()
    store.init_db(url)
    if store.has_user("admin") and not store.authenticate_user("admin", password):
        store.update_user("admin", password=password)


if __name__ == "__main__":
    try:
        main()
    except SentiflowError as error:
        sys.exit(f"Error: {error}")
