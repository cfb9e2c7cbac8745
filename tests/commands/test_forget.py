"""Forgetting a person, on snapshots and quarantine files that ingest made."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sentiflow.commands import forget as forget_rows
from sentiflow.commands.forget import Forgotten, forget, read_replacements
from sentiflow.data.ingest.ingest import read_sources
from sentiflow.data.ingest.results import Ingested
from sentiflow.data.snapshot import check_snapshot, open_snapshot, read_split
from sentiflow.data.splitting import SPLITS
from sentiflow.errors import ArtifactError, UsageError
from sentiflow.settings import SplitSettings, load_settings

Write = Callable[..., Path]
Review = Callable[..., dict[str, Any]]
SECRET = "Zwetschgendatschi"
RENAMES_AND_REMOVALS = 13


def ingest(path: Path, home: Path) -> Ingested:
    return read_sources([str(path)], None, load_settings(), date(2026, 6, 30), home)


def forget_person(home: Path, *review_ids: str, users: tuple[str, ...] = ()) -> Forgotten:
    return forget(home, review_ids, users, "asked by letter", "anna@context")


def read_ids(home: Path) -> dict[str, list[str]]:
    """Every snapshot's review ids, after its own checks, through every side of the split."""
    found = {}
    for folder in sorted((home / "snapshots").iterdir()):
        if folder.name != "quarantine":
            snapshot = open_snapshot(folder)
            check_snapshot(snapshot)
            assert snapshot.fingerprint == folder.name
            sides = [read_split(snapshot, SplitSettings(), side, ["review_id"]) for side in SPLITS]
            found[folder.name] = sorted(pd.concat(sides)["review_id"])
            assert len(found[folder.name]) == snapshot.rows
    return found


def holds(home: Path, word: str) -> list[str]:
    """Files that hold the word; Parquet is looked into by column."""
    found = []
    for path in home.rglob("*"):
        if path.suffix == ".parquet":
            if pd.read_parquet(path).map(lambda cell: word in str(cell)).to_numpy().any():
                found.append(path.name)
        elif path.is_file() and word.encode() in path.read_bytes():
            found.append(path.name)
    return found


def test_a_persons_rows_go_from_every_snapshot_and_quarantine_and_the_rest_stays(
    home: Path, write_reviews: Write, review: Review
) -> None:
    mine = {"user_id": "quidam", "text": f"{SECRET} was good."}
    reviews = [review(n) for n in range(40)]
    reviews[5] |= mine
    reviews[8] |= mine
    reviews[9] |= {**mine, "stars": 17}
    reviews[10]["stars"] = 18
    first = ingest(write_reviews(reviews), home)
    second = ingest(write_reviews([*reviews, review(40)]), home)
    untouched = ingest(write_reviews([review(n) for n in range(100, 130)]), home)
    (home / "steps" / "tokenize-abc").mkdir(parents=True)
    (home / "checkpoints" / "abc").mkdir(parents=True)
    assert len(holds(home, SECRET)) >= 3

    forgotten = forget_person(home, users=("quidam",))
    assert holds(home, SECRET) == []
    assert holds(home, "quidam") == []
    # Both nights quarantined the same two rows, so there is one file of them.
    assert (forgotten.rows, forgotten.quarantined) == (5, 1)
    after = {one.before: one.after for one in forgotten.snapshots}
    assert set(after) == {first.snapshot.fingerprint, second.snapshot.fingerprint}
    assert [one.rows for one in forgotten.snapshots] == [2, 2]
    ids = read_ids(home)
    gone = {5, 8, 9, 10}
    assert ids == {
        after[first.snapshot.fingerprint]: sorted(
            f"review-{n}" for n in range(40) if n not in gone
        ),
        after[second.snapshot.fingerprint]: sorted(
            f"review-{n}" for n in range(41) if n not in gone
        ),
        untouched.snapshot.fingerprint: sorted(f"review-{n}" for n in range(100, 130)),
    }
    (kept,) = Path(first.quarantine).read_text().splitlines()
    assert json.loads(kept)["review_id"] == "review-10"
    assert set(forgotten.derived) == {"steps/tokenize-abc", "checkpoints/abc"}
    assert list((home / "steps").iterdir()) == []


def test_the_new_fingerprint_is_that_of_a_night_that_never_read_the_rows(
    home: Path, tmp_path: Path, write_reviews: Write, review: Review
) -> None:
    reviews = [review(n) for n in range(30)]
    ingest(write_reviews(reviews), home)
    (one,) = forget_person(home, "review-3", users=("user-5",)).snapshots
    kept = [r for r in reviews if r["review_id"] != "review-3" and r["user_id"] != "user-5"]
    assert one.after == ingest(write_reviews(kept), tmp_path / "other").snapshot.fingerprint


def test_the_record_says_who_when_why_and_which_fingerprints_but_not_whom(
    home: Path, write_reviews: Write, review: Review
) -> None:
    ingested = ingest(write_reviews([review(n, user_id=f"someone-{n}") for n in range(20)]), home)
    forgotten = forget_person(home, "review-3", users=("someone-5",))
    assert forgotten.record is not None
    text = Path(forgotten.record).read_text()
    record = json.loads(text)
    assert (record["actor"], record["reason"]) == ("anna@context", "asked by letter")
    assert record["time"][:2] == "20"
    assert (record["review_ids"], record["user_ids"], record["finished"]) == (1, 1, True)
    assert record["snapshots"] == [
        {
            "before": ingested.snapshot.fingerprint,
            "after": forgotten.snapshots[0].after,
            "rows": 2,
        }
    ]
    assert "review-3" not in text
    assert "someone-5" not in text
    assert read_replacements(home) == {ingested.snapshot.fingerprint: forgotten.snapshots[0].after}


def test_nothing_found_changes_and_records_nothing(
    home: Path, write_reviews: Write, review: Review
) -> None:
    ingest(write_reviews([review(n) for n in range(20)] + [review(20, stars=9)]), home)
    (home / "steps" / "train-abc").mkdir(parents=True)
    before = {path: path.stat().st_mtime_ns for path in home.rglob("*")}
    forgotten = forget_person(home, "nobody", "review-2000", users=("user-",))
    assert (forgotten.rows, forgotten.record, forgotten.derived) == (0, None, ())
    assert {path: path.stat().st_mtime_ns for path in home.rglob("*")} == before
    assert forget_person(home / "empty", "nobody").rows == 0


@pytest.mark.parametrize(
    ("line", "user", "goes"),
    [
        ('{"review_id": "x", "user_id": "anna", "text": "half', "anna", True),
        ('{"review_id": "x", "user_id": "joanna", "text": "half', "anna", False),
        ('{"review_id": "x", "user_id": "anna-2", "text": "half', "anna", False),
        ('{"review_id": "x", "user_id": "a\\"b", "text": "half', 'a"b', True),
        ('{"review_id": "x", "user_id": "a.b", "text": "half', "aXb", False),
    ],
)
def test_of_a_line_that_could_not_be_read_any_mention_counts(
    home: Path, write_reviews: Write, review: Review, line: str, user: str, goes: bool
) -> None:
    path = write_reviews([review(1)])
    with path.open("a") as stream:
        stream.write(line + "\n")
    ingested = ingest(path, home)
    assert forget_person(home, users=(user,)).quarantined == int(goes)
    assert (Path(ingested.quarantine).read_text() == "") == goes


def test_of_a_row_that_was_read_only_its_own_ids_count(
    home: Path, write_reviews: Write, review: Review
) -> None:
    text = "anna " * 600
    ingest(
        write_reviews(
            [
                review(1, stars=9, text="I met anna there."),
                review(2, stars=9, user_id="anna"),
                # Too long to be kept whole, so that it cannot be told: it goes too.
                review(3, stars=9, text=text),
            ]
        ),
        home,
    )
    assert forget_person(home, users=("anna",)).quarantined == 2


def test_what_is_remembered_of_the_sources_goes_whatever_is_found(
    home: Path, write_reviews: Write, review: Review
) -> None:
    # The row is in no snapshot: it is dated after the night.
    path = write_reviews([review(1), review(2, user_id="quidam", date="2027-01-01")])
    night = date(2026, 6, 30)
    before = read_sources([str(path)], None, load_settings(), night, home, "code")
    assert list((home / "ingest" / "pieces").iterdir())
    forgotten = forget_person(home, users=("quidam",))
    assert list((home / "ingest").iterdir()) == []
    assert {name.partition("/")[0] for name in forgotten.derived} == {"ingest"}
    again = read_sources([str(path)], None, load_settings(), night, home, "code")
    assert again == before


def test_a_stored_result_does_not_bring_back_a_row(
    home: Path, write_reviews: Write, review: Review
) -> None:
    path = write_reviews([review(n) for n in range(20)])
    night = date(2026, 6, 30)
    read_sources([str(path)], None, load_settings(), night, home, "code")
    kept = "".join(path.read_text().splitlines(keepends=True)[1:])
    forget_person(home, "review-0")
    # The person's row has been removed from the source too, as the command says.
    path.write_text(kept)
    again = read_sources([str(path)], None, load_settings(), night, home, "code")
    assert [len(ids) for ids in read_ids(home).values()] == [19]
    assert again.profile.rows == 19


def test_without_an_id_nothing_is_asked_for(home: Path) -> None:
    with pytest.raises(UsageError, match="--review-id"):
        forget_person(home, "", users=(" ",))


def test_a_damaged_snapshot_is_named_before_anything_is_changed(
    home: Path, write_reviews: Write, review: Review
) -> None:
    good = ingest(write_reviews([review(n) for n in range(20)]), home).snapshot
    bad = ingest(write_reviews([review(n) for n in range(25)]), home).snapshot
    bad.paths[0].write_bytes(b"PAR1")
    with pytest.raises(ArtifactError, match=bad.fingerprint[:12]):
        forget_person(home, "review-3")
    check_snapshot(good)
    assert not (home / "forgotten").exists()


class Crash(BaseException):
    """Stands for the end of the process: nothing in sentiflow catches it to go on."""


@pytest.fixture(scope="module")
def person_home(tmp_path_factory: pytest.TempPathFactory, review: Review) -> Path:
    """Two snapshots and a quarantine file with a person in them, and a step made of them."""
    folder = tmp_path_factory.mktemp("quidam")
    mine = {"user_id": "quidam", "text": f"{SECRET} was good."}
    reviews = [review(n) for n in range(20)]
    reviews[4] |= mine
    reviews[5] |= {**mine, "stars": 9}
    for extra in (0, 1):
        source = folder / "reviews.jsonl"
        lines = [json.dumps(one) for one in [*reviews, *(review(30 + n) for n in range(extra))]]
        source.write_text("\n".join(lines))
        ingest(source, folder / "home")
    derived = folder / "home" / "steps" / "tokenize-abc"
    derived.mkdir(parents=True)
    (derived / "train.npz").write_text(SECRET)
    return folder / "home"


@pytest.mark.parametrize("step", range(1, RENAMES_AND_REMOVALS + 2))
def test_a_second_run_finishes_what_a_crash_left(
    tmp_path: Path, person_home: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    home = tmp_path / "home"
    shutil.copytree(person_home, home)

    # Everything that lasts is done by a rename or a removal: the process ends before the n-th.
    done = 0
    rename, remove = os.replace, os.rmdir

    def end_before(act: Callable[..., None]) -> Callable[..., None]:
        def acting(*arguments: Any, **options: Any) -> None:
            nonlocal done
            done += 1
            if done == step:
                raise Crash
            act(*arguments, **options)

        return acting

    monkeypatch.setattr(os, "replace", end_before(rename))
    monkeypatch.setattr(os, "rmdir", end_before(remove))
    crashed = False
    try:
        forget_person(home, users=("quidam",))
    except Crash:
        crashed = True
    monkeypatch.undo()

    second = forget_person(home, users=("quidam",))
    assert holds(home, SECRET) == []
    kept = sorted(f"review-{n}" for n in range(20) if n not in (4, 5))
    assert sorted(read_ids(home).values()) == sorted([kept, sorted([*kept, "review-30"])])
    assert not list((home / "steps").iterdir())
    records = [json.loads(path.read_text()) for path in (home / "forgotten").glob("*.json")]
    assert all(record["finished"] for record in records)
    assert len(read_replacements(home)) == 2
    assert crashed == (step <= RENAMES_AND_REMOVALS), f"there are {done} points to crash at"
    if not crashed:
        assert second.rows == 0


def test_what_remains_is_said(home: Path) -> None:
    remains = " ".join(forget_person(home, "review-1").remains)
    for place in ("weights", "sources", "answers.parquet", "sentiflow score"):
        assert place in remains
    assert remains == " ".join(forget_rows.REMAINS)
