"""Make decision records from forged models, as the night makes them from real ones."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from gate.forging import draw_labels, find_out, forge_answers, make_behaviour, mend, spoil

from sentiflow.gate.decision import decide
from sentiflow.gate.findings import Findings
from sentiflow.reporting.decision_record import DecisionRecord
from sentiflow.settings import GateSettings

GATE = GateSettings(resamples=200)
LABELS = draw_labels()
CHAMPION = forge_answers(LABELS, 0.87, seed=2)
# Better on 120 rows, worse on all of the first 60, which are a slice of their own.
CHALLENGER = spoil(mend(CHAMPION, LABELS, 120), LABELS, np.arange(60))
SLICES = (
    ("stars", "1", np.arange(0, 150)),
    ("length", "over 160 words", np.arange(150, 1_500)),
    ("year", "2019", np.arange(1_500, 3_000)),
)


@cache
def find_pair() -> Findings:
    """Everything that can be found about a challenger of an old champion."""
    return find_out(
        LABELS, CHALLENGER, CHAMPION, gate=GATE, slices=SLICES, newest=np.arange(2_700, 3_000),
        best=forge_answers(LABELS, 0.86, seed=5), champion_age=42,
        behaviours=(make_behaviour(), make_behaviour(
            name="added_praise", passed=39, pass_rate=0.975, failures=("added_praise-007: A → B",)
        )),
    )  # fmt: skip


@cache
def find_alone() -> Findings:
    """What can be found on a lineage's first night."""
    return find_out(LABELS, CHAMPION, gate=GATE)


def make_record(
    findings: Findings | None = None, gate: GateSettings = GATE, **changes: Any
) -> DecisionRecord:
    findings = find_pair() if findings is None else findings
    values: dict[str, Any] = {
        "model": "sentiflow",
        "lineage": "6a3086da1be932dc",
        "night": "2026-11-25",
        "version": 9,
        "champion_version": findings.champion_version,
        "fingerprint": "b" * 64,
        "mlflow_run_id": "6afb05a7",
        "mlflow_run_path": "/#/experiments/1/runs/6afb05a7",
        "prefect_flow_run_id": None,
        "decision": decide(findings, gate).as_dict(),
        "findings": findings.as_dict(),
        "baselines": {"tfidf_logreg": {"accuracy": 0.86, "roc_auc": None}},
        "branches": {
            "wide": {"share": 0.625, "accuracy": 0.87},
            "deep": {"share": 0.375, "accuracy": 0.84},
        },
        "gate": gate.model_dump(mode="json"),
        "seconds": {"total": 100.0, "train": 70.0, "ingest": 2.5},
    }
    return DecisionRecord(**{**values, **changes})
