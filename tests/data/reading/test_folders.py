import json
from pathlib import Path
from typing import Any

import pytest

from sentiflow.data.reading.folders import is_private
from sentiflow.data.reading.listing import list_source_files
from sentiflow.data.reading.sources import check_columns, read
from sentiflow.errors import SourceError
from sentiflow.settings import DataSettings

DATA = DataSettings()
REVIEW = {"review_id": "a", "text": "Good soup", "stars": 5.0}
YELP: dict[str, dict[str, Any]] = {
    "business": {"business_id": "b", "name": "Soups", "stars": 4.5},
    "checkin": {"business_id": "b", "date": "2020-01-01"},
    "tip": {"user_id": "u", "business_id": "b", "text": "Go", "date": "2020-01-01"},
    "user": {"user_id": "u", "name": "Ada", "review_count": 3},
    "review": REVIEW,
}


def write(folder: Path, files: dict[str, Any]) -> Path:
    for name, value in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value if isinstance(value, str) else json.dumps(value) + "\n")
    return folder


def list_names(path: Path) -> tuple[list[str], list[str]]:
    warnings: list[str] = []
    files = list_source_files([str(path)], DATA, warnings.append)
    return [Path(file.path).name for file in files], warnings


@pytest.mark.parametrize(
    ("name", "private"),
    [
        ("_SUCCESS", True),
        ("_temporary/0/part.parquet", True),
        ("_delta_log/00.json", True),
        (".part-0.csv.crc", True),
        ("__MACOSX/a.csv", True),
        ("_year=2024/part.parquet", False),
        ("year=2024/_temporary/part.parquet", True),
        ("a_b/_c=_d/e.csv", False),
        (".hidden=1/a.csv", True),
    ],
)
def test_what_tools_keep_is_told_by_its_name_as_spark_does(name: str, private: bool) -> None:
    assert is_private(name.split("/")) is private


def test_what_tools_keep_in_a_folder_is_no_data(tmp_path: Path) -> None:
    names = ["a.jsonl", "_year=2024/b.jsonl", "_temporary/0/c.jsonl", "_delta_log/0.json"]
    write(tmp_path / "d", dict.fromkeys([*names, "_e.jsonl", "x/_f/g.jsonl"], REVIEW))
    assert list_names(tmp_path / "d")[0] == ["b.jsonl", "a.jsonl"]
    assert list_names(tmp_path / "d" / "*")[0] == ["b.jsonl", "a.jsonl"]
    assert sorted(list_names(tmp_path / "d" / "**" / "*.jsonl")[0]) == ["a.jsonl", "b.jsonl"]
    assert list_names(tmp_path / "d" / "_*")[0] == ["0.json", "_e.jsonl", "c.jsonl", "b.jsonl"]
    assert list_names(tmp_path / "d" / "_temporary")[0] == ["c.jsonl"]


@pytest.mark.parametrize("form", ["yelp_academic_dataset_{}.json", "{}.json"])
def test_of_yelps_download_the_reviews_are_taken_and_the_rest_is_told(
    tmp_path: Path, form: str
) -> None:
    write(tmp_path, {form.format(kind): value for kind, value in YELP.items()})
    names, (warning,) = list_names(tmp_path)
    assert names == [form.format("review")]
    assert warning.startswith("4 files without the columns text and stars were passed over: ")
    assert form.format("tip") in warning
    # What is named itself is meant.
    (file,) = list_source_files([str(tmp_path / form.format("tip"))], DATA)
    with pytest.raises(SourceError, match="'stars'"):
        list(read([file], DATA))


def test_a_description_beside_the_data_is_no_data(tmp_path: Path) -> None:
    infos = {"default": {"description": "Soups", "features": {"text": {"dtype": "string"}}}}
    write(tmp_path, {"dataset_infos.json": infos, "data/train.jsonl": REVIEW, "README.md": "Hi"})
    names, warnings = list_names(tmp_path)
    assert names == ["train.jsonl"]
    assert "dataset_infos.json" in warnings[0]
    write(tmp_path / "days", {"metadata.json": REVIEW, "b.jsonl": REVIEW})
    assert list_names(tmp_path / "days") == (["b.jsonl", "metadata.json"], [])


def test_a_day_that_lacks_a_column_is_never_passed_over(tmp_path: Path) -> None:
    renamed = {"review_id": "b", "text": "Bad soup", "rating": 1}
    write(tmp_path, {"2024-01-01.jsonl": REVIEW, "2024-01-02.jsonl": renamed})
    names, warnings = list_names(tmp_path)
    assert (names, warnings) == (["2024-01-01.jsonl", "2024-01-02.jsonl"], [])
    with pytest.raises(SourceError, match=r"2024-01-02.*01-01.jsonl' has the columns: name"):
        check_columns(list_source_files([str(tmp_path)], DATA), DATA)


def test_reviews_in_a_file_of_another_name_are_taken_too(tmp_path: Path) -> None:
    write(tmp_path, {"reviews.json": REVIEW, "more.json": REVIEW, "user.json": YELP["user"]})
    assert list_names(tmp_path)[0] == ["more.json", "reviews.json"]
    # Where the reviews themselves lack the stars, as to be scored, nothing can be told.
    unlabelled = {"text": "Good soup"}
    write(tmp_path / "b", {"reviews.json": unlabelled, "more.json": unlabelled})
    assert list_names(tmp_path / "b") == (["more.json", "reviews.json"], [])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.xlsx", b"PK\x03\x04" + b"\0" * 26 + b"[Content_Types].xml"),
        ("a.csv", b"PK\x03\x04" + b"\0" * 26 + b"xl/workbook.xml"),
        ("a.ods", b"PK\x03\x04" + b"\0" * 26 + b"mimetype"),
        ("a.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 30),
    ],
)
def test_a_spreadsheet_is_refused_with_what_to_do(
    tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=r"Save its sheet as CSV"):
        list(read(list_source_files([str(tmp_path / name)], DATA), DATA))
    if not name.endswith(".csv"):
        with pytest.raises(SourceError, match="spreadsheets as CSV"):
            list_source_files([str(tmp_path)], DATA)


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git lfs pull"),
        ("\n<!DOCTYPE html>\n<title>Sign in</title>", "signed in"),
    ],
)
@pytest.mark.parametrize("name", ["a.parquet", "a.csv", "a.jsonl"])
def test_what_stands_in_place_of_a_file_is_told(
    tmp_path: Path, name: str, content: str, advice: str
) -> None:
    write(tmp_path, {name: content})
    with pytest.raises(SourceError, match=advice):
        list(read(list_source_files([str(tmp_path)], DATA), DATA))


def test_the_metadata_of_a_table_format_is_no_data(tmp_path: Path) -> None:
    described = {"format-version": 2, "location": "s3://x"}
    write(tmp_path, {"metadata/v1.metadata.json": described, "data/a.jsonl": REVIEW})
    assert list_names(tmp_path)[0] == ["a.jsonl"]
