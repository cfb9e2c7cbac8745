"""A registry whose versions answer by a table: real ones take seconds to make and to load."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from sentiflow.errors import ArtifactError
from sentiflow.release.known_files import KnownFiles
from sentiflow.release.registry import Version


@dataclass
class AnswersByTable:
    """A loaded version: what it has no entry for it calls negative.

    Attributes:
        answers: P(positive) by text.
        broken: why it does not load.
    """

    answers: dict[str, float]
    broken: ArtifactError | None = None

    def predict(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        return np.array([self.answers.get(text, 0.1) for text in texts], np.float32)


@dataclass
class RunInMemory:
    """An MLflow run that keeps what is logged."""

    id: str = "tonight"
    path: str = "#"
    metrics: dict[str, float | None] = field(default_factory=dict)

    def log_metrics(self, metrics: Mapping[str, float | None]) -> None:
        self.metrics.update(metrics)


class RegistryOfTables:
    """Versions with a night, a lineage, a recorded accuracy and a table of answers."""

    uri = "tables://"

    def __init__(self, name: str, lineage: str) -> None:
        self.name = name
        self.lineage = lineage
        self.nights: dict[int, date] = {}
        self.lineages: dict[int, str] = {}
        self.accuracies: dict[int, float | None] = {}
        self.tables: dict[int, AnswersByTable] = {}
        # Ids that a run answered on its own night, by run.
        self.answered: dict[str, list[str]] = {}
        self.loss = ""
        self.asked: Counter[int] = Counter()

    def add(self, number: int, night: date, errs_in: int, accuracy: float | None = None) -> None:
        """Add a version that answers wrongly to the first `errs_in` of "text 0", "text 1", …"""
        self.nights[number], self.accuracies[number] = night, accuracy
        # Odd numbers are positive.
        self.tables[number] = AnswersByTable(
            {f"text {row}": 0.9 if (row % 2 == 1) != (row < errs_in) else 0.1
             for row in range(1_000)}
        )  # fmt: skip

    def look_up_version(self, name: str, number: int) -> Version | None:
        if name != self.name or number not in self.nights:
            return None
        tags = {
            "sentiflow.night": self.nights[number].isoformat(),
            "sentiflow.lineage": self.lineages.get(number, self.lineage),
        }
        if (accuracy := self.accuracies[number]) is not None:
            tags["sentiflow.accuracy"] = str(accuracy)
        return Version(name, number, f"run-{number}", tags, f"m-{number}")

    def resolve(self, name: str, which: str) -> Version:
        version = self.look_up_version(name, int(which))
        assert version is not None
        return version

    def load(self, version: Version, known: KnownFiles, scratch: Path) -> AnswersByTable:
        assert (known.run_id, scratch.name) == (version.run_id, "scratch")
        self.asked[version.number] += 1
        table = self.tables[version.number]
        if table.broken is not None:
            raise table.broken
        return table

    def fetch_run_file(self, run_id: str, name: str, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{run_id}.parquet"
        if self.loss == "no run" or name != "evaluation/answers.parquet":
            raise ArtifactError(f"{name} of run {run_id} must be there. Received: it is not.")
        if self.loss == "no parquet":
            path.write_bytes(b"PAR1 no")
        else:
            column = "other" if self.loss == "no column" else "review_id"
            pd.DataFrame({column: self.answered[run_id], "answer": 0.5}).to_parquet(path)
        return path
