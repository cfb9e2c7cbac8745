"""Keep two nights of one model apart, on any machine: leases in the ledger's database.

Whoever works holds a lease and shows a heartbeat. A lease whose holder is dead may be taken
over; heartbeats.py says when it is. The ledger stays safe without leases (its numbers are the
compare-and-set); they save the second night its work and registry its second version.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection, delete, func, insert, select, text, update

from sentiflow.errors import NightRefused
from sentiflow.processes import ProcessName, name_this_process
from sentiflow.release.heartbeats import Judge, Suspicion
from sentiflow.release.ledger_database import LedgerDatabase
from sentiflow.release.ledger_tables import LEASES

UPKEEP: Final = "upkeep"
_NIGHT: Final = "night:"
_LOOKS: Final = 15
_MOST_PAUSE: Final = 0.2

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Lease:
    """Who is at work, since when, and when it last showed that it lives.

    Attributes:
        name: `night:MODEL` or `upkeep`.
        holder: a random name of this one holding.
        actor: who, for people.
        process: which process.
        taken: since when.
        beaten: the last heartbeat.
        details: `night`, `run_id` and `run_path` (MLflow's), `flow_run_id` (Prefect's), where
            known, and how often it beats.
    """

    name: str
    holder: str
    actor: str
    process: ProcessName
    taken: datetime
    beaten: datetime
    details: Mapping[str, Any] = field(default_factory=dict)


def name_night(model: str) -> str:
    """Return the name of the lease of a model's nights."""
    return f"{_NIGHT}{model}"


def parse_model(name: str) -> str | None:
    """Return the model whose nights a lease is about; None when it is no night's."""
    return name.removeprefix(_NIGHT) if name.startswith(_NIGHT) else None


def select_conflict(name: str, living: Sequence[Lease]) -> Lease | None:
    """Return the living lease that forbids taking `name`: its own, or any if one is upkeep."""
    return next(
        (lease for lease in living if name == lease.name or UPKEEP in (name, lease.name)), None
    )


class Leases:
    """The leases at one address of a ledger."""

    def __init__(self, url: str) -> None:
        """Remember the address; nothing is asked yet."""
        self._database = LedgerDatabase(url)

    def take(
        self, name: str, actor: str, stale_seconds: float, details: Mapping[str, Any]
    ) -> tuple[Lease, list[tuple[Lease, str]]]:
        """Take a lease for this process.

        Args:
            name: which.
            actor: who, for people.
            stale_seconds: silence after which a holder on another machine counts as dead.
            details: small JSON values.

        Returns:
            The lease, and the dead one whose place it took, if so, with why that is dead. Other
            dead ones are left for a sweep to find.

        Raises:
            NightRefused: another one is at work.
            LedgerUnreachable: the database did not answer.
        """
        judge = Judge(stale_seconds)
        while True:
            with self._database.begin(writes=True) as connection:
                self._lock(connection)
                now = self._parse_time(connection)
                living, dead, doubtful = judge.part(_read(connection), now)
                conflict = select_conflict(name, living)
                if conflict is not None:
                    raise NightRefused(_describe_conflict(conflict), conflict.details.get("night"))
                suspect = select_conflict(name, [lease for lease, _ in doubtful])
                if suspect is None:
                    return self._replace(connection, name, actor, now, details), [
                        (lease, death) for lease, death in dead if lease.name == name
                    ]
            self._watch(judge, [pair for pair in doubtful if pair[0] == suspect])

    def _replace(
        self,
        connection: Connection,
        name: str,
        actor: str,
        now: datetime,
        details: Mapping[str, Any],
    ) -> Lease:
        connection.execute(delete(LEASES).where(LEASES.c.name == name))
        lease = Lease(
            name=name,
            holder=uuid.uuid4().hex,
            actor=actor,
            process=name_this_process(),
            taken=now,
            beaten=now,
            details=dict(details),
        )
        columns = {key: getattr(lease, key) for key in ("name", "holder", "actor", "taken")}
        connection.execute(
            insert(LEASES).values(
                **columns, **asdict(lease.process), beaten=now, details=lease.details
            )
        )
        return lease

    def beat(self, lease: Lease, details: Mapping[str, Any]) -> bool:
        """Show that the holder lives; returns False when the lease is no longer its own.

        Raises:
            LedgerUnreachable: the database did not answer.
        """
        with self._database.begin(writes=True) as connection:
            own = (LEASES.c.name == lease.name) & (LEASES.c.holder == lease.holder)
            values = {"beaten": self._parse_time(connection), "details": dict(details)}
            return connection.execute(update(LEASES).where(own).values(values)).rowcount == 1

    def release(self, lease: Lease) -> None:
        """Give a lease back; one that was taken over is left to its new holder.

        Raises:
            LedgerUnreachable: the database did not answer.
        """
        with self._database.begin(writes=True) as connection:
            own = (LEASES.c.name == lease.name) & (LEASES.c.holder == lease.holder)
            connection.execute(delete(LEASES).where(own))

    def list_living(self, stale_seconds: float) -> list[Lease]:
        """Return the leases whose holders may live, also those that look dead and may yet beat.

        Raises:
            LedgerUnreachable: the database did not answer.
        """
        with self._database.begin() as connection:
            leases, now = _read(connection), self._parse_time(connection)
        living, _, doubtful = Judge(stale_seconds).part(leases, now)
        return [*living, *(lease for lease, _ in doubtful)]

    def remove_dead(self, stale_seconds: float) -> list[tuple[Lease, str]]:
        """Remove the leases of dead holders and return them, each with why it is dead.

        Waits for a beat of those that look dead and may live.

        Raises:
            LedgerUnreachable: the database did not answer.
        """
        judge = Judge(stale_seconds)
        with self._database.begin() as connection:
            leases, now = _read(connection), self._parse_time(connection)
        self._watch(judge, judge.part(leases, now)[2])
        with self._database.begin(writes=True) as connection:
            self._lock(connection)
            dead = judge.part(_read(connection), self._parse_time(connection))[1]
            for lease, _ in dead:
                own = (LEASES.c.name == lease.name) & (LEASES.c.holder == lease.holder)
                connection.execute(delete(LEASES).where(own))
        return dead

    def _watch(self, judge: Judge, doubtful: Sequence[tuple[Lease, Suspicion]]) -> None:
        """Watch heartbeats until each has come, or was missing for long enough; tell the judge."""
        waiting = {lease.holder: (lease, suspicion) for lease, suspicion in doubtful}
        for lease, suspicion in waiting.values():
            logger.info(
                "The lease %s looks dead (%s): waiting up to %.0f s for a heartbeat",
                lease.name, suspicion.reason, suspicion.watch_seconds,
            )  # fmt: skip
        started = time.monotonic()
        while waiting:
            shortest = min(suspicion.watch_seconds for _, suspicion in waiting.values())
            time.sleep(min(shortest / _LOOKS, _MOST_PAUSE))
            # Asked before the look: a beat that comes during it counts.
            watched = time.monotonic() - started
            with self._database.begin() as connection:
                seen = {lease.holder: lease.beaten for lease in _read(connection)}
            for holder, (lease, suspicion) in list(waiting.items()):
                if seen.get(holder) != lease.beaten:
                    judge.beating.add(holder)
                elif watched >= suspicion.watch_seconds:
                    judge.silent.add((holder, lease.beaten))
                else:
                    continue
                del waiting[holder]

    def _lock(self, connection: Connection) -> None:
        # SQLite's writers queue anyway. A table lock also covers the rows that are not there yet.
        if not self._database.is_sqlite:
            connection.execute(text(f"LOCK TABLE {LEASES.name} IN SHARE ROW EXCLUSIVE MODE"))

    def _parse_time(self, connection: Connection) -> datetime:
        if self._database.is_sqlite:
            return datetime.now(UTC)
        time: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
        return time.astimezone(UTC)


def _read(connection: Connection) -> list[Lease]:
    leases = []
    for row in connection.execute(select(LEASES).order_by(LEASES.c.name)).mappings():
        values = dict(row)
        process = ProcessName(values.pop("machine"), values.pop("pid"), values.pop("started"))
        leases.append(Lease(**values, process=process))
    return leases


def _describe_conflict(lease: Lease) -> str:
    work = "Upkeep (prune or forget)" if lease.name == UPKEEP else "A night"
    about = "" if lease.name == UPKEEP else f" of {parse_model(lease.name)}"
    since = lease.taken.isoformat(timespec="seconds")
    return (
        f"{work} must not run beside another one. Received: {work.lower()}{about} by {lease.actor} "
        f"runs since {since} (process {lease.process.pid}, MLflow run "
        f"{lease.details.get('run_id') or 'none yet'}). Wait until it has ended, or end it."
    )
