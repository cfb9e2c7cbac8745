"""The fresh process that a version is asked in, on a real MLflow over SQLite."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sentiflow.errors import GateNotEvaluated, ReleaseForbidden
from sentiflow.release.checks import count_changed_labels, inspect_version, probe_version
from sentiflow.release.registry import Registry, Version

pytestmark = pytest.mark.filterwarnings("ignore")
TEXTS = ["good food", "bad !", "", "half \ud800", "<b>good</b>", "\x00"]


def as_answers(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


@pytest.mark.parametrize(
    ("answers", "expected", "changed"),
    [
        (as_answers(0.4, 0.6), as_answers(0.4, 0.6), 0),
        (as_answers(0.4, 0.6), as_answers(0.6, 0.6), 1),
        (as_answers(0.5, 0.6), as_answers(0.4, 0.4), 2),
        (as_answers(0.499999), as_answers(0.500001), 0),
        (as_answers(0.4999), as_answers(0.5001), 1),
        (as_answers(np.nan), as_answers(0.9), 1),
    ],
)
def test_changed_labels_are_counted_but_for_those_at_the_edge(
    answers: np.ndarray, expected: np.ndarray, changed: int
) -> None:
    assert count_changed_labels(answers, expected) == changed


def test_a_version_is_found_sound_in_a_fresh_process(
    tiny_registry: Registry, tiny_version: Version, tmp_path: Path
) -> None:
    answers = tiny_registry.load(tiny_version).predict(TEXTS)
    found = inspect_version(
        tiny_registry.uri, "model", tiny_version.number, TEXTS, answers, tmp_path, 120
    )
    assert 0 <= found.difference <= 1e-5
    assert (found.changed_labels, found.odd_texts, found.odd_failures) == (0, 1_000, 0)
    assert 0 < found.latency_ms <= found.latency_p95_ms
    assert found.artifact_mb == pytest.approx(
        tiny_registry.measure_artifact_mb(tiny_version), abs=0.001
    )
    assert list(tmp_path.iterdir()) == [], "the texts are removed again"


@pytest.mark.slow
@pytest.mark.parametrize("value", [0.9, np.nan])
def test_other_probabilities_are_shown_as_a_difference(
    tiny_registry: Registry, tiny_version: Version, tmp_path: Path, value: float
) -> None:
    answers = tiny_registry.load(tiny_version).predict(TEXTS)
    answers[2] = value
    found = inspect_version(
        tiny_registry.uri, "model", tiny_version.number, TEXTS, answers, tmp_path, 120
    )
    assert not found.difference <= 1e-5
    assert found.as_dict()["difference"] is None or np.isfinite(found.difference)


@pytest.mark.slow
def test_a_version_that_is_not_there_is_not_evaluated_and_not_probed(
    tiny_registry: Registry, tmp_path: Path
) -> None:
    with pytest.raises(GateNotEvaluated, match="load and answer in a fresh process"):
        inspect_version(
            tiny_registry.uri, "model", 99, TEXTS, np.zeros(6, np.float32), tmp_path, 120
        )
    with pytest.raises(ReleaseForbidden, match="champion stays"):
        probe_version(tiny_registry.uri, "model", 99, tmp_path, 120)
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_takes_too_long_is_not_evaluated(
    tiny_registry: Registry, tmp_path: Path
) -> None:
    with pytest.raises(GateNotEvaluated, match=r"within 0\.05 seconds"):
        inspect_version(
            tiny_registry.uri, "model", 1, TEXTS, np.zeros(6, np.float32), tmp_path, 0.05
        )
    assert list(tmp_path.iterdir()) == []
