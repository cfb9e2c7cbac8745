"""Whole nights with the real Prefect, Great Expectations, MLflow and a small real LSTM."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from prefect.states import Failed
from recorded import FIRST, NEXT, FirstNight
from small import SMALL, write_plain_reviews

from flows.retrain import decide, may_help, retrain
from sentiflow.data.splitting import assign_buckets, digest_texts, name_splits
from sentiflow.errors import (
    DataRejected,
    GateNotEvaluated,
    LedgerUnreachable,
    LineageError,
    RegistryUnreachable,
    UsageError,
)
from sentiflow.night.lease import hold_lease
from sentiflow.night.request import NightRequest
from sentiflow.night.stages import model as model_stage
from sentiflow.release.leases import Leases, name_night
from sentiflow.release.ledger import Ledger
from sentiflow.release.state import Event, NewEvent
from sentiflow.reporting.decision_record import DecisionRecord, locate_decision_file, read_decision
from sentiflow.reporting.record import NightRecord, read_record
from sentiflow.settings import LeaseSettings, SplitSettings

pytestmark = [
    pytest.mark.usefixtures("prefect_server", "warm_children"),
]


@pytest.fixture
def night(home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., NightRecord]:
    """Run a night with small settings and give its record, also when it failed."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{home / 'mlflow.db'}")

    def run(data: Path, *overrides: str, as_of: date = NEXT, **request: Any) -> NightRecord:
        every = {"data": (str(data),), "overrides": (*SMALL, *overrides), "as_of": as_of}
        state = retrain(NightRequest(**every, **request), return_state=True)
        record = read_record(home, str(state.state_details.flow_run_id))
        assert record is not None, "every night is recorded, also one that never opened"
        if isinstance(error := state.result(raise_on_failure=False), UsageError):
            raise error
        assert state.is_completed() == (record.exit_code == 0)
        return record

    return run


def client(home: Path) -> MlflowClient:
    uri = f"sqlite:///{home / 'mlflow.db'}"
    return MlflowClient(uri, uri)


def aliases(home: Path, name: str = "sentiflow") -> dict[str, int]:
    model = client(home).get_registered_model(name)
    return {alias: int(number) for alias, number in model.aliases.items()}


def read_events(home: Path) -> tuple[Event, ...]:
    return Ledger(f"sqlite:///{home / 'ledger.db'}").read("sentiflow")


def list_kinds(home: Path) -> list[str]:
    return [event.kind for event in read_events(home)]


def read_decision_of(home: Path, record: NightRecord | None) -> DecisionRecord:
    """The decision of a night, or of the ledger's first ruling."""
    digest = (
        record.decision if record else next(e.decision for e in read_events(home) if e.decision)
    )
    return read_decision(locate_decision_file(home, digest), digest)


def list_artifacts(home: Path, run_id: str, folder: str | None = None) -> set[str]:
    found = set()
    for entry in client(home).list_artifacts(run_id, folder):
        found |= list_artifacts(home, run_id, entry.path) if entry.is_dir else {entry.path}
    return found


@pytest.mark.slow
def test_a_night_promotes_and_a_second_one_with_nothing_new_is_skipped(
    lived: FirstNight, night: Callable[..., NightRecord]
) -> None:
    home, first = lived.home, lived.record
    assert first.outcome == "promoted", first.reasons
    assert first.metrics["accuracy"] > 0.9
    assert set(first.baselines) == {"majority", "tfidf_logreg", "tfidf_logreg_default"}
    assert set(first.branches) == {"wide", "deep"}
    assert sum(branch["share"] for branch in first.branches.values()) == pytest.approx(1)
    rows = first.rows
    used = rows["train"] + rows["validation"] + rows["test"]
    assert rows["read"] == rows["quarantined"] + rows["superseded"] + rows["left_out"] + used == 400
    assert {
        "ingest",
        "validate",
        "tokenize",
        "train",
        "evaluate",
        "register",
        "decide",
        "total",
    } <= set(first.seconds)
    assert aliases(home) == {"champion": 1, "challenger": 1}

    run = client(home).get_run(first.mlflow_run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["sentiflow.prefect_flow_run_id"] == first.prefect_flow_run_id
    assert run.data.params["training.epochs"] == "4"
    assert run.data.params["notices.prefect_url"] == "https://***@prefect.example"
    kept = [path for path in home.rglob("*") if path.is_file()]
    assert any(path.name == "settings.json" for path in kept)
    assert not [path for path in kept if b"hunter2" in path.read_bytes()]
    assert run.data.metrics["test_wide/accuracy"] == first.branches["wide"]["accuracy"]
    assert run.data.metrics["test/accuracy"] == pytest.approx(first.metrics["accuracy"])
    history = client(home).get_metric_history(first.mlflow_run_id, "epoch/val_loss")
    assert [point.step for point in history] == [1, 2, 3, 4]
    (dataset,) = run.inputs.dataset_inputs
    assert dataset.dataset.digest == first.fingerprint[:36]
    artifacts = list_artifacts(home, first.mlflow_run_id)
    assert {"decision.json", "night.json", "settings.json", "data/profile.json",
            "environment/requirements.lock", "evaluation/answers.parquet",
            f"report/{first.decision}.html"} <= artifacts  # fmt: skip
    assert sum(path.startswith("figures/") for path in artifacts) == 6
    assert any(path.startswith("data/data_docs/") for path in artifacts)
    version = client(home).get_model_version("sentiflow", "1")
    assert version.tags["sentiflow.fingerprint"] == first.fingerprint
    assert version.tags["sentiflow.outcome"] == "promoted"

    model = mlflow.pyfunc.load_model("models:/sentiflow@champion")
    answers = model.predict(pd.DataFrame({"text": ["the soup was lovely", "the soup was awful"]}))
    assert answers["label"].tolist() == ["positive", "negative"]

    again = night(lived.reviews, as_of=FIRST)
    assert (again.outcome, again.exit_code, again.version) == ("skipped", 0, 1)
    assert again.fingerprint == first.fingerprint
    assert len(client(home).search_model_versions("name='sentiflow'")) == 1


@pytest.mark.slow
def test_a_forced_night_of_equal_data_ties_and_keeps_the_champion(
    lived: FirstNight, night: Callable[..., NightRecord]
) -> None:
    second = night(lived.reviews, as_of=FIRST, force=True)
    # Same rows, settings and seeds: the same model, so the gate sees a tie.
    assert second.metrics["log_loss"] == lived.record.metrics["log_loss"]
    assert (second.outcome, second.exit_code) == ("kept", 0)
    assert "ties keep" in " ".join(second.reasons)
    assert second.champion_metrics is not None
    assert second.champion_metrics["accuracy"] == lived.record.metrics["accuracy"]
    assert second.reused_steps == []
    assert aliases(lived.home) == {"champion": 1, "challenger": 2}


@pytest.mark.slow
def test_finished_steps_are_reused_when_only_the_gate_changed(
    lived: FirstNight, night: Callable[..., NightRecord]
) -> None:
    second = night(lived.reviews, "gate.min_accuracy=0.55")
    assert second.reused_steps == ["tokenize", "wide", "train", "baseline", "evaluate"]
    assert second.outcome == "kept"


@pytest.mark.slow
def test_half_a_file_ends_the_night_before_training(
    lived: FirstNight, tmp_path: Path, night: Callable[..., NightRecord]
) -> None:
    lines = lived.reviews.read_bytes().splitlines(keepends=True)
    half = tmp_path / "half.jsonl"
    half.write_bytes(b"".join(lines[: len(lines) // 2]))
    record = night(half)
    assert (record.outcome, record.exit_code) == ("rejected", 3)
    assert "train" not in record.seconds
    assert any("half" in reason or "rows" in reason for reason in record.reasons)
    assert client(lived.home).get_run(record.mlflow_run_id).info.status == "FAILED"
    assert aliases(lived.home) == {"champion": 1, "challenger": 1}


@pytest.mark.slow
def test_settings_of_another_lineage_end_the_night_by_name(
    lived: FirstNight, night: Callable[..., NightRecord]
) -> None:
    with pytest.raises(LineageError, match=r"split\.test_share"):
        night(lived.reviews, "split.test_share=0.25")


@pytest.mark.slow
def test_a_new_lineage_starts_without_a_champion(
    lived: FirstNight, night: Callable[..., NightRecord]
) -> None:
    other = "data.positive_above=4"
    second = night(lived.reviews, other, new_lineage=True, reason="five stars only")
    assert second.champion_metrics is None
    third = night(lived.reviews, other, "gate.min_accuracy=0.55")
    assert third.champion_version == (second.version if second.outcome == "promoted" else None)
    tags = client(lived.home).get_model_version("sentiflow", str(second.version)).tags
    assert tags["sentiflow.new_lineage_reason"] == "five stars only"


@pytest.mark.slow
def test_an_unloadable_champion_is_kept_until_it_is_superseded_on_purpose(
    lived: FirstNight, night: Callable[..., NightRecord]
) -> None:
    home, another = lived.home, "gate.min_accuracy=0.55"
    for model in (home / "mlartifacts").rglob("model.keras"):
        model.write_bytes(b"broken")
    record = night(lived.reviews, another)
    assert (record.outcome, record.exit_code) == ("failed", GateNotEvaluated.exit_code)
    assert "champion is kept" in record.reasons[0]
    assert "--supersede --reason" in record.reasons[0]
    assert aliases(home)["champion"] == 1
    assert list_kinds(home)[-1] == "not_evaluated"

    with pytest.raises(UsageError, match="--supersede needs a reason"):
        night(lived.reviews, another, supersede=True)
    reason = "its file was damaged by the disk"
    record = night(lived.reviews, another, supersede=True, reason=reason)
    assert (record.outcome, record.champion_version) == ("promoted", record.version)
    assert aliases(home)["champion"] == record.version
    event = read_events(home)[-1]
    assert (event.kind, event.from_version, event.to_version) == ("superseded", 1, record.version)
    assert event.reason == reason


@pytest.mark.slow
def test_manual_approval_leaves_the_challenger_waiting(
    trained: FirstNight, night: Callable[..., NightRecord]
) -> None:
    record = night(trained.reviews, "gate.approval=manual")
    assert (record.outcome, record.exit_code, record.champion_version) == ("waiting", 0, None)
    assert "sentiflow promote" in record.reasons[-1]
    assert aliases(trained.home) == {"challenger": 1}
    again = night(trained.reviews, "gate.approval=manual")
    assert again.outcome == "skipped", "a night that was ruled on is not asked again"


class BrokenReport:
    """Fails as a full disk would, where nobody in sentiflow foresaw it."""

    def __call__(self, *_: Any) -> Any:
        raise OSError(28, "No space left on device")


@pytest.mark.slow
def test_whatever_breaks_while_deciding_keeps_the_champion_and_says_so(
    trained: FirstNight, night: Callable[..., NightRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = BrokenReport()
    monkeypatch.setattr("sentiflow.night.stages.release.write_report", broken)
    monkeypatch.setattr(decide, "retries", 0)
    record = night(trained.reviews)
    assert (record.outcome, record.exit_code) == ("failed", 4)
    assert "No space left" in record.reasons[0]
    assert "champion is kept" in record.reasons[0]
    assert "champion" not in aliases(trained.home)
    assert list_kinds(trained.home) == ["registered", "not_evaluated"]


class BusyLedger(Ledger):
    """Somebody else writes first, each time a night is about to commit a ruling.

    It stands for a second night or a person at the same moment, as often as `times` says.
    """

    times = 1

    def append(self, model: str, sequence: int, events: Any) -> Any:
        if events[0].kind in ("promoted", "kept") and BusyLedger.times > 0:
            BusyLedger.times -= 1
            other = NewEvent(kind="released", actor="somebody else", reason="at that moment")
            super().append(model, sequence, [other])
        return super().append(model, sequence, events)


@pytest.mark.slow
@pytest.mark.parametrize(("times", "outcome"), [(2, "promoted"), (99, "failed")])
def test_a_night_that_loses_the_race_decides_again_or_keeps(
    trained: FirstNight,
    night: Callable[..., NightRecord],
    monkeypatch: pytest.MonkeyPatch,
    times: int,
    outcome: str,
) -> None:
    monkeypatch.setattr("sentiflow.release.ledger.Ledger", BusyLedger)
    monkeypatch.setattr(BusyLedger, "times", times)
    record = night(trained.reviews)
    assert record.outcome == outcome, record.reasons
    assert list_kinds(trained.home).count("promoted") == (outcome == "promoted")
    assert ("champion" in aliases(trained.home)) is (outcome == "promoted")
    assert record.exit_code == (0 if outcome == "promoted" else 4)


@pytest.mark.slow
def test_a_model_that_learned_swapped_labels_does_not_replace_the_champion(
    lived: FirstNight, tmp_path: Path, night: Callable[..., NightRecord]
) -> None:
    # Half the labels are wrong. The balance would give it away, so that check is off here: what
    # the gate is left with is a worse model.
    noisy = write_plain_reviews(tmp_path / "noisy.jsonl", flip=0.45)
    record = night(noisy, "validation.max_balance_shift=1.0")
    assert record.outcome == "kept"
    assert aliases(lived.home)["champion"] == 1
    # Who is who: each side of the comparison is that model's own figure on tonight's rows.
    compared = read_decision_of(lived.home, record).findings["comparison"]["accuracy"]
    assert record.champion_metrics is not None
    assert compared["challenger"] == pytest.approx(record.metrics["accuracy"])
    assert compared["champion"] == pytest.approx(record.champion_metrics["accuracy"])
    assert compared["challenger"] != compared["champion"]


@pytest.mark.slow
def test_a_night_beside_another_one_is_refused_recorded_and_registers_nothing(
    home: Path, tmp_path: Path, night: Callable[..., NightRecord]
) -> None:
    reviews = write_plain_reviews(tmp_path / "reviews.jsonl")
    url = f"sqlite:///{home / 'ledger.db'}"
    with hold_lease(url, name_night("sentiflow"), "ada", LeaseSettings(), {}):
        record = night(reviews)
    assert (record.outcome, record.exit_code, record.refused) == ("failed", 4, True)
    assert "a night of sentiflow by ada runs" in record.reasons[0]
    assert list_kinds(home) == ["refused"]
    assert not (home / "mlflow.db").exists()


@pytest.mark.slow
def test_a_night_that_was_taken_for_dead_registers_nothing(
    trained: FirstNight, night: Callable[..., NightRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{trained.home / 'ledger.db'}"
    evaluated = model_stage.evaluate

    def lose_lease(*arguments: Any) -> Any:
        found = evaluated(*arguments)
        Leases(url).release(Leases(url).list_living(90)[0])
        return found

    monkeypatch.setattr(model_stage, "evaluate", lose_lease)
    record = night(trained.reviews)
    assert (record.outcome, record.exit_code) == ("failed", 4)
    assert "another night took over" in record.reasons[0]
    assert list_kinds(trained.home) == ["failed"]


@pytest.mark.slow
def test_the_night_leaves_nothing_unfinished_and_leaks_neither_text_nor_test_rows(
    first_night: FirstNight,
) -> None:
    home, reviews = first_night.home, first_night.reviews
    assert list(home.rglob(".unfinished-*")) == []
    assert not any((home / "checkpoints").iterdir())
    # The behaviour checks' own sentences speak of soup too; visits are only in reviews.
    fragments = [b"On visit 1", b"On visit 2"]
    shown = itertools.chain((home / "nights").rglob("*"), (home / "mlartifacts").rglob("*"))
    for path in shown:
        # The artifact holds the vocabulary, that is words, but no review.
        if path.is_file() and path.suffix in (".json", ".html", ".parquet", ".txt", ".yaml"):
            assert not any(text in path.read_bytes() for text in fragments), path

    texts = [json.loads(line)["text"] for line in reviews.read_text().splitlines()]
    digests = digest_texts(texts)
    sides = name_splits(assign_buckets(digests), SplitSettings())
    # Every text names its visit, so a leak of one row shows as one number.
    numbers = {side: {text.split()[2] for text, at in zip(texts, sides, strict=True) if at == side}
               for side in range(3)}  # fmt: skip
    (vocabulary_file,) = home.glob("steps/tokenize-*/vocabulary.json")
    vocabulary = set(json.loads(vocabulary_file.read_text()))
    assert len(vocabulary & numbers[0]) > 100, "as many as it has room for"
    assert not vocabulary & (numbers[1] | numbers[2])
    (trained_on,) = home.glob("steps/train-*/bundle/trained_on.npy")
    # Validation rows choose the epoch and the weights of the branches.
    assert sorted(np.load(trained_on)) == sorted(digests[sides <= 1])


@pytest.mark.slow
def test_rejected_data_is_told_as_the_flows_own_failure(
    home: Path, tmp_path: Path, night: Callable[..., NightRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.retrain.look_up_starter", lambda: "schedule")
    reviews = write_plain_reviews(tmp_path / "reviews.jsonl", rows=60)
    state = retrain(NightRequest(data=(str(reviews),), overrides=SMALL), return_state=True)
    (event,) = Ledger(f"sqlite:///{home / 'ledger.db'}").read("sentiflow")
    assert (event.kind, event.actor) == ("rejected", "schedule"), "who started it is in the ledger"
    error = state.result(raise_on_failure=False)
    assert isinstance(error, DataRejected)
    assert "min_rows" in str(error) or "100" in str(error)


@pytest.mark.slow
def test_a_category_trains_a_model_of_its_own_and_leaves_the_champion_alone(
    lived: FirstNight, tmp_path: Path, night: Callable[..., NightRecord]
) -> None:
    home = lived.home
    businesses = tmp_path / "businesses.jsonl"
    businesses.write_text(
        "".join(
            json.dumps({"business_id": f"b{n}", "categories": "Restaurants" if n < 2 else "Spas"})
            + "\n"
            for n in range(4)
        )
    )
    reviews = write_plain_reviews(tmp_path / "reviews.jsonl", rows=900)
    record = night(reviews, businesses=str(businesses), category="Restaurants")
    assert record.model == "sentiflow-restaurants"
    assert record.rows["left_out"] == 450
    assert record.join_coverage == 1.0
    assert aliases(home) == {"champion": 1, "challenger": 1}
    assert aliases(home, "sentiflow-restaurants")["challenger"] == 1
    slices = json.loads(
        Path(
            client(home).download_artifacts(record.mlflow_run_id, "evaluation/slices.json")
        ).read_text()
    )
    assert ("category", "Restaurants") in {(part["kind"], part["name"]) for part in slices}


@pytest.mark.parametrize(
    ("error", "is_tried_again"),
    [
        (OSError("the network is gone"), True),
        (RegistryUnreachable("the registry did not answer"), True),
        (LedgerUnreachable("the ledger did not answer"), True),
        (DataRejected(["too few rows"]), False),
        (LineageError("another lineage"), False),
        (GateNotEvaluated("a metric is no number"), False),
    ],
)
def test_only_what_another_try_can_mend_is_tried_again(
    error: Exception, is_tried_again: bool
) -> None:
    assert may_help(None, None, Failed(data=error)) == is_tried_again
