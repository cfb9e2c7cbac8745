"""When a night is skipped, on a real ledger; the registry is a list, as MLflow takes seconds."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from sentiflow.night.stages.data import look_up_unchanged, skip
from sentiflow.release.ledger import Ledger
from sentiflow.release.registry import Version
from sentiflow.release.state import Kind, NewEvent

LINEAGE = "the lineage"
SAME = {"fingerprint": "rows", "settings": "settings", "code": "code"}


class Registered:
    """The versions that nights registered, and how the ledger has them ruled."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.versions: list[Version] = []

    def add(self, kind: Kind | None, night: str, **tags: str) -> int:
        """Register a version of a night, and let it be ruled on unless `kind` is None."""
        number = len(self.versions) + 1
        named = {f"sentiflow.{key}": value for key, value in {**SAME, **tags}.items()}
        tagged = {"sentiflow.night": night, **named}
        self.versions.append(Version("sentiflow", number, "r", tagged, "m"))
        if kind is not None:
            event = NewEvent(
                kind=kind, actor="a", reason="Why.", lineage=LINEAGE, to_version=number
            )
            self.ledger.append("sentiflow", len(self.ledger.read("sentiflow")), [event])
        return number

    def query_versions(self, name: str, tags: dict[str, str]) -> list[Version]:
        return list(reversed(self.versions))


@pytest.fixture
def registered(home: Path) -> Registered:
    return Registered(Ledger(f"sqlite:///{home / 'ledger.db'}"))


def open_night(registered: Registered, day: str = "2026-06-30", **asked: bool) -> Any:
    notes: dict[str, Any] = {}
    request = SimpleNamespace(**{"force": False, "supersede": False, **asked})
    return SimpleNamespace(
        request=request,
        ledger=registered.ledger,
        registry=registered,
        lineage=SimpleNamespace(name="sentiflow", digest=LINEAGE),
        date=date.fromisoformat(day),
        settings_digest="settings",
        code=SimpleNamespace(identity="code"),
        record=SimpleNamespace(fingerprint="rows"),
        notes=notes,
        note=notes.update,
        end=lambda outcome, reasons, code: notes.update(outcome=outcome, reasons=reasons),
    )


def ask(registered: Registered, fingerprint: str = "rows", **asked: Any) -> int | None:
    ingested = SimpleNamespace(snapshot=SimpleNamespace(fingerprint=fingerprint))
    return look_up_unchanged(open_night(registered, **asked), cast("Any", ingested))


@pytest.mark.parametrize("kind", ["promoted", "kept", "waiting", "superseded"])
def test_a_night_is_skipped_when_nothing_differs_from_the_last_accepted_one(
    registered: Registered, kind: Kind
) -> None:
    assert ask(registered) is None
    number = registered.add(kind, "2026-06-29")
    assert ask(registered) == number
    assert ask(registered, "other rows") is None


@pytest.mark.parametrize("key", sorted(SAME))
def test_a_night_is_not_skipped_when_anything_differs(registered: Registered, key: str) -> None:
    registered.add("kept", "2026-06-29", **{key: "other"})
    assert ask(registered) is None


@pytest.mark.parametrize("kind", ["not_evaluated", "rejected", None])
def test_a_night_that_was_not_accepted_is_no_reason_to_skip(
    registered: Registered, kind: Kind | None
) -> None:
    registered.add("promoted", "2026-06-28", fingerprint="older rows")
    registered.add(kind, "2026-06-29")
    assert ask(registered) is None
    # Nor does it hide the accepted one before it.
    assert ask(registered, "older rows") == 1


def test_a_night_that_was_caught_up_on_is_not_the_last_one(registered: Registered) -> None:
    last = registered.add("promoted", "2026-06-29")
    caught_up = registered.add("kept", "2026-01-01", fingerprint="few rows")
    assert ask(registered) == last
    assert ask(registered, "few rows") is None
    assert ask(registered, "few rows", day="2026-01-01") == caught_up


def test_who_forces_or_supersedes_is_not_told_that_nothing_changed(registered: Registered) -> None:
    registered.add("promoted", "2026-06-29")
    assert ask(registered, force=True) is None
    assert ask(registered, supersede=True) is None


def test_a_skipped_night_names_what_was_the_same(registered: Registered) -> None:
    number = registered.add("promoted", "2026-06-29")
    night = open_night(registered)
    skip(night, number)
    (reason,) = night.notes["reasons"]
    assert (night.notes["outcome"], night.notes["version"]) == ("skipped", number)
    assert "version 1 (fingerprint rows, settings settings, code code)" in reason


def test_a_ruling_on_another_model_of_that_number_is_none(registered: Registered) -> None:
    registered.add("kept", "2026-06-01")
    assert ask(registered) == 1
    old = NewEvent(kind="registered", actor="a", to_version=2, details={"run_id": "of before"})
    registered.ledger.append("sentiflow", 1, [old])
    registered.add("promoted", "2026-06-02", fingerprint="other rows")
    assert ask(registered, "other rows") is None, "it was never ruled on"
