"""Take a person's reviews out of everything under the home that holds their words.

New snapshots are written whole before the old ones go, and a record names both before the
first is removed, so that a second run finishes what a crash left half done. Run it while no
night and no scoring runs: theirs would end in an error, and could write the rows once more.
"""

from __future__ import annotations

import json
import logging
import os
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sentiflow.data.rewriting import Rewritten, count_rows_of, rewrite_without
from sentiflow.errors import UsageError
from sentiflow.files import TEMPORARY_PREFIX, read_json, write_json
from sentiflow.home import (
    DERIVED,
    list_ingest,
    list_leftovers,
    list_quarantine,
    list_snapshots,
    remove_all,
    remove_whole,
)

FORMAT: Final = 1
REMAINS: Final = (
    "Registered models: their weights and vocabulary, and 64-bit digests of the texts they "
    "were trained on. Train without the rows (sentiflow run --force), then sentiflow prune.",
    "The sources themselves: the next night reads the rows again unless they are removed there.",
    "MLflow: evaluation/answers.parquet and the decisions of earlier runs name review ids with "
    "label and probability, and versions keep the fingerprint of the snapshot as it was.",
    "Decisions and reports under the home, which name some review ids, and the local copy of the "
    "champion that a running service keeps.",
    "Files that sentiflow score wrote, and copies and backups outside of the home.",
)

logger = logging.getLogger(__name__)

_DAY_SECONDS: Final = 86_400.0


@dataclass(frozen=True)
class Forgotten:
    """What came of forgetting.

    Attributes:
        rows: rows removed, from snapshots and quarantine.
        snapshots: the snapshots written anew.
        quarantined: rows removed from quarantine.
        derived: step results, checkpoints and unfinished work removed, below the home.
        finished: records of earlier, interrupted runs that this one brought to their end.
        record: the record that was written, or None where nothing was found.
        remains: one sentence for everything that this cannot reach.
    """

    rows: int
    snapshots: tuple[Rewritten, ...]
    quarantined: int
    derived: tuple[str, ...]
    finished: tuple[str, ...]
    record: str | None
    remains: tuple[str, ...] = REMAINS

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON value."""
        return asdict(self)


def forget(
    home: Path, review_ids: Sequence[str], user_ids: Sequence[str], reason: str, actor: str
) -> Forgotten:
    """Remove the rows with these ids from all snapshots and quarantine files.

    A snapshot keeps all other rows; its new fingerprint is the one it would have had if the
    rows had never been read. A quarantined row goes where its id or the row as it was read
    names one of the ids. Everything derived from texts (step results, checkpoints, unfinished
    scorings) goes as soon as one snapshot is affected. What is remembered of source files goes
    in any case: it holds rows that are in no snapshot too, and is read again when needed.

    The record (home/forgotten) holds when, who, why, how many rows and the fingerprints; no
    text and no id. The reason is kept as it is given: it should name no person.

    Args:
        home: SENTIFLOW_HOME.
        review_ids: reviews to forget.
        user_ids: users of whom every review is forgotten.
        reason: why.
        actor: who asks.

    Raises:
        UsageError: no id is given.
        ArtifactError: a snapshot is damaged, so that it cannot be told what it holds; nothing
            was changed.
    """
    ids = {"review_id": _clean(review_ids), "user_id": _clean(user_ids)}
    if not any(ids.values()):
        raise UsageError(
            "At least one id is required. Received: none. "
            "Name what to forget with --review-id or --user-id."
        )
    finished, derived = _finish_earlier(home)
    derived += remove_all(home, list_ingest(home))
    folders = [folder for folder in list_snapshots(home) if count_rows_of(folder, ids)]
    rewritten = [rewrite_without(folder, ids) for folder in folders]
    record = home / "forgotten" / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}.json"
    entry: dict[str, Any] = {
        "format": FORMAT,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "actor": actor,
        "reason": reason,
        "review_ids": len(ids["review_id"]),
        "user_ids": len(ids["user_id"]),
        "snapshots": [asdict(one) for one in rewritten],
        "quarantined": 0,
        "finished": False,
    }
    if rewritten:
        # Before the first old snapshot goes: a second run reads here what is still to do.
        write_json(record, entry)
        derived += _remove_affected(home, [one.before for one in rewritten])
    quarantined = sum(_clean_quarantine(path, ids) for path in list_quarantine(home))
    found = bool(rewritten or quarantined)
    # What a killed night left can hold the rows too, and cannot be read to tell.
    derived += remove_all(home, list_leftovers(home, 0.0 if found else _DAY_SECONDS))
    if found:
        write_json(record, {**entry, "quarantined": quarantined, "finished": True})
        logger.info("forget: recorded in %s", record)
    return Forgotten(
        rows=sum(one.rows for one in rewritten) + quarantined,
        snapshots=tuple(rewritten),
        quarantined=quarantined,
        derived=tuple(derived),
        finished=finished,
        record=str(record) if found else None,
    )


def read_replacements(home: Path) -> dict[str, str]:
    """Return fingerprint → fingerprint of the snapshot that took its place, of all records."""
    replaced = {}
    for path in sorted((home / "forgotten").glob("*.json")):
        for one in read_json(path)["snapshots"]:
            replaced[one["before"]] = one["after"]
    return replaced


def _clean(ids: Sequence[str]) -> list[str]:
    return sorted({one for one in ids if one.strip()})


def _finish_earlier(home: Path) -> tuple[tuple[str, ...], list[str]]:
    """Remove what an interrupted run had already replaced; return its records and what went.

    Its quarantine files are not among it: they are searched again for the ids anyway.
    """
    finished = []
    derived: list[str] = []
    for path in sorted((home / "forgotten").glob("*.json")):
        entry = read_json(path)
        if not entry["finished"]:
            derived += _remove_affected(home, [one["before"] for one in entry["snapshots"]])
            write_json(path, {**entry, "finished": True})
            finished.append(str(path))
    return tuple(finished), derived


def _remove_affected(home: Path, fingerprints: Iterable[str]) -> list[str]:
    """Remove the old snapshots, then everything that may have been made of them.

    What is stored of a step does not say of which snapshot it was made: when one snapshot is
    affected, all of it goes. It is made anew when it is needed.
    """
    for fingerprint in fingerprints:
        remove_whole(home / "snapshots" / fingerprint)
    doomed = [path for name in DERIVED for path in sorted((home / name).glob("*"))]
    return remove_all(home, doomed)


def _clean_quarantine(path: Path, ids: Mapping[str, Sequence[str]]) -> int:
    """Rewrite a quarantine file without the rows; return how many went.

    It keeps its name, by which the night's record refers to it. Nothing is checked by it.
    """
    words = _compile_words(ids)
    with path.open("rb") as stream:
        removed = sum(_names_person(line, ids, words) for line in stream)
    if not removed:
        return 0
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{path.name}")
    with path.open("rb") as stream, temporary.open("wb") as kept:
        kept.writelines(line for line in stream if not _names_person(line, ids, words))
        kept.flush()
        os.fsync(kept.fileno())
    os.replace(temporary, path)
    return removed


def _compile_words(ids: Mapping[str, Sequence[str]]) -> re.Pattern[str]:
    """Return what finds an id that stands for itself, plain or as JSON writes it."""
    every = [one for wanted in ids.values() for one in wanted]
    forms = {form for one in every for form in _list_forms(one)}
    return re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, sorted(forms)))})(?![\w-])")


def _list_forms(one: str) -> Iterator[str]:
    yield one
    yield json.dumps(one)[1:-1]
    yield json.dumps(one, ensure_ascii=False)[1:-1]


def _names_person(line: bytes, ids: Mapping[str, Sequence[str]], words: re.Pattern[str]) -> bool:
    """Say whether a quarantined row is one of the person's.

    A row that was read has its ids by name. Of one that could not be read, or was too long
    to be kept whole, any mention of an id counts: one row too many goes rather than stays.
    """
    entry = json.loads(line)
    if entry["review_id"] in ids["review_id"]:
        return True
    try:
        fields = json.loads(entry["raw"]) if entry["rule"].startswith("expect_") else None
    except json.JSONDecodeError:
        fields = None
    if isinstance(fields, dict):
        return any(fields.get(name) in wanted for name, wanted in ids.items())
    return words.search(entry["raw"]) is not None
