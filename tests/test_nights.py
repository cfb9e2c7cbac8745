"""Ten nights in a row with what goes wrong in a month; the whole month is a benchmark."""

from __future__ import annotations

import importlib
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY
from small import SMALL, write_plain_reviews

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("prefect_server", "warm_children"),
]

# event, what must come of it, what the ledger must get; the last one is promoted or kept.
STORY = (
    ("a weak first model", "promoted", ("registered", "promoted")),
    ("a much better model", "promoted", ("registered", "promoted")),
    ("a day is missing", "skipped", ()),
    ("a batch of garbage", "rejected", ("rejected",)),
    ("MLflow is away", "failed", ("failed",)),
    ("a cut gzip", "rejected", ("rejected",)),
    ("another mix of stars", "rejected", ("rejected",)),
    ("a worse model", "kept", ("registered", "kept")),
    ("killed while reading", "killed", ()),
    ("a late file", None, None),
)


def test_a_shortened_month_comes_to_what_each_event_must_come_to(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    replayed_nights: Any = importlib.import_module("replayed_nights")
    growing_source: Any = importlib.import_module("growing_source")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{home / 'mlflow.db'}")
    lines = write_plain_reviews(tmp_path / "reviews.jsonl", rows=700).read_text().splitlines()
    story = [replayed_nights.Planned(*night) for night in STORY]
    folder = tmp_path / "source"
    folder.mkdir()
    source = growing_source.GrowingSource(
        folder, [json.loads(line) for line in lines], replayed_nights.count_days(story)
    )
    # On one night only they would be a change of settings on the next, which then is not skipped.
    overrides = (*SMALL, *replayed_nights.OVER_A_WEAK_ONE)
    month = replayed_nights.replay(story, source, home, overrides, lambda _: None)
    assert not month.failures, "\n".join(month.failures)
    # The late file brought two editions each of ten reviews, and its own rows.
    first, better, *_, last = month.nights
    assert (first.champion, better.champion) == (1, 2)
    assert last.record.rows["superseded"] == 10
    assert last.record.rows["read"] == 700 + 10
    assert last.champion in (2, last.record.version)


def test_a_night_that_is_not_what_the_story_says_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    nights: Any = importlib.import_module("replayed_nights")
    lived = nights.Lived(
        night=date(2026, 10, 3), event="nothing new", outcome="kept",
        ledger=("registered", "kept"), record=None, champion=1, ended=datetime.now(UTC),
        seconds=1.0,
    )  # fmt: skip
    assert nights.check_story(nights.Planned("new rows"), lived) == []
    outcome, ledger = nights.check_story(nights.Planned("nothing new", "skipped", ()), lived)
    assert "kept, must be skipped" in outcome
    assert "must get ()" in ledger
    (ledger,) = nights.check_story(nights.Planned("new rows", "kept", ("kept",)), lived)
    assert "('registered', 'kept')" in ledger
