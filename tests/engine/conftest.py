"""One stack on a real engine for all tests of this folder, which tell its life in order."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine.stack import Stack
from small import SMALL, write_plain_reviews

# Every character that means something in an address, a settings file, SQL or a shell.
HARD = "p@%s/:?#'\"w $x"
# Those that are not given are drawn.
GIVEN = {
    "PREFECT_DATABASE_PASSWORD": f"prefect-{HARD}-given",
    "LEDGER_DATABASE_PASSWORD": f"ledger-{HARD}-given",
    "SENTIFLOW_WEBHOOK_URL": "http://outside:8000/webhook-token-that-was-given",
    "SENTIFLOW_PING_URL": "http://outside:8000/ping-token-that-was-given",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Watermark what needs an engine, so that no other suite takes it."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.engine)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The whole of docker-compose.yml, up, with small reviews in a folder of this machine."""
    if "SENTIFLOW_ENGINE" not in os.environ:
        pytest.skip("these tests need a Docker engine; `make test-compose` starts one")
    folder = tmp_path_factory.mktemp("stack")
    stack = make_stack(folder)
    # One that a killed run left behind would tell its own story: its first night, its ledger.
    left = stack.docker("volume", "ls", "--quiet", "--filter", "name=sentiflow_").split()
    assert not left, f"the engine must have no stack yet; it has {left}"
    try:
        stack.up()
        yield stack
    finally:
        (folder / "log").write_text(stack.compose("logs", "--timestamps", check=False))
        stack.compose("down", "--volumes", "--timeout", "5", check=False)


def make_stack(folder: Path) -> Stack:
    """Return a stack that is not up yet, its reviews below a folder."""
    data = folder / "data"
    data.mkdir()
    data.chmod(0o755)
    write_plain_reviews(data / "reviews.jsonl")
    variables = {
        **GIVEN,
        "SENTIFLOW_DATA_FOLDER": str(data),
        "SENTIFLOW_DATA": "/data/reviews.jsonl",
        "SENTIFLOW_OPTIONS": " ".join(f"--set {override}" for override in SMALL),
    }
    return Stack(folder, variables)


@pytest.fixture(scope="session")
def promoted(stack: Stack) -> Stack:
    """The stack after its first night, that nobody asked for."""
    (run,) = stack.wait_for(lambda: stack.find_runs("first-night"), 60)
    assert stack.wait_for_end(run["id"])["state"]["type"] == "COMPLETED", stack.read_log("worker")
    stack.read_answers()
    return stack
