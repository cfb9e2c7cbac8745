import os
from pathlib import Path

import fsspec
import pytest

from sentiflow.data.ingest import file_state
from sentiflow.data.ingest.file_state import digest_beginnings, read_file_state
from sentiflow.data.ingest.manifest import KnownFile, Manifest, name_file, plan_reading
from sentiflow.data.ingest.segments import Segment
from sentiflow.data.reading.streams import ResumeOffset, SourceFile
from sentiflow.settings import DataSettings, load_settings

PIECE = Segment("a" * 64, None)
MARK = ResumeOffset("csv", 4, 1, header=("text",), delimiter=",")


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SourceFile:
    monkeypatch.setattr(file_state, "_SETTLING_NS", 0)
    path = tmp_path / "a.csv"
    path.write_bytes(b"one\ntwo")
    return SourceFile("a.csv", fsspec.filesystem("file"), str(path), 7)


def know(file: SourceFile, mark: ResumeOffset | None = MARK) -> dict[str, KnownFile]:
    file_state = read_file_state(file)
    assert file_state is not None
    (sha256,) = digest_beginnings(file, (file_state.size,))
    known = KnownFile(file_state.stamp, file_state.size, sha256, (PIECE,), mark)
    return {name_file(file): known}


def test_a_file_that_looks_the_same_is_not_read(file: SourceFile) -> None:
    (plan,) = plan_reading([file], know(file), trust_stamps=True)
    assert plan.is_unchanged


def test_a_file_with_the_same_bytes_is_not_read_and_known_by_its_new_stamp(
    file: SourceFile,
) -> None:
    known = know(file)
    os.utime(file.path, (0, 0))
    (plan,) = plan_reading([file], known, trust_stamps=True)
    assert plan.is_unchanged
    assert plan.known is not None
    assert plan.known.stamp not in (None, known[name_file(file)].stamp)


@pytest.mark.parametrize(
    ("content", "goes_on"),
    [
        (b"one\ntwo and more", True),
        (b"one\ntwx and more", False),
        (b"oxe\ntwo", False),
        (b"one\ntw", False),
        (b"", False),
    ],
)
def test_reading_goes_on_only_where_the_old_bytes_are_still_there(
    file: SourceFile, content: bytes, goes_on: bool
) -> None:
    known = know(file)
    Path(file.path).write_bytes(content)
    (plan,) = plan_reading([file], known, trust_stamps=True)
    assert not plan.is_unchanged
    assert (plan.known is not None) == goes_on


def test_a_file_without_a_mark_is_read_anew_when_it_grew(file: SourceFile) -> None:
    known = know(file, mark=None)
    Path(file.path).write_bytes(b"one\ntwo and more")
    (plan,) = plan_reading([file], known, trust_stamps=True)
    assert (plan.known, plan.is_unchanged) == (None, False)


def test_a_file_under_another_name_is_another_file(file: SourceFile) -> None:
    other = SourceFile("./a.csv", file.filesystem, file.path, 7)
    (plan,) = plan_reading([other], know(file), trust_stamps=True)
    assert plan.known is None


def test_a_catalog_is_found_again_by_the_same_code_for_the_same_reading(
    home: Path, file: SourceFile
) -> None:
    def load(code: str = "c", *overrides: str, paths: tuple[str, ...] = ("p",)) -> Manifest:
        return Manifest.load(home, paths, load_settings(None, overrides).data, code)

    manifest = load()
    manifest.replace(know(file))
    manifest.results["key"] = {"fingerprint": "f"}
    manifest.save()
    assert load() == manifest
    # What only counts once rows are checked makes no difference.
    assert load("c", "data.neutral=leave_out", "data.positive_above=2").files == manifest.files
    for other in (
        load("other code"),
        load("c", "data.encoding=latin-1"),
        load("c", "data.columns.text=Text"),
        load(paths=("p", "q")),
    ):
        assert (other.files, other.results) == ({}, {})


@pytest.mark.parametrize("content", ["", "{}", '{"format": 0}'])
def test_what_is_no_catalog_is_as_none(home: Path, content: str) -> None:
    empty = Manifest.load(home, ("p",), DataSettings(), "c")
    empty.path.parent.mkdir()
    empty.path.write_text(content)
    assert Manifest.load(home, ("p",), DataSettings(), "c") == empty


def test_results_of_other_pieces_are_forgotten(home: Path, file: SourceFile) -> None:
    manifest = Manifest.load(home, ("p",), DataSettings(), "c")
    manifest.replace(know(file))
    manifest.results["key"] = {}
    manifest.replace(know(file))
    assert manifest.results == {"key": {}}
    manifest.replace({})
    assert manifest.results == {}
