"""What the tests of operations share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from listening import Listener, listen

from sentiflow.commands.context import ReleaseContext, open_release_context


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listen() as server:
        yield server


@pytest.fixture
def open_own_desk(
    home: Path, shared_mlflow: str, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., ReleaseContext]:
    """Open the context of a model of the test's own, which no night has registered yet.

    MLflow is the real one on SQLite; versions have no artifact, so that loading them in a fresh
    process is left out (`tests/test_releases.py` does all of it through the command line).
    """
    monkeypatch.setattr("sentiflow.gate.checks.probe_version", lambda *_: None)

    def open_one(**more: Any) -> ReleaseContext:
        return open_release_context(None, [f"model.name=context-{home.parent.name}"], home, **more)

    return open_one
