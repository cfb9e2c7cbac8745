"""Find the registered version that a command is to answer with, and what is known of its files."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sentiflow.errors import NoModelError
from sentiflow.release.open_home import HomeContext

if TYPE_CHECKING:
    from sentiflow.release.known_files import KnownFiles
    from sentiflow.release.registry import RegisteredModel, Registry, Version
    from sentiflow.release.state import Event

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ChosenVersion:
    """The version that is to answer.

    Attributes:
        version: what it is in the registry.
        known: what the ledger knows of its files.
        registry: where its files are.
        scratch: where they are copied to.
    """

    version: Version
    known: KnownFiles
    registry: Registry
    scratch: Path

    def load(self) -> RegisteredModel:
        """Load it.

        Raises:
            UnknownFiles: its files are not those that the ledger knows.
            ArtifactError: it does not load or fails its probes.
            RegistryUnreachable: the registry did not answer.
        """
        return self.registry.load(self.version, self.known, self.scratch)


def choose_version(context: HomeContext, which: str) -> ChosenVersion:
    """Return the version meant by `champion`, `challenger` or a number.

    The champion is the ledger's: an alias that was moved by hand is told, not followed.

    Raises:
        NoModelError: there is none.
        UnknownFiles: the ledger does not know its files.
        LedgerUnreachable, RegistryUnreachable: one of them did not answer.
    """
    from sentiflow.home import choose_scratch
    from sentiflow.release.known_files import require_known
    from sentiflow.release.registry import CHAMPION

    name, registry = context.model, context.registry
    events = context.ledger_to_read.read(name)
    version = (
        _look_up_champion(registry, name, events)
        if which == CHAMPION
        else registry.resolve(name, which)
    )
    return ChosenVersion(
        version, require_known(events, version), registry, choose_scratch(context.home)
    )


def _look_up_champion(registry: Registry, name: str, events: tuple[Event, ...]) -> Version:
    from sentiflow.release.registry import CHAMPION
    from sentiflow.release.state import fold_events

    state = fold_events(events)
    champion = state.champion
    alias = registry.look_up_alias(name, CHAMPION)
    if champion is None:
        if alias is None:
            return registry.resolve(name, CHAMPION)
        raise NoModelError(
            f"The ledger must have a champion of {name}. Received: none; its alias points at "
            f"version {alias.number}, which no event explains. Take it as champion: sentiflow "
            "adopt --reason …"
        )
    if alias is not None and state.is_champion(alias.number, alias.run_id):
        return alias
    version = registry.look_up_version(name, champion)
    if version is None or not state.is_champion(champion, version.run_id):
        raise NoModelError(
            f"Champion version {champion} of {name} must be in the registry. Received: it is gone. "
            "Go back to another: sentiflow rollback --to N --reason …; or, where none is left, let "
            "a new model replace it: sentiflow run … --supersede --reason …"
        )
    where = f"points at version {alias.number}" if alias is not None else "is gone"
    logger.warning(
        "The champion alias of %s %s; version %d, the ledger's champion, answers.", name, where,
        champion,
    )  # fmt: skip
    return version
