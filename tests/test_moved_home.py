"""A home that was moved or restored elsewhere is found whole where it is now."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from recorded import copy_home

from sentiflow import api
from sentiflow.errors import ArtifactError
from sentiflow.files import make_sqlite_url
from sentiflow.release.registry import CHAMPION, Registry
from sentiflow.settings.moved_home import follow_move
from sentiflow.tracking import track_run


def move(home: Path) -> Path:
    return home.rename(home.with_name("new disk? 100%#ä"))


def restore_a_copy(home: Path) -> Path:
    return Path(shutil.copytree(home, home.with_name("restored")))


def list_locations(home: Path) -> list[str]:
    with closing(sqlite3.connect(home / "mlflow.db")) as connection:
        return [line for line in connection.iterdump() if "file:///" in line]


@pytest.mark.parametrize("carry", [move, restore_a_copy])
def test_the_champion_answers_and_nothing_is_written_where_the_home_was(
    prepared_home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    carry: Callable[[Path], Path],
) -> None:
    left = copy_home(prepared_home, tmp_path / "home")
    monkeypatch.chdir(tmp_path)
    before = sorted(left.rglob("*"))
    home = carry(left)
    assert api.predict(["good"], home=home, settings={"model.name": "sentiflow"})
    with track_run(make_sqlite_url(home / "mlflow.db"), "test", None, "night", {}) as run:
        run.log_json({}, "night.json")
    assert (home / "mlartifacts" / run.id / "artifacts" / "night.json").is_file()
    assert sorted(left.rglob("*")) == ([] if carry is move else before)
    assert {path.name for path in tmp_path.iterdir()} - {left.name} == {home.name}
    assert list_locations(home)
    assert all((home / "mlartifacts").as_uri() in line for line in list_locations(home))


def test_artifacts_that_another_home_has_in_this_database_stay_its_own(
    prepared_home: Path, tmp_path: Path
) -> None:
    home, other = copy_home(prepared_home, tmp_path / "home"), tmp_path / "other" / "mlartifacts"
    # The prepared home may itself be a copy.
    follow_move(home)
    with track_run(make_sqlite_url(home / "mlflow.db"), "theirs", other, "night", {}) as run:
        run.log_json({}, "night.json")
    before = list_locations(home)
    follow_move(home)
    assert list_locations(home) == before
    assert any(other.as_uri() in line for line in before)


def test_a_home_without_mlflow_or_with_a_spoiled_one_is_left_as_it_is(tmp_path: Path) -> None:
    follow_move(tmp_path)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mlflow.db").write_text("no database")
    follow_move(tmp_path)
    assert (tmp_path / "mlflow.db").read_text() == "no database"


def test_files_that_are_sought_where_a_home_was_are_told_with_that_place(
    prepared_home: Path, tmp_path: Path
) -> None:
    left = copy_home(prepared_home, tmp_path / "home")
    follow_move(left)
    # As of a home that cannot be written: its records still lead to where it was.
    registry = Registry(make_sqlite_url(move(left) / "mlflow.db"))
    version = registry.resolve("sentiflow", CHAMPION)
    with pytest.raises(ArtifactError, match="where the home was moved, let one command") as refusal:
        registry.fetch_bundle(version, tmp_path / "fetched")
    assert f"Received: 0 at {(left / 'mlartifacts').as_uri()}/" in str(refusal.value)


def test_that_records_cannot_follow_a_home_is_said_once(
    prepared_home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(*_: object) -> None:
        raise sqlite3.OperationalError("attempt to write a readonly database")

    home = copy_home(prepared_home, tmp_path / "home")
    follow_move(home)
    moved = move(home)
    monkeypatch.setattr("sentiflow.settings.moved_home._rewrite", refuse)
    for _ in range(2):
        follow_move(moved)
    (said,) = [record.getMessage() for record in caplog.records]
    assert f"This home was at {home}," in said
