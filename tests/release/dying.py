"""A process that takes a lease and is gone."""

from __future__ import annotations

import subprocess
import sys


def take_and_die(url: str, name: str) -> None:
    """Let another process take a lease and end without giving it back."""
    code = (
        "import os, sys; from sentiflow.release.leases import Leases;"
        "Leases(sys.argv[1]).take(sys.argv[2], 'dead', 90, {'run_id': 'r', 'flow_run_id': 'f'});"
        "os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, url, name], check=False)
