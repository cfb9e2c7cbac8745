"""Tell a decision as one HTML page that needs nothing beside itself.

The page has no script and no address of another file, and its policy forbids both. Whatever comes
from a record is escaped by the template. Its file is named by the decision's digest.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sentiflow import rounding
from sentiflow.files import write_text
from sentiflow.gate.rule import POLICY
from sentiflow.pages import render_page
from sentiflow.reporting.canvas import BLUE, VERMILION
from sentiflow.reporting.decision_record import DecisionRecord
from sentiflow.reporting.intervals import lay_out_panels
from sentiflow.reporting.rule_table import State, tell_rules
from sentiflow.reporting.titles import (
    METRICS,
    describe_branches,
    list_branches,
    name_baseline,
    sort_steps,
)

_TEMPLATE: Final = Path(__file__).with_name("templates") / "report.html"


@dataclass(frozen=True)
class Verdict:
    """What was ruled, in words.

    Attributes:
        word: the verdict in a word.
        sentence: what it means for the two versions.
        state: passed when the champion changes, failed when the version must not be released or
            nothing could be ruled, noted when it is merely not better or waits.
    """

    word: str
    sentence: str
    state: State


def write_report(path: Path, record: DecisionRecord) -> Path:
    """Write the decision's page and return its path."""
    findings = record.findings
    values = {
        "record": record,
        "decision": record.decision,
        "findings": findings,
        "gate": record.gate,
        "verdict": tell_verdict(record),
        "without_pair": explain_missing_pair(record),
        "groups": tell_rules(record.decision["rules"]),
        "panels": lay_out_panels(findings, record.gate),
        "answerers": _list_answerers(record),
        "metrics": METRICS,
        "branches": describe_branches(record.branches),
        "cost": list_cost(record.seconds),
        "blue": BLUE,
        "vermilion": VERMILION,
    }
    filters: dict[str, Callable[..., str]] = {
        "number": rounding.show_number,
        "points": rounding.show_points,
        "percent": rounding.show_percent,
        "significant": rounding.show_significant,
        "milliseconds": rounding.show_milliseconds,
        "seconds": rounding.show_seconds,
        "megabytes": rounding.show_megabytes,
        "probability": _show_probability,
        "setting": _show_setting,
    }
    page = render_page(_TEMPLATE, values, filters)
    # An id may hold half a character (a lone surrogate), which no file can.
    write_text(path, page.encode("utf-8", "replace").decode("utf-8"))
    return path


def tell_verdict(record: DecisionRecord) -> Verdict:
    """Return what was ruled in words that need no knowledge of the gate."""
    version, champion = f"version {record.version}", record.champion_version
    stays = "there is no champion" if champion is None else f"version {champion} stays champion"
    match record.decision["verdict"]:
        case "promoted":
            return Verdict("Promoted", _tell_promotion(record), "passed")
        case "waiting":
            sentence = f"{version} may be promoted and waits for a person; until then {stays}."
            return Verdict("Waiting", _begin(sentence), "noted")
        case "kept":
            state: State = "failed" if _is_unfit(record) else "noted"
            if champion is None:
                return Verdict("Kept back", _begin(f"{version} is not promoted; {stays}."), state)
            return Verdict("Kept", _begin(f"{stays}; {version} does not replace it."), state)
        case _:
            sentence = f"the gate could not rule on {version}; {stays}."
            return Verdict("Not evaluated", _begin(sentence), "failed")


def _is_unfit(record: DecisionRecord) -> bool:
    """Say whether a rule failed besides the policy, which most nights do not meet."""
    rules = record.decision["rules"]
    return any(rule["required"] and not rule["passed"] and rule["name"] != POLICY for rule in rules)


def _tell_promotion(record: DecisionRecord) -> str:
    version, champion = f"Version {record.version}", record.champion_version
    if champion is None:
        return f"{version} becomes the first champion of its lineage."
    if record.findings["comparison"] is None:
        return f"{version} replaces version {champion}, with which it was not compared."
    if record.decision["basis"] == "fresh":
        return f"{version} replaces version {champion}, which is old; it is no worse."
    return f"{version} replaces version {champion}; it is significantly better on the same rows."


def explain_missing_pair(record: DecisionRecord) -> str:
    """Return why nothing was compared with a champion, or "" where it was."""
    if record.findings["comparison"] is not None:
        return ""
    if record.findings["champion_version"] is not None:
        return (
            f"The comparison with champion version {record.findings['champion_version']} is "
            "missing, so the gate could not rule."
        )
    if record.champion_version is not None:
        return (
            f"Nothing was compared: champion version {record.champion_version} is of another "
            "lineage, or could not be loaded and was to be superseded."
        )
    return "Nothing was compared: on a lineage's first night there is no champion."


def list_cost(seconds: Mapping[str, float]) -> list[tuple[str, float, float | None]]:
    """Return what each step took: name, seconds, and share of the total.

    The gate's own step is not over when it writes its page; what it took so far is the rest.

    Args:
        seconds: by step, and `total`.
    """
    total = seconds.get("total", sum(seconds.values()))
    known = sort_steps(step for step in seconds if step != "total")
    rest = total - sum(seconds[step] for step in known)
    steps = [*((step, seconds[step]) for step in known), ("decide and between steps, so far", rest)]
    return [(step, value, value / total if total > 0 else None) for step, value in steps]


def _list_answerers(record: DecisionRecord) -> list[tuple[str, Mapping[str, Any]]]:
    """Return whose metrics are shown, by their heading."""
    answerers = [(f"challenger ({record.version})", record.findings["metrics"])]
    answerers += list_branches(record.branches)
    if record.findings["champion_metrics"]:
        champion = record.findings["champion_version"]
        answerers.append((f"champion ({champion})", record.findings["champion_metrics"]))
    return answerers + [(name_baseline(name), held) for name, held in record.baselines.items()]


def _show_probability(probability: float) -> str:
    """Return a probability that can be told from 0.5, where the label changes."""
    return rounding.show_apart(probability, 0.5, rounding.show_number, 3)[0]


def _show_setting(value: Any) -> str:
    """Return a setting as it is written in a settings file."""
    return value if isinstance(value, str) else json.dumps(value)


def _begin(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]
