"""Keep what each version passed of the behaviours, and find what champions of the year passed.

The ledger's ruling on a version holds it, so that nobody has to ask an old version again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any, Final

from sentiflow.gate.behaviours import BehaviourResult
from sentiflow.release.identity import name_runs, read_run
from sentiflow.release.state import Event, list_crowned
from sentiflow.release.year import begin_year

# How much less than the best champion of the year a model may pass of the same questions.
TOLERATED_DROP: Final = 0.05
_KEY: Final = "behaviours"


def note_behaviours(questions: str, behaviours: Sequence[BehaviourResult]) -> dict[str, Any]:
    """Return what a ruling's details hold of the behaviours.

    Args:
        questions: digest of the questions that were asked.
        behaviours: how the version did.
    """
    passed = {result.name: [result.passed, result.cases] for result in behaviours}
    return {_KEY: {"questions": questions, "passed": passed}}


def hold_against_champions(
    behaviours: Sequence[BehaviourResult],
    questions: str,
    events: Sequence[Event],
    lineage: str,
    night: date,
) -> tuple[BehaviourResult, ...]:
    """Return how a version did, with what the best champion of the year makes required.

    Args:
        behaviours: how tonight's version did.
        questions: digest of the questions it was asked; others are not compared with.
        events: the model's events.
        lineage: the lineage's digest; champions of others are not compared with.
        night: tonight.
    """
    crowned = list_crowned(events)
    since = begin_year(night).isoformat()
    best: dict[str, tuple[float, int]] = {}
    for event in name_runs(events):
        noted, number = event.details.get(_KEY), event.to_version
        if (
            noted is None
            or number is None
            or noted["questions"] != questions
            or event.lineage != lineage
            or not since <= event.details["night"] <= night.isoformat()
            or not crowned & {(number, read_run(event)), (number, None)}
        ):
            continue
        for name, (passed, cases) in noted["passed"].items():
            # Among equals the older champion is named.
            if name not in best or passed / cases > best[name][0]:
                best[name] = (passed / cases, number)
    return tuple(_require_as_much(result, best.get(result.name)) for result in behaviours)


def _require_as_much(result: BehaviourResult, best: tuple[float, int] | None) -> BehaviourResult:
    if best is None:
        return result
    rate, version = best
    # Rounded, so that 0.65 - 0.05 is the 0.6 that a model passed.
    limit = max(result.floor, round(rate - TOLERATED_DROP, 9))
    return replace(result, limit=limit, best_version=version, best_rate=rate)
