"""`status` tells what stands now: after approvals, rollbacks, refused starts and first nights."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from listening import Answer, Listener
from outside import make_environment, type_in
from release_helpers import register, start_run, write

from sentiflow.commands.context import ReleaseContext
from sentiflow.commands.promote import promote
from sentiflow.commands.rollback import roll_back
from sentiflow.commands.status import describe_models
from sentiflow.commands.status_text import format_models
from sentiflow.dates import read_today
from sentiflow.notices.moves import describe_move
from sentiflow.release.leases import Leases, name_night
from sentiflow.release.registry import CHALLENGER, CHAMPION
from sentiflow.release.state import Kind
from sentiflow.reporting.record import NightRecord, Outcome, save_record
from sentiflow.servers.next_start import look_up_next_start
from sentiflow.settings import load_settings

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


def test_the_champion_is_told_with_its_age_and_accuracy(context: ReleaseContext) -> None:
    number = run_night(context, 1, "promoted")
    version = context.registry.look_up_version(context.model, number)
    assert version is not None
    context.registry.tag_version(version, {"sentiflow.accuracy": "0.87654"})
    model, text = look(context)
    nights = (read_today(context.settings.schedule) - date(2026, 1, 1)).days
    assert (model["champion"]["age_nights"], model["champion"]["accuracy"]) == (nights, 0.87654)
    assert f"version 1 of the night 2026-01-01, {nights} nights old, test accuracy 0.8765," in text
    assert str(context.home) in text.splitlines()[0]
    context.registry.tag_version(version, {"sentiflow.accuracy": "gone"})
    assert look(context)[0]["champion"]["accuracy"] is None


def test_a_night_that_runs_is_told(context: ReleaseContext) -> None:
    leases = Leases(context.ledger_url)
    details = {"night": "2026-01-02", "run_id": "r"}
    lease, _ = leases.take(name_night(context.model), "ada@here", 60, details)
    model, text = look(context)
    assert model["running"] == {
        "night": "2026-01-02", "since": lease.taken.isoformat(), "actor": "ada@here",
        "mlflow_run_id": "r",
    }  # fmt: skip
    assert "night 2026-01-02, since " in text
    leases.release(lease)


def test_where_the_default_model_has_no_champion_those_that_exist_are_named(
    context: ReleaseContext,
) -> None:
    run_night(context, 1, "promoted")
    roll_call = replace(context, settings=load_settings(None, ["model.name=nobody"]))
    text = format_models(describe_models(roll_call), "bin/sentiflow")
    assert "nobody has no champion" in text
    assert f"--set model.name={context.model}" in text


def test_what_waits_is_promoted_by_what_is_printed(context: ReleaseContext) -> None:
    run_night(context, 1, "waiting", WAITING)
    elsewhere = replace(context, settings=load_settings(None, ["model.name=nobody"]))
    text = format_models(describe_models(elsewhere), "bin/sentiflow")
    assert f"bin/sentiflow promote 1 --reason … --set model.name={context.model}" in text
    assert "bin/sentiflow promote 1 --reason …\n" in look(context)[1].replace(
        "sentiflow promote", "bin/sentiflow promote"
    )


def test_status_makes_nothing_where_nothing_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    monkeypatch.chdir(tmp_path)
    answer = type_in(("status",), make_environment(SENTIFLOW_HOME=str(home)), capfd)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert "No model is registered yet" in answer.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'[{"expected_start_time": "2026-12-01T03:30:00+02:00"}]', "2026-12-01T01:30:00+00:00"),
        (b"[]", None),
        (b"<html>", None),
        (b"{}", None),
    ],
)
def test_the_next_start_is_what_prefect_has_scheduled(
    listener: Listener, monkeypatch: pytest.MonkeyPatch, body: bytes, found: str | None
) -> None:
    listener.answers.append(Answer(200, body=body))
    monkeypatch.setenv("PREFECT_API_URL", f"{listener.url}/api")
    assert look_up_next_start() == found
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
    assert look_up_next_start() is None
    monkeypatch.delenv("PREFECT_API_URL")
    assert look_up_next_start() is None


def read_all(home: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in home.rglob("*") if path.is_file()}


@pytest.mark.parametrize("alias", [None, 1, 2])
def test_status_writes_nothing_and_tells_what_the_next_command_will_find(
    context: ReleaseContext, alias: int | None
) -> None:
    run_night(context, 1, "kept")
    run_night(context, 2, "promoted")
    if alias is None:
        context.registry.unpoint(context.model, CHAMPION)
    else:
        context.registry.point(context.model, CHAMPION, alias)
    before = read_all(context.home)
    assert str(context.home / "ledger.db") in before
    shown = look(context)[0]["moved_outside"]
    assert read_all(context.home) == before
    moved = context.reconcile().moved
    assert shown == (describe_move(moved) if moved else None)
    assert (shown is None) == (alias == 2)
    # And of what was noticed and put back by hand.
    context.registry.point(context.model, CHAMPION, 2)
    assert look(context)[0]["moved_outside"] is None


def test_status_of_a_ledger_older_than_leases_adds_no_table(context: ReleaseContext) -> None:
    run_night(context, 1, "promoted")
    with sqlite3.connect(context.home / "ledger.db") as database:
        database.execute("DROP TABLE leases")
    before = read_all(context.home)
    older = replace(context)
    model, _ = look(older)
    assert (model["running"], model["champion"]["version"]) == (None, 1)
    assert read_all(context.home) == before
