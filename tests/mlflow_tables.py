"""MLflow's tables in SQLite, which MLflow makes once per process and every other database copies.

Sixty migrations cost three seconds of processor, and finding the newest of them half a second each
time that a database is opened.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import cache, wraps
from typing import Any


@cache
def copy_tables_from_the_first() -> None:
    """Have this process make MLflow's tables only once."""
    from mlflow.store.db import utils
    from mlflow.store.model_registry import sqlalchemy_store

    make = utils._initialize_tables
    first = sqlite3.connect(":memory:", check_same_thread=False)
    is_made = False

    @wraps(make)
    def make_or_copy(engine: Any) -> None:
        nonlocal is_made
        if engine.dialect.name != "sqlite" or not utils._is_empty_database(engine):
            make(engine)
            return
        if not is_made:
            make(engine)
        with closing(engine.raw_connection()) as connection:
            own = connection.driver_connection
            source, target = (first, own) if is_made else (own, first)
            source.backup(target)
        is_made = True

    utils._initialize_tables = sqlalchemy_store._initialize_tables = make_or_copy
    utils._get_latest_schema_revision = cache(utils._get_latest_schema_revision)
