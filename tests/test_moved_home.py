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
from sentiflow.files import make_sqlite_url
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
