"""What people who carry the project on are told and given: it names what exists."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import sentiflow
from sentiflow import errors

REPOSITORY = Path(__file__).parents[1]
PAGES = ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", ".github/pull_request_template.md")
TARGETS = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), flags=re.M))
WORKFLOW = REPOSITORY / ".github" / "workflows" / "ci.yml"


def read(name: str) -> str:
    return (REPOSITORY / name).read_text()


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_names_is_there(page: str) -> None:
    text = read(page)
    for link in re.findall(r"\]\(([^)#\s]+)", text):
        assert (REPOSITORY / link).exists(), link
    in_code = re.findall(r"`make ([a-z -]+)`", text) + re.findall(
        r"^make ([a-z -]+?)  ", text, re.M
    )
    for names in in_code:
        assert set(names.split()) <= TARGETS, names
    for path in re.findall(r"`((?:src|tests|configs|docs|\.ci)/[\w./-]*)`", text):
        assert (REPOSITORY / path).exists(), path


def test_the_hooks_are_recipes_of_the_makefile_and_fetch_nothing() -> None:
    (repo,) = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
    assert repo["repo"] == "local"
    assert {hook["language"] for hook in repo["hooks"]} == {"system"}
    assert {hook["entry"] for hook in repo["hooks"]} == {"make lint", "make test"}
    assert {hook["entry"].split()[1] for hook in repo["hooks"]} <= TARGETS


def test_the_workflow_runs_what_decides_and_may_only_read() -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows",
         str(WORKFLOW)], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout
    workflow: dict[str, Any] = yaml.safe_load(WORKFLOW.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    (job,) = workflow["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == ["sudo .ci/run"]
    assert "secrets." not in WORKFLOW.read_text()


def test_the_newest_changes_are_those_of_this_version() -> None:
    sections = re.findall(r"^## (\S+)", read("CHANGELOG.md"), flags=re.M)
    assert sections[0] == sentiflow.__version__
    entries = [line for line in read("CHANGELOG.md").splitlines() if line.startswith(("- ", "  "))]
    assert [line for line in entries if line.startswith("  ")] == [], "an entry is one line"


def test_every_error_has_its_place_on_the_page_of_what_may_be_imported() -> None:
    page = read("docs/api.md")
    ours = {
        name
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.SentiflowError)
    }
    assert set(re.findall(r"autoexception:: (\w+)", page)) == ours
    named = set(re.findall(r"auto(?:function|class):: (\w+)", page))
    assert named == set(sentiflow.__all__) - {"errors", "__version__"}
