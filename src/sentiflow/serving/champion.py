"""Follow the champion: fetch it, prove it aside, then serve it in place of the one before.

A thread asks the registry every few seconds. What is served is one reference that is
replaced in one step, so a request sees the old version or the new one, never a mixture, and
never waits for the registry. A version that does not load leaves the old one serving.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from sentiflow.errors import GateNotEvaluated, SentiflowError, describe_error
from sentiflow.release.registry import CHAMPION, Registry, Version
from sentiflow.serving.batching import Model
from sentiflow.serving.copies import LocalCopies, is_same

# How long a start waits for the registry before it falls back on the local copy.
PATIENCE: Final = 5.0
_LONGEST_PAUSE: Final = 600.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Served:
    """A loaded version.

    Attributes:
        version: what it is in the registry.
        model: the bundle.
        since: since when it is served, UTC.
        loaded_from: where its files came from.
    """

    version: Version
    model: Model
    since: datetime
    loaded_from: Literal["registry", "local copy"]

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
    """

    version: Version
    reason: str
    attempts: int
    retry_at: float


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
    """

    served: Served | None = None
    failure: Failure | None = None
    failed_loads: int = 0
    last_answer: datetime | None = None
    unreachable_since: datetime | None = None
    has_champion: bool = False


class ChampionFollower:
    """Keeps the champion of one registered model loaded."""

    def __init__(
        self,
        registry: Registry,
        name: str,
        folder: Path,
        poll_seconds: float,
        batch: int,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """Remember what to follow; `start` begins.

        Args:
            registry: where the alias `champion` is.
            name: the registered model's name.
            folder: where local copies are kept.
            poll_seconds: pause between two looks at the registry.
            batch: texts of the largest batch, to warm a model up with.
            on_change: called in the background after another version is served.
        """
        self.name = name
        self.state = State()
        self._registry = registry
        self._copies = LocalCopies(folder)
        self._poll_seconds = poll_seconds
        self._batch = batch
        self._on_change = on_change
        # Held while the state is replaced, never while anything is loaded or asked.
        self._change = threading.Lock()
        self._settled = threading.Event()
        self._stopping = threading.Event()

    def find_served(self) -> Served | None:
        """Return the version that answers now, or None."""
        return self.state.served

    def start(self) -> None:
        """Follow in the background; what is kept locally is served if the registry is silent."""
        for work in (self._follow, self._restore_when_silent):
            threading.Thread(target=work, name=f"sentiflow{work.__name__}", daemon=True).start()

    def stop(self) -> None:
        """Ask the registry no more."""
        self._stopping.set()

    def poll(self) -> None:
        """Look once at the registry and serve its champion if that is another version."""
        try:
            version = self._registry.find_alias(self.name, CHAMPION)
            self._update(
                last_answer=datetime.now(UTC),
                unreachable_since=None,
                has_champion=version is not None,
            )
            # Taking an alias away is no order to stop: only a champion follows a champion.
            if version is not None:
                self._serve_champion(version)
        except Exception as error:
            # Whatever a registry, a network or a disk comes up with, following must go on.
            if self.state.unreachable_since is None:
                logger.warning("The registry fails, what is loaded goes on: %s", _shorten(error))
                self._update(unreachable_since=datetime.now(UTC))

    def restore(self) -> None:
        """Serve the local copy that was kept last and still answers its probes.

        No lock is taken: a fetch that hangs holds it, and then this is needed most.
        """
        for copy in self._copies.list_copies():
            try:
                model = self._load(copy.bundle)
            except Exception as error:
                # Whatever is wrong with a damaged copy, it must not be served.
                logger.warning("A damaged local copy is not served: %s", _shorten(error))
                continue
            served = Served(copy.version, model, datetime.now(UTC), "local copy")
            with self._change:
                # The registry may have answered in the meantime, and it knows better.
                if self.state.served is None:
                    self.state = replace(self.state, served=served)
            number = copy.version.number
            logger.info("Loaded version %d of %s from its local copy.", number, self.name)
            return

    def _follow(self) -> None:
        while not self._stopping.is_set():
            before = self._served_since()
            self.poll()
            if self.state.served is None:
                self.restore()
            self._settled.set()
            if self._served_since() != before:
                self._on_change()
            self._stopping.wait(self._poll_seconds)

    def _served_since(self) -> datetime | None:
        # A time, not the served version itself: that would keep the former model in memory.
        return self.state.served.since if self.state.served is not None else None

    def _restore_when_silent(self) -> None:
        if not self._settled.wait(PATIENCE) and self.state.served is None:
            self.restore()

    def _serve_champion(self, version: Version) -> None:
        served, failure = self.state.served, self.state.failure
        if served is not None and is_same(served.version, version):
            # Tags may be set after the alias was moved.
            self._update(served=replace(served, version=version), failure=None)
            return
        attempts = 0
        if failure is not None and is_same(failure.version, version):
            if time.monotonic() < failure.retry_at:
                return
            attempts = failure.attempts
        try:
            model, loaded_from = self._fetch(version)
        except GateNotEvaluated:
            raise
        except Exception as error:
            # A broken artifact may fail in any way; what is loaded must go on.
            pause = min(self._poll_seconds * 2**attempts, _LONGEST_PAUSE)
            reason = _shorten(error)
            logger.warning(
                "Version %d of %s does not load, %s: %s", version.number, self.name,
                f"version {served.version.number} goes on" if served else "nothing is served",
                reason,
            )  # fmt: skip
            self._update(
                failure=Failure(version, reason, attempts + 1, time.monotonic() + pause),
                failed_loads=self.state.failed_loads + 1,
            )
            return
        self._update(served=Served(version, model, datetime.now(UTC), loaded_from), failure=None)
        logger.info("Serving version %d of %s.", version.number, self.name)

    def _fetch(self, version: Version) -> tuple[Model, Literal["registry", "local copy"]]:
        """Load a version from its local copy, or from the registry, which makes that copy."""
        with self._copies.lock():
            if copy := self._copies.find(version):
                try:
                    return self._load(copy.bundle), "local copy"
                except Exception as error:
                    # Whatever is wrong with a damaged copy, it is fetched anew.
                    logger.warning("A damaged local copy is replaced: %s", _shorten(error))
            fetched = self._copies.make(
                version, lambda folder: self._registry.fetch_bundle(version, folder)
            )
            with fetched as bundle:
                model = self._load(bundle)
            self._copies.remove_others(version)
            return model, "registry"

    def _load(self, folder: Path) -> Model:
        """Load a bundle, its probes checked, and run it once at its largest and smallest."""
        from sentiflow.model.bundle import load_bundle
        from sentiflow.model.probes import PROBES

        bundle = load_bundle(folder)
        bundle.predict([PROBES[turn % len(PROBES)] for turn in range(self._batch)])
        bundle.predict(PROBES[:1])
        return bundle

    def _update(self, **changes: object) -> None:
        with self._change:
            self.state = replace(self.state, **changes)  # type: ignore[arg-type]


def _shorten(error: Exception) -> str:
    name = f"{type(error).__name__}: " if isinstance(error, SentiflowError) else ""
    return " ".join(f"{name}{describe_error(error)}".split())[:500]
