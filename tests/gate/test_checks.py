"""The fresh process that a version is asked in, on a real MLflow over SQLite."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from attested import know

from sentiflow.errors import GateNotEvaluated, ReleaseForbidden, UnknownFiles
from sentiflow.gate.checks import (
    Inspection,
    count_changed_labels,
    inspect_version,
    probe_version,
)
from sentiflow.release.known_files import KnownFiles
from sentiflow.release.registry import Registry, Version

TEXTS = ["good food", "bad !", "", "half \ud800", "<b>good</b>", "\x00"]


# Of a version that the test's process never looks at.
UNKNOWN = KnownFiles("run", {})


@pytest.fixture(scope="module")
def tiny_known(tiny_version: Version, tiny_folder: Path) -> KnownFiles:
    return know(tiny_version, tiny_folder / "bundle")


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


@pytest.mark.slow
def test_a_version_is_found_sound_in_a_fresh_process(
    tiny_registry: Registry, tiny_version: Version, tiny_known: KnownFiles, tmp_path: Path
) -> None:
    answers = tiny_registry.load(tiny_version, tiny_known, tmp_path).predict(TEXTS)
    found = inspect_version(
        tiny_registry.uri, "model", tiny_version.number, tiny_known, TEXTS, answers, tmp_path, 120
    )
    assert 0 <= found.difference <= 1e-5
    assert (found.changed_labels, found.odd_texts, found.odd_failures) == (0, 1_000, 0)
    assert 0 < found.latency_ms <= found.latency_p95_ms
    assert found.artifact_mb == pytest.approx(
        tiny_registry.measure_artifact_mb(tiny_version), abs=0.001
    )
    probe_version(tiny_registry.uri, "model", tiny_version.number, tiny_known, tmp_path, 120)
    assert list(tmp_path.iterdir()) == [], "the texts are removed again"


@pytest.mark.slow
@pytest.mark.usefixtures("warm_children")
@pytest.mark.parametrize("value", [0.9, np.nan])
def test_other_probabilities_are_shown_as_a_difference(
    tiny_registry: Registry, tiny_version: Version, tiny_known: KnownFiles, tmp_path: Path,
    value: float,
) -> None:  # fmt: skip
    answers = tiny_registry.load(tiny_version, tiny_known, tmp_path).predict(TEXTS)
    answers[2] = value
    found = inspect_version(
        tiny_registry.uri, "model", tiny_version.number, tiny_known, TEXTS, answers, tmp_path, 120
    )
    assert not found.difference <= 1e-5
    assert found.as_dict()["difference"] is None or np.isfinite(found.difference)


@pytest.mark.slow
@pytest.mark.usefixtures("warm_children")
def test_a_version_that_is_not_there_is_not_evaluated_and_not_probed(
    tiny_registry: Registry, tmp_path: Path
) -> None:
    with pytest.raises(GateNotEvaluated, match="load and answer in a fresh process"):
        inspect_version(
            tiny_registry.uri, "model", 99, UNKNOWN, TEXTS, np.zeros(6, np.float32), tmp_path, 120
        )
    with pytest.raises(ReleaseForbidden, match="champion stays"):
        probe_version(tiny_registry.uri, "model", 99, UNKNOWN, tmp_path, 120)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def use_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Have a small script run in place of Python: what a version does wrong, without TensorFlow.

    A real process with a real exchange folder; only the model in it is left out.
    """

    def use(body: str) -> None:
        program = tmp_path / "program"
        program.write_text(
            f"#!{sys.executable}\nimport json, sys, time\nimport numpy as np\n"
            f"job = json.load(open(sys.argv[-1]))\n{body}\n"
        )
        program.chmod(0o700)
        monkeypatch.setattr(sys, "executable", str(program))

    return use


def write_found(odd_failures: int = 0, answers: str = "np.full(6, 0.75, np.float32)") -> str:
    found = {
        "odd_texts": 1_000,
        "odd_failures": odd_failures,
        "latency_ms": 2.5,
        "latency_p95_ms": 4.0,
        "artifact_mb": 6.5,
        "load_seconds": 1.25,
    }
    return f"np.save(job['answers'], {answers})\njson.dump({found}, open(job['found'], 'w'))"


def inspect(tmp_path: Path, seconds: float = 60) -> Inspection:
    given = np.full(6, 0.75, np.float32)
    try:
        return inspect_version(
            "sqlite://", "model", 1, UNKNOWN, TEXTS, given, tmp_path / "x", seconds
        )
    finally:
        assert list((tmp_path / "x").iterdir()) == [], "the texts are removed in every case"


def test_what_the_process_found_is_returned(
    use_process: Callable[[str], None], tmp_path: Path
) -> None:
    use_process(write_found(odd_failures=3))
    assert inspect(tmp_path) == Inspection(0.0, 0, 1_000, 3, 2.5, 4.0, 6.5, 1.25)


def test_an_answer_that_is_no_number_comes_back_as_one(
    use_process: Callable[[str], None], tmp_path: Path
) -> None:
    use_process(write_found(answers="np.array([0.75] * 5 + [np.nan], np.float32)"))
    found = inspect(tmp_path)
    assert np.isnan(found.difference)
    assert found.changed_labels == 1
    assert found.as_dict()["difference"] is None


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("print('first\\nlast', file=sys.stderr)\nsys.exit(7)", r"exit code 7, last$"),
        ("import os\nos.kill(os.getpid(), 9)", r"exit code -9, no output$"),
        ("pass", "must leave its answers behind"),
        ("np.save(job['answers'], np.zeros(6, np.float32))", "must leave its answers behind"),
        (write_found(answers="np.zeros(5, np.float32)"), r"shape=\(5,\)"),
        (write_found(answers="np.float32(0.5)"), r"shape=\(\)"),
    ],
)
def test_a_process_without_a_whole_answer_is_not_evaluated(
    use_process: Callable[[str], None], tmp_path: Path, body: str, message: str
) -> None:
    use_process(body)
    with pytest.raises(GateNotEvaluated, match=message):
        inspect(tmp_path)


def test_a_process_that_takes_too_long_is_not_evaluated(
    use_process: Callable[[str], None], tmp_path: Path
) -> None:
    use_process("time.sleep(60)")
    with pytest.raises(GateNotEvaluated, match=r"within 0\.5 seconds"):
        inspect(tmp_path, 0.5)


def test_one_probability_does_not_stand_for_all_texts(tmp_path: Path) -> None:
    with pytest.raises(GateNotEvaluated, match=r"shape=\(1,\)"):
        inspect_version("sqlite://", "model", 1, UNKNOWN, TEXTS, as_answers(0.5), tmp_path, 60)


def test_a_version_that_fails_on_odd_texts_may_not_become_champion(
    use_process: Callable[[str], None], tmp_path: Path
) -> None:
    use_process(write_found(odd_failures=2, answers="np.zeros(0, np.float32)"))
    with pytest.raises(ReleaseForbidden, match="2 of 1,000"):
        probe_version("sqlite://", "model", 1, UNKNOWN, tmp_path / "x", 60)


def test_a_version_whose_files_the_ledger_does_not_know_is_never_asked(
    use_process: Callable[[str], None], tmp_path: Path
) -> None:
    use_process(write_found(answers="np.zeros(0, np.float32)"))
    with pytest.raises(UnknownFiles, match="sentiflow attest 1 --reason"):
        probe_version("sqlite://", "model", 1, None, tmp_path / "x", 60)
    assert not (tmp_path / "x").exists()
