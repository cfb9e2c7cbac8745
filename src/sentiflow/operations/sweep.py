"""Close what dead nights left: runs, leases, unfinished files; never what is alive.

A night takes its lease before it opens its MLflow run and gives it back after the run is
closed. So a run that MLflow has as RUNNING, and that no living lease speaks for, is an orphan,
however young it is; and one that a living lease speaks for is not, however old.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sentiflow.files import TEMPORARY_PREFIX, is_abandoned
from sentiflow.operations.cut_off import TellCutOff, record_cut_off
from sentiflow.operations.lease import HeldLease
from sentiflow.operations.removal import remove_whole
from sentiflow.settings import Settings, find_ledger_url, find_tracking_uri

if TYPE_CHECKING:
    from sentiflow.release.leases import Lease
    from sentiflow.tracking import RunningRun

logger = logging.getLogger(__name__)

# Takes the ids of flow runs that are dead and of those that live; ends the first, and whatever
# else it knows to be dead; returns the ids of those it ended.
CloseFlowRuns = Callable[[Sequence[str], Sequence[str]], list[str]]

# MLflow's own files, and Prefect's: nothing of ours is unfinished there, and there are many.
_FOREIGN: Final = ("mlartifacts", "prefect", "logs")


def sweep(
    home: Path,
    settings: Settings,
    close_flow_runs: CloseFlowRuns | None = None,
    held: HeldLease | None = None,
    tell_cut_off: TellCutOff | None = None,
) -> list[str]:
    """Close what dead nights left and return what was closed, one sentence each.

    Args:
        home: SENTIFLOW_HOME.
        settings: where MLflow and the ledger are, and when a lease counts as dead.
        close_flow_runs: ends Prefect's flow runs. None: Prefect is left alone.
        held: the lease of the night that sweeps; what the dead one left whose place it took is
            swept up too.
        tell_cut_off: told the record of each night that is found cut off.

    Raises:
        RegistryUnreachable: MLflow does not answer.
        LedgerUnreachable: the ledger's database does not answer.
    """
    from sentiflow.release.leases import Leases
    from sentiflow.release.ledger import Ledger
    from sentiflow.tracking import end_dead_run, find_running_runs

    uri = find_tracking_uri(settings.tracking, home)
    ledger_url = find_ledger_url(settings.ledger, home)
    leases = Leases(ledger_url)
    stale = settings.lease.stale_seconds
    # Before MLflow is asked, which may be what is away.
    found = leases.remove_dead(stale)
    record_cut_off(home, Ledger(ledger_url), found, tell_cut_off)
    # In this order: a run that is seen here had its lease before, so its lease is seen below.
    runs = find_running_runs(uri, settings.tracking.experiment)
    dead = [*(held.dead if held else ()), *found]
    living = leases.list_living(stale)
    # The night that sweeps has opened no run yet, so it speaks for none.
    others = [lease for lease in living if held is None or lease.holder != held.holder]
    orphans = find_orphans(runs, others)
    closed = [
        f"The lease {lease.name} of {lease.actor} was taken back: {death}." for lease, death in dead
    ]
    for run in orphans:
        if end_dead_run(uri, run.id):
            closed.append(f"The MLflow run {run.id} of {run.model} was ended as KILLED: no night.")
    if close_flow_runs is not None:
        lost = _list_flow_runs(lease for lease, _ in dead) | {run.flow_run_id for run in orphans}
        closed += [
            f"The Prefect run {ended} was ended as Crashed: its process is gone."
            for ended in close_flow_runs(sorted(lost - {""}), sorted(_list_flow_runs(living)))
        ]
    for path in _find_abandoned(home):
        remove_whole(path)
        closed.append(f"The unfinished {path.relative_to(home)} was removed: its process is gone.")
    for sentence in closed:
        logger.info("sweep: %s", sentence)
    return closed


def _list_flow_runs(leases: Iterable[Lease]) -> set[str]:
    return {str(lease.details.get("flow_run_id") or "") for lease in leases} - {""}


def find_orphans(runs: Sequence[RunningRun], living: Sequence[Lease]) -> list[RunningRun]:
    """Return the running runs that no living lease speaks for.

    A night that has its lease and has not said yet which run it opened speaks for every run of
    its model: that is a moment, and the next sweep comes.
    """
    from sentiflow.release.leases import name_night

    orphans = []
    for run in runs:
        spoken_for = [
            lease
            for lease in living
            if lease.name == name_night(run.model) and lease.details.get("run_id") in (None, run.id)
        ]
        if not spoken_for:
            orphans.append(run)
    return orphans


def _find_abandoned(home: Path) -> Iterator[Path]:
    for entry in sorted(home.iterdir()) if home.is_dir() else ():
        if entry.name.startswith(TEMPORARY_PREFIX):
            places = [entry]
        elif entry.is_dir() and entry.name not in _FOREIGN:
            places = sorted(entry.rglob(f"{TEMPORARY_PREFIX}*"))
        else:
            continue
        for path in places:
            if path.exists() and is_abandoned(path):
                yield path
