"""Notice a champion alias that somebody moved outside sentiflow, write that down, and tell people.

Whoever is first to notice tells: maintenance every few minutes, or a command before it. A night
tells of it with its own ending, every time until it is settled.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from sentiflow.errors import SentiflowError
from sentiflow.notices.messages import Notice, Tell, join_page, make_notice
from sentiflow.release.open_home import HomeContext
from sentiflow.settings import NoticeSettings

if TYPE_CHECKING:
    from sentiflow.release.alias import Reconciled
    from sentiflow.release.state import Event

logger = logging.getLogger(__name__)

_PAGE: Final = "/#/models/{}"


def reconcile_and_tell(context: HomeContext, model: str, tell: Tell) -> Reconciled:
    """Let the alias follow the ledger, and tell of a move outside that this call noticed first.

    Raises:
        ForeignRegistry: the ledger is about the versions of another registry.
        RegistryUnreachable, LedgerUnreachable: one of them did not answer.
    """
    from sentiflow.release.alias import reconcile

    registry, settings = context.registry, context.settings.notices
    reconciled = reconcile(registry, context.ledger, model, context.actor)
    if reconciled.moved is not None:
        tell([compose_move(reconciled.moved, settings, registry.uri)], settings)
    return reconciled


def notice_moves(context: HomeContext, tell: Tell) -> list[str]:
    """Look at the alias of every model of the ledger; return what was noticed, in sentences.

    Args:
        context: the home; its settings say who is told.
        tell: sends notices; raises nothing.

    Raises:
        LedgerUnreachable: the ledger did not answer.
    """
    noticed = []
    for model in context.ledger.list_models():
        try:
            reconciled = reconcile_and_tell(context, model, tell)
        except SentiflowError as error:
            # One model's registry that is another's, or is away, hides no move of the others.
            logger.warning("The alias of %s cannot be looked at: %s", model, error)
            continue
        if reconciled.moved is not None:
            noticed.append(describe_move(reconciled.moved))
    return noticed


def compose_move(event: Event, settings: NoticeSettings, mlflow_url: str | None = None) -> Notice:
    """Return what is to be told of a move outside.

    Args:
        event: what was written into the ledger.
        settings: where people open MLflow.
        mlflow_url: MLflow's address where the settings name none.
    """
    return make_notice(
        "moved_outside",
        f"{event.model}: the champion was moved outside",
        [describe_move(event)],
        event.model,
        None,
        event.to_version,
        [join_page(settings.mlflow_url or mlflow_url, _PAGE.format(event.model))],
    )


def describe_move(event: Event) -> str:
    """Say that somebody moved the champion alias outside sentiflow, and what to do."""
    where = "took it away" if event.to_version is None else f"moved it to {event.to_version}"
    is_anew = event.to_version is not None and event.to_version == event.from_version
    anew = ", which is another model by now: MLflow's numbers began anew" if is_anew else ""
    found = (
        f"The ledger has no champion of {event.model} yet. Received: its alias points at version "
        f"{event.to_version}."
        if event.from_version is None
        else f"The champion alias of {event.model} must stand at version {event.from_version}. "
        f"Received: somebody {where} outside sentiflow{anew}."
    )
    ways = (
        "sentiflow revert --reason … or, where that version was deleted, sentiflow rollback --to N "
        "--reason … or sentiflow run … --supersede --reason …"
        if event.to_version is None
        else "sentiflow adopt --reason … or sentiflow revert --reason …"
    )
    return f"{found} No night promotes until it is settled: {ways}"
