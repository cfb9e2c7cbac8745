"""Promotion and rollback as flows, as Prefect's UI starts them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client

from flows.promote import promote, roll_back
from sentiflow.errors import ReleaseForbidden
from sentiflow.release.registry import CHAMPION, Registry

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("prefect_server"),
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture
def champion(desk: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give a function that tells the champion of the desk that the flows work on."""
    uri = f"sqlite:///{desk / 'mlflow.db'}"
    monkeypatch.setenv("SENTIFLOW_HOME", str(desk))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return lambda: Registry(uri).find_alias("sentiflow", CHAMPION).number


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


def test_the_form_in_the_ui_asks_for_what_is_needed() -> None:
    assert promote.parameters.required == ["version", "reason"]
    assert roll_back.parameters.required == ["reason"]
    assert "override" in promote.parameters.properties
