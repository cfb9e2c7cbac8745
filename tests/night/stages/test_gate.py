"""What the gate does about a champion that was deleted, on a real MLflow and with real rules."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from mlflow import MlflowClient

from sentiflow.errors import ArtifactError
from sentiflow.gate.comparison import PairedAccuracy
from sentiflow.gate.decision import Decision, decide
from sentiflow.gate.findings import Findings, GateRows
from sentiflow.gate.inspection import Inspection
from sentiflow.night.night import Night
from sentiflow.night.stages.gate import Gate
from sentiflow.night.stages.model import Evaluated
from sentiflow.release.registry import Registry, Version
from sentiflow.release.state import Event, Kind, fold_events
from sentiflow.settings import load_settings

NAME = "gate-deleted"
# A challenger that passes every rule that needs no champion.
SOUND = Findings(
    rows=1_000, rows_fingerprint="f", baseline_accuracy=0.9,
    baseline=PairedAccuracy(1_000, 0.95, 0.9, 0.05, 0.03, 0.07, 60, 10),
    metrics={"accuracy": 0.95, "balanced_accuracy": 0.95, "roc_auc": 0.99, "ece": 0.01},
    inspection=Inspection(0.0, 0, 1_000, 0, 1.0, 1.0, 5.0, 1.0),
)  # fmt: skip
SETTINGS = load_settings(None, [])


@pytest.fixture(scope="module")
def registry(tiny_registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Versions 1, 3 and 4; 1 and 4 have no file to load, and 2 was deleted."""
    client = MlflowClient(tiny_registry.uri, tiny_registry.uri)
    client.create_registered_model(NAME)
    for _ in range(4):
        client.create_model_version(
            NAME, f"file://{tmp_path_factory.getbasetemp()}/none", tags={"sentiflow.lineage": "abc"}
        )
    client.delete_model_version(NAME, "2")
    return tiny_registry


def open_gate(registry: Registry, supersede: bool) -> tuple[Gate, list[str]]:
    """The gate on version 3, whose own findings are given, and the night's warnings."""
    warnings: list[str] = []
    night = SimpleNamespace(
        lineage=SimpleNamespace(digest="abc", name=NAME), date=date(2026, 1, 9),
        settings=SETTINGS, registry=registry, request=SimpleNamespace(supersede=supersede),
        warn=warnings.append,
    )  # fmt: skip
    rows = GateRows(("a",), np.array([1], np.int8), "f", ())
    gate = Gate(
        cast(Night, night), Version(NAME, 3, "", {}), cast(Evaluated, None), rows, ["good"],
        np.array([1.0]), ["good"],
        _alone=SOUND,
    )  # fmt: skip
    return gate, warnings


def tell(*happened: tuple[Kind, int | None]) -> tuple[Event, ...]:
    return tuple(
        Event(
            kind=kind, actor="ada", reason="a reason", to_version=version, model=NAME,
            sequence=number, time=datetime(2026, 1, number, tzinfo=UTC), lineage="abc",
        )
        for number, (kind, version) in enumerate(happened, start=1)
    )  # fmt: skip


def rule(gate: Gate, events: tuple[Event, ...]) -> Decision:
    return decide(gate.gather(events, fold_events(events)), SETTINGS.gate)


DELETED = tell(("promoted", 2), ("moved_outside", None))


def test_a_night_that_supersedes_a_deleted_champion_is_not_held_by_its_lost_alias(
    registry: Registry,
) -> None:
    gate, warnings = open_gate(registry, supersede=True)
    decision = rule(gate, DELETED)
    assert (decision.verdict, decision.basis) == ("promoted", "first"), decision.reasons
    assert gate.superseded == 2
    assert "version 2 is superseded" in warnings[0]


def test_without_a_persons_word_nothing_is_promoted_in_place_of_a_deleted_champion(
    registry: Registry,
) -> None:
    gate, _ = open_gate(registry, supersede=False)
    decision = rule(gate, DELETED)
    assert decision.verdict == "kept"
    (reason,) = decision.reasons
    for part in ("version 2", "is gone", "promote 3 --override", "rollback --to N", "--supersede"):
        assert part in reason
    assert gate.superseded is None


@pytest.mark.parametrize("supersede", [False, True])
def test_a_champion_whose_number_another_model_has_now_is_gone(
    registry: Registry, supersede: bool
) -> None:
    registered, promoted = tell(("registered", 3), ("promoted", 3))
    events = (replace(registered, details={"run_id": "of before"}), promoted)
    gate, _ = open_gate(registry, supersede)
    decision = rule(gate, (*events, *tell(*[("kept", 1)] * 2, ("moved_outside", None))[2:]))
    assert decision.verdict == ("promoted" if supersede else "kept"), "no one is its own champion"
    assert gate.superseded == (3 if supersede else None)


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        # Somebody set another version: a night does not promote over that.
        (tell(("promoted", 2), ("moved_outside", 1)), "moved to version 1 outside"),
        (tell(("promoted", 2), ("moved_outside", None), ("hold", None)), "A hold is in force"),
        # Version 1 is there but does not load: it can be reverted to first.
        (tell(("promoted", 1), ("moved_outside", None)), "moved away outside"),
    ],
)
def test_superseding_settles_nothing_but_the_alias_that_went_with_its_version(
    registry: Registry, events: tuple[Event, ...], reason: str
) -> None:
    decision = rule(open_gate(registry, supersede=True)[0], events)
    assert decision.verdict == "kept"
    assert reason in decision.reasons[0]
    gate, _ = open_gate(registry, supersede=False)
    if events[0].to_version == 1:
        with pytest.raises(ArtifactError, match=f"settled first: .*{reason}"):
            rule(gate, events)
    else:
        assert any(reason in one for one in rule(gate, events).reasons)


def test_an_alias_taken_from_a_champion_of_another_lineage_still_holds(
    registry: Registry,
) -> None:
    gate, _ = open_gate(registry, supersede=True)
    cast(Any, gate.night).lineage.digest = "another"
    decision = rule(gate, tell(("promoted", 4), ("moved_outside", None)))
    assert (decision.verdict, gate.superseded) == ("kept", None)


def test_what_was_superseded_on_an_earlier_head_is_not_said_of_the_next_champion(
    registry: Registry,
) -> None:
    gate, _ = open_gate(registry, supersede=True)
    rule(gate, DELETED)
    assert gate.superseded == 2
    # Somebody promoted another one meanwhile, of a lineage that is not compared with.
    cast(Any, gate.night).lineage.digest = "another"
    rule(gate, (*DELETED, *tell(("promoted", 2), ("moved_outside", None), ("promoted", 4))[2:]))
    assert gate.superseded is None
