"""Say which version the ledger explains, for a service that asks every few seconds."""

from __future__ import annotations

from dataclasses import dataclass

from sentiflow.release.alias import plan_step
from sentiflow.release.known_files import KnownFiles, NamedVersion, look_up_known_files
from sentiflow.release.ledger import Ledger, Watermark
from sentiflow.release.state import Event, ReleaseState, fold_events


@dataclass(frozen=True)
class Explained:
    """What the ledger says is to be served.

    Attributes:
        state: how the model stands.
        events: those about the champion's number, by sequence.
        is_moved: whether the alias stands where no event put it. An alias that only lags behind
            an event, for the moment between the two, is not moved.
    """

    state: ReleaseState
    events: tuple[Event, ...]
    is_moved: bool

    def look_up_known_files(self, version: NamedVersion) -> KnownFiles | None:
        """Return what the ledger knows of a version's files, or None."""
        return look_up_known_files(self.events, version)


class ChampionReader:
    """Reads one model's champion from the ledger; only a change costs a look at the history."""

    def __init__(self, ledger: Ledger, model: str) -> None:
        """Remember where; nothing is asked yet."""
        self._ledger = ledger
        self._model = model
        self._seen: tuple[int, Watermark, int | None, str | None] | None = None
        self._explained: Explained | None = None

    def read(self, alias: NamedVersion | None) -> Explained:
        """Return what is to be served.

        Args:
            alias: the version that MLflow's alias points at; None when there is no alias.

        Raises:
            LedgerUnreachable: the ledger did not answer.
            GateNotEvaluated: an event is of a kind this version does not know.
        """
        sequence, mark = self._ledger.read_head(self._model)
        number, run = (alias.number, alias.run_id) if alias is not None else (None, None)
        seen = (sequence, mark, number, run)
        if self._explained is None or seen != self._seen:
            events = self._ledger.read(self._model)
            state = fold_events(events)
            step = plan_step(events, mark, number, run)
            # A move that is noted already rests until a person decides.
            is_moved = step == "record_move" or (
                step == "rest" and not state.is_champion(number, run)
            )
            about = tuple(event for event in events if event.to_version == state.champion)
            self._seen, self._explained = seen, Explained(state, about, is_moved)
        return self._explained
