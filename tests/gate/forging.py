"""Forge models by their answers, so that the gate can be asked about any kind of bad one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sentiflow.gate.behaviours import BehaviourResult
from sentiflow.gate.comparison import PairedAccuracy
from sentiflow.gate.findings import Findings, GateRows, compare_paired, compare_with_champion
from sentiflow.gate.inspection import Inspection
from sentiflow.gate.significance import compute_interval
from sentiflow.model.evaluation import score
from sentiflow.settings import GateSettings

ROWS = 3_000
SOUND = Inspection(
    difference=1e-7,
    changed_labels=0,
    odd_texts=1_000,
    odd_failures=0,
    latency_ms=8.0,
    latency_p95_ms=11.0,
    artifact_mb=20.0,
    load_seconds=4.0,
)


def draw_labels(seed: int = 1, rows: int = ROWS) -> npt.NDArray[np.int8]:
    """Two thirds of the reviews are positive, as on Yelp."""
    return (np.random.default_rng(seed).random(rows) < 0.66).astype(np.int8)


def forge_answers(
    labels: npt.NDArray[np.int8], accuracy: float, seed: int
) -> npt.NDArray[np.float32]:
    """Answers right on exactly `accuracy` of the rows, and about as sure as that."""
    generator = np.random.default_rng(seed)
    is_wrong = np.zeros(len(labels), dtype=bool)
    wrong = round((1 - accuracy) * len(labels))
    is_wrong[generator.permutation(len(labels))[:wrong]] = True
    answers = np.where(labels == 1, 0.85, 0.15) + generator.normal(0, 0.04, len(labels))
    answers = np.where(is_wrong, 1 - answers, answers)
    return np.clip(answers, 0.01, 0.99).astype(np.float32)


def spoil(
    answers: npt.NDArray[np.float32], labels: npt.NDArray[np.int8], rows: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """The same answers, wrong on these rows."""
    spoiled = answers.copy()
    right = np.where(labels[rows] == 1, np.maximum(answers[rows], 1 - answers[rows]),
                     np.minimum(answers[rows], 1 - answers[rows]))  # fmt: skip
    spoiled[rows] = 1 - right
    return spoiled


def mend(
    answers: npt.NDArray[np.float32], labels: npt.NDArray[np.int8], count: int
) -> npt.NDArray[np.float32]:
    """The same answers, right on `count` rows more."""
    wrong = np.flatnonzero((answers >= 0.5) != (labels == 1))[:count]
    mended = answers.copy()
    mended[wrong] = 1 - answers[wrong]
    return mended


def make_behaviour(**changes: Any) -> BehaviourResult:
    sound: dict[str, Any] = {
        "name": "negation",
        "kind": "minimum_functionality",
        "description": "A negated praise is a complaint.",
        "cases": 40,
        "passed": 32,
        "pass_rate": 0.8,
        "floor": 0.6,
        "failures": (),
    }
    values = {**sound, **changes}
    return BehaviourResult(**{"limit": values["floor"], **values})


def forge_baseline(accuracy: float, baseline: float, rows: int = ROWS) -> PairedAccuracy:
    """Challenger and baseline of these accuracies; on 8 % of the rows only one is right."""
    ahead = round((accuracy - baseline) * rows)
    discordant = max(round(0.04 * rows) * 2, abs(ahead)) + ahead % 2
    wins, losses = (discordant + ahead) // 2, (discordant - ahead) // 2
    lower, upper = compute_interval(wins, losses, rows)
    return PairedAccuracy(rows, accuracy, baseline, ahead / rows, lower, upper, wins, losses)


def find_out(
    labels: npt.NDArray[np.int8],
    challenger: npt.NDArray[np.float32],
    champion: npt.NDArray[np.float32] | None = None,
    *,
    gate: GateSettings | None = None,
    slices: tuple[tuple[str, str, npt.NDArray[np.int64]], ...] = (),
    newest: npt.NDArray[np.int64] | None = None,
    baseline_accuracy: float = 0.85,
    best: npt.NDArray[np.float32] | None = None,
    champion_age: int = 3,
    **changes: Any,
) -> Findings:
    """The findings that the night gathers, from answers instead of models."""
    # Few resamples: every verdict here is far from what their number could change.
    gate = gate or GateSettings(resamples=200)
    findings = Findings(
        rows=len(labels),
        rows_fingerprint="f" * 64,
        metrics=score(labels, challenger).as_dict(),
        baseline_accuracy=baseline_accuracy,
        baseline=forge_baseline(float(np.mean((challenger >= 0.5) == labels)), baseline_accuracy),
        inspection=SOUND,
        behaviours=(make_behaviour(),),
    )
    if champion is not None:
        ids = tuple(f"review-{number}" for number in range(len(labels)))
        rows = GateRows(ids, labels, "f" * 64, slices, newest)
        findings = compare_with_champion(
            replace(
                findings,
                champion_version=1,
                champion_metrics=score(labels, champion).as_dict(),
                champion_age=champion_age,
            ),
            rows,
            challenger,
            champion,
            gate,
        )
        if best is not None:
            comparison = compare_paired(labels, challenger, best, gate)
            findings = replace(findings, best_version=7, best_comparison=comparison)
    return replace(findings, **changes)
