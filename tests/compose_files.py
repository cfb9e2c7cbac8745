"""Read docker-compose.yml and the Dockerfile as Docker would."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parents[1]
_REFERENCE = re.compile(r"([A-Za-z_]\w*)(?:(:?[-+?])(.*))?", re.DOTALL)


def interpolate(text: str, variables: Mapping[str, str]) -> str:
    """Replace ${NAME}, ${NAME:-default}, ${NAME:+other} and $$ as Compose does."""
    result, position = "", 0
    while (start := text.find("$", position)) >= 0:
        result += text[position:start]
        if text.startswith("$$", start):
            result, position = result + "$", start + 2
            continue
        assert text.startswith("${", start), f"not a reference: {text[start:]}"
        depth, end = 1, start + 2
        while depth:
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        match = _REFERENCE.fullmatch(text[start + 2 : end - 1])
        assert match, f"not a reference: {text[start:end]}"
        name, operator, word = match.groups()
        value = variables.get(name)
        is_there = bool(value) if operator and operator[0] == ":" else value is not None
        if operator in ("+", ":+"):
            result += interpolate(word, variables) if is_there else ""
        elif is_there or operator is None:
            result += value or ""
        else:
            assert operator in ("-", ":-"), f"{name} is required: {word}"
            result += interpolate(word, variables)
        position = end
    return result + text[position:]


def read_compose(variables: Mapping[str, str]) -> dict[str, Any]:
    """Return docker-compose.yml with every variable replaced."""

    def replace(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: replace(entry) for key, entry in value.items()}
        if isinstance(value, list):
            return [replace(entry) for entry in value]
        return interpolate(value, variables) if isinstance(value, str) else value

    text = (REPOSITORY / "docker-compose.yml").read_text(encoding="utf-8")
    compose: dict[str, Any] = replace(yaml.safe_load(text))
    return compose


@dataclass(frozen=True)
class Instruction:
    """One instruction of a Dockerfile, its stage counted from 0 (-1: before the first)."""

    stage: int
    name: str
    text: str

    @property
    def words(self) -> list[str]:
        """Its words; a JSON list (exec form) as well."""
        if self.text.startswith("["):
            words: list[str] = json.loads(self.text)
            return words
        return shlex.split(self.text)


def read_dockerfile() -> list[Instruction]:
    """Return the Dockerfile's instructions in order."""
    text = (REPOSITORY / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    stage, instructions = -1, []
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        name, _, rest = line.strip().partition(" ")
        if name:
            stage += name == "FROM"
            instructions.append(Instruction(stage, name, " ".join(rest.split())))
    return instructions
