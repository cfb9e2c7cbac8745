"""Find the result of a step that was already done, instead of doing it again.

A step's key is a digest of its inputs (content digests, never file names), its settings and
all of the code. Results are JSON; files a step makes lie in a folder named by the key, and a
stored result is believed only if every file it names still has the bytes it had.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from sentiflow.errors import ArtifactError
from sentiflow.files import digest_file, digest_json, new_folder, read_json, write_json

logger = logging.getLogger(__name__)

_RESULT: Final = "result.json"

Compute = Callable[[Path], dict[str, Any]]


class Steps:
    """The finished steps under one home.

    Attributes:
        reused: names of the steps that were stored already.
        folders: where the files of each step lie that was asked for, by its name.
    """

    def __init__(self, home: Path, code: str, ignore_stored: bool = False) -> None:
        """Keep results under `home`/steps.

        Args:
            home: SENTIFLOW_HOME.
            code: digest of the code; part of every key.
            ignore_stored: do every step anew (`--force`).
        """
        self._root = home / "steps"
        self._code = code
        self._ignore_stored = ignore_stored
        self.reused: list[str] = []
        self.folders: dict[str, Path] = {}

    def key(self, step: str, inputs: Mapping[str, Any]) -> str:
        """Return the key of a step for these inputs (any JSON value)."""
        return digest_json({"step": step, "inputs": dict(inputs), "code": self._code})

    def run(self, step: str, inputs: Mapping[str, Any], compute: Compute) -> tuple[Path, Any]:
        """Return the folder and result of a step, computed unless it is stored already.

        Args:
            step: the step's name.
            inputs: all that its result depends on, beside the code.
            compute: called with an empty folder for its files; returns a JSON value.

        Returns:
            The folder with the step's files, and its result.
        """
        folder = self._root / f"{step}-{self.key(step, inputs)[:32]}"
        self.folders[step] = folder
        if not self._ignore_stored:
            stored = self._read(folder)
            if stored is not None:
                logger.info("%s: finished before, reused", step)
                # Pruning goes by the last use.
                os.utime(folder)
                self.reused.append(step)
                return folder, stored["result"]
        with new_folder(folder) as temporary:
            result = compute(temporary)
            files = {
                path.relative_to(temporary).as_posix(): digest_file(path)
                for path in sorted(temporary.rglob("*"))
                if path.is_file()
            }
            write_json(temporary / _RESULT, {"step": step, "result": result, "files": files})
        # Read back, so that a reused and a fresh result are the same JSON value.
        return folder, read_json(folder / _RESULT)["result"]

    def _read(self, folder: Path) -> dict[str, Any] | None:
        if not (folder / _RESULT).exists():
            return None
        try:
            stored: dict[str, Any] = read_json(folder / _RESULT)
        except ArtifactError:
            return None
        for name, digest in stored["files"].items():
            path = folder / name
            if not path.is_file() or digest_file(path) != digest:
                logger.warning("%s: the stored result is damaged, done again", stored["step"])
                return None
        return stored
