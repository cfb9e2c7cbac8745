"""The stages about rows: ingest, compare with the last night, validate, split."""

from __future__ import annotations

import logging
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sentiflow.data.ingest.ingest import read_sources
from sentiflow.data.ingest.results import Ingested
from sentiflow.data.profile import PreviousSnapshot
from sentiflow.data.snapshot import Snapshot, check_snapshot, read_split
from sentiflow.data.splitting import SPLITS
from sentiflow.dates import read_today
from sentiflow.errors import ArtifactError, DataRejected
from sentiflow.night.endings import RULED
from sentiflow.night.night import Night, list_sources, prefix_metrics
from sentiflow.release.identity import name_runs, read_run
from sentiflow.release.state import fold_events

if TYPE_CHECKING:
    from sentiflow.release.registry import Version

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Splits:
    """The snapshot with its sides: rows by side, and the digest that later steps key on."""

    snapshot: Snapshot
    rows: dict[str, int]
    digest: str


def ingest(night: Night) -> Ingested:
    """Read the sources into a snapshot and a quarantine file."""
    paths = list_sources(night.request, night.home)
    ingested = read_sources(
        paths,
        night.request.businesses,
        night.settings,
        night.date,
        night.home,
        night.code.identity,
        # Who forces a night wants no stored result; what was read of the very same bytes is none.
        trust_stored=not night.request.force,
        warn=night.warn,
    )
    profile, snapshot = ingested.profile, ingested.snapshot
    night.note(
        fingerprint=snapshot.fingerprint,
        rows={
            "read": profile.rows_read,
            "quarantined": profile.quarantined,
            "superseded": profile.superseded,
            "left_out": profile.left_out,
            "train": profile.train_rows,
            "validation": profile.validation_rows,
            "test": profile.test_rows,
        },
        join_coverage=profile.join_coverage,
        quarantine=ingested.quarantine if profile.quarantined else None,
    )
    night.run.log_dataset(
        night.lineage.name, snapshot.fingerprint, ", ".join(paths), snapshot.rows, "night"
    )
    night.run.log_json(asdict(profile), "data/profile.json")
    night.run.log_metrics(prefix_metrics("rows", asdict(profile)))
    return ingested


def look_up_unchanged(night: Night, ingested: Ingested) -> int | None:
    """Return the version of the last accepted night if nothing differs from it, else None."""
    if night.request.force or night.request.supersede:
        return None
    last = _look_up_last_accepted(night)
    if last is None:
        return None
    tonight = _identify(night, ingested.snapshot.fingerprint)
    is_same = all(last.tags.get(f"sentiflow.{key}") == value for key, value in tonight.items())
    return last.number if is_same else None


def _identify(night: Night, fingerprint: str) -> dict[str, str]:
    """Return what must be equal for a night to be skipped, by the names of a version's tags."""
    return {
        "fingerprint": fingerprint,
        "settings": night.settings_digest,
        "code": night.code.identity,
    }


def _look_up_last_accepted(night: Night) -> Version | None:
    """Return the version of the last night, up to this one's date, that was ruled on; or None.

    Nights that failed, were rejected or whose gate was not evaluated do not count, and a night
    of an earlier date that was caught up on since is not the last one.
    """
    ruled = {
        (event.to_version, read_run(event))
        for event in name_runs(night.ledger.read(night.lineage.name))
        if event.kind in RULED and event.lineage == night.lineage.digest
    }
    if not ruled:
        return None
    versions = [
        version
        for version in night.registry.query_versions(night.lineage.name, {})
        if ruled & {(version.number, version.run_id), (version.number, None)}
        and version.tags["sentiflow.night"] <= night.date.isoformat()
    ]
    return max(versions, key=lambda one: (one.tags["sentiflow.night"], one.number), default=None)


def skip(night: Night, version: int) -> None:
    """Record a night in which nothing changed."""
    state = fold_events(night.ledger.read(night.lineage.name))
    night.note(version=version, champion_version=state.champion)
    same = _identify(night, night.record.fingerprint or "")
    digests = ", ".join(f"{name} {digest[:12]}" for name, digest in same.items())
    reason = (
        f"Unchanged: rows, settings, code and lock file are those of version {version} "
        f"({digests}). Nothing was trained; --force trains anyway."
    )
    night.end("skipped", [reason], 0)


def validate(night: Night, ingested: Ingested) -> None:
    """Check the whole night's profile; end the night when a critical expectation fails."""
    from sentiflow.data.checks.validation import check_table

    previous = _look_up_last_accepted(night)
    compared_with = None
    if previous is not None:
        compared_with = PreviousSnapshot(
            fingerprint=previous.tags["sentiflow.fingerprint"],
            rows=int(previous.tags["sentiflow.rows"]),
            positive_share=float(previous.tags["sentiflow.positive_share"]),
        )
    with tempfile.TemporaryDirectory() as folder:
        docs = Path(folder) / "data_docs"
        report = check_table(
            ingested.profile,
            compared_with,
            night.settings,
            night.date,
            docs,
            replay=night.date < read_today(night.settings.schedule),
        )
        night.run.log_files(sorted(docs.iterdir()), "data/data_docs")
    night.run.log_json(asdict(report), "data/validation.json")
    night.note(warnings=[*night.record.warnings, *report.warnings])
    for warning in report.warnings:
        logger.warning("%s", warning)
    if not report.passed:
        raise DataRejected(report.reasons)


def split(night: Night, ingested: Ingested) -> Splits:
    """Part the snapshot into its sides and make sure that no row is lost on the way."""
    snapshot, profile = ingested.snapshot, ingested.profile
    check_snapshot(snapshot)
    rows = {
        side: len(read_split(snapshot, night.settings.split, side, ["text_digest"]))
        for side in SPLITS
    }
    counted = {side: getattr(profile, f"{side}_rows") for side in SPLITS}
    if rows != counted or profile.unaccounted_rows:
        raise ArtifactError(
            "Every row read must be quarantined, outdated, left out or on one side of the "
            f"split. Received: on disk {rows}, counted {counted}, unaccounted "
            f"{profile.unaccounted_rows}. Remove {snapshot.folder} and run again."
        )
    scheme = night.settings.split.model_dump(mode="json")
    key = night.steps.key("split", {"fingerprint": snapshot.fingerprint, "split": scheme})
    return Splits(snapshot=snapshot, rows=rows, digest=key)
