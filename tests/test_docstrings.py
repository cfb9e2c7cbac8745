"""Every example in a docstring gives what it shows."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PLACES = {"src/sentiflow": REPOSITORY / "src", "flows": REPOSITORY}
# Found by their text: what has no example is not imported for it.
EXAMPLES = {
    ".".join(path.relative_to(root).with_suffix("").parts): path.read_text().count(">>> ")
    for folder, root in PLACES.items()
    for path in sorted((REPOSITORY / folder).rglob("*.py"))
    if ">>> " in path.read_text()
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_of_a_module_give_what_they_show(name: str) -> None:
    failed, tried = doctest.testmod(import_module(name.removesuffix(".__init__")))
    assert failed == 0, "what differs was printed"
    assert tried == EXAMPLES[name], "every example is found"


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 15
