"""Plain bytes out of any file: compression and tar archives are unpacked on the way.

A damaged file must give up every byte before the damage, so nothing here raises when one
ends in the middle: the stream ends there and says why in `damage`.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from tarfile import EOFHeaderError, HeaderError, ReadError  # type: ignore[attr-defined]
from typing import IO, Final, Protocol, Self, cast

from fsspec.spec import AbstractFileSystem

from sentiflow.data.reading.local_files import is_local, open_regular
from sentiflow.data.reading.watching import Watch, WatchedFile
from sentiflow.errors import SourceError, describe_error
from sentiflow.files import hide_secrets

BLOCK_BYTES: Final = 1 << 16
TAR_SUFFIXES: Final = (".tar", ".tgz", ".tbz2", ".txz")
COMPRESSION_SUFFIXES: Final = (".gz", ".bz2", ".xz")

_COMPRESSIONS: Final[dict[bytes, Callable[[ByteStream], _Readable]]] = {
    b"\x1f\x8b": lambda stream: gzip.GzipFile(fileobj=stream, mode="rb"),
    b"BZh": lambda stream: bz2.BZ2File(stream),
    b"\xfd7zXZ\x00": lambda stream: lzma.LZMAFile(cast("IO[bytes]", stream)),  # noqa: SIM115
}
_FOREIGN: Final = {b"PK\x03\x04": "unzip", b"\x28\xb5\x2f\xfd": "zstd -d", b"7z\xbc\xaf": "7z x"}
_NO_DATA: Final = {
    b"version https://git-lfs.": "a pointer of Git LFS: fetch what it stands for with git lfs pull",
    b"<!doctype html": "a web page: fetch the file itself, signed in where that is asked for",
    b"<html": "a web page: fetch the file itself, signed in where that is asked for",
}
SPREADSHEET_SUFFIXES: Final = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods", ".numbers")
_OLD_SPREADSHEET: Final = b"\xd0\xcf\x11\xe0"
# Names of files that stand first in a new spreadsheet, which is a zip archive.
_IN_SPREADSHEETS: Final = (b"[Content_Types].xml", b"xl/", b"opendocument.spreadsheet")
_TAR_MAGIC: Final = b"ustar"
_TAR_MAGIC_AT: Final = 257
JSON_SUFFIXES: Final = (".json", ".jsonl", ".ndjson")


@dataclass(frozen=True)
class ResumeOffset:
    """A place between two records from which a file can be read on once it has grown.

    Everything before it was decided without a look at what comes after it.

    Attributes:
        kind: `jsonl` or `csv`.
        offset: bytes before it.
        line: physical lines before it.
        has_objects: whether a JSON object stands before it, so that its keys were checked.
        header: the columns of a CSV file.
        delimiter: of a CSV file, as the rest of its dialect (see `Dialect`).
        quote: what stands around values.
        escape: what takes a meaning.
        quoting: whether quotes mean something.
        kinds: of the columns.
        end: what surely ends a line.
    """

    kind: str
    offset: int
    line: int
    has_objects: bool = False
    header: tuple[str, ...] = ()
    delimiter: str = ""
    quote: str = '"'
    escape: str = ""
    quoting: str = "quoted"
    kinds: str = ""
    end: str = "\n"


@dataclass(frozen=True)
class SourceFile:
    """One file to read.

    Attributes:
        name: as the user gave it, or its resolved path or URL; passwords and tokens are hidden.
        filesystem: where it is.
        path: its path there.
        size: bytes to read, 0 if unknown.
        start: where to go on reading; None for the beginning.
        end: offset at which to stop; None for wherever the file ends.
        stall_seconds: how long it may give nothing; 0 for as long as it likes.
    """

    name: str
    filesystem: AbstractFileSystem
    path: str
    size: int
    start: ResumeOffset | None = None
    end: int | None = None
    stall_seconds: float = 0.0

    def open(self) -> IO[bytes]:
        """Open the file for reading bytes.

        Raises:
            SourceError: it is gone, may not be read, is no regular file, or gives no answer. What
                is read of it later raises it too, when nothing comes for `stall_seconds`.
        """
        if not self.stall_seconds:
            return self._open()
        watch = Watch(self.name, self.stall_seconds)
        try:
            return cast("IO[bytes]", WatchedFile(watch.do(self._open), watch))
        except BaseException:
            # An interrupt too must not leave the reading thread behind.
            watch.end()
            raise

    def _open(self) -> IO[bytes]:
        try:
            if is_local(self.filesystem):
                return open_regular(self.path, self.name)
            handle: IO[bytes] = self.filesystem.open(self.path, "rb")
        except SourceError:
            raise
        except Exception as error:
            raise SourceError(
                f"The file must be readable. Received: {self.name!r} ({describe_error(error)}). "
                "Check that it still exists and that you may read it.",
                detail=hide_secrets(str(error)),
            ) from error
        return handle


class _Readable(Protocol):
    """Anything bytes can be read from, at most `size` at a time."""

    def read1(self, size: int = -1, /) -> bytes: ...


class _StrictHeader(tarfile.TarInfo):
    """A member's header whose damage is an error; tarfile would take it for the end."""

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> Self:
        """Read the next header, as tarfile asks."""
        try:
            return super().fromtarfile(tarfile)
        except EOFHeaderError:
            raise
        except HeaderError as error:
            raise ReadError(f"a header of the archive is damaged or missing ({error})") from error


class ByteStream(io.RawIOBase):
    """The bytes of a file from its start to its end, or to where it is damaged.

    Attributes:
        bytes_read: how many bytes have been given out or looked at.
    """

    def __init__(self, read: Callable[[int], bytes], beneath: ByteStream | None = None) -> None:
        """Wrap a function that returns the next 1 to n bytes, or none at the end.

        Args:
            read: the function; an error it raises ends the stream.
            beneath: the compressed stream it reads from, whose damage explains its own.
        """
        self.bytes_read = 0
        self._read = read
        self._beneath = beneath
        self._looked_at = b""
        self._damage: Exception | None = None

    @property
    def damage(self) -> str | None:
        """Why the stream ended before its end, as a clause; None when it is whole."""
        if self._beneath is not None and self._beneath.damage is not None:
            return self._beneath.damage
        return None if self._damage is None else _describe_damage(self._damage)

    def readable(self) -> bool:
        """Say yes, as Python's readers ask."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Return the next 1 to `size` bytes, or none at the end; a whole block for -1."""
        wanted = size if size >= 0 else BLOCK_BYTES
        if self._looked_at:
            block, self._looked_at = self._looked_at[:wanted], self._looked_at[wanted:]
            return block
        return self._read_on(wanted)

    def peek(self, size: int) -> bytes:
        """Return the next `size` bytes, fewer only at the end, without passing them."""
        while len(self._looked_at) < size:
            block = self._read_on(size - len(self._looked_at))
            if not block:
                break
            self._looked_at += block
        return self._looked_at[:size]

    def mark_damaged(self, error: Exception) -> None:
        """Note why the stream ends here although more was announced."""
        self._damage = self._damage or error

    def _read_on(self, size: int) -> bytes:
        if self._damage is not None:
            return b""
        try:
            block = self._read(size)
        except SourceError:
            # The source stalled: the file neither ended nor is damaged.
            raise
        except Exception as error:
            # Whatever a decompressor or the library behind a URL raises.
            self._damage = error
            return b""
        self.bytes_read += len(block)
        return block


def _describe_damage(error: Exception) -> str:
    """Return why a stream broke off, without a byte of it."""
    name = type(error).__name__
    if isinstance(error, gzip.BadGzipFile):
        return f"{name}: a CRC, a length or a header is wrong"
    if isinstance(error, EOFError | zlib.error | lzma.LZMAError | tarfile.TarError):
        # Their words are fixed, and say more than the type.
        return f"{name}: {error}"
    return describe_error(error)


def unpack(stream: ByteStream, name: str) -> ByteStream:
    """Return the stream decompressed, if its first bytes are those of gzip, bzip2 or xz.

    Raises:
        SourceError: it is compressed in a way that Python cannot undo.
    """
    head = stream.peek(200)
    is_zip = head.startswith(b"PK\x03\x04")
    named_so = name.lower().endswith(SPREADSHEET_SUFFIXES)
    if head.startswith(_OLD_SPREADSHEET) or (
        is_zip and (named_so or any(sign in head for sign in _IN_SPREADSHEETS))
    ):
        raise SourceError(
            f"Spreadsheets are read as CSV. Received: file={name!r}. "
            "Save its sheet as CSV (UTF-8) in the program it comes from, and name that file."
        )
    for beginning, what in _NO_DATA.items():
        if head.lstrip().lower().startswith(beginning):
            raise SourceError(
                f"A file must hold its data. Received: file={name!r}, which holds {what}."
            )
    for magic, command in _FOREIGN.items():
        if head.startswith(magic):
            raise SourceError(
                "Files must be plain, or compressed by gzip, bzip2 or xz. "
                f"Received: file={name!r}. Unpack it first ({command})."
            )
    for magic, open_compressed in _COMPRESSIONS.items():
        if head.startswith(magic):
            # read1 makes one step of decompression: read would throw away the bytes before
            # the damage when it meets it half way.
            return ByteStream(open_compressed(stream).read1, beneath=stream)
    return stream


def is_tar(stream: ByteStream, name: str) -> bool:
    """Say whether the unpacked stream is a tar archive, by its magic or else its name."""
    head = stream.peek(_TAR_MAGIC_AT + len(_TAR_MAGIC))
    return bool(head) and (
        head[_TAR_MAGIC_AT:] == _TAR_MAGIC or strip_compression(name).endswith(TAR_SUFFIXES)
    )


def strip_compression(name: str) -> str:
    """Return the lower-cased name without the suffix of a compression.

    >>> strip_compression("Reviews.JSONL.gz")
    'reviews.jsonl'
    """
    name = name.lower()
    for suffix in COMPRESSION_SUFFIXES:
        name = name.removesuffix(suffix)
    return name


def list_members(stream: ByteStream) -> Iterator[tuple[str, ByteStream]]:
    """Yield name and bytes of every JSON file of a tar archive, in one pass over it.

    A member's bytes must be read before the next member is asked for. Damage to the archive
    ends it early and is noted on `stream`.

    Args:
        stream: the unpacked archive.
    """
    try:
        with tarfile.open(
            fileobj=stream, mode="r|", bufsize=BLOCK_BYTES, tarinfo=_StrictHeader
        ) as archive:
            for member in archive:
                base = member.name.rpartition("/")[2]
                hidden = base.startswith(".")
                if member.isreg() and not hidden and _is_json(base):
                    yield member.name, _open_member(archive, member, stream)
        # The checksum of a compressed archive stands behind its last block.
        while stream.read():
            pass
    except (tarfile.TarError, ValueError, OverflowError) as error:
        stream.mark_damaged(error)


def _is_json(base: str) -> bool:
    """Say whether a file's name is that of JSON lines, compressed or not."""
    return strip_compression(base).endswith(JSON_SUFFIXES)


def _open_member(
    archive: tarfile.TarFile, member: tarfile.TarInfo, stream: ByteStream
) -> ByteStream:
    """Return the bytes of the member at which the archive stands.

    tarfile's own reader drops up to a whole block before a damage; this one drops nothing.
    """
    if member.issparse():
        # Only tarfile knows where its bytes belong; between them are zeros, as on the disk.
        sparse = cast("IO[bytes]", archive.extractfile(member))
        return ByteStream(sparse.read, beneath=stream)
    left = max(member.size, 0)
    source = archive.fileobj

    def read(size: int) -> bytes:
        nonlocal left
        block = source.read(min(size, left)) if source is not None else b""
        if not block and left:
            raise EOFError(f"the archive ends {left} bytes before the end of its member")
        left -= len(block)
        return block

    return ByteStream(read, beneath=stream)
