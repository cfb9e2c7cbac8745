"""A private PostgreSQL for the ledger's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from postgres import Cluster


@pytest.fixture(scope="session")
def make_postgresql_url() -> Iterator[Callable[[], str]]:
    """Return a function that makes an empty database on a cluster of the session's own."""
    cluster = Cluster()
    yield cluster.make_url
    cluster.remove()
