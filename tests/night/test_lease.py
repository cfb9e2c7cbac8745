from __future__ import annotations

import time
from pathlib import Path

import pytest

from sentiflow.errors import LeaseLost, NightRefused
from sentiflow.night.lease import hold_lease
from sentiflow.release.leases import Leases
from sentiflow.settings import LeaseSettings

QUICK = LeaseSettings(heartbeat_seconds=0.02, stale_seconds=10)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'ledger.db'}"


def test_a_lease_is_held_while_the_block_runs_and_no_longer(url: str) -> None:
    with hold_lease(url, "night:m", "ada", QUICK, {"night": "2026-01-02"}) as lease:
        with pytest.raises(NightRefused), hold_lease(url, "night:m", "bob", QUICK, {}):
            pass
        lease.note(run_id="r")
        (seen,) = Leases(url).list_living(10)
        assert seen.details == {"night": "2026-01-02", "run_id": "r", "beat_seconds": 0.02}
    assert Leases(url).list_living(10) == []


def test_it_is_given_back_when_the_block_fails(url: str) -> None:
    with pytest.raises(ZeroDivisionError), hold_lease(url, "night:m", "ada", QUICK, {}):
        raise ZeroDivisionError
    assert Leases(url).list_living(10) == []


def test_it_beats_while_the_block_is_busy(url: str) -> None:
    with hold_lease(url, "night:m", "ada", QUICK, {}):
        (first,) = Leases(url).list_living(10)
        ends = time.monotonic() + 10
        while Leases(url).list_living(10)[0].beaten == first.beaten:
            assert time.monotonic() < ends


def test_one_that_was_taken_over_is_told_so(url: str) -> None:
    with hold_lease(url, "night:m", "ada", QUICK, {}) as lease:
        Leases(url).release(Leases(url).list_living(10)[0])
        with pytest.raises(LeaseLost, match="another night took over"):
            lease.check()
