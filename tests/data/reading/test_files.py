import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sentiflow.data.reading.columns import WantedColumns
from sentiflow.data.reading.files import Progress, read_rows
from sentiflow.data.reading.streams import ByteStream, ResumeOffset, SourceFile
from sentiflow.data.reviews import Rejection
from sentiflow.errors import SourceError
from sentiflow.settings import DataSettings

WANTED = WantedColumns(
    names=("text", "stars"),
    required={"text": "Name it.", "stars": "Name it."},
    named={},
    archive_word="review",
)
TEXTS = ["Good", 'Bad, "really"', "Line\nbreak"]
JSONL = b"".join(json.dumps({"text": text, "stars": 5}).encode() + b"\n" for text in TEXTS)
CSV = b'text,stars\nGood,5\n"Bad, ""really""",5\n"Line\nbreak",5\n'


def make_parquet() -> bytes:
    written = io.BytesIO()
    pq.write_table(pa.table({"text": TEXTS, "stars": [5] * len(TEXTS)}), written)
    return written.getvalue()


def make_tar(members: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in members.items():
            header = tarfile.TarInfo(name)
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
    return packed.getvalue()


@pytest.fixture
def read(tmp_path: Path) -> Any:
    """Return a function that writes a file and reads it: texts, rejections and progress."""

    def write_and_read(
        name: str, content: bytes, **settings: Any
    ) -> tuple[list[str], list[Rejection], Progress]:
        path = tmp_path / name
        path.write_bytes(content)
        file = SourceFile(name, fsspec.filesystem("file"), str(path), len(content))
        progress = Progress(len(content))
        records = list(read_rows(file, WANTED, DataSettings(**settings), progress))
        texts = [record[0][2] for record in records if not isinstance(record, Rejection)]
        rejections = [record for record in records if isinstance(record, Rejection)]
        return texts, rejections, progress

    return write_and_read


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", JSONL),
        ("a.json", JSONL),
        ("a.NDJSON", JSONL),
        ("a.csv", CSV),
        ("a.tsv", CSV.replace(b",5", b"\t5").replace(b",stars", b"\tstars")),
        ("a.parquet", make_parquet()),
        ("a.pq", make_parquet()),
        ("jsonl-without-an-ending", b"\n " + JSONL),
        ("csv-without-an-ending", CSV),
        ("parquet-without-an-ending", make_parquet()),
        ("a.tar", make_tar({"yelp_academic_dataset_review.json": JSONL})),
        ("tar-without-an-ending", make_tar({"review.jsonl": JSONL})),
    ],
)
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_every_format_gives_the_same_rows_plain_and_compressed(
    read: Any, name: str, content: bytes, ending: str
) -> None:
    stored = gzip.compress(content) if ending else content
    for name_of_it in {name + ending, name}:
        texts, rejections, progress = read(name_of_it, stored)
        assert texts == TEXTS
        assert rejections == []
        assert progress.bytes_read == len(stored)


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_the_format_can_be_set_against_the_name(read: Any, kind: str) -> None:
    content = {"jsonl": JSONL, "csv": CSV, "parquet": make_parquet()}[kind]
    assert read("reviews.dat", content, format=kind)[0] == TEXTS
    assert read("reviews.json", content, format=kind)[0] == TEXTS


def test_a_file_that_is_not_what_its_name_says_is_refused(read: Any) -> None:
    with pytest.raises(SourceError, match=r"read as parquet.*'a\.parquet'.*data\.format"):
        read("a.parquet", CSV)
    with pytest.raises(SourceError, match="holds Parquet"):
        read("a.csv", make_parquet())


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet", "a.tar", "a", "a.csv.gz"])
def test_an_empty_file_has_no_rows(read: Any, name: str) -> None:
    assert read(name, b"")[:2] == ([], [])
    assert read(name, gzip.compress(b""))[:2] == ([], [])


@pytest.mark.parametrize("cut", [3, 15, 40, -12, -3])
@pytest.mark.parametrize("name", ["a.gz", "a.NAME.gz"])
@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("jsonl", JSONL),
        ("csv", CSV),
        ("parquet", make_parquet()),
        ("tar", make_tar({"review.json": JSONL})),
    ],
)
def test_a_truncated_gzip_file_is_one_rejection(
    read: Any, kind: str, content: bytes, name: str, cut: int
) -> None:
    texts, rejections, _ = read(name.replace("NAME", kind), gzip.compress(content)[:cut])
    assert texts == TEXTS[: len(texts)]
    assert rejections[-1].rule == "truncated_file"
    # A quoted value that is cut in the middle leaves a line that is no CSV.
    assert {rejection.rule for rejection in rejections[:-1]} <= {"not_csv"}
    if cut == -3:
        assert texts == TEXTS


def test_the_review_file_of_an_archive_is_found_among_the_others(read: Any) -> None:
    packed = make_tar(
        {
            "yelp/reviews.txt": b"no json",
            "yelp/yelp_academic_dataset_business.json": b'{"name": "no review"}\n',
            "yelp/._yelp_academic_dataset_review.json": b"\0\5",
            "yelp/yelp_academic_dataset_review.json": JSONL,
            "yelp/yelp_academic_dataset_user.json": b'{"name": "no review"}\n',
        }
    )
    for stored in (packed, gzip.compress(packed)):
        assert read("yelp.tar", stored)[:2] == (TEXTS, [])


def test_all_review_files_of_an_archive_are_read(read: Any) -> None:
    packed = make_tar({"review-1.json": JSONL, "review-2.json.gz": gzip.compress(JSONL)})
    assert read("yelp.tgz", packed)[0] == TEXTS * 2


def test_the_only_json_file_of_an_archive_is_read_whatever_its_name(read: Any) -> None:
    packed = make_tar({"notes.txt": b"", "anything.json": JSONL})
    texts, rejections, progress = read("yelp.tar", packed)
    assert (texts, rejections) == (TEXTS, [])
    assert progress.bytes_read == len(packed)


def test_a_rejection_in_an_archive_names_the_file_in_it(read: Any) -> None:
    _, rejections, _ = read("yelp.tar", make_tar({"data/review.json": JSONL + b"oops\n"}))
    assert [(item.file, item.line) for item in rejections] == [("yelp.tar::data/review.json", 4)]


@pytest.mark.parametrize("members", [{}, {"a.json": JSONL, "b.json": JSONL}])
def test_an_archive_without_a_file_to_choose_is_refused(
    read: Any, members: dict[str, bytes]
) -> None:
    with pytest.raises(SourceError, match="'review' in its name") as caught:
        read("yelp.tar", make_tar({"readme.txt": b"", **members}))
    assert f"{len(members)} JSON files" in str(caught.value)


def test_only_json_lines_can_be_read_out_of_an_archive(read: Any) -> None:
    with pytest.raises(SourceError, match=r"data\.format='csv'"):
        read("yelp.tar", make_tar({"review.csv": CSV}), format="csv")


def test_an_archive_cut_within_its_reviews_gives_the_reviews_before_the_cut(read: Any) -> None:
    packed = make_tar({"review.json": JSONL})
    cut = 512 + JSONL.index(b"\n") + 10
    texts, (rejection,), _ = read("yelp.tar", packed[:cut])
    assert texts == TEXTS[:1]
    assert (rejection.line, rejection.rule) == (2, "truncated_file")
    assert rejection.file == "yelp.tar::review.json"


def test_an_archive_cut_before_its_reviews_is_one_truncated_file(read: Any) -> None:
    packed = make_tar({"business.json": JSONL * 20, "review.json": JSONL})
    for cut in (100, 900, 512 + 2048 + 100):
        texts, (rejection,), _ = read("yelp.tar", packed[:cut])
        assert texts == []
        assert (rejection.file, rejection.rule) == ("yelp.tar", "truncated_file")


def test_a_file_that_grows_while_it_is_read_does_not_pass_its_size() -> None:
    progress = Progress(10)
    stream = ByteStream(io.BytesIO(b"a" * 20).read)
    progress.follow(stream)
    stream.read(4)
    assert progress.bytes_read == 4
    stream.read(20)
    assert progress.bytes_read == 10


def test_the_share_of_rows_stands_for_the_bytes_where_those_do_not_tell() -> None:
    progress = Progress(100)
    assert progress.bytes_read == 0
    progress.set_share(0.5)
    assert progress.bytes_read == 50
    progress.set_share(1.0)
    assert progress.bytes_read == 100


@pytest.mark.parametrize(
    ("name", "content", "has_mark"),
    [
        ("a.jsonl", JSONL * 1_000, True),
        ("a.csv", CSV + CSV.partition(b"\n")[2] * 1_000, True),
        ("a.jsonl", JSONL, False),
        ("a.jsonl.gz", gzip.compress(JSONL * 1_000), False),
        ("a.tar", make_tar({"review.json": JSONL * 1_000}), False),
        ("a.parquet", make_parquet(), False),
    ],
)
def test_only_a_long_plain_file_of_lines_can_be_gone_on_with(
    read: Any, name: str, content: bytes, has_mark: bool
) -> None:
    progress = read(name, content)[2]
    assert (progress.mark is not None) == has_mark
    if has_mark:
        assert progress.mark.offset == len(content)


def test_a_file_is_read_from_its_start_to_its_end_and_no_further(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(JSONL * 3)
    start = ResumeOffset("jsonl", len(JSONL), 3, has_objects=True)
    file = SourceFile("a", fsspec.filesystem("file"), str(path), 0, start, 2 * len(JSONL))
    records = list(read_rows(file, WANTED, DataSettings(), Progress(0)))
    rows = [record[0] for record in records if not isinstance(record, Rejection)]
    assert rows == [("a", line, text, 5) for line, text in zip((4, 5, 6), TEXTS, strict=True)]
