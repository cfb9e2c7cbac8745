"""The Dockerfile: linted, its copied files there, and its install steps carried out."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
from compose_files import REPOSITORY, Instruction, read_dockerfile

LAST = max(instruction.stage for instruction in read_dockerfile())


def list_stage(stage: int, name: str) -> list[Instruction]:
    return [i for i in read_dockerfile() if i.stage == stage and i.name == name]


def is_ignored(path: str) -> bool:
    """Whether .dockerignore keeps a path away from the build; the last rule that fits decides."""
    ignored = False
    for rule in (REPOSITORY / ".dockerignore").read_text().splitlines():
        if not rule or rule.startswith("#"):
            continue
        is_exception, pattern = rule.startswith("!"), rule.removeprefix("!")
        parents = ["/".join(path.split("/")[:n]) for n in range(1, path.count("/") + 2)]
        if pattern.startswith("**/"):
            fits = any(fnmatch(Path(parent).name, pattern[3:]) for parent in parents)
        else:
            fits = any(parent == pattern or pattern == "*" for parent in parents)
        if fits:
            ignored = not is_exception
    return ignored


def list_copied(stage: int) -> list[tuple[str, str]]:
    """What a stage copies from the checkout: each source with its target."""
    pairs = []
    for instruction in list_stage(stage, "COPY"):
        *sources, target = instruction.words
        if not sources[0].startswith("--from"):
            pairs += [(source, target) for source in sources]
    return pairs


def test_hadolint_has_nothing_to_say() -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if hadolint is None:
        pytest.skip("hadolint has no build for this machine")
    answer = subprocess.run(
        [hadolint, REPOSITORY / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert (answer.returncode, answer.stdout) == (0, "")


@pytest.mark.parametrize("stage", [0, LAST])
def test_everything_that_is_copied_is_there_and_not_ignored(stage: int) -> None:
    copied = list_copied(stage)
    assert len(copied) >= 8
    for source, _ in copied:
        assert (REPOSITORY / source).exists(), source
        assert not is_ignored(source), source


def test_nothing_else_gets_to_the_build() -> None:
    for path in (
        ".git/config", ".venv/bin/python", ".env", ".sentiflow/mlflow.db", "tests/small.py",
        "docs/gate.md", "src/sentiflow/__pycache__/x.pyc", "scripts/soak.sh",
        "requirements-dev.lock",
    ):  # fmt: skip
        assert is_ignored(path), path


def test_the_image_runs_as_nobody_in_particular_and_is_asked_how_it_is() -> None:
    (user,) = list_stage(LAST, "USER")
    assert user.text == "999:999"
    (health,) = list_stage(LAST, "HEALTHCHECK")
    assert "check_health.py" in health.text
    (entrypoint,) = list_stage(LAST, "ENTRYPOINT")
    script = REPOSITORY / Path(entrypoint.words[0]).relative_to("/opt/sentiflow")
    assert os.access(script, os.X_OK)


def test_both_stages_start_from_one_pinned_image_and_take_no_tools_along() -> None:
    assert {i.words[0] for i in read_dockerfile() if i.name == "FROM"} == {"${PYTHON_IMAGE}"}
    (image,) = list_stage(-1, "ARG")
    assert re.fullmatch(r"PYTHON_IMAGE=python:3\.1[123]-slim-\w+", image.text)
    text = (REPOSITORY / "Dockerfile").read_text()
    assert not re.search(r"apt-get|gcc|build-essential|curl|ADD ", text)


def test_no_value_in_the_image_is_a_secret() -> None:
    names = [word.split("=")[0] for i in read_dockerfile() if i.name == "ENV" for word in i.words]
    assert names
    assert not [name for name in names if re.search("PASSWORD|SECRET|TOKEN|KEY|AUTH", name)]


def test_it_installs_as_make_setup_does() -> None:
    (install,) = list_stage(0, "RUN")
    assert install.words == ["scripts/install.sh", "python3", ".venv", "requirements.lock"]
    makefile = (REPOSITORY / "Makefile").read_text()
    assert '@scripts/install.sh "$(PYTHON)" $(VENV) requirements.lock' in makefile
    script = (REPOSITORY / "scripts" / "install.sh").read_text()
    assert script.count("--require-hashes") == 2


def cut_lock(text: str, names: set[str]) -> str:
    """The entries of a lock file for some packages, hashes and all."""
    entries = re.findall(r"^[A-Za-z0-9_.-]+==.*(?:\n    --hash.*)+\n", text, re.M)
    kept = [entry for entry in entries if entry.split("==")[0] in names]
    assert len(kept) == len(names)
    return "".join(kept)


@pytest.mark.slow
def test_its_steps_make_an_environment_that_runs_from_what_it_copies(tmp_path: Path) -> None:
    # The real script, lock entries and hashes, in a clean virtual environment; only the lock is
    # cut to what the build of the checkout itself needs, for `.ci/run` installs the whole of it
    # by the same script. Everything else is lent by the environment of this test.
    root = tmp_path / "image"
    for stage in (0, LAST):
        for source, target in list_copied(stage):
            place = root / (f"{target}{Path(source).name}" if target.endswith("/") else target)
            place.parent.mkdir(parents=True, exist_ok=True)
            if (REPOSITORY / source).is_dir():
                ignore = shutil.ignore_patterns("__pycache__")
                shutil.copytree(REPOSITORY / source, place, dirs_exist_ok=True, ignore=ignore)
            else:
                shutil.copy(REPOSITORY / source, place)
        if stage == 0:
            whole = (root / "requirements.lock").read_text()
            needed = {
                "editables",
                "hatchling",
                "packaging",
                "pathspec",
                "pluggy",
                "trove-classifiers",
            }
            (root / "requirements.lock").write_text(cut_lock(whole, needed))
            (install,) = list_stage(0, "RUN")
            # Without uv, as in the image.
            environment = {**os.environ, "PATH": "/usr/local/bin:/usr/bin:/bin"}
            words = [sys.executable if word == "python3" else word for word in install.words]
            subprocess.run(words, cwd=root, env=environment, check=True, timeout=300)
            (root / "requirements.lock").unlink()
    (site,) = (root / ".venv" / "lib").glob("python*/site-packages")
    lent = next(path for path in sys.path if path.endswith("site-packages"))
    (site / "lent.pth").write_text(f"{lent}\n")
    environment = {"PATH": f"{root}/.venv/bin:/usr/bin:/bin", "HOME": str(tmp_path)}
    *_, compile_all = list_stage(LAST, "RUN")
    assert compile_all.words[:4] == ["python", "-m", "compileall", "-q"]
    subprocess.run(compile_all.words, cwd=root, env=environment, check=True)
    assert (root / "src" / "sentiflow" / "__pycache__").is_dir()
    # Imports the checkout of the image, not this one, and finds every file it reads.
    script = (
        "import sentiflow, flows; from flows.deploying import read_deployments;"
        "from sentiflow.settings import list_presets;"
        "from sentiflow.operations.code import describe_code;"
        "print(sentiflow.__file__, flows.__file__, len(read_deployments()), len(list_presets()),"
        " len(describe_code().lock_digest))"
    )
    answer = subprocess.run(
        ["python", "-c", script], cwd=tmp_path, env=environment, check=True, capture_output=True,
        text=True,
    )  # fmt: skip
    package, flows, deployments, presets, digest = answer.stdout.split()
    assert Path(package).is_relative_to(root)
    assert Path(flows).is_relative_to(root)
    assert (int(deployments) >= 5, int(presets) >= 5, int(digest)) == (True, True, 64)
    subprocess.run(["sentiflow", "--help"], env=environment, check=True, capture_output=True)
