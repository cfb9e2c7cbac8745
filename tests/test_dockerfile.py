"""The Dockerfile: linted, pinned, without tools. What it builds is shown by tests/engine."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
TEXT = (REPOSITORY / "Dockerfile").read_text()


def test_hadolint_has_nothing_to_say() -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if hadolint is None:
        pytest.skip("hadolint has no build for this machine")
    answer = subprocess.run(
        [hadolint, REPOSITORY / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert (answer.returncode, answer.stdout) == (0, "")


def test_it_starts_from_a_pinned_image_and_takes_no_tools_along() -> None:
    assert set(re.findall(r"^FROM (\S+)", TEXT, re.M)) == {"${PYTHON_IMAGE}"}
    assert re.search(r"^ARG PYTHON_IMAGE=python:3\.1[123]-slim-\w+$", TEXT, re.M)
    assert not re.search(r"apt-get|gcc|build-essential|curl|ADD ", TEXT)
    script = (REPOSITORY / "scripts" / "install.sh").read_text()
    assert script.count("--require-hashes") == 2
