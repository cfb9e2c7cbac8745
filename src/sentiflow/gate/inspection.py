"""Hold what a fresh process found out about a registered version, as values."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Inspection:
    """What a fresh process found out about a registered version.

    Attributes:
        difference: largest absolute difference of a probability to this process's; NaN when an
            answer is none.
        changed_labels: texts with another label, but for those within TOLERANCE of 0.5.
        odd_texts: number of odd texts asked.
        odd_failures: how many of them got no finite probability from 0 to 1.
        latency_ms: median time of a single text of 100 words, milliseconds.
        latency_p95_ms: 95th percentile of it, milliseconds.
        artifact_mb: size of all files of the artifact, megabytes.
        load_seconds: time to load the version, seconds.
    """

    difference: float
    changed_labels: int
    odd_texts: int
    odd_failures: int
    latency_ms: float
    latency_p95_ms: float
    artifact_mb: float
    load_seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON value; numbers that are none become None."""
        return {
            name: value if math.isfinite(value) else None for name, value in asdict(self).items()
        }
