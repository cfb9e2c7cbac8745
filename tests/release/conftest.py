"""A private PostgreSQL for the ledger's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from postgres import Cluster


@pytest.fixture(scope="session")
def make_postgresql_url() -> Iterator[Callable[[], str]]:
    """Return a function that makes an empty database on a cluster of the session's own."""
    cluster = Cluster()
    yield cluster.make_url
    cluster.remove()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database for a ledger, on SQLite and, where it is installed, on PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    make_url: Callable[[], str] = request.getfixturevalue("make_postgresql_url")
    return make_url()
