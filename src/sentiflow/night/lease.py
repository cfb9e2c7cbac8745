"""Hold a lease while a block runs, with a heartbeat from a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sentiflow.errors import LeaseLost, LedgerUnreachable
from sentiflow.settings import LeaseSettings

if TYPE_CHECKING:
    from sentiflow.release.leases import Lease, Leases

logger = logging.getLogger(__name__)


class HeldLease:
    """A lease of this process; `hold_lease` makes these.

    Attributes:
        dead: the lease of a dead holder whose place this one took, with why that is dead.
    """

    def __init__(
        self, leases: Leases, lease: Lease, dead: list[tuple[Lease, str]], seconds: float
    ) -> None:
        """Start the heartbeat."""
        self.dead = dead
        self._leases = leases
        self._lease = lease
        self._details = dict(lease.details)
        self._is_lost = False
        self._ended = threading.Event()
        self._seconds = seconds
        self._thread = threading.Thread(target=self._beat, name="sentiflow-lease", daemon=True)
        self._thread.start()

    @property
    def holder(self) -> str:
        """The random name of this holding."""
        return self._lease.holder

    def note(self, **details: Any) -> None:
        """Add details to the lease at once: a sweep closes what they name.

        Raises:
            LeaseLost: another one took over.
            LedgerUnreachable: the database did not answer.
        """
        self._details |= details
        self.check()

    def check(self) -> None:
        """Make sure, in the database, that the lease is still this process's.

        Raises:
            LeaseLost: another one took over.
            LedgerUnreachable: the database did not answer.
        """
        if self._is_lost or not self._leases.beat(self._lease, self._details):
            raise LeaseLost(
                f"The lease {self._lease.name} must be this night's until it ends. Received: "
                "another night took over, because this one showed no heartbeat for too long. The "
                "other one goes on; the champion is kept."
            )

    def close(self) -> None:
        """Give the lease back; a database that is away is no reason to fail a finished night."""
        self._ended.set()
        self._thread.join()
        try:
            self._leases.release(self._lease)
        except LedgerUnreachable as error:
            logger.warning("The lease is not given back, the next night finds it dead: %s", error)

    def _beat(self) -> None:
        while not self._ended.wait(self._seconds):
            try:
                self._is_lost = not self._leases.beat(self._lease, self._details)
            except LedgerUnreachable as error:
                # The next beat may get through; on this machine the process counts anyway.
                logger.debug("a heartbeat did not get through: %s", error)
            if self._is_lost:
                return


@contextmanager
def hold_lease(
    url: str, name: str, actor: str, settings: LeaseSettings, details: Mapping[str, Any]
) -> Iterator[HeldLease]:
    """Hold a lease while the block runs.

    Args:
        url: the ledger's database.
        name: which lease.
        actor: who, for people.
        settings: how often it beats, and when others' count as dead.
        details: small JSON values about the work.

    Raises:
        NightRefused: another one is at work.
        LedgerUnreachable: the database did not answer.
    """
    from sentiflow.release.heartbeats import BEAT_SECONDS
    from sentiflow.release.leases import Leases

    leases = Leases(url)
    shown = {**details, BEAT_SECONDS: settings.heartbeat_seconds}
    lease, dead = leases.take(name, actor, settings.stale_seconds, shown)
    held = HeldLease(leases, lease, dead, settings.heartbeat_seconds)
    try:
        yield held
    finally:
        held.close()
