"""What every command that changes what is live works with, and how it commits.

Every command reconciles ledger and alias first, so that what an earlier one left half done is
mended, then writes the ledger on the head it looked at, then lets the alias follow. None of
them needs Prefect.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sentiflow.errors import ReleaseForbidden, UsageError
from sentiflow.notices.messages import Tell, send_notices
from sentiflow.notices.moves import reconcile_and_tell
from sentiflow.notices.releases import compose_release
from sentiflow.release.open_home import HomeContext, open_home
from sentiflow.release.state import NewEvent, ReleaseState

if TYPE_CHECKING:
    from sentiflow.release.registry import Version


Show = Callable[[str], None]


@dataclass(frozen=True)
class ReleaseContext(HomeContext):
    """A home in which releases are made, and how people are told of them.

    Attributes:
        tell: sends notices; raises nothing.
    """

    tell: Tell = send_notices

    def reconcile(self, model: str | None = None) -> ReleaseState:
        """Let a model's alias follow the ledger and return how the model stands.

        A move outside that nobody noticed before is told.

        Args:
            model: its name; None: the one that the settings name.
        """
        return reconcile_and_tell(self, model or self.model, self.tell).state


def open_release_context(
    config: str | None,
    overrides: Sequence[str],
    home: Path,
    actor: str | None = None,
    tell: Tell = send_notices,
) -> ReleaseContext:
    """Return a home as `open_home` does, to make releases in.

    Args:
        config: a preset's name or a TOML file.
        overrides: `group.key=value`, later ones win.
        home: SENTIFLOW_HOME.
        actor: who acts; None: whoever runs this process.
        tell: sends notices; without Prefect that is the webhook.
    """
    opened = open_home(config, overrides, home, actor)
    return ReleaseContext(opened.settings, home, opened.actor, tell)


def describe_gone(context: ReleaseContext, number: int, run_id: str | None) -> str | None:
    """Say how a version that the ledger knows is gone; None while the registry has it."""
    found = context.registry.look_up_version(context.model, number)
    if found is None:
        return "it is gone"
    if run_id is not None and found.run_id != run_id:
        return "it is gone, and another model has its number"
    return None


def probe(context: ReleaseContext, version: Version) -> None:
    """Make sure that a version loads and answers in a fresh process.

    Raises:
        ReleaseForbidden: it does not.
    """
    from sentiflow.gate.checks import probe_version
    from sentiflow.release.known_files import look_up_known_files

    probe_version(
        context.registry.uri,
        version.name,
        version.number,
        look_up_known_files(context.ledger.read(context.model), version),
        context.home / "scratch",
        context.settings.gate.check_seconds,
    )


def commit(context: ReleaseContext, state: ReleaseState, events: Sequence[NewEvent]) -> None:
    """Write the ledger, let the alias and what MLflow shows follow, and tell people."""
    written = context.ledger.append(context.model, state.sequence, events)
    try:
        _follow(context)
    finally:
        # It is written, also where the alias did not get there.
        settings = context.settings.notices
        composed = [compose_release(event, settings, context.registry.uri) for event in written]
        context.tell([notice for notice in composed if notice is not None], settings)


def _follow(context: ReleaseContext) -> None:
    """Let the alias follow what was written; an error where it does not get there."""
    state = context.reconcile()
    if state.moved is not None:
        # Somebody deleted the version or moved the alias in the same moment.
        raise ReleaseForbidden(
            f"The champion alias of {context.model} must follow what the ledger says now. "
            f"Received: {state.moved.reason} See sentiflow status."
        )


def require_reason(reason: str) -> None:
    """Refuse to change anything without a reason.

    Raises:
        UsageError: there is none.
    """
    if not reason.strip():
        raise UsageError("A change of what is live needs a reason that is kept: --reason …")
