"""Close what dead nights left: runs, leases, unfinished files; never what is alive.

A night takes its lease before it opens its MLflow run and gives it back after the run is
closed. So a run that MLflow has as RUNNING, and that no living lease speaks for, is an orphan,
however young it is; and one that a living lease speaks for is not, however old.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sentiflow.files import parse_owner
from sentiflow.home import list_unfinished_files, read_last_change, remove_whole
from sentiflow.night.crashes import TellCrash, record_crash
from sentiflow.night.lease import HeldLease
from sentiflow.processes import ProcessName, is_gone, may_live_here
from sentiflow.settings import Settings, resolve_ledger_url, resolve_tracking_uri

if TYPE_CHECKING:
    from sentiflow.release.leases import Lease
    from sentiflow.tracking import RunningRun

logger = logging.getLogger(__name__)

# Takes the ids of flow runs that are dead and of those that live; ends the first, and whatever
# else it knows to be dead; returns the ids of those it ended.
CloseFlowRuns = Callable[[Sequence[str], Sequence[str]], list[str]]

# Whether another machine's process lives cannot be looked up; one that works writes every day.
_STALE_SECONDS: Final = 86_400.0


def sweep(
    home: Path,
    settings: Settings,
    close_flow_runs: CloseFlowRuns | None = None,
    held: HeldLease | None = None,
    tell_crash: TellCrash | None = None,
) -> list[str]:
    """Close what dead nights left and return what was closed, one sentence each.

    Args:
        home: SENTIFLOW_HOME.
        settings: where MLflow and the ledger are, and when a lease counts as dead.
        close_flow_runs: ends Prefect's flow runs. None: Prefect is left alone.
        held: the lease of the night that sweeps; what the dead one left whose place it took is
            swept up too.
        tell_crash: told the record of each night that is found to have crashed.

    Raises:
        RegistryUnreachable: MLflow does not answer.
        LedgerUnreachable: the ledger's database does not answer.
    """
    from sentiflow.release.leases import Leases
    from sentiflow.release.ledger import Ledger
    from sentiflow.tracking import end_dead_run, query_running_runs

    uri = resolve_tracking_uri(settings.tracking, home)
    ledger_url = resolve_ledger_url(settings.ledger, home)
    leases = Leases(ledger_url)
    stale = settings.lease.stale_seconds
    # Before MLflow is asked, which may be what is away.
    found = leases.remove_dead(stale)
    record_crash(home, Ledger(ledger_url), found, tell_crash)
    # In this order: a run that is seen here had its lease before, so its lease is seen below.
    runs = query_running_runs(uri, settings.tracking.experiment)
    dead = [*(held.dead if held else ()), *found]
    living = leases.list_living(stale)
    # The night that sweeps has opened no run yet, so it speaks for none.
    others = [lease for lease in living if held is None or lease.holder != held.holder]
    orphans = query_orphans(runs, others)
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
    closed += _remove_abandoned(home, [lease.process for lease in living])
    for sentence in closed:
        logger.info("sweep: %s", sentence)
    return closed


def _list_flow_runs(leases: Iterable[Lease]) -> set[str]:
    return {str(lease.details.get("flow_run_id") or "") for lease in leases} - {""}


def query_orphans(runs: Sequence[RunningRun], living: Sequence[Lease]) -> list[RunningRun]:
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


def _remove_abandoned(home: Path, living: Sequence[ProcessName]) -> list[str]:
    """Remove what is unfinished and has no process any more; one sentence each.

    Args:
        home: SENTIFLOW_HOME.
        living: holders of living leases: nobody knows what else lives on their machines. Where
            one is said to have ended and its heart beats, processes are not to be looked up.
    """
    closed = []
    deceiving = {process.machine for process in living if is_gone(process)}
    machines = {process.machine for process in living}
    for path in list_unfinished_files(home):
        name = path.relative_to(home)
        owner = parse_owner(path)
        if owner is None or owner.machine in deceiving:
            continue
        try:
            if is_gone(owner):
                remove_whole(path)
                closed.append(f"The unfinished {name} was removed: its process is gone.")
            elif not may_live_here(owner) and _is_stale(path, owner, machines):
                remove_whole(path)
                closed.append(f"The unfinished {name} was removed: unchanged for a day.")
        except OSError as error:
            # One that cannot be removed must not end the night that finds it.
            logger.warning("sweep: the unfinished %s cannot be removed: %s", name, error.strerror)
    return closed


def _is_stale(path: Path, owner: ProcessName, machines: Set[str]) -> bool:
    """Return whether another machine, or this one before its restart, left a file for good."""
    if owner.machine in machines:
        return False
    return time.time() - read_last_change(path) > _STALE_SECONDS
