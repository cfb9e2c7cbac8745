"""Write down what came of a night."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from sentiflow.files import read_json, write_json

logger = logging.getLogger(__name__)

Outcome = Literal["promoted", "kept", "waiting", "skipped", "rejected", "failed"]


class NightRecord(BaseModel):
    """What came of a night; `sentiflow run --json` prints it. Keys are added, never renamed."""

    night: str
    lineage: str | None = None
    outcome: Outcome = "failed"
    reasons: list[str] = []
    warnings: list[str] = []
    version: int | None = None
    champion_version: int | None = None
    rows: dict[str, int] = {}
    metrics: dict[str, Any] = {}
    baselines: dict[str, dict[str, Any]] = {}
    branches: dict[str, dict[str, Any]] = {}
    champion_metrics: dict[str, Any] | None = None
    seconds: dict[str, float] = {}
    peak_memory_mb: float | None = None
    cpu_seconds: dict[str, float] = {}
    bytes_written: int | None = None
    fingerprint: str | None = None
    model: str | None = None
    join_coverage: float | None = None
    quarantine: str | None = None
    reused_steps: list[str] = []
    swept: list[str] = []
    decision: str | None = None
    report: str | None = None
    mlflow_run_id: str | None = None
    mlflow_run_path: str | None = None
    prefect_flow_run_id: str | None = None
    moved_outside: str | None = None
    no_champion: str | None = None
    refused: bool = False
    refused_by_night: str | None = None
    exit_code: int = 1


def explain_no_champion(record: NightRecord) -> str | None:
    """Say that a night left its model without a champion, and what leads out; None otherwise.

    Of a night that never opened it is not known.
    """
    if record.champion_version is not None or record.mlflow_run_id is None:
        return None
    return format_no_champion(record.model or "sentiflow", record.version, record.outcome)


def format_no_champion(model: str, version: int | None, outcome: str | None) -> str:
    """Return the sentences about a model that has no champion yet.

    Args:
        model: the registered model's name.
        version: the version that could be one, if there is any.
        outcome: what became of it.
    """
    again = (
        "run again with what the reasons name mended: more reviews, or settings that fit them "
        "(gate.min_accuracy and its like)"
    )
    if version is None:
        ways = f"To have one, {again}."
    elif outcome == "waiting":
        ways = f"Approve version {version}: sentiflow promote {version} --reason …"
    else:
        ways = (
            f"Either {again}; or take version {version} all the same, which is recorded: sentiflow "
            f"promote {version} --override --reason …"
        )
    return f"{model} has no champion yet, so predictions have nothing to answer with. {ways}"


def save_record(home: Path, key: str, record: NightRecord) -> Path:
    """Write a night's record under `home`/nights and return its path."""
    path = home / "nights" / f"{key}.json"
    write_json(path, record.model_dump(mode="json"))
    return path


def keep_record(home: Path, key: str, record: NightRecord) -> str | None:
    """Write a night's record, or say why it is not written: people are told all the same."""
    try:
        save_record(home, key, record)
    except OSError as error:
        sentence = f"The night's record could not be written: {error.strerror}."
        logger.warning("%s", sentence)
        return sentence
    return None


def read_record(home: Path, key: str) -> NightRecord | None:
    """Return the record with this key, or None."""
    path = home / "nights" / f"{key}.json"
    return NightRecord(**read_json(path)) if path.exists() else None


def read_last_records(home: Path, model: str) -> list[NightRecord]:
    """Return the records of a model from the last one back to the last that was not refused."""
    paths = sorted((home / "nights").glob("*.json"), key=lambda path: path.stat().st_mtime)
    found: list[NightRecord] = []
    for path in reversed(paths):
        record = NightRecord(**read_json(path))
        if record.model == model:
            found.append(record)
            if not record.refused:
                break
    return found
