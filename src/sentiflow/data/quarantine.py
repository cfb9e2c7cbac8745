"""Keep what could not be used, each row with where it stood and why."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from sentiflow.data.reviews import Rejection
from sentiflow.files import make_temporary_prefix


class QuarantineWriter:
    """Write rejected rows as JSON lines, to a file named by its content.

    Use as a context manager; without `finish` nothing is left.
    """

    def __init__(self, home: Path) -> None:
        """Write under `home`/snapshots, beside the snapshot."""
        self._root = home / "snapshots" / "quarantine"
        self._digest = hashlib.sha256()
        self.by_rule: Counter[str] = Counter()
        self.by_label: Counter[str] = Counter()

    def __enter__(self) -> QuarantineWriter:
        """Open a temporary file."""
        self._root.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=make_temporary_prefix(), dir=self._root)
        self._path = Path(name)
        self._stream = os.fdopen(handle, "wb")
        return self

    def __exit__(self, *_: object) -> None:
        """Close, and remove the temporary file if it was not finished."""
        self._stream.close()
        self._path.unlink(missing_ok=True)

    def add(self, rejections: Iterable[Rejection]) -> None:
        """Append rejected rows."""
        for rejection in rejections:
            self.by_rule[rejection.rule] += 1
            shown = asdict(rejection)
            # Only counted: the row itself stands in `raw`.
            if (label := shown.pop("unknown_label")) is not None:
                self.by_label[label] += 1
            line = json.dumps(shown).encode() + b"\n"
            self._digest.update(line)
            self._stream.write(line)

    def finish(self) -> Path:
        """Give the file its final name and return it."""
        self._stream.close()
        final = self._root / f"{self._digest.hexdigest()[:16]}.jsonl"
        os.replace(self._path, final)
        return final
