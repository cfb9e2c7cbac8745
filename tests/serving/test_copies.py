from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from sentiflow.release.registry import Version
from sentiflow.serving.copies import LocalCopies, is_same


def fetch(folder: Path) -> Path:
    """What a registry does: the bundle lies somewhere below, beside other files."""
    bundle = folder / "model" / "artifacts" / "bundle"
    bundle.mkdir(parents=True)
    (bundle / "bundle.json").write_text("{}")
    (folder / "model" / "code.py").write_text("")
    return bundle


def keep(copies: LocalCopies, version: Version) -> None:
    with copies.make(version, fetch) as bundle:
        assert (bundle / "bundle.json").exists()


def test_a_copy_is_found_again_with_all_that_is_known_of_its_version(
    tmp_path: Path, version: Callable[..., Version]
) -> None:
    copies = LocalCopies(tmp_path / "serving")
    keep(copies, version(3, outcome="promoted"))
    again = LocalCopies(tmp_path / "serving").find(version(3))
    assert again is not None
    assert again.version == version(3, outcome="promoted")
    assert sorted(path.name for path in again.bundle.parent.iterdir()) == ["bundle", "version.json"]
    assert (again.bundle / "bundle.json").read_text() == "{}"


def test_a_block_that_fails_keeps_nothing(tmp_path: Path, version: Callable[..., Version]) -> None:
    copies = LocalCopies(tmp_path)
    keep(copies, version(1))

    def make_and_fail() -> None:
        with copies.make(version(2), fetch):
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        make_and_fail()
    assert [copy.version.number for copy in copies.list_copies()] == [1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1"]


def test_the_copy_fetched_last_comes_first(tmp_path: Path, version: Callable[..., Version]) -> None:
    copies = LocalCopies(tmp_path)
    for number in (9, 10, 2):
        keep(copies, version(number))
    assert [copy.version.number for copy in copies.list_copies()] == [2, 10, 9]


def test_the_same_number_of_another_run_is_another_version(
    tmp_path: Path, version: Callable[..., Version]
) -> None:
    copies = LocalCopies(tmp_path)
    keep(copies, version(1))
    other = Version("model", 1, "another-run", {})
    assert not is_same(version(1), other)
    assert copies.find(other) is None
    keep(copies, other)
    assert copies.find(version(1)) is None, "it takes the place of the number's former copy"
    assert copies.find(other) is not None


def test_only_the_current_copy_is_left(tmp_path: Path, version: Callable[..., Version]) -> None:
    copies = LocalCopies(tmp_path)
    for number in (1, 2):
        keep(copies, version(number))
    (tmp_path / ".unfinished-abc").mkdir()
    with copies.lock():
        copies.remove_others(version(2))
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "2"]


@pytest.mark.parametrize("damage", ["no JSON", "{}", json.dumps({"version": {}, "kept_at": ""})])
def test_a_copy_without_a_sound_description_is_left_alone(
    tmp_path: Path, version: Callable[..., Version], damage: str,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    copies = LocalCopies(tmp_path)
    keep(copies, version(1))
    keep(copies, version(2))
    (tmp_path / "2" / "version.json").write_text(damage)
    assert [copy.version.number for copy in copies.list_copies()] == [1]
    assert "left alone" in caplog.text


def test_two_services_over_one_home_take_turns(tmp_path: Path) -> None:
    order: list[str] = []
    entered = threading.Event()

    def second() -> None:
        entered.set()
        with LocalCopies(tmp_path).lock():
            order.append("second")

    with LocalCopies(tmp_path).lock():
        thread = threading.Thread(target=second)
        thread.start()
        assert entered.wait(5)
        thread.join(0.1)
        assert thread.is_alive()
        order.append("first")
    thread.join(5)
    assert order == ["first", "second"]


def test_no_copies_are_no_error(tmp_path: Path) -> None:
    assert LocalCopies(tmp_path / "nothing").list_copies() == []
    shutil.rmtree(tmp_path)
