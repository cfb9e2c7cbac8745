"""Promotion and rollback as flows, as Prefect's UI starts them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client

from flows.promote import adopt, promote, release_hold, revert, roll_back
from sentiflow.errors import ReleaseForbidden
from sentiflow.release.ledger import Ledger
from sentiflow.release.registry import CHAMPION, Registry

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("prefect_server", "warm_children"),
]


@pytest.fixture
def champion(released_home: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give a function that tells the champion of the released_home that the flows work on."""
    uri = f"sqlite:///{released_home / 'mlflow.db'}"
    monkeypatch.setenv("SENTIFLOW_HOME", str(released_home))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return lambda: Registry(uri).look_up_alias("sentiflow", CHAMPION).number


def read_findings() -> str:
    with get_client(sync_client=True) as client:
        artifacts = [entry for entry in client.read_artifacts() if entry.key == "gate-findings"]
    return str(max(artifacts, key=lambda entry: entry.created).data)


def test_a_promotion_against_the_gate_shows_the_findings_and_needs_an_override(
    champion: Any,
) -> None:
    with pytest.raises(ReleaseForbidden, match="--override"):
        promote(version=4, reason="I like it")
    assert champion() == 3
    assert "Reason 4." in read_findings()
    done = promote(version=4, reason="a hot fix", override=True)
    assert (done["champion_version"], done["override"], champion()) == (4, True, 4)


def test_a_rollback_goes_to_the_previous_champion(champion: Any) -> None:
    assert roll_back(reason="worse")["version"] == 2
    assert champion() == 2


def test_a_hold_that_was_set_in_prefect_is_released_there_by_who_says_so(
    champion: Any, released_home: Path
) -> None:
    roll_back(reason="worse")
    release_hold(reason="found the cause", by="Grace")
    event = Ledger(f"sqlite:///{released_home / 'ledger.db'}").read("sentiflow")[-1]
    assert (event.kind, event.actor) == ("released", "Grace (by their own word)")


@pytest.mark.parametrize(("reconcile", "version"), [(adopt, 4), (revert, 3)])
def test_a_move_outside_is_settled_in_prefect(
    champion: Any, released_home: Path, reconcile: Any, version: int
) -> None:
    Registry(f"sqlite:///{released_home / 'mlflow.db'}").point("sentiflow", CHAMPION, 4)
    assert reconcile(reason="looked at it")["version"] == champion() == version


@pytest.mark.parametrize("form", [promote, roll_back, release_hold, adopt, revert])
def test_every_field_of_a_form_says_what_it_is(form: Any) -> None:
    assert {"reason", "by", "config", "overrides"} <= set(form.parameters.properties)
    for field in form.parameters.properties.values():
        assert field["description"].endswith(".")


def test_the_form_in_the_ui_asks_for_what_is_needed() -> None:
    assert promote.parameters.required == ["version", "reason"]
    for form in (roll_back, release_hold, adopt, revert):
        assert form.parameters.required == ["reason"]
    assert "override" in promote.parameters.properties
