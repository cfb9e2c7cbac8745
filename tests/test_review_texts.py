"""That no error, reason, notice, record or log quotes what stands in a file.

A text is put wherever a file can hold one, and looked for in everything that is written but
the quarantine, the ingested segments and the snapshots.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import logging
import lzma
import os
import pickle
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from listening import listen
from outside import make_environment
from prefect.logging.handlers import APILogHandler
from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL

from flows.retrain import retrain
from sentiflow.cli.common import format_for_asker
from sentiflow.commands.check import FIRST_ROWS, check_sources, describe_check
from sentiflow.commands.check_text import format_check
from sentiflow.commands.evaluate import evaluate_version
from sentiflow.commands.score import ScoreRequest, answer_request
from sentiflow.data.checks.validation import check_table
from sentiflow.data.ingest.ingest import read_sources
from sentiflow.errors import (
    DataRejected,
    SentiflowError,
    SourceError,
    UnforeseenError,
    describe_error,
    format_traceback,
)
from sentiflow.night.request import NightRequest
from sentiflow.night.stages import data as data_stage
from sentiflow.release.open_home import open_home
from sentiflow.settings import load_settings
from tests.conftest import make_review

WORD = "Zanzibarella"
TEXT = f"{WORD} soup was lovely, my phone is 555 0100: call me."
NIGHT = date(2026, 7, 1)
# What may hold reviews, and is kept from others.
OF_REVIEWS = {"quarantine", "ingest", "snapshots"}


def write_lines(*values: Any) -> bytes:
    return "".join(f"{json.dumps(value)}\n" for value in values).encode()


def write_csv(*records: list[Any], delimiter: str = ",") -> bytes:
    written = io.StringIO()
    csv.writer(written, delimiter=delimiter).writerows(records)
    return written.getvalue().encode()


def write_parquet(columns: dict[str, list[Any]]) -> bytes:
    written = io.BytesIO()
    pd.DataFrame(columns).to_parquet(written)
    return written.getvalue()


def write_tar(*names: str) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(GOOD)
            archive.addfile(member, io.BytesIO(GOOD))
    return written.getvalue()


def review(number: int = 0, **changes: Any) -> dict[str, Any]:
    return make_review(number, **{"text": TEXT, **changes})


GOOD = write_lines(*[review(number, text=f"{TEXT} {number}") for number in range(5)])
HEADER = ["review_id", "text", "stars", "date"]
LABELLED = ("data.columns.label=label",)

# A name, the file's ending, its content, and settings.
FILES: list[tuple[str, str, bytes, tuple[str, ...]]] = [
    ("no header", "csv", write_csv([2, TEXT], [1, TEXT]), LABELLED),
    ("no header, one column", "csv", write_csv([TEXT], [TEXT]), ()),
    ("no header, tabs", "tsv", write_csv([TEXT, 5], [TEXT, 4], delimiter="\t"), ()),
    ("no header, a text that is a list of words", "csv", write_csv(["5", *TEXT.split()]), ()),
    ("a header with an unended quote", "csv", f'"{TEXT}\n'.encode(), ()),
    ("a header that is not decodable", "csv", f"{TEXT}\xff\n".encode("latin-1"), ()),
    ("a header that is too long", "csv", TEXT.encode() * 99, ("data.max_line_bytes=1024",)),
    ("a text as the name of a column", "csv", write_csv(["text", TEXT], [TEXT, 5]), ()),
    ("a column twice", "csv", write_csv(["text", "text", "stars", TEXT], [TEXT] * 4), ()),
    ("ragged records", "csv", write_csv(HEADER, ["a", TEXT, 5, "", TEXT], ["b", TEXT]), ()),
    ("the wrong delimiter", "csv", write_csv(HEADER, ["a", TEXT, 5], delimiter=";"), ()),
    ("a stray quote", "csv", f'text,stars\n"{TEXT}" x,5\n{TEXT},4\n'.encode(), ()),
    ("a huge field", "csv", write_csv(HEADER, ["a", TEXT * 99, 5]), ("data.max_line_bytes=1024",)),
    ("a text for stars", "csv", write_csv(HEADER, ["a", TEXT, TEXT, ""]), ()),
    ("a text for a date", "csv", write_csv(HEADER, ["a", "Good.", 5, TEXT]), ()),
    ("a text for an id", "csv", write_csv(HEADER, [TEXT * 9, "Good.", 5, ""]), ()),
    ("a text for a label", "csv", write_csv(["text", "label"], ["Good.", TEXT]), LABELLED),
    ("bytes of another encoding", "csv", write_csv(HEADER, ["a", TEXT, 5, ""]) + b"\xff\n", ()),
    ("no JSON", "jsonl", f"{TEXT}\n".encode() + GOOD, ()),
    ("a truncated line", "jsonl", GOOD[:-20], ()),
    ("a number and a list", "jsonl", write_lines(TEXT, [TEXT], 7), ()),
    ("other types", "jsonl", write_lines(review(text=[TEXT]), review(stars=TEXT, date=[TEXT])), ()),
    ("a text as a key", "jsonl", write_lines({TEXT: 1, "stars": 5}), ()),
    ("escapes that are none", "jsonl", f'{{"text": "{TEXT} \\x"}}\n'.encode(), ()),
    ("a constant", "jsonl", f'{{"text": "{TEXT}", "stars": NaN}}\n'.encode(), ()),
    ("an array", "jsonl", json.dumps([review()]).encode(), ()),
    ("indented objects", "jsonl", json.dumps(review(), indent=1).encode(), ()),
    ("stars that are out of range", "jsonl", write_lines(review(stars=9), review(1, stars=-1)), ()),
    ("a date of the far future", "jsonl", write_lines(review(date="2999-01-01")), ()),
    ("a label not understood", "jsonl", write_lines(review(label=TEXT)), LABELLED),
    ("gzip that is cut", "jsonl.gz", gzip.compress(GOOD)[:-9], ()),
    ("gzip with more behind", "jsonl.gz", gzip.compress(GOOD) + TEXT.encode(), ()),
    ("xz that is damaged", "jsonl.xz", lzma.compress(GOOD)[:-9] + b"123456789", ()),
    ("Parquet by its name only", "parquet", TEXT.encode(), ()),
    ("Parquet without its end", "parquet", b"PAR1" + TEXT.encode() * 9, ()),
    ("Parquet with other columns", "parquet", write_parquet({TEXT: [TEXT], "stars": [5]}), ()),
    ("Parquet with lists", "parquet", write_parquet({"text": [[TEXT]], "stars": [TEXT]}), ()),
    ("an archive of other files", "tar", write_tar(f"{WORD}-1.json", f"{WORD}-2.json"), ()),
    ("an archive that is cut", "tar", write_tar("review.json")[:700], ()),
    ("a column that is not there", "jsonl", GOOD, ("data.columns.text=Review",)),
    ("an encoding that is none", "jsonl", GOOD, ("data.encoding=utf-99",)),
    ("another format", "jsonl", GOOD, ("data.format=parquet",)),
]  # fmt: skip

BUSINESSES: list[tuple[str, str, bytes]] = [
    ("no header", "csv", write_csv(["b", TEXT], ["c", TEXT])),
    ("other keys", "jsonl", write_lines({TEXT: 1})),
    ("no JSON", "jsonl", f"{TEXT}\n".encode() * 9),
    ("cut", "jsonl.gz", gzip.compress(write_lines({"business_id": "b", "categories": TEXT}))[:-9]),
]


@pytest.fixture
def written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Callable[..., str]:
    """Give all that was written to a home or logged, but what may hold reviews."""
    caplog.set_level(logging.DEBUG)

    def read(home: Path) -> str:
        texts = [caplog.text]
        for folder, _, names in os.walk(home):
            if not OF_REVIEWS & set(Path(folder).relative_to(home).parts):
                paths = [Path(folder, name) for name in names]
                texts += [f"{path}: {path.read_bytes()!r}" for path in paths]
        return "\n".join(texts)

    return read


def find_words(text: str) -> list[str]:
    """Return the lines in which the text of a review stands, whole or in part."""
    return [line[:300] for line in text.splitlines() if WORD in line or "555 0100" in line]


def read_night(
    paths: list[Path], businesses: Path | None, overrides: tuple[str, ...], home: Path
) -> str:
    """Read and check as a night does; return what its record and its notices would say."""
    settings = load_settings(None, ["validation.min_rows=1", *overrides])
    try:
        ingested = read_sources(
            [str(path) for path in paths], str(businesses) if businesses else None, settings, NIGHT,
            home, "code",
        )  # fmt: skip
        report = check_table(ingested.profile, None, settings, NIGHT, home / "docs")
        return str([*report.reasons, *report.warnings, *report.unchecked, ingested.profile])
    except Exception as error:
        return "\n".join([describe_error(error), write_for_asker_if_ours(error), pickled(error),
                          format_traceback(error)])  # fmt: skip


def look_at(source: Path, overrides: tuple[str, ...]) -> str:
    """Return what `sentiflow check` prints of a file, as JSON and as text."""
    request = NightRequest(data=(str(source),), overrides=overrides)
    try:
        checked = check_sources(request, load_settings(None, overrides), FIRST_ROWS)
    except SentiflowError as error:
        return format_for_asker(error)
    answer = describe_check(checked)
    return f"{json.dumps(answer, ensure_ascii=False)}\n{format_check(answer, request)}"


def write_for_asker_if_ours(error: Exception) -> str:
    return format_for_asker(error) if isinstance(error, SentiflowError) else ""


def pickled(error: Exception) -> str:
    return repr(pickle.dumps(error)) if isinstance(error, SentiflowError) else ""


@pytest.mark.parametrize(
    ("ending", "content", "overrides"),
    [case[1:] for case in FILES],
    ids=[case[0] for case in FILES],
)
def test_nothing_that_is_told_of_a_file_quotes_it(
    tmp_path: Path, home: Path, written: Callable[..., str], ending: str, content: bytes,
    overrides: tuple[str, ...],
) -> None:  # fmt: skip
    source = tmp_path / f"reviews.{ending}"
    source.write_bytes(content)
    told = read_night([source], None, overrides, home)
    assert told
    assert find_words(told) == []
    assert find_words(look_at(source, overrides)) == []
    assert find_words(written(home)) == []


@pytest.mark.parametrize(
    ("ending", "content"), [case[1:] for case in BUSINESSES], ids=[case[0] for case in BUSINESSES]
)
def test_nothing_that_is_told_of_the_businesses_quotes_them(
    tmp_path: Path, home: Path, written: Callable[..., str], ending: str, content: bytes
) -> None:
    source = tmp_path / "reviews.jsonl"
    source.write_bytes(write_lines(*[make_review(number) for number in range(9)]))
    businesses = tmp_path / f"businesses.{ending}"
    businesses.write_bytes(content)
    told = read_night([source], businesses, (), home)
    assert "usinesses" in told
    assert find_words(told) == []
    assert find_words(written(home)) == []


def test_names_of_columns_are_for_the_one_who_asked_alone() -> None:
    error = SourceError("Public.", detail="Its columns: Review, Stars.")
    assert str(error) == describe_error(error) == "Public."
    assert format_for_asker(error) == "Public. Its columns: Review, Stars."
    assert pickle.loads(pickle.dumps(error)).detail is None
    reasons = DataRejected(["One.", "Two."])
    assert str(pickle.loads(pickle.dumps(reasons))) == str(reasons)


def make_foreign() -> Exception:
    """Return what another package raises: its words, and those of what it came from, quote."""
    try:
        try:
            raise KeyError(TEXT)
        except KeyError as error:
            raise ValueError(f"could not convert {TEXT!r}") from error
    except ValueError as error:
        return error


def test_a_foreign_error_is_kept_by_its_types_and_places() -> None:
    error = make_foreign()
    told = "\n".join(
        [describe_error(error), format_traceback(error), str(UnforeseenError.of(error))]
    )
    assert find_words(told) == []
    assert "ValueError" in told
    assert "KeyError" in told
    assert "in make_foreign" in told
    assert describe_error(OSError(28, TEXT)) == "OSError: No space left on device"


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize("is_ours", [True, False])
def test_a_night_that_fails_keeps_no_foreign_words_anywhere(
    home: Path, tmp_path: Path, written: Callable[..., str], monkeypatch: pytest.MonkeyPatch,
    is_ours: bool,
) -> None:  # fmt: skip
    def fail(_: object) -> None:
        if is_ours:
            raise SourceError("The file must be readable.", detail=TEXT) from make_foreign()
        raise make_foreign()

    source = tmp_path / "reviews.jsonl"
    source.write_bytes(GOOD)
    monkeypatch.setattr(data_stage, "ingest", fail)
    monkeypatch.setattr("flows.retrain.ingest.retry_condition_fn", lambda *_: False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{home / 'mlflow.db'}")
    with listen() as listener:
        monkeypatch.setenv("SENTIFLOW_WEBHOOK_URL", listener.url)
        state = retrain(NightRequest(data=(str(source),)), return_state=True)
    APILogHandler().flush()
    assert state.is_failed()
    assert [body["kind"] for body in listener.bodies] == ["failed"]
    error = state.result(raise_on_failure=False)
    assert error.detail == (TEXT if is_ours else None), "who asked sees it, in this process alone"
    assert find_words(f"{state.message}\n{listener.bodies}\n{written(home)}") == []
    database = str(PREFECT_API_DATABASE_CONNECTION_URL.value()).rpartition("sqlite+aiosqlite:///")[
        2
    ]
    with sqlite3.connect(database) as connection:
        stored = "\n".join(connection.iterdump())
    assert str(state.state_details.flow_run_id) in stored
    assert find_words(stored) == []


@pytest.mark.parametrize("command", ["evaluate", "score"])
def test_commands_on_models_quote_no_file_either(
    tmp_path: Path, released_home: Path, written: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch, command: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{released_home / 'mlflow.db'}")
    source = tmp_path / "reviews.csv"
    source.write_bytes(write_csv([2, TEXT], [1, TEXT]))
    request = ScoreRequest(data=(str(source),), output=str(tmp_path / "answers.csv"))
    ask: Callable[[], object] = {
        "evaluate": lambda: evaluate_version(
            open_home(None, LABELLED, released_home), [str(source)], None, "champion"
        ),
        "score": lambda: answer_request(request, released_home),
    }[command]
    with pytest.raises(SentiflowError) as caught:
        ask()
    assert find_words(f"{format_for_asker(caught.value)}\n{written(released_home)}") == []


@pytest.fixture(scope="module")
def lost_night(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, list[Any]]:
    """A night of the command line over a file without a header: home, words, what was sent.

    It lies between others, so that no first look before the night meets it.
    """
    folder = tmp_path_factory.mktemp("lost")
    (folder / "daily").mkdir()
    for day in range(25):
        (folder / "daily" / f"{day:02}.csv").write_bytes(write_csv(["label", "text"], [1, TEXT]))
    (folder / "daily" / "01.csv").write_bytes(
        write_csv(*[[2 - number % 2, TEXT] for number in range(60)])
    )
    with listen() as listener:
        environment = make_environment(
            SENTIFLOW_HOME=str(folder / "home"), SENTIFLOW_WEBHOOK_URL=listener.url
        )
        ended = subprocess.run(
            [sys.executable, "-m", "sentiflow", "run", "--data", "daily",
             "--set", *LABELLED],
            cwd=folder, env=environment, capture_output=True, text=True, timeout=500, check=False,
        )  # fmt: skip
    assert ended.returncode == 2, ended.stderr
    return folder / "home", ended.stdout + ended.stderr, listener.bodies


@pytest.mark.slow
def test_a_file_without_a_header_is_told_as_such_and_quoted_nowhere(
    lost_night: tuple[Path, str, list[Any]], written: Callable[..., str]
) -> None:
    home, shown, bodies = lost_night
    assert "no header" in shown
    assert [body["kind"] for body in bodies] == ["failed"]
    assert find_words(f"{shown}\n{bodies}\n{written(home)}") == []
    assert (home / "prefect").is_dir(), "Prefect's own database was looked at too"
