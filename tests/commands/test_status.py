"""`status` tells what stands now: after approvals, rollbacks, refused starts and first nights."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from release_helpers import register, start_run, write

from sentiflow.commands.context import ReleaseContext
from sentiflow.commands.promote import promote
from sentiflow.commands.rollback import roll_back
from sentiflow.commands.status import describe_models, format_models
from sentiflow.release.registry import CHALLENGER
from sentiflow.release.state import Kind
from sentiflow.reporting.record import NightRecord, Outcome, save_record

WAITING = "It waits for a person: sentiflow promote N --reason … (gate.approval=manual)."


@pytest.fixture
def context(open_own_context: Callable[..., ReleaseContext]) -> ReleaseContext:
    """A context of a model that no night has registered yet."""
    return open_own_context()


def run_night(context: ReleaseContext, day: int, kind: Kind, reason: str = "Why.") -> int:
    """Do what a night does that registers a version and rules on it; returns its number."""
    run = start_run(context)
    number, night = register(context, run), f"2026-01-0{day}"
    for what in ("registered", kind):
        write(
            context, what, number, reason=reason, from_version=context.reconcile().champion,
            details={"night": night, "run_id": run},
        )  # fmt: skip
    context.registry.point(context.model, CHALLENGER, number)
    state = context.reconcile()
    outcome: Outcome = "waiting" if kind == "waiting" else "kept" if kind == "kept" else "promoted"
    record = NightRecord(
        night=night, model=context.model, outcome=outcome, reasons=[reason], version=number,
        champion_version=state.champion, mlflow_run_id=run,
    )  # fmt: skip
    path = save_record(context.home, f"night-{day}", record)
    os.utime(path, (day, day))
    return number


def look(context: ReleaseContext) -> tuple[Any, str]:
    described = describe_models(context)
    described["models"] = [one for one in described["models"] if one["model"] == context.model]
    return described["models"][0], format_models(described)


def test_after_an_approval_status_waits_no_more_and_says_who_approved(
    context: ReleaseContext,
) -> None:
    run_night(context, 1, "waiting", WAITING)
    model, text = look(context)
    assert model["challenger"]["version"] == 1
    assert WAITING in text
    promote(context, 1, "Grace read 50", True, lambda _: None)
    model, text = look(context)
    assert (model["champion"]["version"], model["champion"]["night"]) == (1, "2026-01-01")
    assert model["challenger"] is None, "the champion is not its own challenger"
    assert model["last_night"]["outcome"] == "waiting"
    assert model["last_night"]["reasons"] == [WAITING], "the record stays as it was"
    (since,) = model["last_night"]["since"]
    assert since.startswith(f"Promoted since by {context.actor}")
    assert since.endswith(": Grace read 50")
    assert WAITING not in text


def test_after_a_rollback_the_champions_night_and_the_last_nights_fate_are_known(
    context: ReleaseContext,
) -> None:
    run_night(context, 1, "promoted")
    run_night(context, 2, "promoted")
    roll_back(context, "worse on short ones", None)
    model, text = look(context)
    assert (model["champion"]["version"], model["champion"]["night"]) == (1, "2026-01-01")
    assert model["challenger"]["version"] == 2
    assert "version 1 of the night 2026-01-01" in text
    (since,) = model["last_night"]["since"]
    assert "Rolled back since" in since
    assert "champion is version 1: worse on short ones" in since


def test_a_refused_second_start_is_no_failed_night(context: ReleaseContext) -> None:
    run_night(context, 1, "promoted")
    refused = NightRecord(
        night="2026-01-01", model=context.model, reasons=["Another night is running."], refused=True
    )
    os.utime(save_record(context.home, "second", refused), (9, 9))
    model, text = look(context)
    assert (model["last_night"]["night"], model["last_night"]["outcome"]) == (
        "2026-01-01", "promoted",
    )  # fmt: skip
    assert model["refused_start"]["reasons"] == ["Another night is running."]
    assert "failed" not in text
    run_night(context, 10 - 1, "kept")
    os.utime(context.home / "nights" / "night-9.json", (10, 10))
    assert look(context)[0]["refused_start"] is None, "a night ran since"


@pytest.mark.parametrize(
    ("kind", "way"),
    [("kept", "promote 1 --override --reason"), ("waiting", "promote 1 --reason")],
)
def test_a_model_without_a_champion_says_so_with_the_ways_out(
    context: ReleaseContext, kind: Kind, way: str
) -> None:
    run_night(context, 1, kind)
    model, text = look(context)
    assert model["champion"] is None
    assert way in model["no_champion"]
    assert model["no_champion"] in text
    promote(context, 1, "good enough to begin with", True, lambda _: None)
    assert look(context)[0]["no_champion"] is None
