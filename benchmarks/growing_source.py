"""A folder of review files that grows night by night, as a real source does, with its accidents.

It starts as an archive of the older reviews. Every night brings a day's file: the next of the
newer ones, in the order of their real dates, dated on the eve of the night. That is the
accelerated clock: a day here stands for weeks there. What an accident did to a file is mended
when the next night comes, as people do in the morning.
"""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

Review = dict[str, Any]

ARCHIVE: Final = "archive.jsonl.gz"
ARCHIVE_SHARE: Final = 0.6
# More than data.max_rejected_share, and enough to move the share of positives by over 0.1.
GARBAGE_SHARE: Final = 0.1
COMPLAINT_SHARE: Final = 0.3
BROKEN_LINES: Final = 5
EDITIONS: Final = 5
# For these nights no rows are written; those of a missing day are, and come with a late file.
QUIET_EVENTS: Final = ("nothing new", "the same model")


@dataclass(frozen=True)
class Counts:
    """How many rows of a file are read, and how many of those are not used, for which reason."""

    read: int
    quarantined: int = 0
    superseded: int = 0


class GrowingSource:
    """The folder, and what must be counted when it is read.

    Attributes:
        folder: where the files are.
    """

    def __init__(self, folder: Path, reviews: Sequence[Review], days: int) -> None:
        """Write the archive and part the other reviews into days.

        Args:
            folder: an empty folder.
            reviews: sound reviews with ids of their own and an ISO date.
            days: how many days bring rows.
        """
        self.folder = folder
        ordered = sorted(reviews, key=lambda review: str(review["date"]))
        base = round(len(ordered) * ARCHIVE_SHARE)
        rest = len(ordered) - base
        self._archive = ordered[:base]
        bounds = [base + rest * day // days for day in range(days + 1)]
        self._days = [ordered[start:end] for start, end in itertools.pairwise(bounds)]
        self._missing: tuple[date, list[Review]] | None = None
        self._wrong: dict[str, list[Review]] = {}
        self._counts: dict[str, Counts | None] = {}
        self._write(ARCHIVE, self._archive)

    def count(self) -> Counts | None:
        """Return what reading all files must count; None when a file ends in its damage."""
        counts = list(self._counts.values())
        if None in counts:
            return None
        known = [count for count in counts if count is not None]
        return Counts(
            sum(count.read for count in known),
            sum(count.quarantined for count in known),
            sum(count.superseded for count in known),
        )

    def bring(self, event: str, night: date) -> None:
        """Mend what the night before went wrong, then let this night's files arrive.

        Args:
            event: what happens; what is no accident of the source brings the day's file.
            night: the night before which the files arrive.
        """
        for name, reviews in self._wrong.items():
            self._write(name, reviews)
        self._wrong = {}
        if event in QUIET_EVENTS:
            return
        reviews = self._take_day(night)
        if event == "a day is missing":
            self._missing = (night, reviews)
            return
        name = name_day(night)
        self._write(name, reviews)
        lines = write_lines(reviews)
        match event:
            case "a batch of garbage":
                garbage = [
                    {"review_id": f"garbage-{number}", "stars": 3.0, "text": None}
                    for number in range(round(self._count_rows() * GARBAGE_SHARE))
                ]
                counts = Counts(len(reviews) + len(garbage), len(garbage))
                self._spoil(name, reviews, b"".join(lines + write_lines(garbage)), counts)
            case "another mix of stars":
                complaints = [
                    {**review, "review_id": f"complaint-{number}", "stars": 1.0}
                    for number, review in enumerate(
                        self._archive[: round(self._count_rows() * COMPLAINT_SHARE)]
                    )
                ]
                counts = Counts(len(reviews) + len(complaints))
                self._spoil(name, reviews, b"".join(lines + write_lines(complaints)), counts)
            case "half the archive":
                half = self._archive[: len(self._archive) // 2]
                self._spoil(ARCHIVE, self._archive, b"".join(write_lines(half)), Counts(len(half)))
            case "half a day's file":
                half_lines, cut = lines[: len(lines) // 2], lines[len(lines) // 2]
                content = b"".join(half_lines) + cut[: len(cut) // 2]
                self._spoil(name, reviews, content, Counts(len(half_lines) + 1, 1))
            case "a cut gzip":
                self._spoil(name, reviews, b"".join(lines), None)
                path = self.folder / name
                path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
            case "broken bytes":
                # Nobody mends these: the rest of the file is used from now on.
                damaged = [
                    line.replace(b'"text": "', b'"text": "\xff\xfe')
                    for line in lines[:BROKEN_LINES]
                ]
                content = b"".join(damaged + lines[BROKEN_LINES:])
                self._store(name, content, Counts(len(lines), BROKEN_LINES))
            case "a late file":
                self._bring_late(night)

    def _bring_late(self, night: date) -> None:
        """Bring the missing day, with other editions of reviews that are known already."""
        if self._missing is None:
            raise ValueError("A late file brings a day that was missing. Received: none was.")
        (day, reviews), self._missing = self._missing, None
        older = [
            {**review, "text": f"{review['text']} An older edition.", "date": "2001-01-01"}
            for review in self._archive[:EDITIONS]
        ]
        newer = [
            {
                **review,
                "text": f"{review['text']} A newer edition.",
                "date": (night - timedelta(days=1)).isoformat(),
            }
            for review in self._archive[EDITIONS : 2 * EDITIONS]
        ]
        rows = [*reviews, *older, *newer]
        # Of two editions one is used, whichever file it is in.
        self._store(name_day(day), b"".join(write_lines(rows)), Counts(len(rows), 0, 2 * EDITIONS))

    def _take_day(self, night: date) -> list[Review]:
        eve = (night - timedelta(days=1)).isoformat()
        # What follows the day in a date is its time.
        return [
            {**review, "date": f"{eve}{str(review['date'])[len(eve) :]}"}
            for review in self._days.pop(0)
        ]

    def _count_rows(self) -> int:
        return sum(count.read for count in self._counts.values() if count)

    def _write(self, name: str, reviews: Sequence[Review]) -> None:
        self._store(name, b"".join(write_lines(reviews)), Counts(len(reviews)))

    def _spoil(self, name: str, right: list[Review], content: bytes, counts: Counts | None) -> None:
        self._wrong[name] = right
        self._store(name, content, counts)

    def _store(self, name: str, content: bytes, counts: Counts | None) -> None:
        path = self.folder / name
        written = path.with_suffix(".written")
        written.write_bytes(gzip.compress(content, mtime=0))
        written.replace(path)
        self._counts[name] = counts


def name_day(night: date) -> str:
    """Return the name of the file that arrives before a night."""
    return f"day-{night - timedelta(days=1)}.jsonl.gz"


def write_lines(reviews: Sequence[Review]) -> list[bytes]:
    """Return reviews as JSON lines."""
    return [json.dumps(review).encode() + b"\n" for review in reviews]
