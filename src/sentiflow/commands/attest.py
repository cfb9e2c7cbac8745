"""Enter a version's files into the ledger on a person's word, once.

Versions that were registered before the ledger kept digests have none. No night enters them by
itself: it would vouch for whatever lies in the registry just then, with nobody looking, and that
is what the digests are there against.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentiflow.commands.context import ReleaseContext, require_reason
from sentiflow.errors import UnknownFiles, UsageError
from sentiflow.files import make_temporary_prefix
from sentiflow.release.known_files import (
    KnownFiles,
    digest_bundle,
    look_up_known_files,
)
from sentiflow.release.state import NewEvent

if TYPE_CHECKING:
    from sentiflow.release.registry import Version


def attest(context: ReleaseContext, numbers: Sequence[int], reason: str) -> dict[str, Any]:
    """Enter the digests of versions' files into the ledger: all of them, or none.

    Args:
        context: where.
        numbers: the versions.
        reason: why they are trusted; kept in the ledger.

    Returns:
        `model` and `versions`: of each its `version`, `run_id`, `night`, `files` (name → SHA-256)
        and `equals_local_copy`, None where the predictions of this home keep no copy of it.

    Raises:
        UsageError: the ledger knows one of them already.
        NoModelError: there is no such version.
        UnknownFiles: one differs from the copy that the predictions fetched before.
        LedgerConflict: someone else changed the model meanwhile.
    """
    require_reason(reason)
    sequence = context.reconcile().sequence
    known = context.ledger.read(context.model)
    events, entered = [], []
    for number in dict.fromkeys(numbers):
        version = context.registry.resolve(context.model, str(number))
        if look_up_known_files(known, version) is not None:
            raise UsageError(
                f"A version is attested once. Received: version {number} of {context.model}, whose "
                "files the ledger knows. Leave it out."
            )
        files = _digest_version(context, version)
        entered.append(
            {
                "version": number,
                "run_id": version.run_id,
                "night": version.tags.get("sentiflow.night"),
                "files": files,
                "equals_local_copy": _compare_with_copy(context, version, files),
            }
        )
        events.append(
            NewEvent(
                kind="attested",
                actor=context.actor,
                reason=reason,
                lineage=version.tags.get("sentiflow.lineage"),
                to_version=number,
                details=KnownFiles(version.run_id, files).as_details(),
            )
        )
    context.ledger.append(context.model, sequence, events)
    return {"model": context.model, "versions": entered}


def format_attested(attested: dict[str, Any]) -> str:
    """Return what was entered, as text."""
    lines = []
    for entry in attested["versions"]:
        copy = " They equal the copy that predictions keep here." * bool(entry["equals_local_copy"])
        lines.append(
            f"The files of version {entry['version']} of {attested['model']} are in the ledger "
            f"(night {entry['night'] or 'unknown'}, MLflow run {entry['run_id']}).{copy}"
        )
        lines += [f"  {digest}  {name}" for name, digest in sorted(entry["files"].items())]
    return "\n".join(lines)


def _digest_version(context: ReleaseContext, version: Version) -> dict[str, str]:
    scratch = context.home / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=make_temporary_prefix(), dir=scratch) as folder:
        return digest_bundle(context.registry.fetch_bundle(version, Path(folder)))


def _compare_with_copy(
    context: ReleaseContext, version: Version, files: dict[str, str]
) -> bool | None:
    """Return whether the predictions' own copy is the same; None where there is none.

    Raises:
        UnknownFiles: it is another, so the registry's was changed since it was fetched.
    """
    from sentiflow.serving.copies import LocalCopies

    copy = LocalCopies(context.home / "serving" / version.name).find(version)
    if copy is None:
        return None
    if digest_bundle(copy.bundle) != files:
        raise UnknownFiles(
            f"What is attested must be what predictions fetched before. Received: the files of "
            f"version {version.number} of {version.name} in the registry differ from the copy in "
            f"{copy.bundle}. Find out who changed which of the two; then restore that one."
        )
    return True
