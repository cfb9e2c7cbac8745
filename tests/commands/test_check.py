"""A look at sources before a night: what is recognised, and what would help."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY
from outside import make_environment, type_in

GOOD = ("lovely", "quick", "tasty", "friendly")
BAD = ("awful", "rude", "slow", "stale")


def make_rows(rows: int = 1_700) -> list[tuple[int, str]]:
    """Stars and texts; every text is another one."""
    return [
        (
            n % 5 + 1,
            f"The soup of day {n} was {(GOOD if n % 5 > 2 else BAD)[n % 4]}, so was table {n % 7}.",
        )
        for n in range(rows)
    ]


def write_csv(path: Path, header: list[str] | None, rows: list[list[Any]], **how: Any) -> Path:
    with path.open("w", newline="", encoding=how.pop("encoding", "utf-8")) as stream:
        writer = csv.writer(stream, **how)
        writer.writerows([header, *rows] if header else rows)
    return path


@pytest.fixture
def check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Any:
    """Type `sentiflow check …` and return the exit code and the JSON or the text."""
    monkeypatch.chdir(tmp_path)

    def typed(*words: str, text: bool = False) -> tuple[int, Any]:
        words = ("check", *words) if text else ("check", "--json", *words)
        answer = type_in(words, make_environment(), capfd)
        return answer.returncode, answer.stdout if text else json.loads(answer.stdout)

    return typed


def test_what_a_night_accepts_ends_with_exit_code_0_and_leaves_nothing(
    check: Any, tmp_path: Path
) -> None:
    path = tmp_path / "reviews.jsonl"
    path.write_text(
        "".join(
            json.dumps({"review_id": f"r{n}", "stars": stars, "text": text, "date": "2025-03-01"})
            + "\n"
            for n, (stars, text) in enumerate(make_rows())
        )
    )
    code, answer = check("--data", "reviews.jsonl")
    assert (code, answer["reasons"], answer["suggested"]) == (0, [], {})
    (file,) = answer["files"]
    assert (file["format"], file["encoding"], file["line_ends"]) == ("jsonl", "utf-8", "LF")
    assert answer["columns"]["text"] == "text"
    assert answer["target"]["values"] == dict.fromkeys("12345", 100)
    assert answer["dates"] == {
        "written_as": "ISO 8601", "earliest": "2025-03-01", "latest": "2025-03-01",
    }  # fmt: skip
    rows = answer["rows"]
    assert (rows["read"], rows["taken"], rows["positive"], rows["is_whole"]) == (
        1_700,
        1_700,
        680,
        True,
    )
    code, text = check("--data", "reviews.jsonl", text=True)
    assert code == 0
    assert "sentiflow run --data reviews.jsonl" in text
    assert os.listdir(tmp_path) == ["reviews.jsonl"]


def test_other_names_and_another_encoding_are_suggested_and_the_suggestion_works(
    check: Any, tmp_path: Path
) -> None:
    rows = [[n, f"{text} Café.", stars] for n, (stars, text) in enumerate(make_rows())]
    write_csv(tmp_path / "r.csv", ["Id", "Review", "Rating"], rows, encoding="latin-1")
    code, answer = check("--data", "r.csv")
    assert (code, answer["rows"]) == (2, None)
    assert answer["suggested"] == {
        "data.encoding": "cp1252",
        "data.columns.text": "Review",
        "data.columns.stars": "Rating",
        "data.columns.review_id": "Id",
    }
    assert answer["rows_with_suggested"]["taken"] == 1_700
    _, text = check("--data", "r.csv", text=True)
    assert text.endswith(
        "    sentiflow check --data r.csv --set data.encoding=cp1252 "
        "--set data.columns.text=Review --set data.columns.stars=Rating "
        "--set data.columns.review_id=Id\n"
    )
    (tmp_path / "pasted.toml").write_text(answer["toml"])
    code, answer = check("--data", "r.csv", "--config", "pasted.toml")
    assert (code, answer["rows"]["taken"], answer["suggested"]) == (0, 1_700, {})


def test_a_column_of_labels_is_found_by_name_and_values(check: Any, tmp_path: Path) -> None:
    rows = [[text, "positive" if stars > 3 else "negative"] for stars, text in make_rows()]
    write_csv(tmp_path / "imdb.csv", ["review", "sentiment"], rows)
    code, answer = check("--data", "imdb.csv")
    assert code == 2
    assert answer["suggested"] == {"data.columns.text": "review", "data.columns.label": "sentiment"}
    assert answer["target"]["kind"] == "label"


def test_an_id_that_begins_anew_in_every_file_is_not_suggested_and_told_when_it_is_set(
    check: Any, tmp_path: Path
) -> None:
    rows = make_rows()
    for day in range(3):
        part = [
            [n, text, stars] for n, (stars, text) in enumerate(rows[day * 560 : day * 560 + 560])
        ]
        write_csv(tmp_path / f"{day}.csv", ["Id", "text", "stars"], part)
    code, answer = check("--data", "*.csv")
    assert (code, answer["suggested"]) == (0, {})
    code, answer = check("--data", "*.csv", "--set", "data.columns.review_id=Id")
    assert code == 3
    told = [one for one in answer["warnings"] if "data.columns.review_id" in one]
    assert told[0].startswith("1,120 of 1,680 rows have the id of another review, in 3 files that")
    assert answer["suggested"] == {"data.columns.review_id": "none"}
    assert answer["rows_with_suggested"]["taken"] == 1_680


def test_copies_count_once_and_are_no_mistake_of_the_id(check: Any, tmp_path: Path) -> None:
    rows = [[n, text, stars] for n, (stars, text) in enumerate(make_rows())]
    for day in range(2):
        write_csv(tmp_path / f"{day}.csv", ["review_id", "text", "stars"], rows)
    code, answer = check("--data", "*.csv")
    assert (code, answer["suggested"], answer["rows"]["taken"]) == (0, {}, 1_700)
    assert any("1,700 of 3,400 rows are copies" in one for one in answer["warnings"])


def test_one_side_alone_is_rejected_and_said_in_words(check: Any, tmp_path: Path) -> None:
    rows = [[text, 5] for _, text in make_rows()]
    write_csv(tmp_path / "r.csv", ["text", "stars"], rows)
    code, answer = check("--data", "r.csv")
    assert code == 3
    assert any("validation.min_class_share" in reason for reason in answer["reasons"])
    assert any("All of these rows are positive" in warning for warning in answer["warnings"])


def test_rejected_rows_are_counted_by_reason_with_their_lines(check: Any, tmp_path: Path) -> None:
    rows = [[text, "many" if n < 200 else stars] for n, (stars, text) in enumerate(make_rows())]
    write_csv(tmp_path / "r.csv", ["text", "stars"], rows)
    code, answer = check("--data", "r.csv")
    assert (code, answer["rows"]["rejected"]) == (3, 200)
    (rejected,) = answer["rejected"]
    assert (rejected["rows"], rejected["places"][0]["line"]) == (200, 2)


def test_only_the_rows_asked_for_are_read_and_not_judged_by_their_number(
    check: Any, tmp_path: Path
) -> None:
    write_csv(tmp_path / "r.csv", ["stars", "text"], [list(row) for row in make_rows()])
    code, answer = check("--data", "r.csv", "--rows", "100")
    assert (code, answer["rows"]["read"], answer["rows"]["is_whole"]) == (0, 100, False)
    assert check("--data", "r.csv", "--rows", "100", "--all")[1]["rows"]["is_whole"]


def test_no_text_is_quoted_where_reviews_stand_in_place_of_names(
    check: Any, tmp_path: Path
) -> None:
    rows = [[2 if stars > 3 else 1, f"Zanzibarella! {text}"] for stars, text in make_rows()]
    write_csv(tmp_path / "polarity.csv", None, rows, quoting=csv.QUOTE_ALL)
    for text in (True, False):
        code, answer = check("--data", "polarity.csv", text=text)
        assert code == 2
        assert "Zanzibarella" not in str(answer)
        assert "header" in str(answer)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--data", "nowhere.csv"), "nowhere.csv"),
        (("--data", "r.csv", "--category", "Pizza"), "--businesses"),
        (("--data", "r.csv", "--set", "data.colums.text=x"), "Did you mean data.columns.text?"),
    ],
)
def test_a_mistake_in_the_call_ends_with_exit_code_2(
    check: Any, words: tuple[str, ...], told: str
) -> None:
    code, answer = check(*words)
    assert code == 2
    assert told in answer["reasons"][0]


def test_columns_that_were_mixed_up_are_suggested_the_other_way_round(
    check: Any, tmp_path: Path
) -> None:
    write_csv(tmp_path / "r.csv", ["text", "stars"], [list(row) for row in make_rows()])
    code, answer = check("--data", "r.csv")
    assert (code, answer["rows"]["rejected"]) == (3, 1_700)
    assert answer["suggested"] == {"data.columns.text": "stars", "data.columns.stars": "text"}
    assert answer["rows_with_suggested"]["taken"] == 1_700


def test_texts_within_objects_are_told(check: Any, tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(
        "".join(json.dumps({"review": {"text": text}}) + "\n" for _, text in make_rows(20))
    )
    code, answer = check("--data", "r.jsonl")
    assert code == 2
    assert any("Column 1 holds objects with texts" in warning for warning in answer["warnings"])


def test_a_file_that_cannot_be_looked_into_is_told_beside_the_others(
    check: Any, tmp_path: Path
) -> None:
    write_csv(tmp_path / "a.csv", ["text", "stars"], [[text, n] for n, text in make_rows(20)])
    (tmp_path / "b.csv").write_bytes(b"PK\x03\x04")
    code, answer = check("--data", "*.csv")
    assert code == 2
    assert [file["problem"] is None for file in answer["files"]] == [True, False]
    assert "unzip" in answer["files"][1]["problem"]
    assert "cannot be looked into" in check("--data", "*.csv", text=True)[1]


def test_businesses_are_joined_and_other_categories_left_out(check: Any, tmp_path: Path) -> None:
    rows = [[text, n, f"b{at % 2}"] for at, (n, text) in enumerate(make_rows())]
    write_csv(tmp_path / "r.csv", ["text", "stars", "business_id"], rows)
    write_csv(tmp_path / "b.csv", ["business_id", "categories"], [["b0", "Pizza"], ["b1", "Pets"]])
    words = ("--data", "r.csv", "--businesses", "b.csv", "--category", "Pizza")
    _, answer = check(*words)
    assert (answer["rows"]["taken"], answer["rows"]["left_out"]) == (850, 850)


def test_nothing_heavy_is_loaded(tmp_path: Path) -> None:
    write_csv(tmp_path / "r.csv", ["stars", "text"], [list(row) for row in make_rows(50)])
    script = (
        "import sys, atexit; sys.argv = ['sentiflow', 'check', '--data', 'r.csv']\n"
        "heavy = ('tensorflow', 'keras', 'mlflow', 'prefect', 'great_expectations', 'scipy')\n"
        "atexit.register(lambda: print('HEAVY', [name for name in heavy if name in sys.modules]))\n"
        "from sentiflow.cli import main; main()"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=make_environment(),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "HEAVY []" in answer.stdout, answer.stderr


def test_every_key_of_the_answer_is_described_and_no_other(check: Any, tmp_path: Path) -> None:
    rows = [["many" if n < 9 else stars, text] for n, (stars, text) in enumerate(make_rows(200))]
    write_csv(tmp_path / "r.csv", ["stars", "text"], rows)
    _, answer = check("--data", "r.csv")
    page = (REPOSITORY / "docs" / "sources.md").read_text()
    table = page.partition("### What check answers as JSON")[2].partition("\n#")[0]
    named = re.findall(r"^\| (.*?) \|", table, re.M)
    assert set(re.findall(r"`([a-z_]+)`", " ".join(named))) == set(answer)
    inner = (answer["files"][0], answer["dates"], answer["target"], answer["rows"])
    (rejected,) = answer["rejected"]
    for part in (*inner, rejected, rejected["places"][0]):
        assert set(part) <= set(re.findall(r"`([a-z_]+)`", table)), part
