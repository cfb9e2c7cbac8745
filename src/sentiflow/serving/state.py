"""Hold what the service knows of the version that answers, and say what a person should look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import numpy as np
import numpy.typing as npt

from sentiflow.release.explained import Explained
from sentiflow.release.known_files import KnownFiles
from sentiflow.release.registry import Version
from sentiflow.serving.batching import Model


@dataclass(frozen=True)
class Served:
    """A loaded version.

    Attributes:
        version: what it is in the registry.
        model: the bundle.
        since: since when it is served, UTC.
        loaded_from: where its files came from.
        files: SHA-256 by file, of the very copy that was loaded.
        is_known: whether the ledger knows these files.
    """

    version: Version
    model: Model
    since: datetime
    loaded_from: Literal["registry", "local copy"]
    files: Mapping[str, str] = field(default_factory=dict)
    is_known: bool = True

    def predict(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return P(positive) of n texts; shape (n,), dtype float32."""
        return self.model.predict(texts)


@dataclass(frozen=True)
class Failure:
    """A champion that could not be loaded.

    Attributes:
        version: which one.
        reason: why.
        attempts: how often it was tried.
        retry_at: when it is tried again, on the monotonic clock, in seconds.
        known: what the ledger knew of its files then; something new is worth a try at once.
    """

    version: Version
    reason: str
    attempts: int
    retry_at: float
    known: KnownFiles | None = None


@dataclass(frozen=True)
class State:
    """What a follower knows; replaced as a whole, so that readers never see half of a change.

    Attributes:
        served: the version that answers, or None.
        failure: the champion that does not load, or None.
        failed_loads: how many loads failed since the start.
        last_answer: when the registry last answered, UTC, or None.
        unreachable_since: when the registry stopped answering, UTC; None while it answers.
        has_champion: whether the registry named one when it last answered.
        has_ledger: whether the ledger has answered since the start.
        ledger_silent_since: when the ledger stopped answering, UTC; None while it answers.
        move: where the alias stands when no event put it there, in words; None when one did.
    """

    served: Served | None = None
    failure: Failure | None = None
    failed_loads: int = 0
    last_answer: datetime | None = None
    unreachable_since: datetime | None = None
    has_champion: bool = False
    has_ledger: bool = False
    ledger_silent_since: datetime | None = None
    move: str | None = None

    def list_warnings(self) -> list[str]:
        """Return what a person should look at, one sentence each."""
        served = self.served
        warnings = [self.move] if self.move else []
        if served is not None and self.has_ledger and not served.is_known:
            number = served.version.number
            warnings.append(
                f"The ledger does not know the files of version {number}; the copy that was kept "
                f"here before is served: sentiflow attest {number} --reason …"
            )
        if self.ledger_silent_since is not None:
            since = self.ledger_silent_since.isoformat(timespec="seconds")
            warnings.append(f"The ledger does not answer since {since}.")
        return warnings


def describe_move(name: str, explained: Explained, alias: Version | None) -> str:
    """Return in words that the alias stands where no event put it, and what answers meanwhile."""
    champion = explained.state.champion
    where = f"points at version {alias.number}" if alias is not None else "is gone"
    if champion is None:
        return (
            f"The champion alias of {name} {where}, which no event of the ledger explains: it is "
            "not served. Is this its ledger (SENTIFLOW_LEDGER_URL)? If so: sentiflow adopt "
            "--reason …"
        )
    if alias is not None and alias.number == champion:
        where += ", which is another model by now"
    return (
        f"The champion alias of {name} {where}, and no event of the ledger put it there. It is not "
        f"followed: the ledger's champion is version {champion}. Settle it: sentiflow adopt "
        "--reason … or sentiflow revert --reason …"
    )
