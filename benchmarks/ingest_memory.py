"""Measure peak memory and speed of ingest and validation on a generated file.

    python benchmarks/ingest_memory.py [--rows 1000000]

The file is the embedded sample's grammar at that many rows. The peak is read in a child
process that does nothing else, so that writing the file does not count.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

from sentiflow.sample.reviews import SAMPLE_SEED, write_sample
from sentiflow.settings import Settings, prepare_environment


def main() -> None:
    """Write the file, ingest it in a child process, print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--ingest", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.ingest:
        print(json.dumps(ingest(Path(arguments.ingest))))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "reviews.jsonl"
        write_sample(path, arguments.rows, SAMPLE_SEED)
        megabytes = path.stat().st_size / 2**20
        answer = subprocess.run(
            [sys.executable, __file__, "--ingest", str(path)],
            stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
    print(
        json.dumps(
            {"rows": arguments.rows, "file_mb": round(megabytes), **json.loads(answer.stdout)}
        )
    )


def ingest(path: Path) -> dict[str, float]:
    """Ingest and validate a file; return what it cost."""
    home = path.parent / "home"
    prepare_environment(home)
    from sentiflow.cost import measure_peak_memory_mb
    from sentiflow.data.checks.validation import check_table
    from sentiflow.data.ingest.ingest import read_sources

    started = time.monotonic()
    ingested = read_sources([str(path)], None, Settings(), date.today(), home)
    report = check_table(
        ingested.profile, None, Settings(), date.today(), home / "docs", replay=False
    )
    seconds = time.monotonic() - started
    return {
        "rows_read": ingested.profile.rows_read,
        "quarantined": ingested.profile.quarantined,
        "snapshot_rows": ingested.snapshot.rows,
        "passed": report.passed,
        "seconds": round(seconds, 1),
        "rows_per_second": round(ingested.profile.rows_read / seconds),
        "peak_memory_mb": round(measure_peak_memory_mb()),
    }


if __name__ == "__main__":
    main()
