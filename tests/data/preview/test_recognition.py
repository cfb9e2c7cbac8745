"""What a file is, by its first bytes and rows."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sentiflow.data.preview.recognition import Recognized, read_samples, recognize_file
from sentiflow.data.reading.listing import list_source_files
from sentiflow.data.reading.streams import SourceFile
from sentiflow.settings import DataSettings

CSV = "text;stars\nLovely soup, café;5\nStale bread, café;1\n"


def recognize(path: Path, **data: Any) -> tuple[Recognized, dict[str, list[Any]]]:
    settings = DataSettings(**data)
    (file,) = list_source_files([str(path)], settings)
    found, head = recognize_file(file, settings)
    return found, {
        name: list(values) for name, values in read_samples(head, found, settings).items()
    }


@pytest.mark.parametrize(
    ("encoding", "data", "likely"),
    [
        ("utf-8", {}, None),
        ("utf-8-sig", {}, None),
        ("latin-1", {}, "cp1252"),
        ("latin-1", {"encoding": "latin-1"}, None),
        ("utf-16-le", {}, "utf-16-le"),
        ("utf-16-be", {}, "utf-16-be"),
        ("utf-16", {"encoding": "utf-16"}, None),
        ("utf-8", {"encoding": "utf-16"}, "utf-8"),
    ],
)
def test_the_encoding_is_told_by_the_bytes(
    tmp_path: Path, encoding: str, data: dict[str, str], likely: str | None
) -> None:
    path = tmp_path / "r.csv"
    path.write_text(CSV * 40, encoding=encoding)
    found, samples = recognize(path, **data)
    assert found.likely_encoding == likely
    assert found.columns == ("text", "stars")
    assert samples["text"][0] == "Lovely soup, café"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Очень вкусный суп, придём ещё", "cp1251"),
        ("汤很好喝，下次还来。服务也很热情", "gb18030"),
        ("スープがとてもおいしいです", "shift_jis"),
        ("수프가 아주 맛있어요", "euc_kr"),
        ("Très bon dîner, à côté de l’hôtel", "cp1252"),
        ("Schöne Grüße aus Köln, sehr süß", "cp1252"),
    ],
)
def test_other_scripts_are_told_by_their_letters(tmp_path: Path, text: str, encoding: str) -> None:
    path = tmp_path / "r.csv"
    path.write_bytes(f"text;stars\n{f'{text};5' + chr(10)}".encode(encoding) * 50)
    assert recognize(path)[0].likely_encoding == encoding


@pytest.mark.parametrize(
    ("end", "name"),
    [("\n", "LF"), ("\r\n", "CRLF")],
)
def test_delimiter_line_ends_and_compression_are_told(tmp_path: Path, end: str, name: str) -> None:
    path = tmp_path / "r.csv.gz"
    path.write_bytes(gzip.compress(CSV.replace("\n", end).encode()))
    found, samples = recognize(path)
    assert (found.format, found.delimiter, found.line_ends) == ("csv", ";", name)
    assert found.compression == "gzip"
    assert samples["stars"] == ["5", "1"]


def test_the_keys_of_json_are_those_of_all_the_first_objects(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text('{"text": "Good"}\n{"text": "Bad", "stars": 1}\n')
    found, samples = recognize(path)
    assert (found.format, found.columns, found.has_header) == ("jsonl", ("text", "stars"), True)
    assert samples == {"text": ["Good", "Bad"], "stars": [None, 1]}


def test_parquet_is_read_by_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "r.parquet"
    pd.DataFrame({"Review": ["Good"], "Stars": [5.0]}).to_parquet(path)
    found, samples = recognize(path)
    assert (found.format, found.encoding, found.columns) == ("parquet", None, ("Review", "Stars"))
    assert samples == {"Review": ["Good"], "Stars": [5.0]}


def test_of_an_archive_the_file_of_reviews_is_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "yelp.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, key in (("business.json", "address"), ("review.json", "text")):
            content = (json.dumps({key: "Good soup"}) + "\n").encode() * 3
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    found, samples = recognize(path)
    assert (found.format, found.columns) == ("tar", ("text",))
    assert samples == {"text": ["Good soup"] * 3}


def test_a_header_that_is_a_review_is_none(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text('2,"Good soup, and cheap."\n1,"Bad soup, and dear."\n')
    found, _ = recognize(path)
    assert not found.has_header


def test_a_name_that_is_there_twice_is_a_name_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("text,text,stars\na,b,5\n")
    assert recognize(path)[0].has_header


def test_of_two_columns_of_parquet_with_one_name_none_is_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "r.parquet"
    columns = [pa.array(["a"]), pa.array(["b"]), pa.array([5])]
    pq.write_table(pa.table(columns, names=["text", "text", "stars"]), path)
    found, samples = recognize(path)
    assert found.columns == ("text", "text", "stars")
    assert samples == {"stars": [5]}


def test_an_empty_file_is_of_no_format(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.touch()
    assert recognize(path)[0].format is None


def test_a_large_file_is_opened_once_and_read_by_its_head_alone(tmp_path: Path) -> None:
    content = ("text,stars\n" + "Good soup and bread,5\n" * 200_000).encode()
    opened: list[Counting] = []

    class Counting(io.BytesIO):
        taken = 0

        def read(self, size: int | None = -1, /) -> bytes:
            block = super().read(size)
            self.taken += len(block)
            return block

    class Counted(SourceFile):
        def open(self) -> Any:
            opened.append(Counting(content))
            return opened[-1]

    (tmp_path / "r.csv").touch()
    (file,) = list_source_files([str(tmp_path / "r.csv")], DataSettings())
    counted = Counted(file.name, file.filesystem, file.path, len(content))
    found, head = recognize_file(counted, DataSettings())
    samples = read_samples(head, found, DataSettings())
    assert len(opened) == 1
    assert opened[0].taken < len(content) / 2
    assert set(samples["stars"]) == {"5"}, "no line of the sample is cut"
