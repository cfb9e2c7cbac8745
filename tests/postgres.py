"""A PostgreSQL of the tests' own, which can be restarted."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from itertools import count
from pathlib import Path

import pytest


class Cluster:
    """One cluster in a temporary folder, reached by its socket.

    Its locale is C, so that a database is SQL_ASCII unless whoever makes it says otherwise.
    """

    def __init__(self) -> None:
        programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        if not programs:
            pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
        self._place = programs[-1].parent
        # initdb refuses to run as root, and the sockets' path must be short: no tmp_path here.
        self._user = "postgres" if os.getuid() == 0 else None
        self.folder = Path(tempfile.mkdtemp(prefix="sentiflow-pg-", dir="/tmp"))
        if self._user is not None:
            shutil.chown(self.folder, self._user)
        self._numbers = count()
        initdb = [
            self._place / "initdb", "-D", self.folder / "cluster", "-U", "postgres", "-A",
            "trust", "-N", "--locale=C", "--encoding=SQL_ASCII",
        ]  # fmt: skip
        subprocess.run(initdb, check=True, capture_output=True, user=self._user, cwd=self.folder)
        self.start()

    def start(self) -> None:
        """Start the server and wait until it answers."""
        import psycopg2

        self._server = subprocess.Popen(
            [
                self._place / "postgres", "-D", self.folder / "cluster", "-k", self.folder,
                "-c", "listen_addresses=",
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, user=self._user, cwd=self.folder,
        )  # fmt: skip
        ends = time.monotonic() + 60
        while True:
            try:
                psycopg2.connect(host=str(self.folder), user="postgres", dbname="postgres").close()
                return
            except psycopg2.OperationalError:
                assert time.monotonic() < ends, "PostgreSQL did not start"
                time.sleep(0.1)

    def stop(self) -> None:
        """End the server at once but cleanly, whoever is still connected (SIGINT)."""
        self._server.send_signal(2)
        self._server.wait(30)

    def remove(self) -> None:
        """End the server and remove the cluster."""
        self.stop()
        shutil.rmtree(self.folder)

    def make_url(self) -> str:
        """Make an empty database and return its address."""
        import psycopg2

        name = f"ledger{next(self._numbers)}"
        connection = psycopg2.connect(host=str(self.folder), user="postgres", dbname="postgres")
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
        connection.close()
        return f"postgresql://postgres@/{name}?host={self.folder}"
