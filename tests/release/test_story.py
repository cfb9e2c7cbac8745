"""A version's story in MLflow is the ledger's, to its end: approvals, replacements, rollbacks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sentiflow.release.alias import reconcile
from sentiflow.release.identity import name_runs
from sentiflow.release.ledger import Ledger
from sentiflow.release.registry import Registry
from sentiflow.release.state import Event, Kind, NewEvent
from sentiflow.release.story import Story, list_changed, read_night, tell_stories

START = datetime(2026, 1, 1, 3, tzinfo=UTC)
WAITING = "It waits for a person: sentiflow promote N --reason … (gate.approval=manual)."
Told = tuple[Kind, int | None, str]


def tell(*happened: Told, **details: Any) -> tuple[Event, ...]:
    return tuple(
        Event(
            model="m", sequence=number, time=START + timedelta(days=number), kind=kind, actor="ada",
            reason=reason, to_version=version, decision="d" * 64 if kind == "waiting" else None,
            details=details,
        )
        for number, (kind, version, reason) in enumerate(happened, start=1)
    )  # fmt: skip


def story_of(number: int, *happened: Told, **details: Any) -> Story:
    return tell_stories(tell(*happened, **details))[number, None]


APPROVED: tuple[Told, ...] = (
    ("registered", 1, "Test accuracy 0.93."),
    ("waiting", 1, WAITING),
    ("promoted", 1, "Grace looked at 50 of them"),
)


def test_an_approved_version_waits_no_more_and_says_who_approved_it_and_why() -> None:
    waiting = story_of(1, *APPROVED[:2])
    assert waiting.tags == {"sentiflow.outcome": "waiting", "sentiflow.decision": "d" * 64}
    assert waiting.description.startswith("**waiting** by ada")
    story = story_of(1, *APPROVED)
    assert story.tags == {"sentiflow.outcome": "promoted", "sentiflow.decision": "d" * 64}
    first, *rest = story.description.splitlines()
    assert first == "**promoted** by ada on 2026-01-04 03:00 UTC: Grace looked at 50 of them"
    assert rest[1] == "Before, newest first:"
    assert WAITING in rest[2]
    assert "Test accuracy 0.93." in rest[3]


@pytest.mark.parametrize(
    ("kind", "outcome", "words"),
    [
        ("promoted", "promoted", "**Replaced** by ada"),
        ("superseded", "promoted", "**Replaced** by ada"),
        ("rolled_back", "rolled_back", "**Rolled back from** by ada"),
    ],
)
def test_a_champion_that_another_one_replaced_says_so(kind: Kind, outcome: str, words: str) -> None:
    story = story_of(2, ("promoted", 1, ""), ("promoted", 2, ""), (kind, 3, "worse on short ones"))
    assert story.outcome == outcome
    assert words in story.description
    assert "version 3 is champion. worse on short ones" in story.description.splitlines()[0]


def test_a_version_that_waited_until_a_newer_one_was_made_champion_waits_no_more() -> None:
    story = story_of(2, ("waiting", 2, WAITING), ("promoted", 3, ""))
    assert story.outcome == "kept"
    assert "**Waits no more** since" in story.description.splitlines()[0]
    assert story_of(2, ("waiting", 2, WAITING), ("promoted", 1, "")).outcome == "waiting"


@pytest.mark.parametrize("kind", ["not_evaluated", "failed"])
def test_a_night_that_fails_before_a_ruling_fails_its_version_and_after_one_does_not(
    kind: Kind,
) -> None:
    assert story_of(1, ("registered", 1, ""), (kind, 1, "a full disk")).outcome == "failed"
    assert story_of(1, ("promoted", 1, ""), (kind, 1, "a full disk")).outcome == "promoted"


def test_links_lead_to_the_report_and_the_runs_that_ruled() -> None:
    description = story_of(
        1, *APPROVED, night="2026-01-02", run_path="/#/experiments/1/runs/a", flow_run_id="f"
    ).description
    for part in ("(/#/experiments/1/runs/a/artifacts/report)", "`dddddddddddd`", "flow run f"):
        assert part in description.splitlines()[-1]


def test_a_story_fits_into_mlflow_however_much_was_written() -> None:
    happened = [("kept", 1, "because " * 400)] * 40
    description = story_of(1, *happened, run_path="/#/r").description  # type: ignore[arg-type]
    assert len(description) < 5_000
    assert description.endswith("[MLflow run](/#/r)")


def test_only_what_changed_since_is_told_again() -> None:
    events = tell(("promoted", 1, ""), ("kept", 2, ""), ("hold", None, ""), ("promoted", 3, ""))
    assert set(list_changed(events, 2)) == {(1, None), (3, None)}
    assert list_changed(events, 4) == {}
    assert set(list_changed(events, 0)) == {(1, None), (2, None), (3, None)}


def test_the_night_of_a_version_is_the_one_that_made_it_whoever_promoted_it() -> None:
    events = (*tell(("registered", 1, ""), night="2026-01-02"), *tell(*APPROVED)[1:])
    assert read_night(events, 1, None) == "2026-01-02"
    assert read_night(name_runs(events), 2, None) is None


def test_a_version_whose_run_becomes_known_later_has_one_story() -> None:
    promoted = tell(("promoted", 1, "first"), ("promoted", 2, "second"))
    attested = [
        Event(**{**vars(event), "kind": "attested", "details": {"version_run_id": run}})
        for event, run in zip(promoted, "AB", strict=True)
    ]
    (back,) = tell(("rolled_back", 1, "worse"))
    stories = tell_stories((*promoted, *attested, back))
    assert set(stories) == {(1, "A"), (2, "B")}
    assert [len(story.lines) for story in stories.values()] == [4, 3]
    assert stories[2, "B"].outcome == "rolled_back"


def test_mlflow_shows_the_story_and_catches_up_when_it_was_away(
    tiny_registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(tiny_registry.uri, tiny_registry.uri)
    client.create_registered_model("story")
    client.create_model_version("story", source=f"file://{tmp_path}/model")
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")

    def happen(kind: Kind, reason: str) -> None:
        sequence = len(ledger.read("story"))
        event = NewEvent(kind=kind, actor="ada", reason=reason, to_version=1)
        ledger.append("story", sequence, [event])

    def read() -> tuple[str | None, str]:
        version = client.get_model_version("story", "1")
        return version.tags.get("sentiflow.outcome"), version.description.splitlines()[0]

    happen("waiting", WAITING)
    reconcile(tiny_registry, ledger, "story", "bob")
    assert read()[0] == "waiting"
    happen("promoted", "as approved")
    with monkeypatch.context() as away:
        away.setattr(Registry, "tag_version", _raise_silence)
        assert reconcile(tiny_registry, ledger, "story", "bob").state.champion == 1
    assert read()[0] == "waiting", "it did not take it"
    assert tiny_registry.look_up_alias("story", "champion") is not None, "the release is done"
    reconcile(tiny_registry, ledger, "story", "bob")
    assert read()[0] == "promoted"
    assert read()[1].startswith("**promoted** by ada")
    assert read()[1].endswith(": as approved")
    assert ledger.read_watermark("story").sequence == 2
    # Another model under the number is not told of.
    tiny_registry.tell("story", 1, "of another run", {"sentiflow.outcome": "kept"}, "no")
    assert read()[0] == "promoted"


def _raise_silence(*_: Any) -> None:
    from sentiflow.errors import RegistryUnreachable

    raise RegistryUnreachable("MLflow must answer.")
