"""Batch scoring of real files, with a predictor that is a plain function of the text."""

from __future__ import annotations

import csv
import gzip
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.parquet as pq
import pytest

from sentiflow.errors import ArtifactError, SourceError, UsageError
from sentiflow.serving.scoring import Scored, score_sources
from sentiflow.settings import load_settings

Write = Callable[..., Path]
Review = Callable[..., dict[str, Any]]


def judge(text: str) -> np.float32:
    """What the fake model answers: the share of the letter e, in float32."""
    return np.float32(text.count("e") / max(len(text), 1))


class LetterModel:
    """Answers by counting a letter, so that tests know every answer; counts its texts.

    `fails_at` interrupts it at its n-th call, as Ctrl-C would.
    """

    def __init__(self, fails_at: int | None = None) -> None:
        self.texts = 0
        self.calls = 0
        self.fails_at = fails_at

    def __call__(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        self.calls += 1
        if self.calls == self.fails_at:
            raise KeyboardInterrupt
        self.texts += len(texts)
        return np.array([judge(text) for text in texts], dtype=np.float32)


def score(
    source: Path | list[Path],
    output: Path,
    home: Path,
    predict: Callable[..., Any] | None = None,
    *overrides: str,
    version: int = 7,
) -> Scored:
    sources = source if isinstance(source, list) else [source]
    settings = load_settings(None, ["data.chunk_rows=10", *overrides])
    return score_sources(
        predict or LetterModel(), "model", version, [str(path) for path in sources], output,
        settings, home,
    )  # fmt: skip


def read_output(path: Path) -> list[dict[str, Any]]:
    """The rows of an output, read by other libraries than those that wrote it."""
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if ".jsonl" in path.name:
        return [json.loads(line) for line in content.decode().splitlines()]
    if ".csv" in path.name:
        return list(csv.DictReader(content.decode().splitlines()))
    frame = pd.read_parquet(path)
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl", ".csv.gz", ".jsonl.gz"])
def test_every_format_holds_ids_probability_label_and_version_in_order(
    home: Path, tmp_path: Path, write_reviews: Write, review: Review, suffix: str
) -> None:
    reviews = [review(n) for n in range(25)]
    reviews[3]["text"] = "eeee!"
    output = tmp_path / f"answers{suffix}"
    scored = score(write_reviews(reviews), output, home)
    rows = read_output(output)
    assert scored.rows_read == scored.scored == len(rows) == 25
    assert scored.quarantine is None
    for given, row in zip(reviews, rows, strict=True):
        assert list(row) == [
            "review_id", "business_id", "user_id", "probability", "label", "model_version",
        ]  # fmt: skip
        assert (row["review_id"], row["business_id"], row["user_id"]) == (
            given["review_id"], given["business_id"], given["user_id"],
        )  # fmt: skip
        # Not approximately: the digits written give the very float32 back.
        assert np.float32(row["probability"]) == judge(given["text"])
        assert row["label"] == ("positive" if judge(given["text"]) >= 0.5 else "negative")
        assert int(row["model_version"]) == 7
    assert [row["label"] for row in rows].count("positive") == 1


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_rows_without_stars_or_even_without_that_column_are_answered(
    home: Path, tmp_path: Path, write_reviews: Write, review: Review, suffix: str
) -> None:
    reviews = [review(n) for n in range(12)]
    source = tmp_path / f"source{suffix}"
    bare = pd.DataFrame(reviews)[["review_id", "text"]]
    if suffix == ".jsonl":
        reviews[0]["stars"] = None
        reviews[1]["stars"] = "many"
        reviews[2]["date"] = "yesterday"
        source = write_reviews([{k: v for k, v in r.items() if v is not None} for r in reviews])
    elif suffix == ".csv":
        bare.to_csv(source, index=False)
    else:
        bare.to_parquet(source)
    assert score(source, tmp_path / "out.jsonl", home).scored == 12
    rows = read_output(tmp_path / "out.jsonl")
    assert [row["review_id"] for row in rows] == [r["review_id"] for r in reviews]
    if suffix != ".jsonl":
        assert {row["user_id"] for row in rows} == {None}


def test_what_cannot_be_answered_is_quarantined_and_every_row_accounted_for(
    home: Path, tmp_path: Path, write_reviews: Write, review: Review
) -> None:
    reviews = [review(n) for n in range(30)]
    # As `predict` and the service answer it.
    reviews[4]["text"] = " "
    reviews[7]["text"] = ""
    reviews[15]["text"] = None
    source = write_reviews(reviews)
    with source.open("a") as stream:
        stream.write('{"review_id": "half a li')
    scored = score(source, tmp_path / "out.jsonl", home)
    assert (scored.rows_read, scored.scored, scored.quarantined) == (31, 29, 2)
    assert scored.quarantine is not None
    entries = [json.loads(line) for line in Path(scored.quarantine).read_text().splitlines()]
    assert [entry["line"] for entry in entries] == [16, 31]
    assert all(entry["reason"] for entry in entries)
    answered = [row["review_id"] for row in read_output(tmp_path / "out.jsonl")]
    assert answered == [f"review-{n}" for n in range(30) if n != 15]


def test_rows_with_one_id_are_all_answered_and_a_missing_id_is_derived(
    home: Path, tmp_path: Path, write_reviews: Write, review: Review
) -> None:
    source = write_reviews(
        [review(1), review(1), review(1, text="Newer.", date="2026-09-09"), review(2, review_id="")]
    )
    score(source, tmp_path / "out.jsonl", home)
    ids = [row["review_id"] for row in read_output(tmp_path / "out.jsonl")]
    assert ids[:3] == ["review-1"] * 3
    assert len(ids[3]) == 22


def test_a_source_without_rows_gives_an_output_without_rows(home: Path, tmp_path: Path) -> None:
    source = tmp_path / "empty.jsonl"
    source.touch()
    scored = score(source, tmp_path / "out.parquet", home)
    assert (scored.rows_read, scored.scored) == (0, 0)
    assert pq.read_table(tmp_path / "out.parquet").num_rows == 0


def test_an_interrupted_job_goes_on_without_predicting_again(
    home: Path, tmp_path: Path, write_reviews: Write, review: Review
) -> None:
    reviews = [review(n) for n in range(45)]
    reviews[12]["text"] = None
    source = write_reviews(reviews)
    undisturbed, output = tmp_path / "undisturbed.csv", tmp_path / "out.csv"
    score(source, undisturbed, home)
    output.write_text("what was there before")
    with pytest.raises(KeyboardInterrupt):
        score(source, output, home, LetterModel(fails_at=4))
    assert output.read_text() == "what was there before"
    model = LetterModel()
    scored = score(source, output, home, model)
    assert (scored.resumed_rows, model.texts, scored.quarantined) == (29, 15, 1)
    assert output.read_bytes() == undisturbed.read_bytes()
    assert list((home / "scoring").iterdir()) == [], "the job's folder is removed"
    assert not list(tmp_path.glob(".unfinished-*"))


@pytest.mark.parametrize("change", ["source", "same size", "version", "setting"])
def test_a_changed_source_model_or_setting_starts_afresh(
    home: Path, tmp_path: Path, write_reviews: Write, review: Review, change: str
) -> None:
    reviews = [review(n) for n in range(45)]
    source = write_reviews(reviews)
    with pytest.raises(KeyboardInterrupt):
        score(source, tmp_path / "out.csv", home, LetterModel(fails_at=4))
    if change == "source":
        write_reviews([*reviews, review(45)])
    elif change == "same size":
        write_reviews([review(0, text=reviews[0]["text"].replace("0", "e")), *reviews[1:]])
    overrides = ["data.encoding=latin-1"] if change == "setting" else []
    version = 8 if change == "version" else 7
    scored = score(source, tmp_path / "out.csv", home, None, *overrides, version=version)
    assert scored.resumed_rows == 0
    assert scored.scored == 45 + (change == "source")


@pytest.mark.parametrize("damage", ["other content", "empty file"])
def test_a_part_is_believed_only_for_the_rows_it_was_made_of(
    home: Path, tmp_path: Path, write_reviews: Write, review: Review, damage: str
) -> None:
    source = write_reviews([review(n) for n in range(45)])
    with pytest.raises(KeyboardInterrupt):
        score(source, tmp_path / "out.csv", home, LetterModel(fails_at=4))
    (job,) = (home / "scoring").iterdir()
    first, second, _ = sorted(job.iterdir())
    # What a file whose time and size do not show its change would lead to.
    second.write_bytes(first.read_bytes() if damage == "other content" else b"")
    scored = score(source, tmp_path / "out.csv", home)
    assert scored.resumed_rows == 20
    assert [row["review_id"] for row in read_output(tmp_path / "out.csv")] == [
        f"review-{n}" for n in range(45)
    ]


@pytest.mark.parametrize("name", ["out.txt", "out", "out.parquet.gz", "nowhere/out.csv", "f.csv"])
def test_an_output_that_cannot_be_written_is_a_usage_error(
    home: Path, tmp_path: Path, write_reviews: Write, review: Review, name: str
) -> None:
    (tmp_path / "f.csv").mkdir()
    with pytest.raises(UsageError, match="--output"):
        score(write_reviews([review(1)]), tmp_path / name, home)


def test_the_output_may_not_be_a_source(
    home: Path, tmp_path: Path, write_reviews: Write, review: Review
) -> None:
    source = write_reviews([review(1)])
    link = tmp_path / "link.jsonl"
    link.symlink_to(source)
    for output in (source, link):
        with pytest.raises(UsageError, match="one of the sources"):
            score([source], output, home)
    assert json.loads(source.read_text())["review_id"] == "review-1"


def test_a_source_without_texts_is_refused(
    home: Path, tmp_path: Path, write_reviews: Write, review: Review
) -> None:
    with pytest.raises(SourceError, match="'body'"):
        score(write_reviews([review(1)]), tmp_path / "o.csv", home, None, "data.columns.text=body")


@pytest.mark.parametrize("answers", [[np.nan, 0.5], [0.5], [1.5, 0.5], [-0.1, 0.5], [[0.1, 0.9]]])
def test_answers_that_are_no_probabilities_are_never_written(
    home: Path, tmp_path: Path, write_reviews: Write, review: Review, answers: Any
) -> None:
    with pytest.raises(ArtifactError, match="probability from 0 to 1"):
        score(
            write_reviews([review(1), review(2)]),
            tmp_path / "out.csv",
            home,
            lambda texts: np.array(answers, dtype=np.float32),
        )
    assert not (tmp_path / "out.csv").exists()


def test_one_half_counts_as_positive(
    home: Path, tmp_path: Path, write_reviews: Write, review: Review
) -> None:
    half = np.float32(0.5)
    answers = np.array([half, np.nextafter(half, np.float32(0))], dtype=np.float32)
    source = write_reviews([review(1), review(2)])
    score(source, tmp_path / "out.jsonl", home, lambda texts: answers)
    labels = [row["label"] for row in read_output(tmp_path / "out.jsonl")]
    assert labels == ["positive", "negative"]


def test_the_same_job_cannot_run_twice_at_once(
    home: Path, tmp_path: Path, write_reviews: Write, review: Review
) -> None:
    source = write_reviews([review(n) for n in range(5)])

    def start_another(texts: Sequence[str]) -> npt.NDArray[np.float32]:
        with pytest.raises(UsageError, match="twice at once"):
            score(source, tmp_path / "second.csv", home)
        return LetterModel()(texts)

    assert score(source, tmp_path / "first.csv", home, start_another).scored == 5


CHILD = """
import os, sys, time
from pathlib import Path

print(os.getpid(), flush=True)
import numpy as np

from sentiflow.serving.scoring import score_sources
from sentiflow.settings import load_settings


class SlowModel:
    '''The letter model of the test, slowed down so that a kill falls into its work.'''

    def __call__(self, texts):
        time.sleep(0.03)
        return np.array([text.count("e") / max(len(text), 1) for text in texts], np.float32)


source, output, home = sys.argv[1:]
settings = load_settings(None, ["data.chunk_rows=10"])
score_sources(SlowModel(), "model", 7, [source], Path(output), settings, Path(home))
"""


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".csv", ".jsonl.gz", ".parquet"])
def test_a_job_killed_at_random_and_run_again_gives_the_undisturbed_output(
    home: Path, tmp_path: Path, write_reviews: Write, review: Review, suffix: str,
    warm_python: str,
) -> None:  # fmt: skip
    reviews = [review(n) for n in range(600)]
    for number in range(0, 600, 37):
        reviews[number]["text"] = None
    source = write_reviews(reviews)
    undisturbed, output = tmp_path / f"undisturbed{suffix}", tmp_path / f"out{suffix}"
    whole = score(source, undisturbed, tmp_path / "another home")
    draw = random.Random(suffix)
    command = [warm_python, "-c", CHILD, str(source), str(output), str(home)]
    kills_in_work = 0
    code = None
    for attempt in range(12):
        child = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert child.stdout is not None
        pid = int(child.stdout.readline())
        parts_before = len(list((home / "scoring").glob("*/part-*")))
        # Imports take seconds: the clock of a random kill starts with the first new part.
        while child.poll() is None and attempt < 4:
            if len(list((home / "scoring").glob("*/part-*"))) > parts_before:
                time.sleep(draw.uniform(0, 0.6))
                break
            time.sleep(0.002)
        if attempt < 4 and child.poll() is None:
            os.kill(pid, signal.SIGKILL)
            kills_in_work += 1
        child.communicate(timeout=120)
        code = child.returncode
        if code == 0:
            break
        assert code == -signal.SIGKILL
        assert not output.exists()
    assert code == 0
    assert kills_in_work >= 2
    if suffix == ".parquet":
        assert pq.read_table(output).equals(pq.read_table(undisturbed))
    else:
        assert output.read_bytes() == undisturbed.read_bytes()
    ids = [row["review_id"] for row in read_output(output)]
    assert ids == [r["review_id"] for r in reviews if r["text"]]
    assert whole.scored == len(ids)
    assert list((home / "scoring").iterdir()) == []
    # The same rows are in quarantine, once.
    assert whole.quarantine is not None
    again = home / "snapshots" / "quarantine" / Path(whole.quarantine).name
    assert again.read_bytes() == Path(whole.quarantine).read_bytes()


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_columns_of_the_source_are_kept_beside_the_answers_where_asked(
    home: Path, tmp_path: Path, write_reviews: Write, review: Review, suffix: str
) -> None:
    reviews = [review(n) for n in range(3)]
    del reviews[1]["date"]
    source, output = write_reviews(reviews), tmp_path / f"out{suffix}"
    plain = tmp_path / f"plain{suffix}"
    score(source, plain, home)
    score_sources(
        LetterModel(), "model", 7, [str(source)], output, load_settings(), home,
        keeps_columns=True,
    )  # fmt: skip
    rows, bare = read_output(output), read_output(plain)
    for row, given, answered in zip(rows, reviews, bare, strict=True):
        assert row["text"] == given["text"]
        assert float(row["stars"]) == given["stars"]
        assert {name: row[name] for name in answered} == answered
    assert str(rows[0]["date"])[:10] == reviews[0]["date"]
    assert not rows[1]["date"]
