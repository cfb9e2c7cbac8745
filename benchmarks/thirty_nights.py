"""Live a month of nights in one sitting: real reviews, an accelerated clock, and what goes wrong.

STORY is the month. Each night runs the real flow (Prefect's test server, MLflow and the ledger on
SQLite) on a home of its own. What an injected event must come to, and write into the ledger, is
said exactly; an ordinary night is promoted or kept, which the invariants watch.

    python benchmarks/thirty_nights.py [--data FILE] [--rows N] [--default-model] [--set KEY=VALUE]…

Prints a line per night and one JSON object; exit code 1 when anything was not as it must be.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import statistics
import sys
import tempfile
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any, Final

from growing_source import GrowingSource
from replayed_nights import Lived, Month, Planned, count_days, replay

PROMOTED: Final = ("promoted", ("registered", "promoted"))
KEPT: Final = ("kept", ("registered", "kept"))
REJECTED: Final = ("rejected", ("rejected",))
SKIPPED: Final = ("skipped", ())
# Without MLflow or the ledger a night does not begin; the champion stays.
FAILED: Final = ("failed", ("failed",))
KILLED: Final = ("killed", ())

STORY: Final = (
    Planned("a weak first model", *PROMOTED),
    Planned("a much better model", *PROMOTED),
    Planned("the same model", *KEPT),
    Planned("new rows"),
    Planned("nothing new", *SKIPPED),
    Planned("a batch of garbage", *REJECTED),
    Planned("new rows"),
    Planned("half the archive", *REJECTED),
    Planned("new rows"),
    Planned("MLflow is away", *FAILED),
    Planned("new rows"),
    Planned("a day is missing", *SKIPPED),
    Planned("new rows"),
    Planned("a late file"),
    Planned("a cut gzip", *REJECTED),
    Planned("new rows"),
    Planned("killed while reading", *KILLED),
    Planned("new rows"),
    Planned("another mix of stars", *REJECTED),
    Planned("new rows"),
    Planned("a worse model", *KEPT),
    Planned("new rows"),
    Planned("nothing new", *SKIPPED),
    Planned("broken bytes"),
    Planned("new rows"),
    Planned("the ledger is away", "failed", ()),
    Planned("half a day's file"),
    Planned("new rows"),
    Planned("new rows"),
    Planned("nothing new", *SKIPPED),
)

# A month is about nights, not about the network: this one takes half a minute of a night.
SMALL_MODEL: Final = (
    "tokens.length=96", "tokens.vocabulary_size=5000", "network.embedding=48",
    "network.units=[12]", "training.epochs=3", "training.learning_rate=0.004",
    "training.averaging=0.98", "baseline.regularizations=[3.0]",
    "baseline.min_document_counts=[2]", "gate.baseline_margin=0.1", "gate.behaviours=report",
)  # fmt: skip


def main() -> None:
    """Live the month and print a table and one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="../shared/data/yelp_reviews.jsonl.gz")
    parser.add_argument("--rows", type=int, help="only so many reviews, from the whole time")
    parser.add_argument(
        "--default-model", action="store_true", help="the default preset's network and gate"
    )
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    arguments = parser.parse_args()
    overrides = (*(() if arguments.default_model else SMALL_MODEL), *arguments.overrides)
    with gzip.open(arguments.data) as stream:
        reviews = [json.loads(line) for line in stream]
    reviews = reviews[:: max(1, len(reviews) // (arguments.rows or len(reviews)))]
    with tempfile.TemporaryDirectory() as folder:
        home, place = Path(folder) / "home", Path(folder) / "source"
        place.mkdir()
        for key in list(os.environ):
            if key.startswith(("PREFECT_", "MLFLOW_", "SENTIFLOW_")):
                del os.environ[key]
        os.environ.update(SENTIFLOW_HOME=str(home), PREFECT_LOGGING_LEVEL="CRITICAL")
        from sentiflow.settings import prepare_environment

        prepare_environment(home)
        from prefect.testing.utilities import prefect_test_harness

        source = GrowingSource(place, reviews, count_days(STORY))
        with prefect_test_harness(server_startup_timeout=120):
            month = replay(STORY, source, home, overrides, show_night)
    print(
        json.dumps({"reviews": len(reviews), **describe(month), "overrides": overrides}, indent=2)
    )
    sys.exit(1 if month.failures else 0)


def show_night(lived: Lived) -> None:
    """Print a night as a line of the table."""
    record = lived.record
    rows = record.rows.get("read", 0) if record else 0
    accuracy = record.metrics.get("accuracy") if record else None
    print(
        f"{lived.night}  {lived.event:<21} {rows:>7,}  {lived.outcome:<9}"
        f" {'' if accuracy is None else f'{accuracy:.4f}':<7} champion {lived.champion or '-':<3}"
        f" {lived.seconds:6.1f} s",
        flush=True,
    )


def describe(month: Month) -> dict[str, Any]:
    """Return a month as a JSON value."""
    seconds: dict[str, list[float]] = {}
    for lived in month.nights:
        kind = "trained" if lived.outcome in ("promoted", "kept") else lived.outcome
        seconds.setdefault(kind, []).append(lived.seconds)
    return {
        "date": date.today().isoformat(),
        "machine": f"{platform.machine()}, {platform.python_version()}",
        "nights": len(month.nights),
        "outcomes": dict(Counter(lived.outcome for lived in month.nights)),
        "promotions": [
            lived.night.isoformat() for lived in month.nights if lived.outcome == "promoted"
        ],
        "kept": {
            lived.night.isoformat(): lived.record.reasons
            for lived in month.nights
            if lived.record is not None and lived.outcome == "kept"
        },
        "seconds": {
            "total": round(sum(lived.seconds for lived in month.nights), 1),
            "median": round(statistics.median(lived.seconds for lived in month.nights), 1),
            "unchanged_median": round(statistics.median(seconds["skipped"]), 1),
            "medians": {kind: round(statistics.median(kept), 1) for kind, kept in seconds.items()},
        },
        "failures": month.failures,
    }


if __name__ == "__main__":
    main()
