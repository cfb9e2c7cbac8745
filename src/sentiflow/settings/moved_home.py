"""Let the home's own MLflow find its artifacts where the home is now.

MLflow writes down where artifacts are as whole paths. In a home that was moved, or restored from a
backup, they would lead to where it was: nothing would load, and new artifacts would go there.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

logger = logging.getLogger(__name__)

DATABASE: Final = "mlflow.db"
ARTIFACTS: Final = "mlartifacts"
_LOCATIONS: Final = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
)
_WAIT_SECONDS: Final = 30.0
# So many records of a kind say whose they are.
_LOOKED_AT: Final = 20


def follow_move(home: Path) -> None:
    """Have the records of the home's MLflow say where the home is; nothing where it never moved.

    Where the home cannot be written, or its database is none, it is left as it is: whoever needs
    it says so.

    Args:
        home: SENTIFLOW_HOME.
    """
    database = home / DATABASE
    if not database.is_file():
        return
    here, moved = (home / ARTIFACTS).as_uri(), list[str]()
    try:
        with closing(_open(database, "ro")) as connection:
            left = [root for root in _list_roots(connection) if root != here]
            moved = [root for root in left if _is_from(connection, root, home)]
        if not moved:
            return
        with closing(_open(database, "rw")) as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            for root in moved:
                _rewrite(connection, root, here)
    except sqlite3.Error as error:
        if moved:
            _warn_unwritable(_read(moved[0]).parent, str(error))
        return
    for root in moved:
        logger.info("this home was at %s; its artifacts are found here now", _read(root).parent)


@cache
def _warn_unwritable(left: Path, why: str) -> None:
    """Say once that the records of a moved home could not follow it."""
    logger.warning(
        "This home was at %s, and MLflow's records lead there until they can be written: %s. Let "
        "one command write to it",
        left, why,
    )  # fmt: skip


def _open(database: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{database.as_uri()}?mode={mode}", uri=True, timeout=_WAIT_SECONDS, isolation_level=None
    )


def _list_roots(connection: sqlite3.Connection) -> list[str]:
    """Return the folders named as a home's that experiments have their artifacts in."""
    asked = "SELECT experiment_id, artifact_location FROM experiments"
    # A server makes one folder of each experiment, a night alone does not.
    found = {
        str(location).removesuffix(f"/{number}")
        for number, location in connection.execute(asked)
        if location
    }
    return sorted(
        root for root in found if root.startswith("file:///") and root.endswith(f"/{ARTIFACTS}")
    )


def _is_from(connection: sqlite3.Connection, root: str, home: Path) -> bool:
    """Say whether what the records place below a folder lies in this home.

    A home's database may be used by another home, whose artifacts then lie there.
    """
    # Not Path.exists: that raises where another user's folder may not be looked into.
    if not os.path.exists(_read(root)):
        return True
    below = [
        unquote(placed[len(root) + 1 :])
        for table, column in _LOCATIONS
        for (placed,) in connection.execute(
            f"SELECT {column} FROM {table} WHERE substr({column}, 1, ?) = ? LIMIT ?",
            (len(root) + 1, f"{root}/", _LOOKED_AT),
        )
    ]

    def holds_any(folder: Path) -> bool:
        return any(os.path.exists(folder / path) for path in below)

    return holds_any(home / ARTIFACTS) or not holds_any(_read(root))


def _rewrite(connection: sqlite3.Connection, root: str, here: str) -> None:
    for table, column in _LOCATIONS:
        connection.execute(
            f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
            f"WHERE {column} = ? OR substr({column}, 1, ?) = ?",
            (here, len(root) + 1, root, len(root) + 1, f"{root}/"),
        )


def _read(root: str) -> Path:
    return Path(unquote(urlsplit(root).path))
