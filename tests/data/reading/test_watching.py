"""That nothing which gives no bytes holds a night for ever: pipes, devices, servers that hang."""

from __future__ import annotations

import gzip
import io
import json
import os
import socket
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from sentiflow.data.ingest.file_state import digest_beginnings
from sentiflow.data.ingest.ingest import read_sources
from sentiflow.data.reading.listing import list_source_files
from sentiflow.data.reading.sources import read
from sentiflow.data.reading.streams import SourceFile
from sentiflow.data.reading.watching import Watch, WatchedFile
from sentiflow.errors import SourceError
from sentiflow.settings import DataSettings, load_settings
from tests.conftest import make_review

LINES = "".join(f"{json.dumps(make_review(number))}\n" for number in range(3_000)).encode()
DATA = DataSettings()
IMPATIENT = DataSettings(stall_seconds=0.2)


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))


def make_link_to_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


ODD: dict[str, Callable[[Path], None]] = {
    "a named pipe": make_pipe, "a socket": make_socket, "a device": make_link_to_device,
}  # fmt: skip


@pytest.mark.parametrize("kind", ODD)
def test_what_is_no_regular_file_is_refused_when_it_is_named(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ODD[kind](Path("r.jsonl"))
    with pytest.raises(SourceError, match=f"'r.jsonl', which is {kind}"):
        list_source_files(["r.jsonl"], DATA)


@pytest.mark.parametrize("named", ["", "*.jsonl", "*"])
def test_what_is_no_regular_file_is_passed_over_in_a_folder_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    # Below a short name: a socket's path has little room.
    monkeypatch.chdir(tmp_path)
    for number, make in enumerate(ODD.values()):
        make(Path(f"odd-{number}.jsonl"))
    Path("good.jsonl").write_bytes(LINES)
    warnings: list[str] = []
    (file,) = list_source_files([str(tmp_path / named)], DATA, warnings.append)
    assert file.path.endswith("good.jsonl")
    assert warnings == [
        "3 sources are no regular files and were passed over: odd-0.jsonl (a named pipe), "
        "odd-1.jsonl (a socket), odd-2.jsonl (a device)."
    ]
    Path("good.jsonl").unlink()
    with pytest.raises(SourceError, match="At least one regular file is required"):
        list_source_files([str(tmp_path / named)], DATA, warnings.append)


def test_a_night_reads_the_files_beside_a_pipe_and_is_warned(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "drop"
    folder.mkdir()
    (folder / "good.jsonl").write_bytes(LINES)
    make_pipe(folder / "pipe.jsonl")
    warnings: list[str] = []
    settings = load_settings(None, ())
    day = pd.Timestamp("2026-07-01").date()
    for _ in range(2):
        read_sources([str(folder)], None, settings, day, home, "code", warn=warnings.append)
    assert len(warnings) == 2, "a night that reads nothing again is warned too"


def test_a_file_that_became_a_pipe_since_it_was_found_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(LINES)
    (file,) = list_source_files([str(path)], DATA)
    path.unlink()
    make_pipe(path)
    with pytest.raises(SourceError, match="a named pipe"):
        list(read([file], DATA))
    with pytest.raises(SourceError, match="a named pipe"):
        digest_beginnings(file, (10,))
    # Replaced within the very moment: what was opened is looked at as well.
    monkeypatch.setattr("sentiflow.data.reading.local_files.describe_odd_kind", lambda _: None)
    with pytest.raises(SourceError, match="a named pipe"):
        file.open()


class Silent(MemoryFileSystem):
    """A server that gives some bytes and then nothing, without ever ending the connection."""

    protocol = "silent"
    ends: threading.Event
    given = b""

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.removeprefix("silent://")))

    def open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        return _Hanging(self.given, self.ends) if mode == "rb" else super().open(path, mode)


class _Hanging(io.BytesIO):
    def __init__(self, given: bytes, ends: threading.Event) -> None:
        super().__init__(given)
        self._ends = ends

    def read(self, size: int | None = -1, /) -> bytes:
        block = super().read(size)
        if not block:
            self._ends.wait()
        return block


@pytest.fixture
def silent() -> Iterator[type[Silent]]:
    Silent.ends = threading.Event()
    fsspec.register_implementation("silent", Silent, clobber=True)
    fsspec.filesystem("silent").pipe("/r.jsonl", LINES)
    yield Silent
    Silent.ends.set()


PACKED = gzip.compress(LINES)


@pytest.mark.parametrize(
    "given",
    [b"", LINES[:1_000], PACKED[:20_000], b"PAR1" + bytes(9)],
    ids=["none", "some", "gz", "pq"],
)
def test_a_source_that_gives_nothing_more_ends_the_reading_in_a_line(
    silent: type[Silent], given: bytes
) -> None:
    silent.given = given
    fsspec.filesystem("silent").pipe("/r.pq", LINES)
    name = "silent://r.pq" if given.startswith(b"PAR1") else "silent://r.jsonl"
    with pytest.raises(
        SourceError, match=r"within 0\.2 s \(data\.stall_seconds\).*'silent:"
    ) as caught:
        list(read(list_source_files([name], IMPATIENT), IMPATIENT))
    assert "\n" not in str(caught.value)


def test_a_listing_that_hangs_ends_too(
    silent: type[Silent], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silent, "info", lambda self, *_, **__: self.ends.wait())
    with pytest.raises(SourceError, match="nothing for so long"):
        list_source_files(["silent://folder"], IMPATIENT)


def test_a_web_server_that_hangs_in_the_middle_ends_the_reading() -> None:
    pytest.importorskip("aiohttp")
    done = threading.Event()

    def serve(listening: socket.socket) -> None:
        while not done.is_set():
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            head = connection.recv(4_096)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n")
            if not head.startswith(b"HEAD"):
                connection.sendall(LINES[:2_000])
            held.append(connection)

    held: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, args=(listening,), daemon=True).start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/r.jsonl"
        patient = DataSettings(stall_seconds=2)
        with pytest.raises(SourceError, match="nothing for so long"):
            list(read(list_source_files([url], patient), patient))
        done.set()
        listening.shutdown(socket.SHUT_RDWR)
    for connection in held:
        connection.close()


def test_errors_of_what_is_watched_are_raised_and_a_stalled_watch_does_nothing_more() -> None:
    watch = Watch("it", 0.1)
    with pytest.raises(ZeroDivisionError):
        watch.do(lambda: 1 / 0)
    assert watch.do(max, 3, 4) == 4
    never = threading.Event()
    handle = io.BytesIO(b"abc")
    file = WatchedFile(handle, watch)
    assert (file.read(2), file.tell(), file.seek(0), file.read()) == (b"ab", 2, 0, b"abc")
    for _ in range(2):
        with pytest.raises(SourceError):
            watch.do(never.wait)
    file.close()
    assert not handle.closed, "closing would hang as the read does"
    never.set()


def test_a_file_without_a_deadline_is_read_without_a_thread(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(LINES)
    before = threading.active_count()
    (file,) = list_source_files([str(path)], DataSettings(stall_seconds=0))
    with file.open() as handle:
        assert threading.active_count() == before
        assert stat.S_ISREG(os.fstat(handle.fileno()).st_mode)
        assert handle.read() == LINES


@pytest.mark.parametrize("options", [
    ["--format=gnu"], ["--format=posix", "--sparse-version=0.0"],
    ["--format=posix", "--sparse-version=0.1"], ["--format=posix", "--sparse-version=1.0"],
])  # fmt: skip
def test_a_sparse_member_of_an_archive_is_read_to_its_end(
    tmp_path: Path, options: list[str]
) -> None:
    half = LINES.index(b"\n", len(LINES) // 2) + 1
    content = LINES[:half] + bytes(1 << 20) + b"\n" + LINES[half:]
    path = tmp_path / "review.json"
    with path.open("wb") as file:
        file.write(LINES[:half])
        file.seek(1 << 20, os.SEEK_CUR)
        file.write(b"\n" + LINES[half:])
    (tmp_path / "review-2.json").write_bytes(LINES)
    subprocess.run(
        ["tar", "-S", *options, "-cf", "r.tar", "review.json", "review-2.json"],
        cwd=tmp_path, check=True,
    )  # fmt: skip
    assert (tmp_path / "r.tar").stat().st_size < len(content), "it was packed as sparse"
    chunks = list(read(list_source_files([str(tmp_path / "r.tar")], DATA), DATA))
    assert sum(len(chunk.raw_reviews) for chunk in chunks) == 6_000
    rejected = [rejection for chunk in chunks for rejection in chunk.rejections]
    assert [(one.rule, one.line) for one in rejected] == [
        ("not_json", LINES[:half].count(b"\n") + 1)
    ]


def test_a_file_as_source_keeps_its_deadline(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"text,stars\nGood,5\n")
    (file,) = list_source_files([str(tmp_path / "a.csv")], IMPATIENT)
    assert file.stall_seconds == 0.2
    assert SourceFile("a", file.filesystem, file.path, 2).stall_seconds == 0
