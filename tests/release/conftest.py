"""A private PostgreSQL for the ledger's tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def make_postgresql_url() -> Iterator[Callable[[], str]]:
    """Return a function that makes an empty database on a cluster of the session's own."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not programs:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    import psycopg2

    # initdb refuses to run as root, and the sockets' path must be short: no tmp_path here.
    user = "postgres" if os.getuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="sentiflow-pg-", dir="/tmp"))
    if user is not None:
        shutil.chown(folder, user)
    place = programs[-1].parent
    initdb = [place / "initdb", "-D", folder / "cluster", "-U", "postgres", "-A", "trust", "-N"]
    subprocess.run(initdb, check=True, capture_output=True, user=user, cwd=folder)
    server = subprocess.Popen(
        [place / "postgres", "-D", folder / "cluster", "-k", folder, "-c", "listen_addresses="],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, user=user, cwd=folder,
    )  # fmt: skip
    numbers = count()

    def make_url() -> str:
        name = f"ledger{next(numbers)}"
        connection = psycopg2.connect(host=str(folder), user="postgres", dbname="postgres")
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
        connection.close()
        return f"postgresql://postgres@/{name}?host={folder}"

    try:
        for _ in range(100):
            try:
                psycopg2.connect(host=str(folder), user="postgres", dbname="postgres").close()
                break
            except psycopg2.OperationalError:
                time.sleep(0.1)
        yield make_url
    finally:
        # SIGINT: end at once but cleanly, whoever is still connected.
        server.send_signal(2)
        server.wait(30)
        shutil.rmtree(folder)
