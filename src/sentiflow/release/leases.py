"""Keep two nights of one model apart, on any machine: leases in the ledger's database.

Whoever works holds a lease and shows a heartbeat. A lease whose holder is dead may be taken
over: on the holder's own machine its process says so, elsewhere the age of its last beat, by
the database's clock. The ledger stays safe without leases (its numbers are the
compare-and-set); they save the second night its work and registry its second version.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection, delete, func, insert, select, text, update

from sentiflow.errors import NightRefused
from sentiflow.processes import ProcessName, is_gone, name_this_process
from sentiflow.release.ledger_database import LedgerDatabase
from sentiflow.release.ledger_tables import LEASES

UPKEEP: Final = "upkeep"
_NIGHT: Final = "night:"


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
            known.
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


def find_model(name: str) -> str | None:
    """Return whose nights a lease is about; None when it is no night's."""
    return name.removeprefix(_NIGHT) if name.startswith(_NIGHT) else None


def explain_death(lease: Lease, now: datetime, stale_seconds: float) -> str | None:
    """Say why a lease's holder is dead, or return None while it may live.

    On the holder's own machine only its process counts: one that was stopped for a while, or
    could not reach the database, is not dead. Of another machine's only the beats are known.
    """
    if is_gone(lease.process):
        return f"process {lease.process.pid} has ended"
    if lease.process.machine == name_this_process().machine:
        return None
    silence = (now - lease.beaten).total_seconds()
    if silence > stale_seconds:
        return f"no heartbeat for {silence:.0f} s (lease.stale_seconds={stale_seconds:g})"
    return None


def find_conflict(name: str, living: Sequence[Lease]) -> Lease | None:
    """Return the living lease that forbids taking `name`: its own, or upkeep beside anything."""
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
        with self._database.begin(writes=True) as connection:
            self._lock(connection)
            now = self._find_time(connection)
            living, dead = _part(_read(connection), now, stale_seconds)
            conflict = find_conflict(name, living)
            if conflict is not None:
                raise NightRefused(_describe_conflict(conflict), conflict.details.get("night"))
            dead = [(lease, death) for lease, death in dead if lease.name == name]
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
        return lease, dead

    def beat(self, lease: Lease, details: Mapping[str, Any]) -> bool:
        """Show that the holder lives; returns False when the lease is no longer its own.

        Raises:
            LedgerUnreachable: the database did not answer.
        """
        with self._database.begin(writes=True) as connection:
            own = (LEASES.c.name == lease.name) & (LEASES.c.holder == lease.holder)
            values = {"beaten": self._find_time(connection), "details": dict(details)}
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
        """Return the leases whose holders may live.

        Raises:
            LedgerUnreachable: the database did not answer.
        """
        with self._database.begin() as connection:
            return _part(_read(connection), self._find_time(connection), stale_seconds)[0]

    def remove_dead(self, stale_seconds: float) -> list[tuple[Lease, str]]:
        """Remove the leases of dead holders and return them, each with why it is dead.

        Raises:
            LedgerUnreachable: the database did not answer.
        """
        with self._database.begin(writes=True) as connection:
            self._lock(connection)
            dead = _part(_read(connection), self._find_time(connection), stale_seconds)[1]
            for lease, _ in dead:
                connection.execute(delete(LEASES).where(LEASES.c.name == lease.name))
        return dead

    def _lock(self, connection: Connection) -> None:
        # SQLite's writers queue anyway. A table lock also covers the rows that are not there yet.
        if not self._database.is_sqlite:
            connection.execute(text(f"LOCK TABLE {LEASES.name} IN SHARE ROW EXCLUSIVE MODE"))

    def _find_time(self, connection: Connection) -> datetime:
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


def _part(
    leases: Sequence[Lease], now: datetime, stale_seconds: float
) -> tuple[list[Lease], list[tuple[Lease, str]]]:
    """Return the living, and the dead with why they are."""
    judged = [(lease, explain_death(lease, now, stale_seconds)) for lease in leases]
    living = [lease for lease, death in judged if death is None]
    return living, [(lease, death) for lease, death in judged if death is not None]


def _describe_conflict(lease: Lease) -> str:
    work = "Upkeep (prune or forget)" if lease.name == UPKEEP else "A night"
    about = "" if lease.name == UPKEEP else f" of {find_model(lease.name)}"
    since = lease.taken.isoformat(timespec="seconds")
    return (
        f"{work} must not run beside another one. Received: {work.lower()}{about} by {lease.actor} "
        f"runs since {since} (process {lease.process.pid}, MLflow run "
        f"{lease.details.get('run_id') or 'none yet'}). Wait until it has ended, or end it."
    )
