"""Ask a registered version in a fresh process, as whoever serves it would.

Run as a module it is that process: it loads one version by its address, answers the texts
of a file and writes the probabilities.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from sentiflow.errors import ArtifactError
from sentiflow.files import read_json, write_json

TOLERANCE: Final = 1e-5
_SECONDS: Final = 300


def check_parity(
    uri: str,
    name: str,
    number: int,
    texts: Sequence[str],
    probabilities: npt.NDArray[np.float32],
    scratch: Path,
) -> float:
    """Make sure that a registered version reproduces probabilities in a fresh process.

    Args:
        uri: the registry's address.
        name: the registered model's name.
        number: the version.
        texts: n texts.
        probabilities: what the model answered in this process, shape (n,).
        scratch: folder for the exchange; the texts are removed from it again.

    Returns:
        The largest absolute difference, at most TOLERANCE.

    Raises:
        ArtifactError: the version does not load or answers otherwise.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        job = Path(folder) / "job.json"
        answers_file = Path(folder) / "answers.npy"
        write_json(
            job,
            {
                "uri": uri,
                "name": name,
                "number": number,
                "texts": list(texts),
                "answers": str(answers_file),
            },
        )
        try:
            finished = subprocess.run(
                [sys.executable, "-m", "sentiflow.release.checks", str(job)],
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ArtifactError(
                f"Version {number} of {name} must answer in a fresh process within {_SECONDS} "
                "seconds. Received: nothing."
            ) from None
        if finished.returncode != 0:
            lines = finished.stderr.strip().splitlines() or ["no output"]
            raise ArtifactError(
                f"Version {number} of {name} must load in a fresh process. Received: {lines[-1]}"
            )
        answers = np.load(answers_file, allow_pickle=False)
    difference = float(np.abs(answers - probabilities).max(initial=0.0))
    # Written so that NaN fails too.
    if not difference <= TOLERANCE:
        raise ArtifactError(
            f"Version {number} of {name} must give the same probabilities in a fresh process "
            f"within {TOLERANCE:g}. Received: largest difference={difference:.3g}."
        )
    return difference


def answer_job(job_file: Path) -> None:
    """Load the version the job names, answer its texts, write the probabilities."""
    from sentiflow.release.registry import Registry

    job = read_json(job_file)
    registry = Registry(job["uri"])
    version = registry.find_version(job["name"], job["number"])
    if version is None:
        raise ArtifactError(json.dumps({"missing": [job["name"], job["number"]]}))
    np.save(job["answers"], registry.load(version).predict(job["texts"]), allow_pickle=False)


if __name__ == "__main__":
    answer_job(Path(sys.argv[1]))
