import bz2
import gzip
import io
import lzma
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given, settings
from hypothesis import strategies as st

from sentiflow.data.reading.streams import (
    ByteStream,
    SourceFile,
    is_tar,
    list_members,
    strip_compression,
    unpack,
)
from sentiflow.errors import SourceError

CONTENT = b"".join(b"%d: some text that is like the others\n" % number for number in range(9_000))
COMPRESSIONS: list[Callable[[bytes], bytes]] = [gzip.compress, bz2.compress, lzma.compress]


def stream_of(content: bytes) -> ByteStream:
    return ByteStream(io.BytesIO(content).read)


def read_all(stream: ByteStream) -> bytes:
    return b"".join(iter(lambda: stream.read(1_000), b""))


def pack_tar(members: dict[str, bytes], format: int = tarfile.PAX_FORMAT) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=format) as archive:
        for name, content in members.items():
            header = tarfile.TarInfo(name)
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
    return packed.getvalue()


def list_all(stream: ByteStream) -> list[tuple[str, bytes]]:
    return [(name, read_all(member)) for name, member in list_members(stream)]


def test_looking_ahead_passes_nothing() -> None:
    stream = stream_of(b"abcdef")
    assert stream.peek(3) == b"abc"
    assert stream.peek(2) == b"ab"
    assert read_all(stream) == b"abcdef"
    assert stream.peek(1) == b""
    assert stream.bytes_read == 6


def test_an_error_ends_the_stream_and_is_kept() -> None:
    blocks = iter([b"abc"])

    def read(size: int) -> bytes:
        for block in blocks:
            return block
        raise LookupError("connection lost")

    stream = ByteStream(read)
    assert stream.peek(100) == b"abc"
    assert read_all(stream) == b"abc"
    assert str(stream.damage).startswith("LookupError, ")
    assert "lost" not in str(stream.damage)


@pytest.mark.parametrize("compress", COMPRESSIONS)
def test_compression_is_recognised_by_the_first_bytes(compress: Callable[[bytes], bytes]) -> None:
    stream = unpack(stream_of(compress(CONTENT)), "reviews")
    assert read_all(stream) == CONTENT
    assert stream.damage is None


def test_what_is_not_compressed_stays_as_it_is() -> None:
    stream = stream_of(CONTENT)
    assert unpack(stream, "reviews.gz") is stream


def test_several_gzip_files_in_one_are_read_to_the_last() -> None:
    packed = gzip.compress(b"one\n") + gzip.compress(b"two\n")
    assert read_all(unpack(stream_of(packed), "reviews")) == b"one\ntwo\n"


@pytest.mark.parametrize("compress", COMPRESSIONS)
def test_everything_before_a_truncation_is_given_out(compress: Callable[[bytes], bytes]) -> None:
    packed = compress(CONTENT)
    stream = unpack(stream_of(packed[:-2]), "reviews")
    unpacked = read_all(stream)
    assert CONTENT.startswith(unpacked)
    if compress is not bz2.compress:  # which needs a whole block of up to 900 kB
        assert unpacked == CONTENT
    assert stream.damage is not None


def test_a_gzip_file_cut_in_half_gives_all_that_its_half_holds() -> None:
    packed = gzip.compress(CONTENT)
    half = packed[: len(packed) // 2]
    stream = unpack(stream_of(half), "reviews")
    assert read_all(stream) == zlib.decompressobj(wbits=31).decompress(half)
    assert stream.damage is not None


def test_a_wrong_checksum_is_a_damage_after_the_last_byte() -> None:
    packed = bytearray(gzip.compress(CONTENT))
    packed[-6] ^= 1
    stream = unpack(stream_of(bytes(packed)), "reviews")
    assert read_all(stream) == CONTENT
    assert "CRC" in str(stream.damage)


@settings(deadline=None)
@given(st.integers(0, 200), st.integers(0, 255), st.sampled_from(COMPRESSIONS))
def test_no_damaged_byte_makes_reading_fail(
    place: int, value: int, compress: Callable[[bytes], bytes]
) -> None:
    packed = bytearray(compress(CONTENT[:2_000]))
    packed[place % len(packed)] = value
    stream = unpack(stream_of(bytes(packed)), "reviews")
    read_all(stream)


@pytest.mark.parametrize(
    ("magic", "command"), [(b"PK\x03\x04", "unzip"), (b"\x28\xb5\x2f\xfd", "zstd -d")]
)
def test_other_compressions_are_refused_with_the_command_that_helps(
    magic: bytes, command: str
) -> None:
    with pytest.raises(SourceError, match=f"'reviews.zip'.*{command}"):
        unpack(stream_of(magic + b"...."), "reviews.zip")


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_an_archive_is_recognised_and_its_json_files_are_listed(format: int) -> None:
    packed = pack_tar(
        {
            "dataset/review.json": b"one",
            "dataset/._review.json": b"hidden",
            "dataset/agreement.pdf": b"no json",
            "dataset/" + "n" * 90 + ".jsonl": b"",
            "tip.json.gz": b"three",
        },
        format,
    )
    assert is_tar(stream_of(packed), "anything")
    assert list_all(stream_of(packed)) == [
        ("dataset/review.json", b"one"),
        ("dataset/" + "n" * 90 + ".jsonl", b""),
        ("tip.json.gz", b"three"),
    ]


def test_a_plain_or_empty_file_is_no_archive() -> None:
    assert not is_tar(stream_of(CONTENT), "reviews.jsonl")
    assert not is_tar(stream_of(b""), "reviews.tar")
    assert is_tar(stream_of(CONTENT), "reviews.tar.gz")


def test_a_member_that_is_passed_over_does_not_shift_the_next() -> None:
    packed = pack_tar({"a.json": CONTENT, "b.json": b"two"})
    read = [
        (name, read_all(member) if name == "b.json" else member.read(5))
        for name, member in list_members(stream_of(packed))
    ]
    assert read == [("a.json", CONTENT[:5]), ("b.json", b"two")]


@settings(deadline=None)
@given(st.integers(1, 4_800))
def test_an_archive_cut_anywhere_gives_every_byte_before_the_cut(cut: int) -> None:
    # Headers take 512 bytes, and contents are filled up to a multiple of that.
    packed = pack_tar({"a.json": CONTENT[:3_000], "b.json": CONTENT[:700]}, tarfile.USTAR_FORMAT)
    stream = stream_of(packed[:cut])
    contents = []
    damages = []
    for _, member in list_members(stream):
        contents.append(read_all(member))
        damages.append(member.damage)
    first, second = min(max(cut - 512, 0), 3_000), min(max(cut - 4_096, 0), 700)
    assert b"".join(contents) == CONTENT[:first] + CONTENT[:second]
    if first + second < 3_700:
        assert any([*damages, stream.damage])


def test_a_damaged_header_in_an_archive_is_not_taken_for_its_end() -> None:
    packed = bytearray(pack_tar({"a.json": b"one", "b.json": b"two"}))
    packed[1024 + 10] ^= 0xFF
    stream = stream_of(bytes(packed))
    assert list_all(stream) == [("a.json", b"one")]
    assert "header" in str(stream.damage)


def test_suffixes_of_compression_are_stripped() -> None:
    assert strip_compression("A/Reviews.CSV.GZ") == "a/reviews.csv"
    assert strip_compression("reviews.tgz") == "reviews.tgz"
    assert strip_compression("reviews.jsonl") == "reviews.jsonl"


def test_a_file_that_may_not_be_read_is_refused() -> None:
    class Locked(MemoryFileSystem):
        def _open(self, path: str, *args: object, **options: object) -> io.BytesIO:
            raise PermissionError(13, "Permission denied", path)

    file = SourceFile("locked/reviews.jsonl", Locked(), "/locked/reviews.jsonl", 2)
    with pytest.raises(SourceError, match=r"'locked/reviews\.jsonl'.*PermissionError"):
        file.open()


def test_a_file_that_has_gone_since_is_refused(tmp_path: Path) -> None:
    file = SourceFile("gone.csv", fsspec.filesystem("file"), str(tmp_path / "gone.csv"), 2)
    with pytest.raises(SourceError, match="still exists"):
        file.open()
