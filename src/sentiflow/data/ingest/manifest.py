"""Remember of every source file what was read of it, and read only what is new.

One manifest belongs to the sources that were named together and to how they are read. It says
of each file what it looked like, which segments hold its rows, and where reading can go on.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from sentiflow.data.ingest.file_state import FileState, Stamp, digest_beginnings, read_file_state
from sentiflow.data.ingest.segments import Segment, SegmentStore, list_file_names
from sentiflow.data.reading.streams import ResumeOffset, SourceFile
from sentiflow.errors import ArtifactError
from sentiflow.files import digest_json, read_json, write_json
from sentiflow.settings import DataSettings

FORMAT: Final = 1

# Settings that decide only what happens after the rows are checked, or change no row.
_LATER: Final = {
    "stall_seconds", "allowed_roots", "output_roots",
    "max_rejected_share", "max_unreadable_share", "max_superseded_share",
    "positive_above", "neutral", "category",
}  # fmt: skip


@dataclass(frozen=True)
class KnownFile:
    """What is remembered of one file.

    Attributes:
        stamp: what the file system said of it, where that can be believed; else None.
        size: how many of its bytes were read.
        sha256: the digest of these bytes.
        segments: what they gave, in order.
        mark: where reading can go on once the file has grown; None where it cannot.
    """

    stamp: Stamp | None
    size: int
    sha256: str
    segments: tuple[Segment, ...]
    mark: ResumeOffset | None

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON value; `pieces` is what segments are called on disk."""
        value = asdict(self)
        value["pieces"] = value.pop("segments")
        return value

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> KnownFile:
        """Return what `as_dict` made a JSON value of."""
        mark = value["mark"]
        return cls(
            stamp=None if value["stamp"] is None else tuple(value["stamp"]),
            size=value["size"],
            sha256=value["sha256"],
            segments=tuple(Segment(**segment) for segment in value["pieces"]),
            mark=None
            if mark is None
            else ResumeOffset(**{**mark, "header": tuple(mark["header"])}),
        )


@dataclass(frozen=True)
class Plan:
    """What is to be done about one source file.

    Attributes:
        file: the file.
        known: what is remembered of it and still true of its beginning; None if nothing.
        file_state: how it looked when the plan was made; None where nothing is to be remembered.
        sha256: the digest of all its bytes then, where that was needed to make the plan.
        is_unchanged: whether nothing of it has to be read.
    """

    file: SourceFile
    known: KnownFile | None = None
    file_state: FileState | None = None
    sha256: str | None = None
    is_unchanged: bool = False


@dataclass
class Manifest:
    """What is remembered about sources; `load` finds it, `save` keeps it.

    Attributes:
        path: its file; None where nothing is remembered.
        code: the identity of the code that read the files.
        files: by key, see `name_file`.
        results: ingest results that were made of exactly these files, by their keys.
    """

    path: Path
    code: str
    files: dict[str, KnownFile] = field(default_factory=dict)
    results: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def load(cls, home: Path, paths: Sequence[str], data: DataSettings, code: str) -> Manifest:
        """Return what is remembered of these sources when read this way, by this code.

        Args:
            home: SENTIFLOW_HOME.
            paths: as the user named them.
            data: how they are read.
            code: the identity of the code; what other code read is not believed.
        """
        reading = data.model_dump(mode="json", exclude=_LATER)
        path = home / "ingest" / f"{digest_json([list(paths), reading])[:32]}.json"
        manifest = cls(path, code)
        stored = _read_stored(path)
        if stored is not None and stored["code"] == code:
            manifest.files = _list_files(stored)
            manifest.results = stored["results"]
        return manifest

    def save(self) -> None:
        """Write the manifest, replacing the one before in one step."""
        files = {key: known.as_dict() for key, known in self.files.items()}
        value = {"format": FORMAT, "code": self.code, "files": files, "results": self.results}
        write_json(self.path, value)

    def clean(self, store: SegmentStore) -> None:
        """Remove the segments that no manifest on disk needs, this one included."""
        store.remove_others(frozenset(list_needed(self.path.parent.glob("*.json"))))

    def keep(self, plans: Iterable[Plan]) -> None:
        """Remember the files as they look now, of which nothing had to be read."""
        self.files = {name_file(plan.file): plan.known for plan in plans if plan.known}

    def replace(self, files: dict[str, KnownFile]) -> None:
        """Remember these files, and no result that was made of others."""
        before, now = (
            {key: known.segments for key, known in these.items()} for these in (self.files, files)
        )
        if before != now:
            self.results = {}
        self.files = files


def name_file(file: SourceFile) -> str:
    """Return the key of a file: where it is, and the name that its rejections carry."""
    return digest_json([os.path.realpath(file.path), file.name])[:32]


def plan_reading(
    files: Sequence[SourceFile], known: Mapping[str, KnownFile], trust_stamps: bool
) -> list[Plan]:
    """Say of each file what of it has to be read.

    Args:
        files: from `list_source_files`.
        known: what is remembered, by key.
        trust_stamps: whether a file that looks the same is taken for the same; otherwise its
            bytes are compared.

    Raises:
        SourceError: a file whose bytes must be compared cannot be opened.
    """
    return [_plan(file, known.get(name_file(file)), trust_stamps) for file in files]


def _plan(file: SourceFile, known: KnownFile | None, trust_stamps: bool) -> Plan:
    file_state = read_file_state(file)
    if known is None or file_state is None or file_state.size < known.size:
        return Plan(file, None, file_state)
    if trust_stamps and known.stamp == file_state.stamp:
        return Plan(file, known, file_state, known.sha256, is_unchanged=True)
    before, now = digest_beginnings(file, (known.size, file_state.size))
    if before != known.sha256:
        return Plan(file, None, file_state, now)
    if file_state.size == known.size:
        same = replace(known, stamp=file_state.lasting)
        return Plan(file, same, file_state, now, is_unchanged=True)
    return Plan(file, known if known.mark is not None else None, file_state, now)


def check_segments(plans: Sequence[Plan], store: SegmentStore) -> list[Plan]:
    """Return the plans, with a file to be read anew where a segment of it is damaged or gone.

    The segments that are planned on stay while they are in use, see `SegmentStore.claim`.
    """
    return [
        plan
        if plan.known is None or all(map(store.claim, plan.known.segments))
        else replace(plan, known=None, is_unchanged=False)
        for plan in plans
    ]


def list_needed(manifests: Iterable[Path]) -> Iterator[str]:
    """Yield the names of the segments' files that manifests, given by their paths, need."""
    for path in manifests:
        stored = _read_stored(path)
        if stored is not None:
            for known in _list_files(stored).values():
                for segment in known.segments:
                    yield from list_file_names(segment)


def _list_files(stored: dict[str, Any]) -> dict[str, KnownFile]:
    return {key: KnownFile.from_dict(value) for key, value in stored["files"].items()}


def _read_stored(path: Path) -> dict[str, Any] | None:
    """Return a manifest as it was written; None where it is not there or not of this format."""
    try:
        stored: dict[str, Any] = read_json(path)
    except ArtifactError:
        return None
    return stored if stored.get("format") == FORMAT else None
