"""Who started a run stands in the ledger, where Prefect or the person at the form says it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prefect.client.schemas.objects import CreatedBy, FlowRun

from flows.actors import SCHEDULE, look_up_starter, name_starter
from sentiflow.settings import read_actor

HERE = "worker@machine"


def make_run(**known: Any) -> FlowRun:
    return FlowRun(flow_id=uuid4(), name="calm-otter", **known)


def made_by(kind: str | None, name: str | None) -> FlowRun:
    return make_run(created_by=CreatedBy(id=uuid4(), type=kind, display_value=name))


@pytest.mark.parametrize(
    ("run", "named", "actor"),
    [
        (make_run(auto_scheduled=True), "", SCHEDULE),
        (made_by("SCHEDULE", None), "ada", SCHEDULE),
        (made_by("AUTOMATION", "nightly check"), "", "automation nightly check"),
        (made_by("USER", "ada@example.org"), "somebody else", "ada@example.org"),
        (make_run(), "  Ada \n Lovelace ", "Ada Lovelace (by their own word)"),
        (make_run(), "", "worker@machine, for Prefect's run calm-otter"),
        (None, "", HERE),
        (None, "Ada", "Ada (by their own word)"),
    ],
)
def test_what_prefect_knows_comes_first_then_the_form_then_the_process(
    run: FlowRun | None, named: str, actor: str
) -> None:
    assert name_starter(run, named, HERE) == actor


def test_no_name_is_longer_than_the_ledger_keeps() -> None:
    for run in (None, make_run(), made_by("AUTOMATION", "x" * 900)):
        for named in ("y" * 900, ""):
            assert len(name_starter(run, named, "z" * 200)) <= 200


def forbid(**_: Any) -> None:
    raise AssertionError("nobody is asked")


def stay_away(**_: Any) -> None:
    """Stands for a server that is away, which Prefect's client would ask for minutes."""
    raise httpx.ConnectError("away")


@pytest.mark.parametrize("run", [None, "a run of the command line"])
def test_outside_of_a_deployment_it_is_whoever_works_here(
    run: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prefect.runtime.flow_run.id", run, raising=False)
    monkeypatch.setattr("flows.actors.get_client", forbid)
    assert look_up_starter() == read_actor()


def test_where_prefect_does_not_answer_the_form_or_the_process_has_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("prefect.runtime.flow_run.id", str(uuid4()), raising=False)
    monkeypatch.setattr("prefect.runtime.deployment.id", str(uuid4()), raising=False)
    monkeypatch.setattr("flows.actors.get_client", stay_away)
    assert look_up_starter("Ada") == "Ada (by their own word)"
    assert look_up_starter() == read_actor()


@pytest.mark.slow
def test_a_run_of_a_deployment_is_asked_for_at_the_server(
    start: Callable[..., FlowRun], rewrite: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.states import Running

    run = start(Running())
    rewrite(run, auto_scheduled=1)
    monkeypatch.setattr("prefect.runtime.flow_run.id", str(run.id), raising=False)
    monkeypatch.setattr("prefect.runtime.deployment.id", str(uuid4()), raising=False)
    assert look_up_starter() == SCHEDULE
