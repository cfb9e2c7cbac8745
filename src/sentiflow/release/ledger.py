"""Write down every release event, once and in order: the one door to the ledger's database.

The ledger is the commit point of a release; MLflow's alias only follows it. A decision is made
on a head (the last sequence its maker saw) and written as the next sequence. The primary key
(model, sequence) makes that insert the compare-and-set: of two who decided on one head, one
gets the number and the other a `LedgerConflict`. The key is the model's name and not the
lineage's digest, because the alias `champion` is one per registered model: what is unique
within a model is unique within each of its lineages.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeVar

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from sentiflow.errors import GateNotEvaluated, LedgerConflict
from sentiflow.release.event_checks import check_event
from sentiflow.release.ledger_database import LedgerDatabase
from sentiflow.release.ledger_tables import EVENTS, PROJECTIONS
from sentiflow.release.state import KINDS, Event, NewEvent

logger = logging.getLogger(__name__)

# So often something is decided anew because somebody else wrote first.
_TRIES: Final = 10

_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Watermark:
    """Up to where MLflow's alias was last made to follow the ledger.

    Attributes:
        sequence: the last event that was taken into account; 0 before the first.
        version: the version the alias was then left at; None when there was no alias.
    """

    sequence: int = 0
    version: int | None = None


class Ledger:
    """The release ledger at one address; tables are made on first use.

    It may be used from threads and after a fork.
    """

    def __init__(
        self,
        url: str,
        read_clock: Callable[[], datetime] | None = None,
        *,
        may_create: bool = True,
    ) -> None:
        """Remember the address; nothing is asked yet.

        Args:
            url: `sqlite:///…` (a file) or `postgresql://…`.
            read_clock: what tells the time, with a time zone. None: on PostgreSQL the
                server's clock, which is one for all machines; on SQLite this machine's.
            may_create: whether tables are made where there are none. A reader who must not, or
                whose role cannot, finds no events there.

        Raises:
            SettingsError: the address is none of the two.
        """
        self._database = LedgerDatabase(url)
        self._read_clock = read_clock
        self._may_create = may_create

    def read(self, model: str) -> tuple[Event, ...]:
        """Return a model's events, oldest first.

        Raises:
            LedgerUnreachable: the database did not answer.
            GateNotEvaluated: an event is of a kind this version does not know.
        """
        if self._is_missing():
            return ()
        with self._database.begin() as connection:
            return _read_events(connection, model)

    def read_watermark(self, model: str) -> Watermark:
        """Return up to where the model's alias was last made to follow.

        Raises:
            LedgerUnreachable: the database did not answer.
        """
        with self._database.begin() as connection:
            return _read_mark(connection, model)

    def read_head(self, model: str) -> tuple[int, Watermark]:
        """Return a model's last sequence (0: none) and its watermark; cheap to ask often.

        Raises:
            LedgerUnreachable: the database did not answer.
        """
        if self._is_missing():
            return 0, Watermark()
        with self._database.begin() as connection:
            last = select(func.max(EVENTS.c.sequence)).where(EVENTS.c.model == model)
            return connection.scalar(last) or 0, _read_mark(connection, model)

    def is_there(self) -> bool:
        """Return whether there is a ledger at its address; none is made.

        Raises:
            LedgerUnreachable: the database did not answer.
        """
        return self._database.is_there()

    def is_whole(self) -> bool:
        """Return whether the ledger has all tables of this version's; none is made.

        Raises:
            LedgerUnreachable: the database did not answer.
        """
        return self._database.is_whole()

    def list_models(self) -> list[str]:
        """Return the names of all models with events.

        Raises:
            LedgerUnreachable: the database did not answer.
        """
        if self._is_missing():
            return []
        with self._database.begin() as connection:
            named = select(EVENTS.c.model).distinct().order_by(EVENTS.c.model)
            return list(connection.scalars(named))

    def append(self, model: str, sequence: int, events: Sequence[NewEvent]) -> tuple[Event, ...]:
        """Write events on the head they were decided on: all of them, or none.

        Args:
            model: the registered model's name.
            sequence: the last sequence the decision was made on; 0 on an empty ledger.
            events: what happened, in order.

        Returns:
            The events as written, with sequence and time.

        Raises:
            LedgerConflict: the head is another one by now; nothing was written.
            LedgerUnreachable: the database did not answer.
            UsageError: a reason is missing, or a value is too long.
        """
        with self._database.begin(writes=True) as connection:
            return self._append(connection, model, sequence, events)

    def append_decided(
        self, model: str, choose: Callable[[tuple[Event, ...]], Sequence[NewEvent]]
    ) -> tuple[Event, ...]:
        """Write what follows from a model's events; decided again where others wrote meanwhile.

        Args:
            model: the registered model's name.
            choose: given the events so far, returns those to write; none: nothing is written.

        Returns:
            The events as written.

        Raises:
            LedgerConflict: others wrote first, ten times in a row.
            LedgerUnreachable: the database did not answer.
            UsageError: a reason is missing, or a value is too long.
        """

        def append() -> tuple[Event, ...]:
            events = self.read(model)
            new = choose(events)
            return self.append(model, len(events), new) if new else ()

        return self.retry(model, append)

    def retry(self, model: str, act: Callable[[], _Answer]) -> _Answer:
        """Return what an act came to that reads the ledger and writes it; again on a conflict.

        Raises:
            LedgerConflict: others wrote first, ten times in a row.
        """
        for _ in range(_TRIES):
            try:
                return act()
            except LedgerConflict as error:
                conflict = error
                logger.info("the ledger of %s went on meanwhile: deciding again", model)
        raise LedgerConflict(
            f"The ledger of {model} must stand still while something is decided on it. Received: "
            f"{_TRIES} events of others in a row. The champion is kept; run again."
        ) from conflict

    @contextmanager
    def lock_alias(self, model: str) -> Iterator[LockedAlias]:
        """Lock the model's alias: others who would move it wait; all writes are one transaction.

        A process that dies lets go: the lock is the database's own (SQLite: the writer's lock;
        PostgreSQL: the model's row of `projections`).

        Raises:
            LedgerConflict: someone appended at the same moment; nothing was written.
            LedgerUnreachable: the database did not answer, or another held on for 30 s.
        """
        with self._database.begin(writes=True) as connection:
            row = {"model": model, "sequence": 0, "version": None}
            dialect = sqlite if self._database.is_sqlite else postgresql
            new_row = dialect.insert(PROJECTIONS).values(row)
            connection.execute(new_row.on_conflict_do_nothing())
            own = PROJECTIONS.c.model == model
            connection.execute(select(PROJECTIONS).where(own).with_for_update())
            # Read after the lock is held, or the alias could be moved back by a stale head.
            yield LockedAlias(self, connection, model)

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    def _is_missing(self) -> bool:
        return not self._may_create and not self._database.is_there()

    def _append(
        self, connection: Connection, model: str, sequence: int, events: Sequence[NewEvent]
    ) -> tuple[Event, ...]:
        values = [check_event(model, new) for new in events]
        own = EVENTS.c.model == model
        head = select(EVENTS.c.sequence, EVENTS.c.time).where(own)
        last = connection.execute(head.order_by(EVENTS.c.sequence.desc()).limit(1)).first()
        if sequence != (last.sequence if last else 0):
            raise LedgerConflict(
                f"The ledger of {model} must still be at sequence {sequence}, on which this was "
                f"decided. Received: sequence={last.sequence if last else 0}. Decide again."
            )
        time = self._parse_time(connection)
        if last is not None:
            # A clock that is behind must not write history before what is there.
            time = max(time, last.time)
        written = []
        for number, value in enumerate(values, start=sequence + 1):
            row = {**value, "model": model, "sequence": number, "time": time}
            try:
                connection.execute(insert(EVENTS).values(row))
            except IntegrityError as error:
                raise LedgerConflict(
                    f"The ledger of {model} must still be at sequence {sequence}, on which this "
                    "was decided. Received: an event written at the same moment. Decide again."
                ) from error
            written.append(Event(**row))
        return tuple(written)

    def _parse_time(self, connection: Connection) -> datetime:
        if self._read_clock is not None:
            return self._read_clock().astimezone(UTC)
        if self._database.is_sqlite:
            return datetime.now(UTC)
        time: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
        return time.astimezone(UTC)


class LockedAlias:
    """A model's events and watermark while nobody else can change them."""

    def __init__(self, ledger: Ledger, connection: Connection, model: str) -> None:
        """Read both; `Ledger.lock_alias` makes these."""
        self._ledger = ledger
        self._connection = connection
        self._model = model
        self.events = _read_events(connection, model)
        self.watermark = _read_mark(connection, model)

    def append(self, events: Sequence[NewEvent]) -> tuple[Event, ...]:
        """Write events on the head that was read, in the lock's transaction.

        Raises:
            LedgerConflict: someone appended since.
        """
        head = self.events[-1].sequence if self.events else 0
        return self._ledger._append(self._connection, self._model, head, events)

    def set_watermark(self, mark: Watermark) -> None:
        """Write up to where the alias follows the ledger now."""
        own = PROJECTIONS.c.model == self._model
        values = {"sequence": mark.sequence, "version": mark.version}
        self._connection.execute(update(PROJECTIONS).where(own).values(values))


def _read_events(connection: Connection, model: str) -> tuple[Event, ...]:
    own = select(EVENTS).where(EVENTS.c.model == model).order_by(EVENTS.c.sequence)
    events = tuple(Event(**row) for row in connection.execute(own).mappings())
    unknown = next((event for event in events if event.kind not in KINDS), None)
    if unknown is not None:
        # It may have changed the champion: what follows from half of the history is no answer.
        raise GateNotEvaluated(
            f"Every event of {model} must be of a kind known here. Received: sequence="
            f"{unknown.sequence}, kind={unknown.kind!r}. A newer sentiflow wrote it: upgrade."
        )
    return events


def _read_mark(connection: Connection, model: str) -> Watermark:
    own = select(PROJECTIONS).where(PROJECTIONS.c.model == model)
    row = connection.execute(own).first()
    return Watermark(row.sequence, row.version) if row is not None else Watermark()
