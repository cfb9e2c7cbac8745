"""What the gate gathers for its ruling, on values: versions that answer by a table.

A real night (tests/flows/test_retrain.py) shows the same with trained models; here every limit
has a night on each side of it, in milliseconds.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from night.stages.tables import AnswersByTable, RegistryOfTables, RunInMemory

from sentiflow.data.snapshot import Snapshot
from sentiflow.data.splitting import BUCKETS
from sentiflow.dates import read_today
from sentiflow.errors import ArtifactError, GateNotEvaluated
from sentiflow.gate.behaviour_records import note_behaviours
from sentiflow.gate.behaviours import digest_questions, load_checks
from sentiflow.gate.comparison import PairedAccuracy
from sentiflow.gate.findings import Findings, GateRows, fingerprint_rows
from sentiflow.gate.inspection import Inspection
from sentiflow.gate.packs import read_pack
from sentiflow.night.night import Night
from sentiflow.night.request import NightRequest
from sentiflow.night.stages import gate as stage
from sentiflow.night.stages.data import Splits
from sentiflow.night.stages.gate import Gate, open_gate
from sentiflow.night.stages.model import Evaluated
from sentiflow.release.known_files import KnownFiles, look_up_known_files, require_known
from sentiflow.release.registry import Version
from sentiflow.release.state import Event, Kind, fold_events
from sentiflow.settings import Settings

NIGHT = date(2026, 6, 30)
CHAMPION, CHALLENGER = 7, 9
TEXTS = [f"text {number}" for number in range(240)]
LABELS = np.array([number % 2 for number in range(240)], np.int8)
VOCABULARY = ["the", *read_pack("films")["topics"], *(f"word {number}" for number in range(400))]
# The baseline errs in the last 60 rows.
BASELINE = np.where(np.arange(240) < 180, LABELS, 1 - LABELS).astype(np.float64)
ROWS = GateRows(tuple(f"r{number}" for number in range(240)), LABELS, "rows", ())
EVALUATED = Evaluated(Path(), {}, {"tfidf_logreg": {"accuracy": 0.75}}, {}, (1.0, 2.0, 3.0))


class InspectionOfCopies:
    """Stands for the fresh process, which imports TensorFlow for six seconds.

    It finds a version faultless if it was given the version's own answers to the texts.
    """

    def __init__(self, registry: RegistryOfTables) -> None:
        self.registry = registry

    def __call__(
        self, uri: str, name: str, number: int, known: KnownFiles, texts: list[str],
        answers: npt.NDArray[np.float32], scratch: Path, seconds: float,
    ) -> Inspection:  # fmt: skip
        version = self.registry.resolve(name, str(number))
        own = self.registry.load(version, known, scratch).predict(texts)
        assert uri == self.registry.uri
        assert known == KnownFiles(f"run-{number}", {})
        difference = float(np.abs(own - answers).max()) if len(own) == len(answers) else 1.0
        return Inspection(
            difference, 0, len(texts), 0, seconds, 1.0, 2.0, float(scratch.name == "scratch")
        )


@pytest.fixture(autouse=True)
def know_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the ledger know every version's files: a table has none, so there are none to differ."""

    def know(events: object, version: Version) -> KnownFiles:
        assert isinstance(events, tuple)
        return KnownFiles(version.run_id, {})

    monkeypatch.setattr(stage, "look_up_known_files", know)
    monkeypatch.setattr(stage, "require_known", know)


@pytest.fixture
def registry() -> RegistryOfTables:
    """A champion of 10 nights that errs in 60 rows, and a challenger that errs in 24."""
    versions = RegistryOfTables("sentiflow", "the lineage")
    versions.add(CHAMPION, NIGHT - timedelta(days=10), errs_in=60)
    versions.add(CHALLENGER, NIGHT, errs_in=24)
    versions.answered[f"run-{CHAMPION}"] = list(ROWS.review_ids[:100])
    return versions


def open_night(
    registry: RegistryOfTables, home: Path, *overrides: str, **asked: Any
) -> tuple[Night, RunInMemory]:
    from sentiflow.night.night import describe_request_lineage, read_settings

    request = NightRequest(
        data=("a.jsonl",), as_of=asked.pop("as_of", NIGHT), overrides=overrides, **asked
    )
    run = RunInMemory()
    settings = read_settings(request)
    lineage = describe_request_lineage(request, settings)
    day = request.as_of or NIGHT
    night = Night(request, settings, lineage, day, home, run, registry, None, cast(Any, None))
    registry.lineage = night.lineage.digest
    return night, run


def tell(*happened: tuple[Kind, int | None], **details: Any) -> tuple[Event, ...]:
    return tuple(
        Event(
            kind=kind, actor="ada", reason="why", to_version=version, model="sentiflow",
            sequence=number, time=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number),
            lineage="abc", details=details,
        )
        for number, (kind, version) in enumerate(happened, start=1)
    )  # fmt: skip


PROMOTED = tell(("promoted", CHAMPION))


def make_gate(night: Night, **changes: Any) -> Gate:
    challenger = night.registry.resolve(night.lineage.name, str(CHALLENGER))
    return Gate(night, challenger, EVALUATED, ROWS, TEXTS, BASELINE, VOCABULARY, **changes)


def gather(night: Night, events: tuple[Event, ...] = PROMOTED, **changes: Any) -> Findings:
    alone = Findings(
        rows=240, rows_fingerprint="rows", metrics={"accuracy": 0.9}, baseline_accuracy=0.75,
        baseline=PairedAccuracy(240, 0.9, 0.75, 0.15, 0.1, 0.2, 36, 0),
        inspection=Inspection(0.0, 0, 9, 0, 1.0, 1.0, 1.0, 1.0),
    )  # fmt: skip
    gate = make_gate(night, _alone=alone, **changes)
    return gate.gather(events, fold_events(events))


def test_each_side_is_asked_itself_and_the_difference_is_challenger_minus_champion(
    registry: RegistryOfTables, home: Path
) -> None:
    night, run = open_night(registry, home)
    findings = gather(night)
    assert findings.champion_version == CHAMPION
    assert findings.champion_metrics is not None
    assert findings.champion_metrics["accuracy"] == pytest.approx(1 - 60 / 240)
    assert night.record.champion_metrics["accuracy"] == pytest.approx(1 - 60 / 240)
    assert run.metrics["test_champion/accuracy"] == pytest.approx(1 - 60 / 240)
    assert findings.comparison is not None
    assert findings.comparison.accuracy.challenger == pytest.approx(1 - 24 / 240)
    assert findings.comparison.accuracy.champion == pytest.approx(1 - 60 / 240)
    assert (findings.comparison.wins, findings.comparison.losses) == (36, 0)
    assert (findings.champion_age, findings.blockers, findings.best_version) == (10, (), None)
    assert registry.asked == {CHAMPION: 1, CHALLENGER: 1}, "every version is asked once"


def test_asked_again_on_another_head_nobody_answers_twice(
    registry: RegistryOfTables, home: Path
) -> None:
    night, _ = open_night(registry, home)
    gate = make_gate(night, _alone=cast(Findings, None))
    gate._alone = gather(night)
    registry.asked.clear()
    for _ in range(2):
        gate.gather(PROMOTED, fold_events(PROMOTED))
    assert registry.asked == {CHAMPION: 1, CHALLENGER: 1}


def test_without_a_champion_of_this_lineage_nothing_is_paired(
    registry: RegistryOfTables, home: Path
) -> None:
    night, _ = open_night(registry, home)
    first = gather(night, ())
    assert (first.champion_version, first.blockers) == (None, ())
    registry.lineages[CHAMPION] = "another"
    findings = gather(night)
    assert (findings.champion_version, findings.comparison) == (None, None)
    assert findings.champion_age is None


@pytest.mark.parametrize(("days", "is_held"), [(1, False), (0, False), (-1, True)])
def test_only_a_night_older_than_the_champions_is_a_backfill(
    registry: RegistryOfTables, home: Path, days: int, is_held: bool
) -> None:
    registry.nights[CHAMPION] = NIGHT - timedelta(days=days)
    findings = gather(open_night(registry, home)[0])
    assert findings.champion_age == days
    held = ("The night is older than the champion's: a backfill never moves it.",)
    assert findings.blockers == (held if is_held else ())


def test_a_champion_of_a_day_to_come_holds_back_no_night_of_today(
    registry: RegistryOfTables, home: Path
) -> None:
    today = read_today(Settings().schedule)
    registry.nights[CHAMPION] = today + timedelta(days=365)
    for as_of, age in ((today, 0), (today - timedelta(days=1), -1)):
        findings = gather(open_night(registry, home, as_of=as_of)[0])
        assert findings.champion_age == age
        assert len(findings.blockers) == (age < 0)


def test_a_backfill_beside_a_hold_is_held_by_both(registry: RegistryOfTables, home: Path) -> None:
    registry.nights[CHAMPION] = NIGHT + timedelta(days=1)
    events = (*PROMOTED, *tell(("promoted", CHAMPION), ("hold", CHAMPION))[1:])
    blockers = gather(open_night(registry, home)[0], events).blockers
    assert len(blockers) == 2
    assert blockers[0].startswith("A hold is in force")
    assert "backfill" in blockers[1]


@pytest.mark.parametrize(
    ("days", "overrides", "best"),
    [
        (29, [], None),
        (30, [], 5),
        (31, [], 5),
        (30, ["gate.max_champion_age=31"], None),
        (5, ["gate.max_champion_age=5"], 5),
        (99, ["gate.policy=superior"], None),
    ],
)
def test_the_best_of_the_year_is_asked_from_the_night_on_which_an_equal_may_replace_the_champion(
    registry: RegistryOfTables, home: Path, days: int, overrides: list[str], best: int | None
) -> None:
    registry.nights[CHAMPION] = NIGHT - timedelta(days=days)
    registry.add(5, NIGHT - timedelta(days=200), errs_in=12, accuracy=0.95)
    events = tell(("promoted", 5), ("promoted", CHAMPION))
    findings = gather(open_night(registry, home, *overrides)[0], events)
    assert findings.best_version == best
    assert (findings.best_comparison is not None) == (best is not None)
    if findings.best_comparison is not None:
        # The challenger against that version, not against the champion.
        assert (findings.best_comparison.wins, findings.best_comparison.losses) == (0, 12)


def test_the_best_of_the_year_is_a_former_champion_of_this_lineage_with_the_best_record(
    registry: RegistryOfTables, home: Path
) -> None:
    registry.nights[CHAMPION] = NIGHT - timedelta(days=40)
    year = timedelta(days=365)
    for number, night, accuracy in (
        (1, NIGHT - year - timedelta(days=1), 0.99),  # too long ago
        (2, NIGHT - year, 0.91),  # the last day that counts
        (3, NIGHT - timedelta(days=300), 0.93),  # the best that counts
        (4, NIGHT - timedelta(days=200), 0.98),  # never was champion
        (5, NIGHT - timedelta(days=100), 0.97),  # of another lineage
        (6, NIGHT - timedelta(days=90), None),  # without a record
        (8, NIGHT + timedelta(days=1), 0.96),  # of a later night: this one is a catch-up
    ):
        registry.add(number, night, errs_in=12, accuracy=accuracy)
    registry.lineages[5] = "another"
    crowned: list[tuple[Kind, int | None]] = [
        ("promoted", 1), ("superseded", 2), ("adopted", 3), ("kept", 4), ("promoted", 5),
        ("promoted", 6), ("promoted", 8), ("promoted", 99), ("promoted", CHAMPION),
    ]  # fmt: skip
    night, _ = open_night(registry, home)
    assert gather(night, tell(*crowned)).best_version == 3
    without = [one for one in crowned if one[1] != 3]
    assert gather(night, tell(*without)).best_version == 2
    only_it = [one for one in crowned if one[1] in (1, 4, 5, 6, 8, 99, CHAMPION)]
    assert gather(night, tell(*only_it)).best_version is None
    later = open_night(registry, home, as_of=NIGHT + timedelta(days=1))[0]
    assert gather(later, tell(*only_it)).best_version == 8, "the night's own day counts"


def test_neither_the_champion_nor_the_challenger_is_the_best_other_version(
    registry: RegistryOfTables, home: Path
) -> None:
    registry.add(CHAMPION, NIGHT - timedelta(days=40), errs_in=60, accuracy=0.99)
    registry.add(CHALLENGER, NIGHT, errs_in=24, accuracy=0.99)
    events = tell(("promoted", CHALLENGER), ("promoted", CHAMPION))
    assert gather(open_night(registry, home)[0], events).best_version is None


def test_newest_are_the_rows_that_the_champions_own_night_did_not_answer(
    registry: RegistryOfTables, home: Path
) -> None:
    night, _ = open_night(registry, home)
    findings = gather(night)
    assert findings.newest_rows == 140
    assert findings.newest is not None
    assert findings.newest.rows == 140
    # The rows that either errs in are the first, which the champion knew.
    assert (findings.newest.wins, findings.newest.losses) == (0, 0)
    registry.answered[f"run-{CHAMPION}"] = list(ROWS.review_ids[100:])
    findings = gather(open_night(registry, home)[0])
    assert findings.newest is not None
    assert (findings.newest.rows, findings.newest.wins) == (100, 36)
    assert list((home / "scratch").iterdir()) == [], "the ids are not kept"


@pytest.mark.parametrize("loss", ["no run", "no column", "no parquet"])
def test_where_the_champions_answers_are_lost_newest_rows_are_unknown_and_said(
    registry: RegistryOfTables, home: Path, loss: str
) -> None:
    registry.loss = loss
    night, _ = open_night(registry, home)
    findings = gather(night)
    assert (findings.newest_rows, findings.newest) == (None, None)
    assert findings.comparison is not None
    (warning,) = night.record.warnings
    assert warning.startswith("The newest rows cannot be told: ")


@pytest.mark.parametrize("bad", [float("nan"), 1.01, -0.01])
def test_a_version_whose_answer_is_no_probability_is_never_compared(
    registry: RegistryOfTables, home: Path, bad: float
) -> None:
    registry.tables[CHAMPION].answers[TEXTS[3]] = bad
    with pytest.raises(GateNotEvaluated, match=f"Version {CHAMPION} must answer each of the 240"):
        gather(open_night(registry, home)[0])


def test_alpha_is_spent_by_this_lineages_looks_of_the_last_nights(
    registry: RegistryOfTables, home: Path
) -> None:
    night, _ = open_night(registry, home, "gate.alpha_nights=5")

    def look(ago: int, lineage: str = night.lineage.digest) -> Event:
        (event,) = tell(("kept", 3), paired=True, night=(NIGHT - timedelta(days=ago)).isoformat())
        return replace(event, lineage=lineage)

    events = (look(5), look(4), look(1), look(0), look(-1), look(0, "another"))
    assert gather(night, (*PROMOTED, *events)).looks == 3


def examine(
    registry: RegistryOfTables, home: Path, monkeypatch: pytest.MonkeyPatch, *overrides: str,
    **request: Any,
) -> tuple[Findings, Night, RunInMemory]:  # fmt: skip
    monkeypatch.setattr(stage, "inspect_version", InspectionOfCopies(registry))
    night, run = open_night(registry, home, *overrides, **request)
    return make_gate(night).gather((), fold_events(())), night, run


def test_the_challenger_alone_is_scored_inspected_and_asked_its_behaviours(
    registry: RegistryOfTables, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    findings, _, run = examine(registry, home, monkeypatch, "gate.check_seconds=17")
    assert findings.rows == 240
    assert findings.rows_fingerprint == "rows"
    assert findings.metrics["accuracy"] == pytest.approx(1 - 24 / 240)
    assert findings.baseline_accuracy == 0.75
    # The challenger errs in the first 24 rows, the baseline in the last 60.
    assert (findings.baseline.wins, findings.baseline.losses) == (60, 24)
    assert (findings.baseline.challenger, findings.baseline.baseline) == (0.9, 0.75)
    # A fresh process gets the first 200 texts, with the answers to those.
    assert (findings.inspection.difference, findings.inspection.odd_texts) == (0.0, 200)
    assert (findings.inspection.latency_ms, findings.inspection.load_seconds) == (17.0, 1.0)
    assert run.metrics["release/difference"] == 0.0
    assert run.metrics["release/artifact_mb"] == 2.0
    # A model that calls every unknown text negative passes what asks for just that.
    passed = {behaviour.name: behaviour.pass_rate for behaviour in findings.behaviours}
    assert (passed["plain_complaint"], passed["plain_praise"]) == (1.0, 0.0)
    assert {name.removeprefix("behaviour/"): rate for name, rate in run.metrics.items()
            if name.startswith("behaviour/")} == passed  # fmt: skip
    assert not findings.is_sample


def test_the_settings_floors_hold_for_the_behaviours(
    registry: RegistryOfTables, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    floor = 'gate.behaviour_floors={"negation" = 0.123}'
    findings, _, _ = examine(registry, home, monkeypatch, floor)
    floors = {behaviour.name: behaviour.floor for behaviour in findings.behaviours}
    assert floors["negation"] == 0.123


@pytest.mark.parametrize(("setting", "pack"), [("auto", "films"), ("products", "products")])
def test_the_questions_are_of_the_pack_that_the_vocabulary_or_the_setting_says(
    registry: RegistryOfTables, home: Path, monkeypatch: pytest.MonkeyPatch, setting: str, pack: str
) -> None:
    findings, _, _ = examine(registry, home, monkeypatch, f"gate.behaviour_pack={setting}")
    assert findings.behaviour_pack is not None
    assert (findings.behaviour_pack.pack, findings.behaviour_pack.setting) == (pack, setting)
    checks = load_checks(pack)
    assert findings.behaviour_questions == digest_questions(checks)
    (asked,) = (check for check in checks if check.name == "plain_praise")
    (praise,) = (result for result in findings.behaviours if result.name == "plain_praise")
    assert praise.failures == tuple(case.describe() for case in asked.cases)


def test_a_champions_record_of_the_same_questions_is_held_against(
    registry: RegistryOfTables, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "inspect_version", InspectionOfCopies(registry))
    night, _ = open_night(registry, home)
    first = make_gate(night).gather((), fold_events(()))
    (negation,) = (one for one in first.behaviours if one.name == "negation")
    assert (negation.pass_rate, negation.best_version) == (1.0, None)
    noted = note_behaviours(first.behaviour_questions, first.behaviours)
    (ruling,) = tell(("promoted", 3), night=(NIGHT - timedelta(days=9)).isoformat(), **noted)
    events = (replace(ruling, lineage=night.lineage.digest),)
    gate = make_gate(night, _alone=first)
    monkeypatch.setattr(gate, "_look_up_champion", lambda state: None)
    held = {one.name: one for one in gate.gather(events, fold_events(events)).behaviours}
    assert (held["negation"].best_version, held["negation"].limit) == (3, 0.95)
    assert held["plain_praise"].limit == held["plain_praise"].floor


def test_the_sample_is_known_by_its_lineage(
    registry: RegistryOfTables, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "inspect_version", InspectionOfCopies(registry))
    night, _ = open_night(registry, home, "model.name=sentiflow-sample")
    assert night.lineage.name == "sentiflow-sample"
    registry.name = night.lineage.name
    gate = make_gate(night)
    assert gate.gather((), fold_events(())).is_sample


def write_snapshot(folder: Path, categories: list[str | None]) -> Snapshot:
    """Four reviews: two in the top bucket, one below it, one in the lowest."""
    buckets = [BUCKETS - 1, 0, BUCKETS - 1, BUCKETS - 2_000]
    reviews = pd.DataFrame(
        {
            "review_id": [f"r{number}" for number in range(4)],
            "text": ["one", "one two", "one two three four five", "one"],
            "text_digest": np.array(buckets, np.uint64),
            "label": np.array([1, 0, 0, 1], np.int8),
            "stars": [5.0, 1.0, 2.0, 4.0],
            "date": pd.to_datetime(["2026-01-01", "2026-01-02", "2025-01-03", None]),
            "categories": pd.Series(categories, dtype="str"),
        }
    )
    reviews.to_parquet(folder / "shard.parquet")
    return Snapshot("fingerprint", str(folder), ("shard.parquet",), 4)


def keep_baseline(night: Night, folder: Path, answers: npt.NDArray[np.float64]) -> None:
    """Leave the baseline's answers, and a vocabulary, where the night's steps leave them."""
    np.savez(folder / "answers.npz", majority=answers * 0, tfidf_logreg=answers)
    (folder / "vocabulary.json").write_text('["soup", "bread"]')
    night.steps.folders.update(baseline=folder, tokenize=folder)


@pytest.mark.parametrize("answers", [[0.75], [0.75, float("nan")]])
def test_a_baseline_that_did_not_answer_every_row_is_not_compared_with(
    registry: RegistryOfTables, home: Path, tmp_path: Path, answers: list[float]
) -> None:
    night, _ = open_night(registry, home)
    snapshot = write_snapshot(tmp_path, [None] * 4)
    keep_baseline(night, tmp_path, np.array(answers))
    version = registry.resolve("sentiflow", "9")
    with pytest.raises(GateNotEvaluated, match="The tuned TF-IDF baseline must answer"):
        open_gate(night, Splits(snapshot, {}, ""), EVALUATED, version)


def slice_names(gate: Gate) -> dict[tuple[str, str], list[int]]:
    return {
        (kind, name): positions.tolist()
        for kind, name, positions in gate.rows.slices
        if len(positions)
    }


def test_the_gates_rows_are_tonights_test_rows_with_their_slices(
    registry: RegistryOfTables, home: Path, tmp_path: Path
) -> None:
    night, _ = open_night(registry, home)
    snapshot = write_snapshot(tmp_path, ["Cafes", "Cafes", None, "Cafes"])
    keep_baseline(night, tmp_path, np.array([0.75, 0.25]))
    gate = open_gate(night, Splits(snapshot, {}, ""), EVALUATED, registry.resolve("sentiflow", "9"))
    assert gate.baseline.tolist() == [0.75, 0.25]
    assert gate.vocabulary == ["soup", "bread"]
    assert gate.rows.review_ids == ("r0", "r2")
    assert gate.texts == ["one", "one two three four five"]
    assert gate.rows.labels.tolist() == [1, 0]
    assert gate.rows.labels.dtype == np.int8
    digests = np.array([BUCKETS - 1, BUCKETS - 1], np.uint64)
    assert gate.rows.fingerprint == fingerprint_rows(("r0", "r2"), digests, gate.rows.labels)
    assert gate.night is night
    assert gate.challenger == registry.resolve("sentiflow", str(CHALLENGER))
    assert gate.evaluated is EVALUATED
    assert slice_names(gate) == {
        ("stars", "5"): [0], ("stars", "2"): [1],
        ("length", "up to 1 words"): [0], ("length", "over 3 words"): [1],
        ("year", "2025"): [1], ("year", "2026"): [0],
        ("category", "Cafes"): [0],
    }  # fmt: skip


def test_without_a_category_in_any_row_there_is_no_slice_by_category(
    registry: RegistryOfTables, home: Path, tmp_path: Path
) -> None:
    night, _ = open_night(registry, home)
    snapshot = write_snapshot(tmp_path, [None, "Cafes", None, None])
    keep_baseline(night, tmp_path, np.array([0.75, 0.25]))
    gate = open_gate(night, Splits(snapshot, {}, ""), EVALUATED, registry.resolve("sentiflow", "9"))
    assert "category" not in {kind for kind, _, _ in gate.rows.slices}
    # And the gate it opens gathers.
    gate._alone = gather(night, ())
    assert gate.gather((), fold_events(())).rows == 240


def test_a_champion_that_does_not_load_is_kept_unless_it_is_superseded(
    registry: RegistryOfTables, home: Path
) -> None:
    registry.tables[CHAMPION] = AnswersByTable({}, ArtifactError("Its file is broken."))
    ways_out = r"broken\. If that will not mend, .*--supersede --reason …"
    with pytest.raises(ArtifactError, match=f"{ways_out}$"):
        gather(open_night(registry, home)[0])
    held = tell(("promoted", CHAMPION), ("hold", CHAMPION))
    with pytest.raises(ArtifactError, match=f"{ways_out} That needs this settled first: A hold is"):
        gather(open_night(registry, home)[0], held)
    night, _ = open_night(registry, home, supersede=True, reason="broken for good")
    gate = make_gate(night, _alone=gather(night, ()))
    assert gate.gather(PROMOTED, fold_events(PROMOTED)).champion_version is None
    assert gate.superseded == CHAMPION
    assert night.record.warnings == [
        f"Champion version {CHAMPION} is superseded: Its file is broken."
    ]


def test_superseding_a_champion_that_loads_is_not_done_but_said(
    registry: RegistryOfTables, home: Path
) -> None:
    night, _ = open_night(registry, home, supersede=True, reason="just so")
    assert gather(night).champion_version == CHAMPION
    (warning,) = night.record.warnings
    assert warning == f"--supersede was not needed: champion version {CHAMPION} loads."


@pytest.mark.parametrize(
    ("last", "held"),
    [
        (("moved_outside", None), None),  # MLflow took the alias away with the version
        (("moved_outside", 3), "moved to version 3 outside"),
        (("hold", None), "A hold is in force"),
    ],
)
def test_superseding_a_deleted_champion_settles_the_alias_that_went_with_it_and_no_more(
    registry: RegistryOfTables, home: Path, last: tuple[Kind, int | None], held: str | None
) -> None:
    del registry.nights[CHAMPION]
    events = tell(("promoted", CHAMPION), last)

    def ask(**asked: Any) -> tuple[Gate, tuple[str, ...]]:
        night, _ = open_night(registry, home, **asked)
        gate = make_gate(night, _alone=gather(night, ()))
        return gate, gate.gather(events, fold_events(events)).blockers

    gate, (gone, *others) = ask()
    assert gate.superseded is None
    assert f"version {CHAMPION} of sentiflow is gone" in gone
    assert f"promote {CHALLENGER} --override" in gone
    assert gone.endswith("or with the next night sentiflow run … --supersede --reason …")
    gate, blockers = ask(supersede=True, reason="gone for good")
    assert gate.superseded == CHAMPION
    assert gate.night.record.warnings == [f"Champion version {CHAMPION} is superseded: it is gone."]
    assert list(blockers) == others
    assert [held in other for other in others] == [True] if held else others == []


def test_a_champion_whose_number_another_run_has_now_is_gone(
    registry: RegistryOfTables, home: Path
) -> None:
    (registered, promoted) = tell(("registered", CHAMPION), ("promoted", CHAMPION))
    night, _ = open_night(registry, home)
    for run, champion in (("of another model", None), (f"run-{CHAMPION}", CHAMPION)):
        events = (replace(registered, details={"run_id": run}), promoted)
        assert gather(night, events).champion_version == champion


def test_the_best_of_the_year_has_the_run_that_was_champion(
    registry: RegistryOfTables, home: Path
) -> None:
    registry.nights[CHAMPION] = NIGHT - timedelta(days=40)
    registry.add(5, NIGHT - timedelta(days=50), errs_in=12, accuracy=0.95)
    steps = tell(("registered", 5), ("promoted", 5), ("promoted", CHAMPION))
    night, _ = open_night(registry, home)
    for run, best in (("of another model", None), ("run-5", 5)):
        events = (replace(steps[0], details={"run_id": run}), *steps[1:])
        assert gather(night, events).best_version == best


def test_a_move_outside_holds_while_its_champion_is_there(
    registry: RegistryOfTables, home: Path
) -> None:
    night, _ = open_night(registry, home, supersede=True, reason="just so")
    (blocker,) = gather(night, tell(("promoted", CHAMPION), ("moved_outside", None))).blockers
    assert "moved away outside" in blocker


def test_a_version_whose_files_the_ledger_does_not_know_is_not_loaded_for_the_gate(
    registry: RegistryOfTables, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "look_up_known_files", look_up_known_files)
    monkeypatch.setattr(stage, "require_known", require_known)
    known = [
        replace(event, details=KnownFiles(f"run-{number}", {"a": "b"}).as_details())
        for number, event in zip(
            (CHALLENGER, 5, CHAMPION),
            tell(("registered", CHALLENGER), ("promoted", 5), ("promoted", CHAMPION)),
            strict=True,
        )
    ]
    registry.nights[CHAMPION] = NIGHT - timedelta(days=40)
    registry.add(5, NIGHT - timedelta(days=50), errs_in=12, accuracy=0.95)
    night, _ = open_night(registry, home)
    assert gather(night, tuple(known)).best_version == 5
    assert night.record.warnings == []
    # The champion must be known; former ones that are not are said, and left out.
    registry.asked.clear()
    registry.add(6, NIGHT - timedelta(days=50), errs_in=12, accuracy=0.95)
    former = (known[0], *tell(("promoted", 5), ("promoted", 6)), known[2])
    assert gather(night, former).best_version is None
    assert "sentiflow attest 5 6 --reason" in night.record.warnings[0]
    assert registry.asked == {CHAMPION: 1, CHALLENGER: 1}
    registry.asked.clear()
    with pytest.raises(ArtifactError, match=f"sentiflow attest {CHAMPION} --reason"):
        gather(night, (*known[:2], replace(known[2], details={})))
    assert registry.asked == {}
