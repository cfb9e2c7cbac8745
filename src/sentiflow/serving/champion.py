"""Follow the champion: fetch it, prove it aside, then serve it in place of the one before.

A thread asks registry and ledger every few seconds. The ledger says which version is champion and
what its files are; the registry has them, and an alias that anyone may move. So only what the
ledger explains is served, and an alias that stands elsewhere is told, not followed. Where the
ledger does not answer, what it explained last goes on.

What is served is one reference that is replaced in one step, so a request sees the old version or
the new one, never a mixture, and never waits for a registry. A version that does not load leaves
the old one serving.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from sentiflow.errors import ArtifactError, GateNotEvaluated, SentiflowError, describe_error
from sentiflow.release.explained import ChampionReader, Explained
from sentiflow.release.known_files import (
    KnownFiles,
    check_files,
    digest_bundle,
    explain_unknown,
)
from sentiflow.release.registry import CHAMPION, Registry, Version
from sentiflow.serving.batching import Model
from sentiflow.serving.copies import LocalCopies, is_same
from sentiflow.serving.state import Failure, Served, State, describe_move

# How long a start waits for the registry before it falls back on the local copy.
FIRST_LOOK_SECONDS: Final = 5.0
_LONGEST_PAUSE: Final = 600.0

logger = logging.getLogger(__name__)


class ChampionFollower:
    """Keeps the champion of one registered model loaded."""

    def __init__(
        self,
        registry: Registry,
        reader: ChampionReader,
        name: str,
        folder: Path,
        poll_seconds: float,
        batch: int,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """Remember what to follow; `start` begins.

        Args:
            registry: where the alias `champion` and the files are.
            reader: says which version the ledger has as champion.
            name: the registered model's name.
            folder: where local copies are kept.
            poll_seconds: pause between two looks at the registry.
            batch: texts of the largest batch, to warm a model up with.
            on_change: called in the background after another version is served.
        """
        self.name = name
        self.state = State()
        self._registry = registry
        self._reader = reader
        self._copies = LocalCopies(folder)
        self._poll_seconds = poll_seconds
        self._batch = batch
        self._on_change = on_change
        # Held while the state is replaced, never while anything is loaded or asked.
        self._change = threading.Lock()
        self._settled = threading.Event()
        self._stopping = threading.Event()

    def get_served(self) -> Served | None:
        """Return the version that answers now, or None."""
        return self.state.served

    def start(self) -> None:
        """Follow in the background; serve the local copy if the registry does not answer."""
        for work in (self._follow, self._restore_when_silent):
            threading.Thread(target=work, name=f"sentiflow{work.__name__}", daemon=True).start()

    def stop(self) -> None:
        """Ask the registry no more."""
        self._stopping.set()

    def poll(self) -> None:
        """Look once at registry and ledger, and serve the champion if that is another version."""
        try:
            alias = self._look_up_alias()
            explained = self._explain(alias)
            if explained is not None and explained.is_moved:
                # Alias and ledger are read one after the other: a release may lie between.
                alias = self._look_up_alias()
                explained = self._explain(alias)
            if explained is None:
                return
            self._note_move(explained, alias)
            version = self._look_up_champion(explained, alias)
            if version is not None:
                self._serve_champion(version, explained.look_up_known_files(version))
        except Exception as error:
            # Whatever error a registry, a network or a disk raises, following must go on.
            if self.state.unreachable_since is None:
                logger.warning("The registry fails, what is loaded goes on: %s", _shorten(error))
                self._update(unreachable_since=datetime.now(UTC))

    def restore(self) -> None:
        """Serve the local copy that was kept last and still answers its probes.

        No lock is taken: a fetch that hangs holds it, and then this is needed most.
        """
        for copy in self._copies.list_copies():
            try:
                files = digest_bundle(copy.bundle)
                if copy.files is not None and files != copy.files:
                    raise ArtifactError("its files are not those that were kept")
                model = self._load(copy.bundle)
            except Exception as error:
                # Whatever is wrong with a damaged copy, it must not be served.
                logger.warning("A damaged local copy is not served: %s", _shorten(error))
                continue
            # Whether the ledger knows them shows when it answers.
            is_known = copy.files is not None
            served = Served(copy.version, model, datetime.now(UTC), "local copy", files, is_known)
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
                try:
                    self.restore()
                except OSError as error:
                    # No descriptor, no disk: it is tried again, and following goes on.
                    logger.warning("The local copies cannot be read: %s", _shorten(error))
            self._settled.set()
            if self._served_since() != before:
                self._on_change()
            self._stopping.wait(self._poll_seconds)

    def _served_since(self) -> datetime | None:
        # A time, not the served version itself: that would keep the former model in memory.
        return self.state.served.since if self.state.served is not None else None

    def _restore_when_silent(self) -> None:
        if not self._settled.wait(FIRST_LOOK_SECONDS) and self.state.served is None:
            self.restore()

    def _look_up_alias(self) -> Version | None:
        alias = self._registry.look_up_alias(self.name, CHAMPION)
        self._update(
            last_answer=datetime.now(UTC), unreachable_since=None, has_champion=alias is not None
        )
        return alias

    def _explain(self, alias: Version | None) -> Explained | None:
        """Return what the ledger says, or None while it does not answer."""
        try:
            explained = self._reader.read(alias)
        except Exception as error:
            # Whatever error a database raises, the last explanation goes on.
            if self.state.ledger_silent_since is None:
                logger.warning("The ledger fails, what is loaded goes on: %s", _shorten(error))
                self._update(ledger_silent_since=datetime.now(UTC))
            return None
        self._update(has_ledger=True, ledger_silent_since=None)
        return explained

    def _note_move(self, explained: Explained, alias: Version | None) -> None:
        move = describe_move(self.name, explained, alias) if explained.is_moved else None
        if move is not None and move != self.state.move:
            logger.warning("%s", move)
        self._update(move=move)

    def _look_up_champion(self, explained: Explained, alias: Version | None) -> Version | None:
        """Return the ledger's champion as the registry has it; None where it has it not."""
        release_state = explained.state
        if release_state.champion is None:
            return None
        version = alias
        if version is None or version.number != release_state.champion:
            version = self._registry.look_up_version(self.name, release_state.champion)
        # Its number may stand for another model by now.
        is_it = version is not None and release_state.is_champion(version.number, version.run_id)
        return version if is_it else None

    def _serve_champion(self, version: Version, known: KnownFiles | None) -> None:
        served, failure = self.state.served, self.state.failure
        if (
            served is not None
            and is_same(served.version, version)
            and (known is None or served.files == known.files)
        ):
            # Tags may be set after the alias was moved.
            again = replace(served, version=version, is_known=known is not None)
            self._update(served=again, failure=None)
            return
        attempts = 0
        if failure is not None and is_same(failure.version, version) and failure.known == known:
            if time.monotonic() < failure.retry_at:
                return
            attempts = failure.attempts
        try:
            loaded = self._fetch(version, known)
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
                failure=Failure(version, reason, attempts + 1, time.monotonic() + pause, known),
                failed_loads=self.state.failed_loads + 1,
            )
            return
        self._update(served=loaded, failure=None)
        logger.info("Serving version %d of %s.", version.number, self.name)

    def _fetch(self, version: Version, known: KnownFiles | None) -> Served:
        """Load a version from its local copy, or from the registry, which makes that copy.

        What the ledger does not know is never fetched, but the copy that was kept before is good
        enough to go on with: an upgrade stops no service.
        """
        with self._copies.lock():
            if copy := self._copies.find(version):
                expected = known or (KnownFiles(version.run_id, copy.files) if copy.files else None)
                try:
                    files = digest_bundle(copy.bundle)
                    if expected is not None:
                        check_files(version, files, expected)
                    model = self._load(copy.bundle)
                except Exception as error:
                    # Whatever is wrong with a damaged copy, it is fetched anew.
                    logger.warning("A damaged local copy is replaced: %s", _shorten(error))
                else:
                    since = datetime.now(UTC)
                    return Served(version, model, since, "local copy", files, known is not None)
            if known is None:
                raise explain_unknown(version.name, [version.number])
            fetched = self._copies.make(
                version, lambda folder: self._registry.fetch_bundle(version, folder)
            )
            with fetched as bundle:
                files = digest_bundle(bundle)
                check_files(version, files, known)
                model = self._load(bundle)
            self._copies.remove_others(version)
            return Served(version, model, datetime.now(UTC), "registry", files)

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
