"""The addresses and the making of the databases behind `--database`."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from release.conftest import make_postgresql_url

from sentiflow.errors import UsageError
from sentiflow.servers.databases import make_databases, name_databases

__all__ = ["make_postgresql_url"]


def test_three_addresses_are_made_of_one() -> None:
    made = name_databases("postgresql://ada:pw@db:5433/nights?sslmode=require")
    assert made.prefect == "postgresql+asyncpg://ada:pw@db:5433/nights_prefect?ssl=require"
    assert made.mlflow == "postgresql+psycopg2://ada:pw@db:5433/nights_mlflow?sslmode=require"
    assert made.ledger == "postgresql://ada:pw@db:5433/nights_ledger?sslmode=require"
    assert made.shown_ledger == "postgresql://ada@db:5433/nights_ledger?sslmode=require"
    local = name_databases("postgresql:///nights?host=/run/postgresql")
    assert local.ledger == local.shown_ledger == "postgresql:///nights_ledger?host=/run/postgresql"


@pytest.mark.parametrize(
    ("address", "named"),
    [
        ("", "address of a PostgreSQL"), ("mysql://u:s3cret@db/nights", "address of a PostgreSQL"),
        ("postgresql://u:s3cret@db:port/nights", "address of a PostgreSQL"),
        ("postgresql://u:s3cret@db", "end in a name"), ("postgresql://u@db/a-b", "end in a name"),
        (f"postgresql://u@db/{'a' * 51}", "end in a name"),
        ("postgresql://u:s3cret@db/nights?password=s3cret", "password"),
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused_without_its_password(address: str, named: str) -> None:
    with pytest.raises(UsageError, match=named) as refused:
        name_databases(address)
    assert "s3cret" not in str(refused.value)


def test_a_server_that_does_not_answer_is_told_without_its_password() -> None:
    with pytest.raises(UsageError, match="PostgreSQL must answer") as refused:
        make_databases(name_databases("postgresql://ada:s3cret@127.0.0.1:1/nights"))
    assert "s3cret" not in str(refused.value)


@pytest.mark.slow
def test_databases_are_made_once_with_what_prefect_needs(
    make_postgresql_url: Callable[[], str],
) -> None:
    import psycopg2

    databases = name_databases(make_postgresql_url())
    for _ in range(2):
        make_databases(databases)
    for url in (databases.prefect, databases.mlflow, databases.ledger):
        plain = url.replace("+asyncpg", "").replace("+psycopg2", "")
        connection = psycopg2.connect(plain)
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_extension WHERE extname = 'pg_trgm'")
            assert cursor.fetchone()[0] == ("asyncpg" in url)
        assert connection.info.parameter_status("server_encoding") == "UTF8"
        connection.close()


@pytest.mark.slow
def test_a_database_that_is_there_and_not_utf8_is_refused(
    make_postgresql_url: Callable[[], str],
) -> None:
    import psycopg2

    address = make_postgresql_url()
    databases = name_databases(address)
    connection = psycopg2.connect(address)
    connection.autocommit = True
    connection.cursor().execute(f"CREATE DATABASE {urlsplit(databases.ledger).path[1:]}")
    connection.close()
    with pytest.raises(UsageError, match=r"_ledger must be UTF8\. Received: SQL_ASCII\."):
        make_databases(databases)
