import json
from pathlib import Path
from typing import Any

import pytest
from reporting.recording import find_alone, make_record

from sentiflow.errors import ArtifactError
from sentiflow.files import digest_json, write_json
from sentiflow.reporting.decision_record import (
    SCHEMA_VERSION,
    DecisionRecord,
    keep_decision,
    locate_decision_file,
    read_decision,
)

# As JSON has it: lists instead of tuples.
RECORD = DecisionRecord.model_validate(make_record(find_alone()).model_dump(mode="json"))


def keep_changed(home: Path, **changes: Any) -> tuple[Path, str]:
    """Write a decision that answers to its digest, whatever it holds."""
    value = {**RECORD.model_dump(mode="json"), **changes}
    value = {key: held for key, held in value.items() if held is not ...}
    digest = digest_json(value)
    path = locate_decision_file(home, digest)
    write_json(path, value)
    return path, digest


def test_a_decision_is_read_as_it_was_kept(tmp_path: Path) -> None:
    digest = keep_decision(tmp_path, RECORD)
    assert read_decision(locate_decision_file(tmp_path, digest), digest) == RECORD


def test_the_name_is_the_digest_of_the_content(tmp_path: Path) -> None:
    digest = keep_decision(tmp_path, RECORD)
    (path,) = (tmp_path / "decisions").iterdir()
    assert path.name == f"{digest}.json"
    assert digest_json(json.loads(path.read_text())) == digest


def test_the_same_decision_has_the_same_name_and_another_one_another(tmp_path: Path) -> None:
    digest = keep_decision(tmp_path, RECORD)
    assert keep_decision(tmp_path, RECORD) == digest
    assert keep_decision(tmp_path, RECORD.model_copy(update={"version": 10})) != digest
    assert len([*(tmp_path / "decisions").iterdir()]) == 2


def test_another_order_of_keys_or_layout_is_no_other_decision(tmp_path: Path) -> None:
    digest = keep_decision(tmp_path, RECORD)
    path = locate_decision_file(tmp_path, digest)
    path.write_text(json.dumps(dict(reversed(json.loads(path.read_text()).items()))))
    assert read_decision(path, digest) == RECORD


def test_a_changed_decision_is_refused(tmp_path: Path) -> None:
    digest = keep_decision(tmp_path, RECORD)
    path = locate_decision_file(tmp_path, digest)
    value = json.loads(path.read_text())
    value["decision"]["verdict"] = "kept"
    path.write_text(json.dumps(value))
    with pytest.raises(ArtifactError, match=rf"{digest[:12]} must be as it was written"):
        read_decision(path, digest)


def test_another_decision_in_its_place_is_refused(tmp_path: Path) -> None:
    digest = keep_decision(tmp_path, RECORD)
    other = keep_decision(tmp_path, RECORD.model_copy(update={"version": 10}))
    with pytest.raises(ArtifactError, match=digest[:12]):
        read_decision(locate_decision_file(tmp_path, other), digest)


@pytest.mark.parametrize("content", [None, "", "{", "[1, 2"])
def test_a_missing_or_cut_off_file_is_refused(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "decision.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ArtifactError, match="readable JSON"):
        read_decision(path, "a" * 64)


@pytest.mark.parametrize(
    "changes", [{"decision": ...}, {"findings": ...}, {"version": "nine"}, {"gate": [1]}]
)
def test_a_decision_of_another_shape_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    path, digest = keep_changed(tmp_path, **changes)
    with pytest.raises(ArtifactError, match=f"follow schema {SCHEMA_VERSION}.*1 keys"):
        read_decision(path, digest)


def test_a_decision_of_an_unknown_schema_is_refused(tmp_path: Path) -> None:
    path, digest = keep_changed(tmp_path, schema_version=SCHEMA_VERSION + 1)
    with pytest.raises(ArtifactError, match=f"follow schema {SCHEMA_VERSION}"):
        read_decision(path, digest)


def test_a_key_that_a_later_night_added_does_no_harm(tmp_path: Path) -> None:
    path, digest = keep_changed(tmp_path, weather="rain")
    assert read_decision(path, digest) == RECORD


def test_a_decision_from_before_cost_was_kept_is_still_read(tmp_path: Path) -> None:
    path, digest = keep_changed(tmp_path, cpu_seconds=..., bytes_written=...)
    assert read_decision(path, digest) == RECORD


def test_a_record_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        RECORD.version = 10  # type: ignore[misc]


def test_every_kind_of_decision_can_be_kept(tmp_path: Path) -> None:
    for record in (RECORD, make_record()):
        digest = keep_decision(tmp_path, record)
        assert isinstance(
            read_decision(locate_decision_file(tmp_path, digest), digest), DecisionRecord
        )
