"""Check that an event can be written into the ledger, before it is."""

from __future__ import annotations

import json
from typing import Any, Final

from sentiflow.errors import UsageError
from sentiflow.release.state import MAKES_CHAMPION, Kind, NewEvent

_NEEDS_REASON: Final[frozenset[Kind]] = frozenset(
    {"attested", "rolled_back", "hold", "released", "adopted", "reverted", "superseded"}
)
_LONGEST: Final = {"model": 250, "actor": 200, "reason": 2_000, "lineage": 64, "decision": 64}
_LARGEST_DETAILS: Final = 20_000


def check_event(model: str, new: NewEvent) -> dict[str, Any]:
    """Return an event's columns.

    Raises:
        UsageError: a reason or version is missing, or a value cannot be stored.
    """
    columns = {name: getattr(new, name) for name in NewEvent.__dataclass_fields__}
    for name, longest in _LONGEST.items():
        value = model if name == "model" else columns[name]
        if value is not None:
            _check_text(name, value, longest)
    for name in ("actor", "reason") if new.kind in _NEEDS_REASON else ("actor",):
        if not columns[name].strip():
            raise UsageError(
                f"A ledger event that is {new.kind} must have its {name}. Received: {name}="
                f"{columns[name]!r}. Give it, for example --reason 'worse on short reviews'."
            )
    if new.kind in MAKES_CHAMPION | {"waiting", "attested"} and new.to_version is None:
        raise UsageError(
            f"A ledger event that is {new.kind} must name a version. Received: to_version=None."
        )
    try:
        details = json.dumps(dict(new.details), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UsageError(f"An event's details must be JSON values. Received: {error}.") from None
    _check_text("details", details, _LARGEST_DETAILS)
    return {**columns, "details": json.loads(details)}


def _check_text(name: str, value: str, longest: int) -> None:
    if len(value) > longest:
        raise UsageError(
            f"A ledger event's {name} must have at most {longest:,} characters. Received: "
            f"{len(value):,}. Shorten it."
        )
    # PostgreSQL stores no NUL, and no database half of a surrogate pair.
    if any(character == "\x00" or "\ud800" <= character <= "\udfff" for character in value):
        raise UsageError(
            f"A ledger event's {name} must be text. Received: a NUL or half a character in it."
        )
