"""Ask a registered version in a fresh process, as whoever serves it would.

Run as a module it is that process: it loads one version whose files the ledger knows, answers
the given and the odd texts, takes the time of single ones, and writes what it found.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sentiflow.errors import ArtifactError, GateNotEvaluated, ReleaseForbidden
from sentiflow.files import make_temporary_prefix, read_json, write_json
from sentiflow.gate.inspection import Inspection
from sentiflow.gate.odd_texts import make_odd_texts
from sentiflow.processes import make_module_command
from sentiflow.release.known_files import KnownFiles, explain_unknown
from sentiflow.retries import RetryPolicy

TOLERANCE: Final = 1e-5
_TIMED_CALLS: Final = 30
# A registry that restarts just now is no model that does not load.
_PATIENCE_SECONDS: Final = 60.0
# A synthetic review of 100 words, which is about the mean of the real ones.
_TIMED_TEXT: Final = " ".join(
    (
        "We came for dinner on a quiet evening and the waiter was kind, the soup warm and the "
        "bread fresh. " * 6
    ).split()[:100]
)


def inspect_version(
    uri: str,
    name: str,
    number: int,
    known: KnownFiles,
    texts: Sequence[str],
    probabilities: npt.NDArray[np.float32],
    scratch: Path,
    seconds: float,
) -> Inspection:
    """Return what a fresh process finds out about a registered version.

    Args:
        uri: the registry's address.
        name: the registered model's name.
        number: the version.
        known: what the ledger knows of its files.
        texts: n texts.
        probabilities: what the version answered in this process, shape (n,).
        scratch: folder for the exchange; the texts are removed from it in every case.
        seconds: how long the process may take.

    Raises:
        GateNotEvaluated: the version does not load, the process gives no answer in time, or there
            is not one probability for each text.
    """
    # Checked because numpy would stretch a single probability over all texts.
    if probabilities.shape != (len(texts),):
        raise GateNotEvaluated(
            f"Version {number} of {name} must be compared on {len(texts)} probabilities. Received: "
            f"shape={probabilities.shape}. Answer all texts in this process first."
        )
    found, answers = _ask_fresh_process(uri, name, number, known, texts, scratch, seconds)
    return Inspection(
        difference=_measure_difference(answers, probabilities),
        changed_labels=count_changed_labels(answers, probabilities),
        **found,
    )


def probe_version(
    uri: str, name: str, number: int, known: KnownFiles | None, scratch: Path, seconds: float
) -> None:
    """Make sure that a version loads and answers soundly in a fresh process.

    Asked before a person moves the champion: loading checks the version's own probe texts.

    Args:
        uri: the registry's address.
        name: the registered model's name.
        number: the version.
        known: what the ledger knows of its files; None when it knows nothing.
        scratch: folder for the exchange.
        seconds: how long the process may take.

    Raises:
        UnknownFiles: the ledger knows nothing of its files.
        ReleaseForbidden: it does not load, or does not answer soundly.
    """
    if known is None:
        raise explain_unknown(name, [number])
    try:
        found, _ = _ask_fresh_process(uri, name, number, known, [], scratch, seconds)
    except GateNotEvaluated as error:
        raise ReleaseForbidden(f"{error} The champion stays as it is.") from error
    if found["odd_failures"]:
        raise ReleaseForbidden(
            f"Version {number} of {name} must answer each odd text with a probability. Received: "
            f"{found['odd_failures']} of {found['odd_texts']:,} without one. The champion stays."
        )


def count_changed_labels(
    answers: npt.NDArray[np.float32], probabilities: npt.NDArray[np.float32]
) -> int:
    """Return how many labels differ, leaving out answers within TOLERANCE of 0.5."""
    is_close = np.abs(probabilities - 0.5) < TOLERANCE
    return int(np.sum(((answers >= 0.5) != (probabilities >= 0.5)) & ~is_close))


def _measure_difference(
    answers: npt.NDArray[np.float32], probabilities: npt.NDArray[np.float32]
) -> float:
    # max() carries a NaN on, so that it cannot pass for a small difference.
    return float(np.abs(answers - probabilities).max(initial=0.0))


def _ask_fresh_process(
    uri: str,
    name: str,
    number: int,
    known: KnownFiles,
    texts: Sequence[str],
    scratch: Path,
    seconds: float,
) -> tuple[dict[str, Any], npt.NDArray[np.float32]]:
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=make_temporary_prefix(), dir=scratch) as folder:
        job, answers_file = Path(folder) / "job.json", Path(folder) / "answers.npy"
        found_file = Path(folder) / "found.json"
        write_json(
            job,
            {
                "uri": uri,
                "name": name,
                "number": number,
                "known": asdict(known),
                "texts": list(texts),
                "answers": str(answers_file),
                "found": str(found_file),
            },
        )
        try:
            finished = subprocess.run(
                make_module_command("sentiflow.gate.checks", str(job)),
                capture_output=True,
                text=True,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise GateNotEvaluated(
                f"Version {number} of {name} must answer in a fresh process within {seconds:g} "
                "seconds (gate.check_seconds). Received: nothing."
            ) from None
        if finished.returncode != 0:
            lines = finished.stderr.strip().splitlines() or ["no output"]
            raise GateNotEvaluated(
                f"Version {number} of {name} must load and answer in a fresh process. Received: "
                f"exit code {finished.returncode}, {lines[-1][:500]}"
            )
        try:
            answers = np.load(answers_file, allow_pickle=False)
            found: dict[str, Any] = read_json(found_file)
        except (OSError, ValueError, ArtifactError) as error:
            raise GateNotEvaluated(
                f"Version {number} of {name} must leave its answers behind. Received: {error}"
            ) from error
    if answers.shape != (len(texts),):
        raise GateNotEvaluated(
            f"Version {number} of {name} must answer all {len(texts)} texts in a fresh process. "
            f"Received: answers of shape={answers.shape}."
        )
    return found, answers


def answer_job(job_file: Path) -> None:
    """Load the version the job names, answer, measure, and write down both."""
    from sentiflow.release.registry import Registry

    job = read_json(job_file)
    registry = Registry(job["uri"], RetryPolicy(_PATIENCE_SECONDS))
    version = registry.look_up_version(job["name"], job["number"])
    if version is None:
        raise ArtifactError(json.dumps({"missing": [job["name"], job["number"]]}))
    started = time.monotonic()
    model = registry.load(version, KnownFiles(**job["known"]), job_file.parent)
    load_seconds = time.monotonic() - started
    np.save(job["answers"], model.predict(job["texts"]), allow_pickle=False)
    odd = make_odd_texts()
    odd_answers = model.predict(odd)
    # Written so that NaN counts; with an answer missing nobody knows whose the others are.
    is_sound = (odd_answers >= 0) & (odd_answers <= 1)
    sound = int(np.sum(is_sound)) if odd_answers.shape == (len(odd),) else 0
    # The first single text may still be compiled for.
    model.predict([_TIMED_TEXT])
    latencies = []
    for _ in range(_TIMED_CALLS):
        started = time.perf_counter()
        model.predict([_TIMED_TEXT])
        latencies.append(1_000 * (time.perf_counter() - started))
    write_json(
        Path(job["found"]),
        {
            "odd_texts": len(odd),
            "odd_failures": len(odd) - sound,
            "latency_ms": round(float(np.median(latencies)), 3),
            "latency_p95_ms": round(float(np.quantile(latencies, 0.95)), 3),
            "artifact_mb": round(registry.measure_artifact_mb(version), 3),
            "load_seconds": round(load_seconds, 3),
        },
    )


if __name__ == "__main__":
    answer_job(Path(sys.argv[1]))
