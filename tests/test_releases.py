"""What is live, changed and looked up through the real command line, on a real registry."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from outside import type_in
from small_disk import fill_disk, mount_small_disk, only_root_mounts

from sentiflow.files import digest_json
from sentiflow.release.ledger import Ledger
from sentiflow.release.registry import CHAMPION, Registry
from sentiflow.release.state import NewEvent, fold_events
from sentiflow.reporting.decision_record import DecisionRecord, keep_decision

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("warm_children"),
]

Command = Callable[..., tuple[int, Any]]


@pytest.fixture
def environment(released_home: Path) -> dict[str, str]:
    uri = f"sqlite:///{released_home / 'mlflow.db'}"
    return {**os.environ, "SENTIFLOW_HOME": str(released_home), "SENTIFLOW_ACTOR": "ada",
            "MLFLOW_TRACKING_URI": uri}  # fmt: skip


@pytest.fixture
def call(environment: dict[str, str], capfd: pytest.CaptureFixture[str]) -> Command:
    """Run a command as a user types it, and give its exit code and JSON answer."""

    def run(*words: str, **other: str) -> tuple[int, Any]:
        finished = type_in((*words, "--json"), {**environment, **other}, capfd)
        assert "Traceback" not in finished.stderr, finished.stderr
        return finished.returncode, {**json.loads(finished.stdout), "stderr": finished.stderr}

    return run


def registry_of(home: Path) -> Registry:
    return Registry(f"sqlite:///{home / 'mlflow.db'}")


def champion_of(home: Path) -> int | None:
    version = registry_of(home).look_up_alias("sentiflow", CHAMPION)
    return version and version.number


def events_of(home: Path) -> Any:
    return Ledger(f"sqlite:///{home / 'ledger.db'}").read("sentiflow")


def test_a_rollback_goes_back_a_second_one_further_and_a_hold_stays(
    released_home: Path, call: Command
) -> None:
    code, answer = call("rollback", "--reason", "worse on short reviews")
    assert (code, answer["version"], answer["from_version"]) == (0, 2, 3)
    assert champion_of(released_home) == 2
    code, answer = call("rollback", "--reason", "still worse")
    assert (code, answer["version"]) == (0, 1)
    assert champion_of(released_home) == 1
    code, answer = call("rollback", "--reason", "and again")
    assert (code, champion_of(released_home)) == (2, 1)
    assert "--to N" in answer["reasons"][0]

    (model,) = call("status")[1]["models"]
    assert model["champion"]["version"] == 1
    assert model["hold"]["actor"] == "ada"
    assert "still worse" in model["hold"]["reason"]
    code, _ = call("release-hold", "--reason", "found the cause")
    assert code == 0
    assert call("status")[1]["models"][0]["hold"] is None
    assert call("release-hold", "--reason", "twice")[0] == 2
    kinds = [event["kind"] for event in call("history")[1]["events"]]
    assert kinds[4:] == ["rolled_back", "hold", "rolled_back", "hold", "released"]


def test_a_rollback_to_a_named_version_and_a_blank_reason(
    released_home: Path, call: Command
) -> None:
    assert call("rollback", "--reason", "  ")[0] == 2
    code, _ = call("rollback", "--to", "1", "--reason", "the last one that was fine")
    assert (code, champion_of(released_home)) == (0, 1)
    assert call("rollback", "--to", "9", "--reason", "no such")[0] == 2
    assert champion_of(released_home) == 1


def test_history_says_what_was_live_on_a_day(released_home: Path, call: Command) -> None:
    call("rollback", "--reason", "worse")
    today = events_of(released_home)[-1].time.date().isoformat()
    code, answer = call("history", "--at", today)
    assert (code, answer["version"], answer["reason"]) == (0, 2, "worse")
    assert [change["to_version"] for change in answer["changes"]] == [1, 2, 3, 2]
    before = events_of(released_home)[2].time.isoformat()
    assert call("history", "--at", before)[1]["version"] == 3
    assert call("history", "--at", "2020-01-10")[1]["version"] is None
    assert call("history", "--at", "10.1.2026")[0] == 2


def test_promoting_against_the_gate_needs_an_override_that_is_recorded(
    released_home: Path, call: Command
) -> None:
    code, answer = call("promote", "4", "--reason", "I like it")
    assert (code, champion_of(released_home)) == (4, 3)
    assert "--override" in answer["reasons"][0]
    assert "Reason 4." in answer["stderr"], "the findings are shown first"
    code, answer = call("promote", "4", "--reason", "a hot fix", "--override")
    assert (code, champion_of(released_home), answer["override"]) == (0, 4, True)
    assert answer["findings"] == ["Reason 4."]
    event = events_of(released_home)[-1]
    assert (event.kind, event.actor, event.reason) == ("promoted", "ada", "a hot fix")
    assert event.details["override"] is True
    assert (
        registry_of(released_home).resolve("sentiflow", "4").tags["sentiflow.outcome"] == "promoted"
    )


def test_a_waiting_challenger_is_shown_and_completed(released_home: Path, call: Command) -> None:
    ledger = Ledger(f"sqlite:///{released_home / 'ledger.db'}")
    value = json.loads(
        (released_home / "decisions" / f"{events_of(released_home)[3].decision}.json").read_text()
    )
    value["decision"]["verdict"] = "waiting"
    digest = keep_decision(released_home, DecisionRecord(**value))
    assert digest == digest_json(value)
    ledger.append("sentiflow", 4, [
        NewEvent(kind="waiting", actor="night", to_version=4, from_version=3, decision=digest)
    ])  # fmt: skip
    assert call("status")[1]["models"][0]["waiting"]["version"] == 4
    code, answer = call("promote", "4", "--reason", "looked at it")
    assert (code, answer["override"], champion_of(released_home)) == (0, False, 4)
    assert call("status")[1]["models"][0]["waiting"] is None


def test_findings_that_were_changed_afterwards_count_for_nothing(
    released_home: Path, call: Command
) -> None:
    path = released_home / "decisions" / f"{events_of(released_home)[3].decision}.json"
    path.write_text(path.read_text().replace('"kept"', '"promoted"'))
    code, answer = call("promote", "4", "--reason", "the file says so")
    assert (code, champion_of(released_home)) == (4, 3)
    assert "another content" in answer["reasons"][0]


def test_an_alias_moved_in_mlflow_is_noticed_and_adopted_or_reverted(
    released_home: Path, call: Command
) -> None:
    assert call("adopt", "--reason", "nothing moved")[0] == 2
    registry_of(released_home).point("sentiflow", CHAMPION, 1)
    (model,) = call("status")[1]["models"]
    assert model["champion"]["version"] == 3, "by the ledger"
    assert "moved it to 1 outside sentiflow" in model["moved_outside"]
    assert champion_of(released_home) == 1, "it is told, not undone"
    assert events_of(released_home)[4:] == (), "status writes nothing"
    code, _ = call("revert", "--reason", "nobody knows who did it")
    assert (code, champion_of(released_home)) == (0, 3)
    kinds = [event.kind for event in events_of(released_home)[4:]]
    assert kinds == ["moved_outside", "reverted"]

    registry_of(released_home).point("sentiflow", CHAMPION, 2)
    code, answer = call("adopt", "--reason", "Grace did it, rightly")
    assert (code, answer["version"], champion_of(released_home)) == (0, 2, 2)
    (model,) = call("status")[1]["models"]
    assert (model["champion"]["version"], model["moved_outside"]) == (2, None)


def test_a_crash_between_ledger_and_alias_is_repaired_by_the_next_command(
    released_home: Path, call: Command
) -> None:
    # What a process leaves that died right after the commit.
    call("adopt", "--reason", "nothing moved")
    Ledger(f"sqlite:///{released_home / 'ledger.db'}").append("sentiflow", 4, [
        NewEvent(kind="promoted", actor="ada", reason="died", from_version=3, to_version=4)
    ])  # fmt: skip
    assert champion_of(released_home) == 3
    (model,) = call("status")[1]["models"]
    assert (model["champion"]["version"], champion_of(released_home)) == (4, 3)
    assert model["moved_outside"] is None
    assert call("adopt", "--reason", "nothing moved")[0] == 2
    assert champion_of(released_home) == 4


def test_two_promotions_at_once_leave_one_story(
    released_home: Path, environment: dict[str, str], warm_python: str
) -> None:
    both = [
        subprocess.Popen(
            [warm_python, "-m", "sentiflow", "promote", number, "--reason", "r", "--override"],
            env=environment,
        )
        for number in ("2", "4")
    ]
    codes = [process.wait(120) for process in both]
    written = [event for event in events_of(released_home)[4:] if event.kind == "promoted"]
    assert set(codes) <= {0, 4}
    assert len(written) == codes.count(0) >= 1
    assert [event.sequence for event in events_of(released_home)] == list(
        range(1, len(events_of(released_home)) + 1)
    )
    assert (
        champion_of(released_home)
        == fold_events(events_of(released_home)).champion
        == written[-1].to_version
    )


def test_with_the_registry_down_nothing_changes_and_the_ledger_still_answers(
    released_home: Path, call: Command
) -> None:
    down = {
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    }  # fmt: skip
    before = events_of(released_home)
    for command in (
        ("promote", "4", "--reason", "r", "--override"), ("rollback", "--reason", "r"),
        ("release-hold", "--reason", "r"),
    ):  # fmt: skip
        code, answer = call(*command, **down)
        assert code == 4, (command, answer)
        assert "must answer" in answer["reasons"][0]
    assert events_of(released_home) == before
    code, answer = call("status", **down)
    assert (code, answer["models"][0]["champion"]["version"]) == (0, 3)
    assert "must answer" in answer["registry_error"]
    assert call("history", **down)[0] == 0


def test_a_version_whose_artifact_was_deleted_cannot_become_champion(
    released_home: Path, call: Command
) -> None:
    version = registry_of(released_home).resolve("sentiflow", "2")
    shutil.rmtree(released_home / "mlartifacts" / "models" / version.model_id)
    before = events_of(released_home)
    for command in (("rollback", "--reason", "r"), ("promote", "2", "--reason", "r", "--override")):
        code, answer = call(*command)
        assert code == 4, answer
        assert "must load" in answer["reasons"][0]
    assert (champion_of(released_home), events_of(released_home)) == (3, before)
    assert call("rollback", "--to", "1", "--reason", "2 is gone")[0] == 0
    assert champion_of(released_home) == 1


def test_a_champion_deleted_in_mlflow_is_told_and_a_rollback_leads_out(
    released_home: Path, call: Command
) -> None:
    call("adopt", "--reason", "nothing moved")
    registry = registry_of(released_home)
    MlflowClient(registry.uri, registry.uri).delete_model_version("sentiflow", "3")
    code, answer = call("revert", "--reason", "put it back")
    assert (code, events_of(released_home)[-1].kind) == (2, "moved_outside")
    assert "sentiflow rollback --to N" in answer["reasons"][0]
    (model,) = call("status")[1]["models"]
    assert (model["champion"]["version"], champion_of(released_home)) == (3, None)
    assert "must stand at version 3" in model["moved_outside"]
    code, answer = call("rollback", "--to", "1", "--reason", "3 is deleted")
    assert (code, champion_of(released_home)) == (0, 1)
    assert call("status")[1]["models"][0]["moved_outside"] is None


def test_numbers_and_dates_out_of_range_are_mistakes_in_words(
    released_home: Path, call: Command
) -> None:
    code, answer = call("promote", "9" * 20, "--reason", "a typing error")
    assert (code, champion_of(released_home)) == (2, 3)
    assert "Received: it has" in answer["reasons"][0]
    code, answer = call("history", "--at", "9999-12-31")
    assert code == 2
    assert "--at must be a date" in answer["reasons"][0]


@only_root_mounts
def test_on_a_full_disk_the_champion_stays(
    released_home: Path, call: Command, tmp_path: Path
) -> None:
    call("adopt", "--reason", "nothing moved")
    before = events_of(released_home)
    with mount_small_disk(tmp_path / "small", 1) as disk:
        shutil.move(released_home / "ledger.db", disk / "ledger.db")
        (released_home / "ledger.db").symlink_to(disk / "ledger.db")
        filler = fill_disk(disk)
        code, answer = call("rollback", "--reason", "r" * 1_900)
        assert code == 4, answer
        assert "database or disk is full" in answer["reasons"][0]
        assert (champion_of(released_home), events_of(released_home)) == (3, before)
        filler.unlink()
        assert call("rollback", "--reason", "the disk has room again")[0] == 0


def test_a_ledger_that_is_no_database_is_an_error_in_words(
    released_home: Path, call: Command
) -> None:
    (released_home / "ledger.db").write_bytes(b"no database" * 1_000)
    code, answer = call("rollback", "--reason", "r")
    assert (code, champion_of(released_home)) == (4, 3)
    assert "ledger" in answer["reasons"][0]
