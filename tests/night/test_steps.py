import json
from pathlib import Path
from typing import Any

import pytest

from sentiflow.night.code import digest_sources
from sentiflow.night.steps import Steps


class Counted:
    """A step that counts how often it really ran."""

    def __init__(self) -> None:
        self.ran = 0

    def __call__(self, folder: Path) -> dict[str, Any]:
        self.ran += 1
        (folder / "made.txt").write_text("content")
        return {"answer": 42}


def test_the_same_inputs_settings_and_code_are_done_once(tmp_path: Path) -> None:
    compute = Counted()
    for _ in range(2):
        folder, result = Steps(tmp_path, "code").run("train", {"tokens": "abc"}, compute)
    assert compute.ran == 1
    assert result == {"answer": 42}
    assert (folder / "made.txt").read_text() == "content"


@pytest.mark.parametrize(
    ("code", "step", "inputs"),
    [("other", "train", {"a": 1}), ("code", "tokenize", {"a": 1}), ("code", "train", {"a": 2})],
)
def test_another_input_step_or_code_is_another_result(
    tmp_path: Path, code: str, step: str, inputs: dict[str, int]
) -> None:
    compute = Counted()
    Steps(tmp_path, "code").run("train", {"a": 1}, compute)
    Steps(tmp_path, code).run(step, inputs, compute)
    assert compute.ran == 2


@pytest.mark.parametrize("damage", ["remove", "change", "result"])
def test_a_stored_result_is_believed_only_if_its_files_are_whole(
    tmp_path: Path, damage: str
) -> None:
    compute = Counted()
    folder, _ = Steps(tmp_path, "code").run("train", {}, compute)
    if damage == "remove":
        (folder / "made.txt").unlink()
    elif damage == "change":
        (folder / "made.txt").write_text("contenT")
    else:
        (folder / "result.json").write_text("{")
    steps = Steps(tmp_path, "code")
    steps.run("train", {}, compute)
    assert compute.ran == 2
    assert steps.reused == []


def test_force_does_every_step_anew(tmp_path: Path) -> None:
    compute = Counted()
    Steps(tmp_path, "code").run("train", {}, compute)
    Steps(tmp_path, "code", ignore_stored=True).run("train", {}, compute)
    assert compute.ran == 2


def test_a_step_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail(folder: Path) -> dict[str, Any]:
        (folder / "half").write_text("half")
        raise RuntimeError("no space left")

    with pytest.raises(RuntimeError):
        Steps(tmp_path, "code").run("train", {}, fail)
    assert list((tmp_path / "steps").iterdir()) == []


def test_editing_one_line_of_a_helper_reruns_the_step(tmp_path: Path) -> None:
    package = tmp_path / "package"
    (package / "deep").mkdir(parents=True)
    (package / "step.py").write_text("from package.deep import helper\n")
    helper = package / "deep" / "helper.py"
    helper.write_text("RATE = 1\n")
    compute = Counted()

    def run() -> None:
        Steps(tmp_path / "home", digest_sources([package])).run("train", {}, compute)

    run()
    run()
    assert compute.ran == 1
    helper.write_text("RATE = 2\n")
    run()
    assert compute.ran == 2
    helper.write_text("RATE = 1\n")
    run()
    assert compute.ran == 2, "the old code's result is still there"


def test_bytecode_does_not_change_the_code_digest(tmp_path: Path) -> None:
    package = tmp_path / "package"
    (package / "__pycache__").mkdir(parents=True)
    (package / "a.py").write_text("A = 1\n")
    before = digest_sources([package])
    (package / "__pycache__" / "a.pyc").write_bytes(b"anything")
    assert digest_sources([package]) == before


def test_results_are_json(tmp_path: Path) -> None:
    folder, _ = Steps(tmp_path, "code").run("train", {}, Counted())
    assert json.loads((folder / "result.json").read_text())["files"].keys() == {"made.txt"}
