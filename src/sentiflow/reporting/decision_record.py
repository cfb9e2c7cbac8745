"""Keep a decision as one JSON value with everything it rests on.

The value's digest names its file and is written into the ledger's event, so a decision that was
changed afterwards no longer answers to its name. docs/gate.md explains every key.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from sentiflow.errors import ArtifactError
from sentiflow.files import digest_json, read_json, write_json

SCHEMA_VERSION: Final = 1


class DecisionRecord(BaseModel):
    """What the gate ruled on a version, and on what grounds. Keys are added, never renamed."""

    model_config = ConfigDict(frozen=True)

    schema_version: Literal[1] = SCHEMA_VERSION
    model: str
    lineage: str
    night: str
    version: int
    champion_version: int | None
    fingerprint: str
    mlflow_run_id: str
    mlflow_run_path: str
    prefect_flow_run_id: str | None
    decision: dict[str, Any]
    findings: dict[str, Any]
    baselines: dict[str, dict[str, Any]]
    branches: dict[str, dict[str, Any]] = {}
    gate: dict[str, Any]
    seconds: dict[str, float]
    cpu_seconds: dict[str, float] = {}
    bytes_written: int | None = None


def keep_decision(home: Path, record: DecisionRecord) -> str:
    """Write a decision under `home`/decisions and return its digest, which is its name."""
    value = record.model_dump(mode="json")
    digest = digest_json(value)
    write_json(locate_decision_file(home, digest), value)
    return digest


def locate_decision_file(home: Path, digest: str) -> Path:
    """Return where the decision with this digest is kept."""
    return home / "decisions" / f"{digest}.json"


def read_decision(path: Path, digest: str) -> DecisionRecord:
    """Read a decision and make sure that it is the one with this digest.

    Raises:
        ArtifactError: it is missing, of another schema, or was changed.
    """
    value = read_json(path)
    if digest_json(value) != digest:
        raise ArtifactError(
            f"The decision {digest[:12]} must be as it was written. Received: another content in "
            f"{path}. Do not rely on it; the ledger keeps what was decided."
        )
    try:
        return DecisionRecord.model_validate(value)
    except ValidationError as error:
        raise ArtifactError(
            f"A decision must follow schema {SCHEMA_VERSION}. Received: {path}, "
            f"{error.error_count()} keys that do not."
        ) from error
