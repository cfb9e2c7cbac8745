"""Measure what a night costs whose sources did not change, or only grew a little.

    python benchmarks/unchanged_night.py [--rows 1000000] [--appended 1000]

Three ingests of one generated file, each in a process of its own: the first one, one of the
unchanged file, and one after rows were appended. The time of an ingest is the flow's own work
up to the question whether anything is new; starting Python and importing are told apart, and
so is the question itself, which reads the ledger and asks MLflow for the last accepted version.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

from sentiflow.sample.reviews import SAMPLE_SEED, write_sample
from sentiflow.settings import prepare_environment

_REST_SECONDS = 3.0


def main() -> None:
    """Write the file, ingest it three times, print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--appended", type=int, default=1_000)
    parser.add_argument("--night", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.night:
        print(json.dumps(ingest(Path(arguments.night))))
        return
    with tempfile.TemporaryDirectory() as folder:
        path, more = Path(folder) / "reviews.jsonl", Path(folder) / "more.jsonl"
        write_sample(path, arguments.rows, SAMPLE_SEED)
        write_sample(more, arguments.appended, SAMPLE_SEED + 1)
        # A file that was written just now is not yet believed by its times.
        time.sleep(_REST_SECONDS)
        nights = {"first": run_night(path), "unchanged": run_night(path)}
        with path.open("ab") as stream:
            stream.write(more.read_bytes())
        time.sleep(_REST_SECONDS)
        nights["grown"] = run_night(path)
        megabytes = path.stat().st_size / 2**20
        stored = (
            sum(entry.stat().st_size for entry in (path.parent / "home/ingest").rglob("*.*"))
            / 2**20
        )
    print(
        json.dumps(
            {
                "rows": arguments.rows,
                "appended": arguments.appended,
                "file_mb": round(megabytes),
                "pieces_mb": round(stored),
                "load_average": [round(load, 2) for load in os.getloadavg()],
                **nights,
            },
            indent=2,
        )
    )


def run_night(path: Path) -> dict[str, Any]:
    """Ingest in a process of its own, so that nothing is warm and the peak is its own."""
    started = time.monotonic()
    answer = subprocess.run(
        [sys.executable, __file__, "--night", str(path)],
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    night: dict[str, Any] = json.loads(answer.stdout)
    return {**night, "process_seconds": round(time.monotonic() - started, 2)}


def ingest(path: Path) -> dict[str, Any]:
    """Ingest the file and look for the last accepted night; return what it cost."""
    home = path.parent / "home"
    prepare_environment(home)
    started = time.monotonic()
    from sentiflow.cost import measure_peak_memory_mb
    from sentiflow.data.ingest.ingest import read_sources
    from sentiflow.night.code import describe_code
    from sentiflow.release.ledger import Ledger
    from sentiflow.settings import Settings, resolve_ledger_url

    imported, processor = time.monotonic(), time.process_time()
    settings = Settings()
    code = describe_code().identity
    ingested = read_sources([str(path)], None, settings, date.today(), home, code)
    ended, processor = time.monotonic(), time.process_time() - processor
    Ledger(resolve_ledger_url(settings.ledger, home)).read(settings.model.name)
    return {
        "import_seconds": round(imported - started, 2),
        "ingest_seconds": round(ended - imported, 2),
        # On a busy machine, what the ingest would take on an idle one.
        "ingest_processor_seconds": round(processor, 2),
        "ledger_seconds": round(time.monotonic() - ended, 2),
        "snapshot_rows": ingested.snapshot.rows,
        "peak_memory_mb": round(measure_peak_memory_mb()),
    }


if __name__ == "__main__":
    main()
