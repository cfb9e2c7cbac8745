"""The databases that Compose makes, on a real PostgreSQL whose own locale is C (slow)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from postgres import Cluster

from sentiflow.errors import LedgerUnreachable
from sentiflow.release.ledger import Ledger
from sentiflow.release.state import NewEvent

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "container" / "make_databases.py"
OWNERS = {"prefect": "prefect", "mlflow": "mlflow", "mlflow_auth": "mlflow", "ledger": "ledger"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    cluster = Cluster()
    yield cluster
    cluster.remove()


def make_databases(cluster: Cluster) -> subprocess.CompletedProcess[str]:
    roles = (*OWNERS, "ledger_reader")
    words = ("POSTGRES_PASSWORD", *(f"{role.upper()}_DATABASE_PASSWORD" for role in roles))
    environment = {**os.environ, **dict.fromkeys(words, "p@%s/:?#'\"w $x")}
    return subprocess.run(
        [sys.executable, SCRIPT], env={**environment, "DATABASE_HOST": str(cluster.folder)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def ask(cluster: Cluster, role: str, database: str, query: str) -> Any:
    connection = psycopg2.connect(host=str(cluster.folder), user=role, dbname=database)
    with connection.cursor() as cursor:
        cursor.execute(query)
        found = cursor.fetchone()
    connection.close()
    return found[0] if found else None


def test_each_role_has_its_databases_alone_and_they_take_any_character(cluster: Cluster) -> None:
    for _ in range(2):
        answer = make_databases(cluster)
        assert answer.returncode == 0, answer.stderr
    for database, owner in OWNERS.items():
        for role in set(OWNERS.values()) - {owner}:
            with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
                ask(cluster, role, database, "SELECT 1")
        assert ask(cluster, owner, database, "SHOW server_encoding") == "UTF8"
        assert ask(cluster, owner, database, "SELECT U&'good \\00B7 food'") == "good · food"
    assert ask(cluster, "prefect", "prefect", "SELECT similarity('soup', 'soup')") == 1


def test_predictions_read_the_ledger_before_and_after_it_has_tables_and_write_nothing(
    cluster: Cluster,
) -> None:
    assert make_databases(cluster).returncode == 0
    url = f"postgresql://{{}}@/ledger?host={cluster.folder}"
    reader = Ledger(url.format("ledger_reader"), may_create=False)
    assert (reader.read("model"), reader.read_head("model")[0]) == ((), 0)
    event = NewEvent(kind="promoted", actor="night", to_version=1)
    Ledger(url.format("ledger")).append("model", 0, [event])
    assert [one.to_version for one in reader.read("model")] == [1]
    assert reader.read_head("model")[0] == 1
    with pytest.raises(LedgerUnreachable, match="permission denied"):
        reader.append("model", 1, [event])
    for statement in ("DELETE FROM projections", "CREATE TABLE mine (a int)"):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            ask(cluster, "ledger_reader", "ledger", statement)
    for database in ("prefect", "mlflow", "mlflow_auth"):
        with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
            ask(cluster, "ledger_reader", database, "SELECT 1")


def test_a_database_of_another_encoding_is_refused_in_one_line(cluster: Cluster) -> None:
    connection = psycopg2.connect(host=str(cluster.folder), user="postgres", dbname="postgres")
    connection.autocommit = True
    connection.cursor().execute("DROP DATABASE IF EXISTS ledger")
    connection.cursor().execute("CREATE DATABASE ledger")
    connection.close()
    answer = make_databases(cluster)
    assert answer.returncode == 1
    assert answer.stderr.startswith("Error: The database ledger must be UTF8. Received: SQL_ASCII.")
    assert answer.stderr.count("\n") == 1
