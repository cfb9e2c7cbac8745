"""The embedded sample is what its docstring says: Yelp-shaped, seeded, and flawed on purpose."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import tracemalloc
from collections import Counter, deque
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_disk import fill_disk, mount_small_disk, only_root_mounts

from sentiflow.data.checks.validation import RowChecker
from sentiflow.data.reading.listing import list_source_files
from sentiflow.data.reading.sources import read
from sentiflow.data.reviews import type_reviews
from sentiflow.data.splitting import assign_buckets, digest_texts, name_splits
from sentiflow.errors import UsageError
from sentiflow.sample.reviews import (
    FIRST_DATE,
    FLAWS,
    LAST_DATE,
    SAMPLE_ROWS,
    SAMPLE_SEED,
    cut_short,
    generate_lines,
    write_sample,
)
from sentiflow.settings import DataSettings, SplitSettings

YELP_FIELDS = [
    *("review_id", "user_id", "business_id", "stars", "useful", "funny", "cool"),
    *("text", "date"),
]
YELP_STARS = {1: 0.112, 2: 0.094, 3: 0.14, 4: 0.296, 5: 0.359}


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    return list(generate_lines(SAMPLE_ROWS, SAMPLE_SEED))


@pytest.fixture(scope="module")
def sound(lines: list[bytes]) -> list[dict[str, Any]]:
    """The rows with nothing wrong, in file order; repeats among them."""
    return [json.loads(line) for line in lines if name_flaw(line) is None]


def name_flaw(line: bytes) -> str | None:
    """Return what is wrong with a line, told from its bytes alone."""
    if not line.endswith(b"\n"):
        return "cut short"
    try:
        row = json.loads(line.decode())
    except UnicodeDecodeError:
        return "not UTF-8"
    except json.JSONDecodeError:
        return "not JSON"
    if not isinstance(row, dict):
        return "not an object"
    if "text" not in row:
        return "no text"
    if row["text"] is None:
        return "null text"
    if not isinstance(row["text"], str):
        return f"a {'list' if isinstance(row['text'], list) else 'number'} for a text"
    if not row["text"].strip():
        return "blank text" if row["text"] else "empty text"
    if "stars" not in row:
        return "no stars"
    if isinstance(row["stars"], str):
        return "stars in words"
    if row["stars"] is True:
        return "a truth for stars"
    if row["stars"] == -1:
        return "minus one star"
    if not 1 <= row["stars"] <= 5:
        return f"{row['stars']:.0f} stars"
    return None


def test_the_same_seed_gives_the_same_bytes_on_every_supported_python() -> None:
    digest = hashlib.sha256(b"".join(generate_lines(400, 2018))).hexdigest()

    assert digest == "215268ff53b20b4d9f01e7c1da775f3a2be1cb9f4d8d2214f851e201abdd710d"


def test_another_seed_gives_other_reviews_and_other_ids() -> None:
    ours, theirs = (
        {json.loads(line)["review_id"] for line in generate_lines(20, seed) if not name_flaw(line)}
        for seed in (1, 2)
    )

    assert len(ours) == len(theirs) == 19
    assert not ours & theirs


def test_a_longer_sample_begins_with_the_lines_of_a_shorter_one(lines: list[bytes]) -> None:
    assert list(generate_lines(500, SAMPLE_SEED))[:-1] == lines[:499]


def test_a_sound_row_has_the_fields_and_types_of_a_yelp_file(sound: list[dict[str, Any]]) -> None:
    for row in sound:
        assert list(row) == YELP_FIELDS
        assert re.fullmatch(r"[\w-]{22}", row["review_id"], re.ASCII)
        assert re.fullmatch(r"[\w-]{22}", row["business_id"], re.ASCII)
        assert row["user_id"] is None or re.fullmatch(r"[\w-]{22}", row["user_id"], re.ASCII)
        assert isinstance(row["stars"], float)
        assert all(isinstance(row[vote], int) and row[vote] >= 0 for vote in YELP_FIELDS[4:7])


def test_a_missing_user_or_date_is_null_in_a_few_rows(sound: list[dict[str, Any]]) -> None:
    for field in ("user_id", "date"):
        assert 0 < sum(row[field] is None for row in sound) < 0.01 * len(sound)


def test_stars_are_given_as_often_as_on_yelp(sound: list[dict[str, Any]]) -> None:
    counts = Counter(row["stars"] for row in sound)

    assert {stars: counts[stars] / len(sound) for stars in YELP_STARS} == pytest.approx(
        YELP_STARS, abs=0.02
    )


def test_texts_are_half_as_long_as_on_yelp(sound: list[dict[str, Any]]) -> None:
    words = [len(row["text"].split()) for row in sound]

    yelp = np.array([18, 46, 87, 153, 327])
    assert np.quantile(words, [0.05, 0.25, 0.5, 0.75, 0.95]) == pytest.approx(yelp / 2, rel=0.15)


def test_dates_come_in_two_formats_and_stay_within_the_six_months(
    sound: list[dict[str, Any]],
) -> None:
    dates = [row["date"] for row in sound if row["date"] is not None]
    days = [date.fromisoformat(written[:10]) for written in dates]

    assert min(days) == FIRST_DATE
    assert max(days) == LAST_DATE
    assert Counter(map(len, dates)).keys() == {len("2025-03-01"), len("2025-03-01 18:30:00")}


def test_every_flaw_is_in_the_sample_and_few_lines_have_one(lines: list[bytes]) -> None:
    flaws = Counter(name_flaw(line) for line in lines)
    del flaws[None]

    assert flaws.keys() == FLAWS.keys() | {"cut short"}
    assert min(flaws[flaw] for flaw in FLAWS) >= 5
    assert 0.02 < flaws.total() / len(lines) < 0.04


def test_ingestion_quarantines_the_flawed_lines_and_no_others(tmp_path: Path) -> None:
    path = tmp_path / "sample.jsonl"
    write_sample(path, rows=len(FLAWS) * 40)  # Each flaw once.
    with path.open("rb") as file:
        flawed = [number for number, line in enumerate(file, 1) if name_flaw(line) is not None]

    data = DataSettings()
    checker = RowChecker(data)
    quarantined = []
    for chunk in read(list_source_files([str(path)], data), data):
        _, rejections = checker.check(type_reviews(chunk.raw_reviews, data))
        quarantined += [rejection.line for rejection in chunk.rejections + rejections]

    assert sorted(quarantined) == flawed


def test_only_the_last_line_is_cut_short_and_only_in_a_file_of_some_length(
    lines: list[bytes],
) -> None:
    assert name_flaw(lines[-1]) == "cut short"
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in lines[:-1])
    assert list(generate_lines(10, 1))[-1].endswith(b"}\n")


def test_a_line_is_cut_short_between_two_characters() -> None:
    for letters in range(6, 26):
        line = cut_short({"text": "é" * letters})

        assert line.decode().startswith('{"text":"é')
        assert not line.endswith(b"}")


def test_an_id_comes_twice_only_where_an_older_state_of_the_review_follows(
    sound: list[dict[str, Any]],
) -> None:
    first: dict[str, dict[str, Any]] = {}
    superseded = 0
    for row in sound:
        newer = first.setdefault(row["review_id"], row)
        if newer is not row:
            superseded += 1
            assert row["date"][:10] < newer["date"][:10]
            # Somebody's edit of the same visit: nothing to be warned of.
            for name in ("user_id", "business_id"):
                assert row[name] == newer[name]
            assert row["text"] != newer["text"]

    assert 0.01 < superseded / len(sound) < 0.02


def test_a_text_comes_twice_only_under_another_id_with_the_same_stars(
    sound: list[dict[str, Any]],
) -> None:
    first: dict[str, dict[str, Any]] = {}
    copies = 0
    for row in sound:
        original = first.setdefault(row["text"], row)
        if original is not row:
            copies += 1
            assert row["review_id"] != original["review_id"]
            assert row["stars"] == original["stars"]

    assert 0.01 < copies / len(sound) < 0.02


def test_long_sentences_of_test_reviews_do_not_stand_in_train_reviews(
    sound: list[dict[str, Any]],
) -> None:
    texts = [row["text"] for row in sound]
    sides = name_splits(assign_buckets(digest_texts(texts)), SplitSettings())
    seen = {s for text, side in zip(texts, sides, strict=True) if side == 0 for s in cut(text)}
    asked = [s for text, side in zip(texts, sides, strict=True) if side == 2 for s in cut(text)]

    assert len(seen) > 15_000
    assert len(asked) > 2_000
    assert sum(sentence in seen for sentence in asked) / len(asked) < 0.04


def cut(text: str) -> list[str]:
    """Return the sentences of six or more words, as lower-case words only."""
    sentences = (re.findall(r"[\w'’]+", part.lower()) for part in re.split(r"[.!?\n]+", text))
    return [" ".join(words) for words in sentences if len(words) >= 6]


def test_there_are_enough_test_reviews_for_a_verdict(sound: list[dict[str, Any]]) -> None:
    sides = name_splits(assign_buckets(digest_texts(row["text"] for row in sound)), SplitSettings())

    assert np.count_nonzero(sides == 2) >= 600


@pytest.mark.parametrize(("longest", "most"), [(1, 0.78), (3, 0.82)])
def test_counting_words_or_three_in_a_row_beats_guessing_but_stays_far_from_right(
    sound: list[dict[str, Any]], longest: int, most: float
) -> None:
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    texts = [row["text"] for row in sound]
    labels = np.array([row["stars"] > 3 for row in sound])
    sides = name_splits(assign_buckets(digest_texts(texts)), SplitSettings())
    counter = CountVectorizer(ngram_range=(1, longest), binary=True, min_df=3)
    words = counter.fit_transform(texts)
    model = LogisticRegression(C=0.1, max_iter=500).fit(words[sides == 0], labels[sides == 0])

    accuracy = model.score(words[sides == 2], labels[sides == 2])
    assert labels[sides == 2].mean() + 0.02 < accuracy < most


@pytest.mark.parametrize(
    "texture", ["café", "jalapeño", "’", "&amp;", "!", "?", "\n\n", "👍", "👎", "..."]
)
def test_the_texts_have_what_real_texts_have(texture: str, sound: list[dict[str, Any]]) -> None:
    assert any(texture in row["text"] for row in sound)


def test_some_sentences_are_shouted_and_some_texts_have_no_capitals(
    sound: list[dict[str, Any]],
) -> None:
    assert any(re.search(r"(\b[A-Z]{2,}\b[ ,]+){4}", row["text"]) for row in sound)
    assert sum(row["text"].islower() for row in sound) > 0.02 * len(sound)


def test_writing_holds_a_few_lines_at_a_time() -> None:
    deque(generate_lines(1, 1), maxlen=0)  # The grammar stays in memory: not part of it.
    tracemalloc.start()
    try:
        deque(generate_lines(4_000, 1), maxlen=0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    # 4,000 lines take 2.2 MB; the constant part is the ids of 500 businesses and 40 rows.
    assert peak < 500_000


def test_the_lines_start_to_come_before_all_are_written() -> None:
    assert len(list(islice(generate_lines(10**12, 1), 3))) == 3


def test_the_file_holds_the_lines_and_nothing_else_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "sample.jsonl"

    assert write_sample(path, rows=120, seed=3) == 120
    assert path.read_bytes() == b"".join(generate_lines(120, 3))
    assert list(path.parent.iterdir()) == [path]


def test_a_file_named_gz_is_compressed_to_the_same_bytes_every_time(tmp_path: Path) -> None:
    for name in ("a.jsonl.gz", "b.jsonl.gz"):
        write_sample(tmp_path / name, rows=30, seed=3)

    ours = (tmp_path / "a.jsonl.gz").read_bytes()
    assert ours == (tmp_path / "b.jsonl.gz").read_bytes()
    assert ours[4:8] == bytes(4)  # No time of writing.
    assert gzip.decompress(ours) == b"".join(generate_lines(30, 3))


@only_root_mounts
def test_a_full_disk_leaves_the_old_file_and_nothing_half_done(tmp_path: Path) -> None:
    with mount_small_disk(tmp_path / "small", 1) as disk:
        path = disk / "sample.jsonl"
        write_sample(path, rows=5, seed=1)
        before = path.read_bytes()
        filler = fill_disk(disk)
        with pytest.raises(OSError, match="No space left"):
            write_sample(path, rows=100, seed=2)
        assert path.read_bytes() == before
        assert {*disk.iterdir()} == {path, filler}


@pytest.mark.parametrize("rows", [0, -5])
def test_a_sample_without_rows_is_refused(rows: int, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"Received: rows={rows}\\."):
        write_sample(tmp_path / "sample.jsonl", rows=rows)

    assert not list(tmp_path.iterdir())


def test_a_path_that_cannot_be_a_file_is_a_mistake_of_the_call(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("taken")

    for path in (tmp_path, tmp_path / "file" / "sample.jsonl"):
        with pytest.raises(UsageError, match="Name another file"):
            write_sample(path, rows=3)

    assert list(tmp_path.iterdir()) == [tmp_path / "file"]
