"""Answer the `docker compose` commands of docs/operations.md for a stack of processes.

Usage: docker_stand_in.py FOLDER compose VERB …, with the folder of a `composing.Stack`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from composing import Stack


def split_options(words: Sequence[str]) -> tuple[dict[str, str | None], list[str]]:
    """Part leading options from what follows; --entrypoint and -e take a value."""
    options: dict[str, str | None] = {}
    rest = iter(words)
    for word in rest:
        if not word.startswith("-"):
            return options, [word, *rest]
        options[word] = next(rest) if word in ("--entrypoint", "-e") else None
    return options, []


def main(folder: str, compose: str, verb: str, *words: str) -> int:
    """Answer one `docker compose` command."""
    assert compose == "compose"
    stack = Stack(Path(folder))
    options, rest = split_options(words)
    match verb:
        case "up":
            if "--force-recreate" in options:
                stack.stop()
            stack.up(rest)
        case "down":
            stack.stop()
            if "--volumes" in options:
                stack.wipe()
        case "exec":
            # What is executed in a running container passes by its entrypoint.
            return stack.run(rest[0], rest[1:], (), stdin=sys.stdin.buffer)
        case "run":
            if "--no-deps" not in options:
                stack.up(stack.find_needed(rest[0]))
            given = options.get("--entrypoint")
            return stack.run(
                rest[0], rest[1:] or stack.find_words(rest[0]), [given] if given else None,
                stdin=sys.stdin.buffer,
            )  # fmt: skip
        case _:
            raise AssertionError(f"not a command of docs/operations.md: {verb}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
