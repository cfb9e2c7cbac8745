import csv
import io
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sentiflow.data.ingest import file_state, ingest, segments
from sentiflow.data.ingest.file_state import digest_beginnings
from sentiflow.data.ingest.ingest import read_sources
from sentiflow.data.ingest.manifest import list_needed
from sentiflow.data.ingest.results import Ingested
from sentiflow.data.reading.listing import list_source_files
from sentiflow.data.reading.streams import SourceFile
from sentiflow.data.rewriting import rewrite_without
from sentiflow.data.snapshot import SNAPSHOT_COLUMNS, read_shards
from sentiflow.errors import SourceError, UsageError
from sentiflow.settings import Settings, load_settings

NIGHT = date(2026, 6, 30)
Write = Callable[..., Path]
Review = Callable[..., dict[str, Any]]


def read(
    path: Path | str, home: Path, businesses: Path | str | None = None, *overrides: str
) -> Ingested:
    settings: Settings = load_settings(None, overrides)
    return read_sources([str(path)], str(businesses) if businesses else None, settings, NIGHT, home)


def load(ingested: Ingested) -> pd.DataFrame:
    return pd.concat(list(read_shards(ingested.snapshot, SNAPSHOT_COLUMNS)))


def test_every_row_is_accounted_for(home: Path, write_reviews: Write, review: Review) -> None:
    reviews = [review(n) for n in range(100)]
    reviews[3]["stars"] = 9
    reviews[4]["text"] = "  "
    reviews[5]["date"] = "2027-01-01"
    reviews[6] = {**reviews[7], "date": "2020-01-01"}
    path = write_reviews(reviews)
    with path.open("a") as stream:
        stream.write('{"review_id": "half a li')
    profile = read(path, home).profile
    assert profile.rows_read == 101
    assert profile.quarantined == 3
    assert profile.left_out_after_night == 1
    assert profile.superseded == 1
    assert profile.rows == 96 == profile.unique_ids
    assert profile.unaccounted_rows == 0


def test_the_quarantine_names_file_line_and_reason_of_each_row(
    home: Path, write_reviews: Write, review: Review
) -> None:
    path = write_reviews([review(1), review(2, stars=7), review(3)])
    ingested = read(path, home)
    (entry,) = [json.loads(line) for line in Path(ingested.quarantine).read_text().splitlines()]
    assert entry["file"].endswith("reviews.jsonl")
    assert entry["line"] == 2
    assert entry["review_id"] == "review-2"
    assert "stars" in entry["reason"]
    assert entry["rule"].startswith("expect_column_values_to_be_between")


def test_a_newer_neutral_review_supersedes_an_older_one_before_it_is_left_out(
    home: Path, write_reviews: Write, review: Review
) -> None:
    path = write_reviews(
        [
            review(1, stars=5, date="2026-01-01"),
            review(1, stars=3, date="2026-02-01"),
            review(2, stars=1),
        ]
    )
    ingested = read(path, home, None, "data.neutral=leave_out")
    assert load(ingested)["review_id"].tolist() == ["review-2"]
    assert (ingested.profile.superseded, ingested.profile.left_out_neutral) == (1, 1)


def test_a_row_after_the_night_does_not_supersede_what_was_known_then(
    home: Path, write_reviews: Write, review: Review
) -> None:
    path = write_reviews(
        [review(1, stars=5, date="2026-06-30 23:59:59"), review(1, stars=1, date="2026-07-01")]
    )
    assert load(read(path, home))["stars"].tolist() == [5.0]


def test_a_category_keeps_its_businesses_only(
    home: Path, write_reviews: Write, review: Review
) -> None:
    path = write_reviews([review(n) for n in range(50)])
    businesses = write_reviews(
        [
            {"business_id": "business-0", "categories": "Restaurants, Thai"},
            {"business_id": "business-1", "categories": "Car Wash"},
        ],
        "businesses.jsonl",
    )
    ingested = read(path, home, businesses, "data.category=Restaurants")
    assert set(load(ingested)["business_id"]) == {"business-0"}
    assert ingested.profile.left_out_category == 40
    assert ingested.profile.join_coverage == pytest.approx(0.4)
    assert ingested.profile.unaccounted_rows == 0


def test_the_label_rule_is_a_setting(home: Path, write_reviews: Write, review: Review) -> None:
    path = write_reviews([review(n, stars=float(n % 5 + 1)) for n in range(10)])
    labels = {
        above: load(read(path, home, None, f"data.positive_above={above}"))["label"].sum()
        for above in (2, 3, 4)
    }
    assert labels == {2: 6, 3: 4, 4: 2}


def test_a_missing_file_is_a_usage_error(home: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="exist"):
        read(tmp_path / "nowhere.jsonl", home)


CODE = "some code"


def read_again(path: Path | str, home: Path, code: str = CODE, **options: Any) -> Ingested:
    """Ingest as a night does: what was read before is not read again."""
    settings = load_settings(None, ("data.chunk_rows=700", *options.pop("overrides", ())))
    night = options.pop("night", NIGHT)
    businesses = options.pop("businesses", None)
    return read_sources([str(path)], businesses, settings, night, home, code, **options)


def describe(ingested: Ingested) -> tuple[Any, ...]:
    """Everything that a night makes of its rows, to the byte."""
    shards = [path.read_bytes() for path in ingested.snapshot.paths]
    quarantine = Path(ingested.quarantine).read_bytes()
    return ingested.snapshot.fingerprint, shards, asdict(ingested.profile), quarantine


def try_describing(work: Callable[[], Ingested]) -> tuple[Any, ...] | str:
    try:
        return describe(work())
    except SourceError as error:
        return str(error)


def read_whole(path: Path, businesses: str | None = None) -> tuple[Any, ...] | str:
    """What an ingest gives that knows nothing, with chunks of another size."""
    home = path.parent / "whole"
    try:
        return try_describing(lambda: read(path, home, businesses, "data.chunk_rows=37"))
    finally:
        shutil.rmtree(home, ignore_errors=True)


# Rows of every kind: sound, without an id, with one id, dated later, not valid, broken.
ROWS = [
    {"review_id": "a", "stars": 5, "text": 'She said "yes",\ntwice.', "date": "2026-01-02"},
    {"review_id": "a", "stars": 1, "text": "Never.", "date": "2026-03-02", "business_id": "x"},
    {"review_id": "b", "stars": 4, "text": "In time.", "date": "2027-01-02"},
    {"review_id": "c", "stars": 9, "text": "Too many stars.", "date": None},
    {"review_id": None, "stars": 2, "text": "Nobody wrote this.", "date": None},
    {"review_id": "d", "stars": 2, "text": "", "date": "yesterday"},
]
NAMES = ["review_id", "stars", "text", "date", "business_id"]
# Long enough for reading to go on behind it.
LONG = {
    "review_id": "long",
    "stars": 4,
    "text": "long " * 7_000,
    "date": "2026-01-01",
    "business_id": "y",
}
CATEGORIES = ["Thai", "Food, Bars", None]
BROKEN = [
    b'{"half',
    b"\n",
    b"[]\n",
    b'oops "quoted,\n',
    b'"x",5,"y',
    b"\xff\xfe\n",
    b"a,b\r\n",
    b'"\n',
]

Change = tuple[str, int, list[int]]
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(
            ["append", "append", "break", "edit", "cut", "remove", "new", "rewrite", "businesses"]
        ),
        st.integers(0, 5),
        st.lists(st.integers(0, 10_000), min_size=1, max_size=4),
    ),
    min_size=1,
    max_size=4,
)


def encode(rows: list[dict[str, Any]], kind: str, *, header: bool) -> bytes:
    if kind == "jsonl":
        return b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    if kind == "csv":
        stream = io.StringIO(newline="")
        writer = csv.DictWriter(stream, NAMES, lineterminator="\n")
        if header:
            writer.writeheader()
        writer.writerows(rows)
        return stream.getvalue().encode()
    packed = io.BytesIO()
    pd.DataFrame(rows, columns=NAMES).to_parquet(packed)
    return packed.getvalue()


def change(folder: Path, what: str, which: int, numbers: list[int]) -> None:
    """Do to one of the files what a night may find done to it."""
    files = sorted(folder.iterdir())
    path = files[which % len(files)]
    kind = path.suffix[1:]
    rows = [ROWS[number % len(ROWS)] for number in numbers]
    content = path.read_bytes()
    at = numbers[0] % max(len(content), 1)
    if what == "append" and kind != "parquet":
        content += encode(rows, kind, header=not content)
    elif what in ("break", "append"):
        content += BROKEN[numbers[0] % len(BROKEN)]
    elif what == "edit":
        content = content[:at] + b"7" + content[at + 1 :]
    elif what == "cut":
        content = content[: len(content) - at]
    elif what == "new":
        path = folder / f"{numbers[0] % 9}.{kind}"
        content = encode([*rows, LONG], kind, header=True)
    elif what == "remove" and len(files) > 1:
        path.unlink()
        return
    path.write_bytes(content)


def change_businesses(folder: Path, which: int, numbers: list[int]) -> str | None:
    """Write a businesses file, on disk or behind a URL, or leave it out; return its name."""
    if which % 3 == 0:
        return None
    path = f"memory://{folder.name}.jsonl" if which % 3 == 1 else str(folder / "businesses.jsonl")
    with fsspec.open(path, "w") as stream:
        for business, number in zip("xy", numbers, strict=False):
            categories = CATEGORIES[number % len(CATEGORIES)]
            stream.write(json.dumps({"business_id": business, "categories": categories}) + "\n")
    return path


def check_history(changes: list[Change], folder: Path, rest: int, small: int) -> None:
    """Compare, after each change, what is read of what is new with a reading of everything."""
    shutil.rmtree(folder, ignore_errors=True)
    sources, home = folder / "sources", folder / "home"
    sources.mkdir(parents=True)
    for name in ("1.csv", "3.jsonl", "5.parquet", "7.csv"):
        rows = [LONG, *ROWS] if name < "4" else ROWS[:3]
        (sources / name).write_bytes(encode(rows, name.rpartition(".")[2], header=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(file_state, "_SETTLING_NS", rest)
        patch.setattr(segments, "SMALL_BYTES", small)
        businesses: str | None = None
        for step in [None, *changes, None]:
            if step is not None and step[0] == "businesses":
                businesses = change_businesses(folder, *step[1:])
            elif step is not None:
                change(sources, *step)
            again = try_describing(partial(read_again, sources, home, businesses=businesses))
            assert again == read_whole(sources, businesses)


@hypothesis_settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    changes=CHANGES,
    rest=st.sampled_from([0, 2_000_000_000]),
    small=st.sampled_from([0, 8_000_000]),
)
@pytest.mark.slow
def test_after_any_history_of_its_files_a_night_reads_what_a_first_one_would(
    changes: list[Change], rest: int, small: int, tmp_path: Path
) -> None:
    check_history(changes, tmp_path / "history", rest, small)


def test_files_that_grow_break_and_vanish_are_read_as_if_for_the_first_time(
    tmp_path: Path,
) -> None:
    changes: list[Change] = [
        ("append", 0, [0, 1, 4]),
        ("break", 1, [0]),
        ("append", 1, [2, 4]),
        ("break", 0, [3]),
        ("remove", 2, [0]),
    ]
    check_history(changes, tmp_path / "history", 0, 0)


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    """What ingest last said of how much it read."""
    caplog.set_level("INFO", logger="sentiflow.data")

    def find() -> str:
        lines = [record.getMessage() for record in caplog.records]
        return next(line for line in reversed(lines) if "files unchanged" in line)

    return find


@pytest.fixture
def rested(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let files that were just written count as written long ago."""
    monkeypatch.setattr(file_state, "_SETTLING_NS", 0)


def write_days(folder: Path, review: Review, *days: int) -> Path:
    """A folder with a file of twenty reviews a day, and a damaged row in each."""
    folder.mkdir(exist_ok=True)
    for day in days:
        rows = [review(20 * day + n) for n in range(20)]
        rows[3]["stars"] = 9
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"day-{day}.jsonl").write_text(lines)
    return folder


def list_pieces(home: Path) -> set[str]:
    return {path.name for path in (home / "ingest" / "pieces").iterdir()}


def let_a_day_pass(home: Path) -> None:
    """Let what lies under a home be a day older."""
    for path in home.rglob("*"):
        used = path.stat().st_mtime - 86_400
        os.utime(path, (used, used))


@pytest.mark.usefixtures("rested")
def test_of_a_folder_of_days_only_the_new_day_is_read(
    tmp_path: Path, home: Path, review: Review, said: Callable[[], str]
) -> None:
    folder = write_days(tmp_path / "days", review, 1, 2)
    first = read_again(folder, home)
    assert said() == "ingest: 0 of 2 files unchanged, 40 new rows read"
    assert describe(read_again(folder, home)) == describe(first)
    assert said() == "ingest: 2 of 2 files unchanged, nothing read"
    write_days(folder, review, 3)
    third = read_again(folder, home)
    assert said() == "ingest: 2 of 3 files unchanged, 20 new rows read"
    assert describe(third) == read_whole(folder)


def test_of_a_file_that_grew_only_what_is_new_is_read(
    tmp_path: Path, home: Path, said: Callable[[], str]
) -> None:
    path = tmp_path / "all.jsonl"
    path.write_bytes(encode([LONG, *ROWS], "jsonl", header=False) + b'{"review_id": "half')
    read_again(path, home)
    with path.open("ab") as stream:
        stream.write(b'", "text": "Whole now.", "stars": 4}\n')
        stream.write(encode(ROWS[:2], "jsonl", header=False))
    again = read_again(path, home)
    assert said() == "ingest: 0 of 1 files unchanged, 3 new rows read"
    assert describe(again) == read_whole(path)
    assert "half" in load(again)["review_id"].tolist()


@pytest.mark.usefixtures("rested")
def test_one_character_of_the_last_row_makes_another_snapshot(
    home: Path, write_reviews: Write, review: Review
) -> None:
    path = write_reviews([review(n) for n in range(30)])
    before = path.stat()
    first = read_again(path, home)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"number 29", b"number 28"))
    # Size and time of the last change are as they were: only ctime tells.
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    second = read_again(path, home)
    assert second.snapshot.fingerprint != first.snapshot.fingerprint
    assert describe(second) == read_whole(path)


@pytest.mark.usefixtures("rested")
def test_who_trusts_nothing_stored_has_every_byte_compared(
    home: Path, write_reviews: Write, review: Review, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_reviews([review(n) for n in range(30)])
    seen = file_state.read_file_state(list_source_files([str(path)], load_settings().data)[0])
    for module in ("manifest", "gathering"):
        # A file system that says of a changed file what it said before.
        monkeypatch.setattr(f"sentiflow.data.ingest.{module}.read_file_state", lambda file: seen)
    first = read_again(path, home)
    path.write_bytes(path.read_bytes().replace(b"number 29", b"number 28"))
    assert describe(read_again(path, home)) == describe(first)
    assert describe(read_again(path, home, trust_stored=False)) == read_whole(path)


@pytest.mark.usefixtures("rested")
def test_a_stored_result_serves_other_nights_only_while_they_leave_out_the_same_rows(
    home: Path, write_reviews: Write, review: Review, said: Callable[[], str]
) -> None:
    path = write_reviews(
        [review(1, date="2026-06-30"), review(2, date="2026-07-03"), review(3, date="2026-07-09")]
    )
    rows, reused = {}, {}
    for day in (30, 2, 3, 8, 9, 1):
        night = date(2026, 6, day) if day == 30 else date(2026, 7, day)
        rows[day] = read_again(path, home, night=night).snapshot.rows
        reused[day] = said().endswith("nothing read")
    assert rows == {30: 1, 2: 1, 3: 2, 8: 2, 9: 3, 1: 1}
    assert reused == {30: False, 2: True, 3: False, 8: True, 9: False, 1: False}


@pytest.mark.usefixtures("rested")
@pytest.mark.parametrize("what", ["snapshot", "quarantine", "piece"])
def test_what_is_stored_is_only_believed_when_it_is_whole(
    tmp_path: Path, home: Path, review: Review, what: str
) -> None:
    folder = write_days(tmp_path / "days", review, 1)
    first = read_again(folder, home)
    expected = describe(first)
    pieces_root = home / "ingest" / "pieces"
    damaged = {
        "snapshot": first.snapshot.paths[0],
        "quarantine": Path(first.quarantine),
        "piece": next(pieces_root.glob("*.arrow")),
    }[what]
    content = damaged.read_bytes()
    damaged.write_bytes(content[:-30] + b"x" * 30)
    if what == "piece":
        # Only a night that cannot reuse the whole result looks at the pieces.
        write_days(folder, review, 2)
        assert describe(read_again(folder, home)) == read_whole(folder)
    else:
        assert describe(read_again(folder, home)) == expected


@pytest.mark.usefixtures("rested")
def test_other_categories_of_a_business_are_another_result_wherever_they_are_read(
    home: Path, tmp_path: Path, write_reviews: Write, review: Review
) -> None:
    path = write_reviews([review(n) for n in range(20)])
    local, remote = str(tmp_path / "businesses.jsonl"), "memory://businesses.jsonl"
    fingerprints = []
    for place, category in [
        (None, None),
        (remote, "Thai"),
        (remote, "Food"),
        (local, "Thai"),
        (local, "Food"),
        (None, None),
    ]:
        if place is not None:
            with fsspec.open(place, "w") as stream:
                stream.write(json.dumps({"business_id": "business-0", "categories": category}))
        ingested = read_again(path, home, businesses=place)
        fingerprints.append(ingested.snapshot.fingerprint)
        assert set(load(ingested)["categories"].dropna()) == {category} - {None}
        assert ingested.profile.join_coverage == (place and 0.2)
    none, thai, food, *again = fingerprints
    assert again == [thai, food, none]
    assert len(set(fingerprints)) == 3


@pytest.mark.usefixtures("rested")
def test_what_other_code_read_is_read_again_and_its_pieces_go(
    tmp_path: Path, home: Path, review: Review, said: Callable[[], str]
) -> None:
    folder = write_days(tmp_path / "days", review, 1, 2)
    read_again(folder, home)
    let_a_day_pass(home)
    before = list_pieces(home)
    (folder / "day-1.jsonl").unlink()
    read_again(folder, home, "other code")
    assert said() == "ingest: 0 of 1 files unchanged, 20 new rows read"
    assert list_pieces(home) < before
    assert len(list_pieces(home)) == 2


@pytest.mark.usefixtures("rested")
def test_pieces_that_other_sources_need_stay(tmp_path: Path, home: Path, review: Review) -> None:
    folder = write_days(tmp_path / "days", review, 1, 2)
    read_again(folder, home)
    read_again(folder / "day-1.jsonl", home)
    let_a_day_pass(home)
    (folder / "day-2.jsonl").unlink()
    (folder / "day-1.jsonl").write_text('{"text": "All new.", "stars": 5}\n')
    read_again(folder, home)
    catalogs = list((home / "ingest").glob("*.json"))
    # Day 2 is gone, and day 1 as it was is still what the other catalog knows.
    assert len(catalogs) == 2
    assert list_pieces(home) == set(list_needed(catalogs))


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[[], object]], None]:
    """Let something happen once, just before an ingest goes on to gather or to assemble."""

    def arrange(before: str, work: Callable[[], object]) -> None:
        go_on = getattr(ingest, before)

        def work_first(*arguments: Any) -> Any:
            monkeypatch.setattr(ingest, before, go_on)
            work()
            return go_on(*arguments)

        monkeypatch.setattr(ingest, before, work_first)

    return arrange


@pytest.mark.usefixtures("rested")
@pytest.mark.parametrize(("place", "before"), [("on disk", "gather"), ("behind a URL", "assemble")])
def test_of_two_nights_over_the_same_sources_neither_removes_what_the_other_uses(
    tmp_path: Path,
    home: Path,
    review: Review,
    caplog: pytest.LogCaptureFixture,
    meanwhile: Callable[[str, Callable[[], object]], None],
    place: str,
    before: str,
) -> None:
    path = str(tmp_path / "grows.jsonl") if place == "on disk" else "memory://grows.jsonl"
    rows = [LONG, *[review(n) for n in range(20)]]

    def grow(*numbers: int) -> None:
        rows.extend(review(n) for n in numbers)
        with fsspec.open(path, "wb") as stream:
            stream.write(encode(rows, "jsonl", header=False))

    grow(20)
    read_again(path, home)
    let_a_day_pass(home)
    grow(21, 22)
    meanwhile(before, lambda: read_again(path, home, overrides=("data.positive_above=4",)))
    again = read_again(path, home)
    assert describe(again) == describe(read(path, tmp_path / "whole"))
    # Nothing had gone, so nothing was read twice.
    assert "reading all" not in caplog.text
    # What cannot be recognized the next time is not kept either.
    assert bool(list_pieces(home)) == (place == "on disk")


@pytest.mark.usefixtures("rested")
@pytest.mark.parametrize("before", ["gather", "assemble"])
def test_rows_that_go_while_a_night_uses_them_are_read_anew(
    tmp_path: Path,
    home: Path,
    review: Review,
    meanwhile: Callable[[str, Callable[[], object]], None],
    before: str,
) -> None:
    folder = write_days(tmp_path / "days", review, 1)
    read_again(folder, home)
    write_days(folder, review, 2)
    whole = read_whole(folder)

    def remove_pieces() -> None:
        for name in list_pieces(home):
            (home / "ingest" / "pieces" / name).unlink()

    meanwhile(before, remove_pieces)
    assert describe(read_again(folder, home)) == whole
    assert describe(read_again(folder, home)) == whole


def test_what_is_appended_while_a_file_is_read_is_left_for_the_next_night(
    home: Path, write_reviews: Write, review: Review, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_reviews([LONG, *[review(n) for n in range(20)]])
    whole_before = read_whole(path)

    def digest_and_append(file: SourceFile, sizes: Sequence[int]) -> tuple[str, ...]:
        digests = digest_beginnings(file, sizes)
        with path.open("a") as stream:
            stream.write(json.dumps(review(50)) + "\n")
        return digests

    monkeypatch.setattr("sentiflow.data.ingest.gathering.digest_beginnings", digest_and_append)
    assert describe(read_again(path, home)) == whole_before
    monkeypatch.undo()
    assert describe(read_again(path, home)) == read_whole(path) != whole_before


class Crash(BaseException):
    """Stands for the end of the process: nothing in sentiflow catches it to go on."""


def test_an_ingest_that_was_cut_short_leaves_nothing_false(
    tmp_path: Path, home: Path, review: Review, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_days(tmp_path / "days", review, 1)
    read_again(folder, home)
    write_days(folder, review, 2)
    (folder / "day-1.jsonl").write_text(json.dumps(review(7)) + "\n")
    whole = read_whole(folder)
    replace = os.replace
    crashes = 0
    for step in range(1, 20, 2):
        done = 0

        def replace_or_crash(*arguments: Any, step: int = step) -> None:
            nonlocal done
            done += 1
            if done == step:
                raise Crash
            replace(*arguments)

        copy = tmp_path / f"home-{step}"
        shutil.copytree(home, copy)
        monkeypatch.setattr(os, "replace", replace_or_crash)
        try:
            assert describe(read_again(folder, copy)) == whole
            break
        except Crash:
            crashes += 1
        finally:
            monkeypatch.undo()
        assert describe(read_again(folder, copy)) == whole
        assert not list(copy.rglob(".unfinished-*"))
    # Between the pieces, the catalog, the snapshot, the quarantine and the catalog again.
    assert crashes >= 4


def test_what_is_told_of_values_is_told_of_files_that_were_read_before(
    home: Path, write_reviews: Write, review: Review
) -> None:
    reviews = [review(n) for n in range(40)]
    for number, date_ in enumerate(("soon", "31/12/2020", "01/02/2020", "NULL", 1_578_260_042)):
        reviews[number]["date"] = date_
    reviews[10]["review_id"] = "NULL"
    reviews[11]["user_id"] = ["u"]
    reviews[12]["review_id"] = reviews[13]["review_id"]
    path = write_reviews(reviews)
    first, second = (
        read_sources([str(path)], None, load_settings(None), NIGHT, home, "code").profile
        for _ in range(2)
    )
    assert first == second
    assert first.quarantined == 0
    assert first.unreadable == {"date": 3, "user_id": 1}
    assert first.date_orders == {"either": 1, "day_first": 1, "month_first": 0}
    assert (first.derived_ids, first.passed, first.missing_dates) == (1, 40, 4)
    assert (first.superseded, first.superseded_by_others) == (1, 1)


def test_labels_that_are_not_understood_are_counted_by_what_they_may_be(
    home: Path, write_reviews: Write, review: Review
) -> None:
    labels = ["0", 4, 4, "SECRET text"] * 10
    path = write_reviews([review(n, label=label) for n, label in enumerate(labels)])
    ingested = read(path, home, None, "data.columns.label=label")
    assert ingested.profile.unknown_labels == {"4": 20, "other": 10}
    assert "unknown_label" not in Path(ingested.quarantine).read_text()


def test_neutral_labels_that_are_kept_are_rows_like_those_with_that_label(
    home: Path, write_reviews: Write, review: Review
) -> None:
    words = ("positive", "neutral", "negative")
    kept, plain = (
        read(
            write_reviews([review(n, label=word(n)) for n in range(60)], f"{name}.jsonl"),
            home,
            None,
            "data.columns.label=label",
        )
        for name, word in (
            ("kept", lambda n: words[n % 3]),
            ("plain", lambda n: words[0] if n % 3 == 0 else "neg"),
        )
    )
    assert kept.snapshot.fingerprint == plain.snapshot.fingerprint
    assert (kept.profile.neutral_labels, plain.profile.neutral_labels) == (20, 0)
    # So that rows can be taken out of it (sentiflow forget).
    folder = Path(kept.snapshot.folder)
    assert rewrite_without(folder, {"review_id": ["review-1"]}).rows == 1


def test_stars_on_another_scale_are_the_rows_they_would_be_on_one_to_five(
    home: Path, write_reviews: Write, review: Review
) -> None:
    five, four = (
        read(
            write_reviews([review(n, stars=n % 5 + low) for n in range(50)], f"{low}.jsonl"),
            home,
            None,
            f"data.stars_scale={low}-{low + 4}",
        )
        for low in (1, 0)
    )
    assert four.snapshot.fingerprint == five.snapshot.fingerprint


@pytest.mark.parametrize("key", ["review_id", "date", "user_id", "business_id"])
def test_an_optional_column_can_be_left_out(
    home: Path, write_reviews: Write, review: Review, key: str
) -> None:
    path = write_reviews([review(n) for n in range(30)])
    ingested = read(path, home, None, f"data.columns.{key}=none")
    reviews = load(ingested)
    assert len(reviews) == ingested.profile.rows == 30
    if key == "review_id":
        assert not set(reviews[key]) & {f"review-{n}" for n in range(30)}
    else:
        assert reviews[key].isna().all()
