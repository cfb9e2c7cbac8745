import hashlib
import os
import time
from pathlib import Path

import fsspec
import pytest

from sentiflow.data.ingest.file_state import digest_beginnings, read_file_state
from sentiflow.data.reading.streams import SourceFile
from sentiflow.errors import SourceError


def name_file(path: Path) -> SourceFile:
    return SourceFile(path.name, fsspec.filesystem("file"), str(path), 0)


def test_a_file_that_was_written_just_now_is_not_taken_for_the_same_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    # Setting the time of the last change back does not help: ctime is the truth.
    os.utime(path, (0, 0))
    fresh = read_file_state(name_file(path))
    assert fresh is not None
    assert (fresh.size, fresh.is_settled, fresh.lasting) == (3, False, None)
    later = time.time_ns() + 3_000_000_000
    monkeypatch.setattr(time, "time_ns", lambda: later)
    rested = read_file_state(name_file(path))
    assert rested is not None
    assert rested.lasting == rested.stamp == fresh.stamp


def test_every_way_to_replace_a_file_by_one_of_the_same_size_shows(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    before = read_file_state(name_file(path))
    assert before is not None
    time.sleep(0.02)
    path.write_bytes(b"abd")
    os.utime(path, ns=(0, before.stamp[1]))
    edited = read_file_state(name_file(path))
    other = tmp_path / "b"
    other.write_bytes(b"xyz")
    os.replace(other, path)
    replaced = read_file_state(name_file(path))
    assert edited is not None
    assert replaced is not None
    assert len({before.stamp, edited.stamp, replaced.stamp}) == 3
    assert before.size == edited.size == replaced.size


def test_what_is_not_on_disk_or_gone_cannot_be_told(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe("/stamps/a", b"abc")
    assert read_file_state(SourceFile("a", memory, "/stamps/a", 3)) is None
    assert read_file_state(name_file(tmp_path / "nowhere")) is None
    with pytest.raises(SourceError, match="nowhere"):
        digest_beginnings(name_file(tmp_path / "nowhere"), (1,))


def test_one_pass_gives_the_digest_of_every_beginning(tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    path = tmp_path / "a"
    path.write_bytes(content)
    sizes = (0, 5, 1_500_000, len(content), len(content) + 9)
    assert digest_beginnings(name_file(path), sizes) == tuple(
        hashlib.sha256(content[:size]).hexdigest() for size in sizes
    )
