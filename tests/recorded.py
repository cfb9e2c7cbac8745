"""Homes that one night made and many tests start from.

A night costs half a minute of processor, most of it the same for every test: so the first one is
lived once per process of the test session, and its home is copied.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from small import SMALL, write_plain_reviews

if TYPE_CHECKING:
    import pytest

    from sentiflow.reporting.record import NightRecord

FIRST = date(2026, 7, 1)
NEXT = date(2026, 7, 2)


@dataclass(frozen=True)
class FirstNight:
    """A home after its first night, the reviews it read and its record."""

    home: Path
    reviews: Path
    record: NightRecord

    @property
    def blank_database(self) -> Path:
        """MLflow's tables without a row, which cost three seconds to make."""
        return self.home.with_name("blank.db")


def live_first_night(folder: Path, patch: pytest.MonkeyPatch) -> FirstNight:
    """Live a night on small reviews, with the real flow."""
    from mlflow import MlflowClient

    from flows.retrain import retrain
    from sentiflow.night.request import NightRequest
    from sentiflow.reporting.record import read_record

    home = folder / "home"
    home.mkdir()
    reviews = write_plain_reviews(folder / "reviews.jsonl")
    night = FirstNight(home, reviews, record=None)  # type: ignore[arg-type]
    MlflowClient(f"sqlite:///{night.blank_database}").search_experiments()
    shutil.copy(night.blank_database, home / "mlflow.db")
    patch.setenv("SENTIFLOW_HOME", str(home))
    patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{home / 'mlflow.db'}")
    # A password in a setting that says nothing of the result: it must be found nowhere.
    overrides = (*SMALL, "notices.prefect_url=https://ada:hunter2@prefect.example")
    request = NightRequest(data=(str(reviews),), overrides=overrides, as_of=FIRST)
    state = retrain(request, return_state=True)
    record = read_record(home, str(state.state_details.flow_run_id))
    assert record is not None
    assert record.outcome == "promoted", record.reasons
    return FirstNight(home, reviews, record)


def copy_home(source: Path, target: Path, *parts: str) -> Path:
    """Copy a home, or the named folders of it; MLflow's artifacts are moved to where it is."""
    if parts:
        for part in parts:
            shutil.copytree(source / part, target / part)
        return target
    shutil.copytree(source, target, dirs_exist_ok=True)
    with closing(sqlite3.connect(target / "mlflow.db")) as connection, connection:
        for table, column in (
            ("experiments", "artifact_location"), ("runs", "artifact_uri"),
            ("logged_models", "artifact_location"),
            ("model_versions", "source"), ("model_versions", "storage_location"),
        ):  # fmt: skip
            connection.execute(
                f"UPDATE {table} SET {column} = replace({column}, ?, ?)",
                (str(source), str(target)),
            )
    return target
