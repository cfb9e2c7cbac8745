import gzip
import io
import json
import logging
import os
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import known_implementations
from hypothesis import given, settings
from hypothesis import strategies as st

from sentiflow.data.reading.columns import want_reviews
from sentiflow.data.reading.listing import list_source_files
from sentiflow.data.reading.sources import check_columns, read
from sentiflow.data.reading.streams import SourceFile
from sentiflow.data.reviews import RAW_COLUMNS, Rejection, type_reviews
from sentiflow.errors import SourceError
from sentiflow.settings import ColumnSettings, DataSettings


class OtherFileSystem(MemoryFileSystem):
    """Files in memory behind another protocol, to be made to fail in some way."""

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.removeprefix(f"{cls.protocol}://")))


DATA = DataSettings()


def write_reviews(path: Path, ids: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"review_id": name, "text": "Good", "stars": 5}) + "\n" for name in ids]
    path.write_text("".join(lines))
    return path


def find_names(*paths: str | Path) -> list[str]:
    return [Path(file.path).name for file in list_source_files([str(path) for path in paths], DATA)]


def read_all(*paths: str | Path, **settings: Any) -> tuple[pd.DataFrame, list[Rejection]]:
    """Return the rows and rejections of all chunks."""
    data = DataSettings(**settings)
    chunks = list(read(list_source_files([str(path) for path in paths], data), data))
    rows = [chunk.raw_reviews for chunk in chunks]
    rejections = [rejection for chunk in chunks for rejection in chunk.rejections]
    frame = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=list(RAW_COLUMNS))
    return frame, rejections


@pytest.fixture
def memory() -> Iterator[MemoryFileSystem]:
    filesystem = fsspec.filesystem("memory")
    yield filesystem
    filesystem.store.clear()
    filesystem.pseudo_dirs[:] = [""]


def test_files_are_found_in_the_order_they_are_named(tmp_path: Path) -> None:
    first, second = (write_reviews(tmp_path / name, [1]) for name in ("b.jsonl", "a.jsonl"))
    files = list_source_files([str(first), str(second)], DATA)
    assert [file.name for file in files] == [str(first), str(second)]
    assert [file.size for file in files] == [first.stat().st_size, second.stat().st_size]


def test_a_relative_path_keeps_the_name_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_reviews(tmp_path / "a.jsonl", [1])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert [file.name for file in list_source_files(["a.jsonl"], DATA)] == ["a.jsonl"]
    assert find_names("~/a.jsonl") == ["a.jsonl"]
    assert read_all("a.jsonl")[0]["file"].tolist() == ["a.jsonl"]


def test_a_folder_gives_all_files_of_known_kinds_sorted_without_hidden_ones(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in (
        "b.jsonl",
        "a.CSV",
        "c.parquet.gz",
        "deep/er/d.tar.gz",
        "e.tgz",
        ".hidden.jsonl",
        ".git/f.jsonl",
        "readme.md",
    ):
        write_reviews(tmp_path / name, [1])
    with caplog.at_level(logging.WARNING):
        files = list_source_files([str(tmp_path)], DATA)
    names = [os.path.relpath(file.path, tmp_path) for file in files]
    assert names == ["a.CSV", "b.jsonl", "c.parquet.gz", "deep/er/d.tar.gz", "e.tgz"]
    assert files[0].name == str(tmp_path / "a.CSV")
    assert "1 files of unknown kind" in caplog.text


def test_a_hidden_folder_can_be_named_itself(tmp_path: Path) -> None:
    write_reviews(tmp_path / ".hidden" / "a.jsonl", [1])
    assert find_names(tmp_path / ".hidden") == ["a.jsonl"]


def test_a_pattern_gives_files_of_any_ending_and_the_folders_it_matches(tmp_path: Path) -> None:
    for name in ("part-2", "part-1", "part-3/x.jsonl", "part-3/x.txt", ".part-4", "other"):
        write_reviews(tmp_path / name, [1])
    assert find_names(tmp_path / "part-*") == ["part-1", "part-2", "x.jsonl"]
    with pytest.raises(SourceError, match="matches none"):
        find_names(tmp_path / "*part-4")
    assert find_names(tmp_path / ".part-*") == [".part-4"]
    assert find_names(tmp_path / "**" / "*.jsonl") == ["x.jsonl"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    write_reviews(tmp_path / "reviews[1].jsonl", [1])
    assert find_names(tmp_path / "reviews[1].jsonl") == ["reviews[1].jsonl"]


def test_a_file_that_is_named_twice_is_read_once(tmp_path: Path) -> None:
    path = write_reviews(tmp_path / "a.jsonl", [1])
    (tmp_path / "link.jsonl").symlink_to(path)
    paths = [
        path,
        path,
        tmp_path,
        tmp_path / "*.jsonl",
        f"file://{path}",
        tmp_path / "." / "a.jsonl",
    ]
    assert find_names(*paths) == ["a.jsonl"]


def write_zip(path: Path, *names: str) -> str:
    """Write a zip archive of files that hold their own names, and return its URL for fsspec."""
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(f"{name}.jsonl", json.dumps({"text": path.stem + name, "stars": 1}))
    return f"zip://*.jsonl::{path}"


def test_equal_paths_in_different_archives_are_different_files(tmp_path: Path) -> None:
    urls = [write_zip(tmp_path / f"{name}.zip", "a") for name in ("one", "two", "one")]
    assert read_all(*urls)[0]["text"].tolist() == ["onea", "twoa"]


def test_a_file_that_arrives_later_is_found_in_the_same_process(
    memory: MemoryFileSystem,
) -> None:
    class Remembering(OtherFileSystem):
        protocol = "remembering"

        def find(self, path: str, **options: Any) -> Any:
            if path not in self.dircache:
                self.dircache[path] = super().find(path, **options)
            return self.dircache[path]

    fsspec.register_implementation("remembering", Remembering, clobber=True)
    memory.pipe("/late/a.jsonl", b"{}")
    assert find_names("remembering://late") == ["a.jsonl"]
    memory.pipe("/late/b.jsonl", b"{}")
    assert find_names("remembering://late") == ["a.jsonl", "b.jsonl"]


def test_urls_are_read_as_files_are(memory: MemoryFileSystem) -> None:
    line = b'{"text": "Good", "stars": 5}\n'
    memory.pipe(
        {"/in/a.jsonl": line, "/in/b.jsonl.gz": gzip.compress(line * 2), "/in/.c.json": line}
    )
    for url in ("memory://in", "memory://in/*", "memory://in/?.jsonl*"):
        rows, _ = read_all(url)
        assert rows["file"].tolist() == ["memory:///in/a.jsonl"] + ["memory:///in/b.jsonl.gz"] * 2
    assert read_all("memory://in/a.jsonl")[0]["file"].tolist() == ["memory://in/a.jsonl"]


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("no-such.jsonl", "not there"),
        ("no-such/", "not there"),
        ("*.no-such", "matches none"),
        ("memory://no-such.jsonl", "not there"),
        ("nosuch://bucket/a.jsonl", "known protocol"),
        ("", "must not be empty"),
    ],
)
def test_a_source_that_is_not_there_is_refused_by_name(
    path: str, word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match=word) as caught:
        list_source_files([path], DATA)
    assert repr(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_folder_without_a_readable_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "readme.md").touch()
    with pytest.raises(SourceError, match=r"at least one file ending in \.json"):
        list_source_files([str(tmp_path)], DATA)


def test_no_path_at_all_is_refused() -> None:
    with pytest.raises(SourceError, match="--data"):
        list_source_files([], DATA)


def test_an_unknown_encoding_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    path = write_reviews(tmp_path / "a.jsonl", [1])
    with pytest.raises(SourceError, match=r"data\.encoding='utf-9'"):
        list_source_files([str(path)], DataSettings(encoding="utf-9"))


def test_a_protocol_without_its_package_is_refused_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    missing = {"class": "no_such_package.FileSystem", "err": "Install no_such_package"}
    monkeypatch.setitem(known_implementations, "cloud", missing)
    with pytest.raises(
        SourceError, match=r"package that is not installed.*Install no_such_package"
    ):
        list_source_files(["cloud://bucket/a.jsonl"], DATA)


def test_a_server_that_cannot_be_reached_is_refused_without_its_password() -> None:
    class Unreachable(OtherFileSystem):
        protocol = "unreachable"

        def info(self, path: str, **options: Any) -> Any:
            raise ConnectionError("no route to unreachable://me:secret@host")

    fsspec.register_implementation("unreachable", Unreachable, clobber=True)
    with pytest.raises(SourceError, match="ConnectionError") as caught:
        list_source_files(["unreachable://me:secret@host/a.jsonl"], DATA)
    assert "secret" not in str(caught.value)


def test_a_file_that_may_not_be_read_is_refused() -> None:
    class Locked(OtherFileSystem):
        protocol = "locked"

        def _open(self, path: str, mode: str = "rb", *args: Any, **options: Any) -> Any:
            if mode == "rb":
                raise PermissionError(13, "Permission denied", path)
            return super()._open(path, mode, *args, **options)

    fsspec.register_implementation("locked", Locked, clobber=True)
    fsspec.filesystem("locked").pipe("/locked.jsonl", b"{}")
    with pytest.raises(SourceError, match="you may read it"):
        read_all("locked://locked.jsonl")


def test_a_connection_that_breaks_gives_the_rows_before(tmp_path: Path) -> None:
    class Broken:
        def __init__(self) -> None:
            self.blocks = iter([b'{"text": "Good", "stars": 5}\n{"te'])

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def close(self) -> None:
            pass

        def read(self, size: int) -> bytes:
            for block in self.blocks:
                return block
            raise TimeoutError("the server is silent")

    class Flaky(OtherFileSystem):
        protocol = "flaky"

        def open(self, path: str, mode: str = "rb", **options: Any) -> Any:
            return Broken() if mode == "rb" else super().open(path, mode, **options)

    fsspec.register_implementation("flaky", Flaky, clobber=True)
    fsspec.filesystem("flaky").pipe("/flaky.jsonl", b"{}")
    rows, (rejection,) = read_all("flaky://flaky.jsonl", write_reviews(tmp_path / "a.jsonl", [1]))
    assert rows["line"].tolist() == [1, 1]
    assert (rejection.line, rejection.rule) == (2, "truncated_file")
    assert "TimeoutError" in rejection.reason


def test_chunks_have_the_raw_columns_and_at_most_the_given_rows(tmp_path: Path) -> None:
    paths = [write_reviews(tmp_path / name, list(range(7))) for name in ("a.jsonl", "b.jsonl")]
    data = DataSettings(chunk_rows=4)
    chunks = list(read(list_source_files([str(path) for path in paths], data), data))
    assert [len(chunk.raw_reviews) for chunk in chunks] == [4, 4, 4, 2]
    for chunk in chunks:
        assert tuple(chunk.raw_reviews.columns) == RAW_COLUMNS
        kinds = [str(kind) for kind in chunk.raw_reviews.dtypes]
        assert kinds == ["str", "int64", *["object"] * 7]
    assert chunks[1].raw_reviews["file"].tolist() == [str(paths[0])] * 3 + [str(paths[1])]
    assert chunks[1].raw_reviews["line"].tolist() == [5, 6, 7, 1]


def test_columns_are_mapped_to_their_names_and_absent_ones_are_none(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("Id,Review,Rating,When\n1,Good,5,2012-01-01\n")
    columns = {"text": "Review", "stars": "Rating", "date": "When", "review_id": "Id"}
    rows, _ = read_all(path, columns=columns)
    row = rows.iloc[0].to_dict()
    assert row == {
        "file": str(path),
        "line": 2,
        "review_id": "1",
        "user_id": None,
        "business_id": None,
        "stars": "5",
        "label": None,
        "text": "Good",
        "date": "2012-01-01",
    }


def test_a_label_column_makes_stars_optional(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,sentiment\nGood,pos\n")
    rows, _ = read_all(path, columns={"label": "sentiment"})
    assert rows["label"].tolist() == ["pos"]
    assert rows["stars"].tolist() == [None]
    path.write_text("text,stars\nGood,5\n")
    with pytest.raises(SourceError, match=r"--set data\.columns\.label=COLUMN"):
        read_all(path, columns={"label": "sentiment"})


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_a_file_without_the_text_is_refused_in_every_format(tmp_path: Path, name: str) -> None:
    table = pd.DataFrame({"Review": ["Good"], "stars": [5]})
    path = tmp_path / name
    if name == "a.csv":
        table.to_csv(path, index=False)
    elif name == "a.jsonl":
        table.to_json(path, orient="records", lines=True)
    else:
        table.to_parquet(path)
    message = r"'text' is required.*2 columns.*column 1\?.*--set data\.columns\.text=COLUMN"
    with pytest.raises(SourceError, match=message):
        read_all(path)
    rows, _ = read_all(path, columns={"text": "Review"})
    assert rows["text"].tolist() == ["Good"]


def test_only_columns_that_the_user_named_are_missed_aloud() -> None:
    wanted = want_reviews(ColumnSettings(text="Review", date="When", stars=None, label="stars"))
    assert list(wanted.required) == ["Review", "stars"]
    assert wanted.named == {"When": "data.columns.date"}


def test_a_damaged_file_is_one_rejection_and_reading_goes_on(tmp_path: Path) -> None:
    content = b'{"text": "Good", "stars": 5}\n' * 10
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(content)[:-1])
    (tmp_path / "b.parquet").write_bytes(b"PAR1 and no more")
    (tmp_path / "c.tar").write_bytes(b"a.json" + b"\0" * 700)
    write_reviews(tmp_path / "d.jsonl", [1])
    rows, rejections = read_all(tmp_path)
    assert rows["line"].tolist() == [*range(1, 11), 1]
    assert [(Path(item.file).name, item.line, item.rule) for item in rejections] == [
        ("a.jsonl.gz", 11, "truncated_file"),
        ("b.parquet", 1, "truncated_file"),
        ("c.tar", 1, "truncated_file"),
    ]


def test_progress_grows_to_the_size_of_all_files(tmp_path: Path) -> None:
    names = ("a.jsonl", "b.parquet", "c.jsonl.gz")
    paths = [write_reviews(tmp_path / name, list(range(3_000))) for name in names]
    pd.read_json(paths[0], lines=True).to_parquet(paths[1])
    paths[2].write_bytes(gzip.compress(paths[0].read_bytes()))
    data = DataSettings(chunk_rows=1_000)
    chunks = list(read(list_source_files([str(path) for path in paths], data), data))
    total = sum(path.stat().st_size for path in paths)
    assert {chunk.bytes_total for chunk in chunks} == {total}
    progress = [chunk.bytes_read for chunk in chunks]
    assert progress == sorted(progress)
    assert 0 < progress[0] < progress[-1] == total


def test_an_unknown_size_makes_the_total_unknown(memory: MemoryFileSystem) -> None:
    memory.pipe({"/size/a.jsonl": b'{"text": "Good", "stars": 5}\n', "/size/b.jsonl": b""})
    (chunk,) = read(list_source_files(["memory://size"], DATA), DATA)
    assert chunk.bytes_total == 0
    assert chunk.bytes_read == 29


def test_without_a_row_there_is_no_chunk(memory: MemoryFileSystem) -> None:
    memory.pipe("/empty/a.jsonl", b"\n\n")
    assert list(read(list_source_files(["memory://empty"], DATA), DATA)) == []


def test_large_rows_end_a_chunk_early(
    memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sentiflow.data.reading.sources.MAX_CHUNK_BYTES", 1_000)
    line = json.dumps({"text": "a" * 400, "stars": 5}).encode() + b"\n"
    memory.pipe("/large/a.jsonl", line * 6)
    chunks = list(read(list_source_files(["memory://large"], DATA), DATA))
    assert [len(chunk.raw_reviews) for chunk in chunks] == [3, 3]


def test_rejections_alone_end_a_chunk_too(memory: MemoryFileSystem) -> None:
    memory.pipe("/bad/a.jsonl", b"oops\n" * 5)
    data = DataSettings(chunk_rows=2)
    chunks = list(read(list_source_files(["memory://bad"], data), data))
    assert [len(chunk.rejections) for chunk in chunks] == [2, 2, 1]


@settings(deadline=None)
@given(
    lines=st.lists(
        st.sampled_from([b'{"text": "a", "stars": 1}', b'{"text": "b"}', b"oops", b"", b"[]"]),
        max_size=20,
    ),
    chunk_rows=st.integers(1, 7),
    packed=st.booleans(),
)
def test_neither_the_size_of_chunks_nor_gzip_changes_what_is_read(
    lines: list[bytes], chunk_rows: int, packed: bool
) -> None:
    content = b"\n".join([b'{"text": "first", "stars": 5}', *lines])
    memory = fsspec.filesystem("memory")
    memory.pipe({"/same/a": content, "/same/b": gzip.compress(content) if packed else content})
    whole, rejections = read_all("memory://same/a")
    again, rejections_again = read_all("memory://same/b", chunk_rows=chunk_rows)
    rows = [name for name in RAW_COLUMNS if name != "file"]
    pd.testing.assert_frame_equal(whole[rows], again[rows])
    assert [(item.line, item.rule, item.raw) for item in rejections] == [
        (item.line, item.rule, item.raw) for item in rejections_again
    ]
    assert len(whole) + len(rejections) == 1 + sum(1 for line in lines if line)


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.csv", "a.parquet"])
def test_memory_does_not_grow_with_the_number_of_rows(tmp_path: Path, name: str) -> None:
    def measure_peak(rows: int) -> int:
        text = "some words that make up a review of the usual length " * 5
        table = pd.DataFrame({"text": [f"{text}{row}" for row in range(rows)], "stars": 5})
        path = tmp_path / name
        if name == "a.csv":
            table.to_csv(path, index=False)
        elif name == "a.parquet":
            table.to_parquet(path)
        else:
            table.to_json(path, orient="records", lines=True, compression="gzip")
        data = DataSettings(chunk_rows=500)
        files = list_source_files([str(path)], data)
        tracemalloc.start()
        read_rows = sum(len(chunk.raw_reviews) for chunk in read(files, data))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert read_rows == rows
        return peak

    measure_peak(500)  # imports and caches
    small, large = measure_peak(3_000), measure_peak(10_000)
    assert large < small + 500_000


@pytest.mark.real_reviews
def test_real_reviews_are_read_to_the_last_row(real_reviews: Path) -> None:
    rows = 0
    for chunk in read(list_source_files([str(real_reviews)], DATA), DATA):
        assert not chunk.rejections
        rows += len(chunk.raw_reviews)
        reviews = type_reviews(chunk.raw_reviews, DATA)
        assert reviews[["review_id", "text", "stars", "date"]].notna().all(axis=None)
        assert not reviews["marks"].any()
        assert reviews["stars"].isin([1, 2, 3, 4, 5]).all()
    assert rows == 21_024


def write_texts(path: Path, count: int, column: str = "text") -> Path:
    path.write_text("".join(json.dumps({column: "Good", "stars": 5}) + "\n" for _ in range(count)))
    return path


def test_a_column_that_is_missing_is_found_by_the_first_rows(tmp_path: Path) -> None:
    right, wrong = (
        write_texts(tmp_path / "a.jsonl", 9),
        write_texts(tmp_path / "b.jsonl", 9, "Text"),
    )
    check_columns(list_source_files([str(right)], DATA), DATA)
    with pytest.raises(SourceError, match=r"'text' is required.*b\.jsonl"):
        check_columns(list_source_files([str(right), str(wrong)], DATA), DATA)


def test_no_more_is_read_for_the_columns_than_the_first_whole_row(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,stars\n,5\nGood,5\n" + f"{'Good soup. ' * 9},5\n" * 40_000)
    (file,) = list_source_files([str(path)], DATA)
    blocks: list[int] = []

    class Counting(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            block = super().read(size)
            blocks.append(len(block))
            return block

    class Counted(SourceFile):
        def open(self) -> Any:
            return Counting(path.read_bytes())

    check_columns([Counted(file.name, file.filesystem, file.path, file.size)], DATA)
    assert 0 < sum(blocks) < file.size / 20


def test_of_many_files_some_are_looked_at_and_archives_are_left_to_the_night(
    tmp_path: Path,
) -> None:
    for number in range(25):
        write_texts(tmp_path / f"{number:02}.jsonl", 1)
    (tmp_path / "odd.tar").write_bytes(b"no archive")
    write_texts(tmp_path / "01.jsonl", 1, "Text")
    check_columns(list_source_files([str(tmp_path)], DATA), DATA)
    write_texts(tmp_path / "02.jsonl", 1, "Text")
    with pytest.raises(SourceError, match=r"02\.jsonl"):
        check_columns(list_source_files([str(tmp_path)], DATA), DATA)
