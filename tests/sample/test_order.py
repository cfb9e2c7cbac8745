"""What the embedded sample is for: a network that reads order beats the counting of words."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from outside import make_environment

from sentiflow.reporting.decision_record import locate_decision_file


@pytest.mark.slow
def test_on_the_sample_reading_beats_counting_words_by_five_points(tmp_path: Path) -> None:
    """One night as `make run` has it, through the command line."""
    answer = subprocess.run(
        [sys.executable, "-m", "sentiflow", "run", "--json"], cwd=tmp_path,
        env=make_environment(), capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    night = json.loads(answer.stdout)
    assert night["outcome"] == "promoted"
    path = locate_decision_file(tmp_path / ".sentiflow", night["decision"])
    found = json.loads(path.read_text())["findings"]
    assert found["behaviour_pack"]["pack"] == "general"
    baseline = found["baseline"]
    assert baseline["value"] >= 0.05
    assert baseline["lower"] > 0.02
    passed = {behaviour["name"]: behaviour["pass_rate"] for behaviour in found["behaviours"]}
    assert passed["contrast"] >= 0.9
