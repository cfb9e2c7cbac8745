"""A process that takes a lease and is gone."""

from __future__ import annotations

import json
import subprocess
import sys

DETAILS = {"run_id": "r", "flow_run_id": "f", "beat_seconds": 0.1}


def take_and_die(url: str, name: str) -> None:
    """Let another process take a lease and end without giving it back."""
    code = (
        "import json, os, sys; from sentiflow.release.leases import Leases;"
        "Leases(sys.argv[1]).take(sys.argv[2], 'dead', 90, json.loads(sys.argv[3]));"
        "os._exit(9)"
    )
    command = [sys.executable, "-c", code, url, name, json.dumps(DETAILS)]
    subprocess.run(command, check=False)
