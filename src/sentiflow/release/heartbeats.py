"""Say when a lease's holder is dead.

Two signs make a suspicion: on the holder's own machine its process has ended, elsewhere the last
beat is old. Neither outvotes a beating heart: unless process and silence agree, whoever suspects
waits whether the next beat comes, by its own clock that nobody sets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from sentiflow.processes import look_up

if TYPE_CHECKING:
    from sentiflow.release.leases import Lease

# In a lease's details: how often it beats. Settings see to three beats in lease.stale_seconds.
BEAT_SECONDS: Final = "beat_seconds"
_BEATS_WATCHED: Final = 1.5


@dataclass(frozen=True)
class Suspicion:
    """Why a lease's holder looks dead.

    Attributes:
        reason: one clause.
        watch_seconds: how long its heart must be seen not to beat before it counts as dead; 0
            where that is certain.
    """

    reason: str
    watch_seconds: float


def suspect_death(lease: Lease, now: datetime, stale_seconds: float) -> Suspicion | None:
    """Say why a lease's holder looks dead, or return None while it lives.

    On the holder's own machine only its process counts: one that was stopped for a while, or
    could not reach the database, is not dead. Of another machine's only the beats are known. A
    beat of the future is as odd as an old one: somebody set the database's clock.
    """
    watch = _BEATS_WATCHED * float(lease.details.get(BEAT_SECONDS, stale_seconds / 3))
    silence = (now - lease.beaten).total_seconds()
    life = look_up(lease.process)
    if life == "gone":
        is_silent = silence >= watch
        return Suspicion(f"process {lease.process.pid} has ended", 0.0 if is_silent else watch)
    if life == "unknown" and abs(silence) > stale_seconds:
        said = f"no heartbeat for {silence:.0f} s" if silence > 0 else "a heartbeat of the future"
        return Suspicion(f"{said} (lease.stale_seconds={stale_seconds:g})", watch)
    return None


class Judge:
    """Say which leases are dead, after what was seen of them.

    Attributes:
        beating: holders whose hearts were seen to beat.
        silent: holders, each with the last beat, that were watched for long enough.
    """

    def __init__(self, stale_seconds: float) -> None:
        """Begin with nothing seen.

        Args:
            stale_seconds: silence after which a holder on another machine looks dead.
        """
        self._stale_seconds = stale_seconds
        self.beating: set[str] = set()
        self.silent: set[tuple[str, datetime]] = set()

    def part(
        self, leases: Sequence[Lease], now: datetime
    ) -> tuple[list[Lease], list[tuple[Lease, str]], list[tuple[Lease, Suspicion]]]:
        """Return the living leases, the dead with the reason, and those to be watched longer."""
        living, dead, doubtful = [], [], []
        for lease in leases:
            suspicion = suspect_death(lease, now, self._stale_seconds)
            if suspicion is None or lease.holder in self.beating:
                living.append(lease)
            elif not suspicion.watch_seconds or (lease.holder, lease.beaten) in self.silent:
                dead.append((lease, suspicion.reason))
            else:
                doubtful.append((lease, suspicion))
        return living, dead, doubtful
