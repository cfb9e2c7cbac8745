"""The errors a user can meet, and the exit code each one ends with.

    SentiflowError                1   anything that is not one of the below
    ├── UsageError                2   a mistake in the call or the settings
    │   ├── SettingsError             an unknown key, a value out of range
    │   ├── SourceError               a path, file or column that is not there
    │   ├── LineageError              settings that differ from the lineage's
    │   ├── ForeignRegistry           the ledger is about another MLflow's versions
    │   └── NoModelError              no version to predict with, or to go back to
    ├── DataRejected              3   a critical expectation failed
    ├── GateNotEvaluated          4   no decision, or a forbidden one: champion kept
    │   ├── RegistryUnreachable       the registry did not answer: trying again can help
    │   ├── RegistryFailed            the registry answered that it broke over what was asked
    │   ├── LedgerUnreachable         the ledger did not answer: trying again can help
    │   ├── LedgerConflict            someone else wrote the ledger first: decide again
    │   ├── ReleaseForbidden          a rule, a hold or a check forbids what was asked
    │   ├── NightRefused              another night of the model is running
    │   └── LeaseLost                 another night took over: this one counts as dead
    ├── TrainingError             1   training ended without a model
    │   ├── TrainingDiverged          the loss became NaN or infinite
    │   └── TrainingTimedOut          training.max_minutes passed
    └── ArtifactError             1   a stored snapshot, bundle or step is broken

Every message says what was required, what was received and what to do next.
"""

from __future__ import annotations

from collections.abc import Sequence


class SentiflowError(Exception):
    """Something went wrong that is not one of the more specific cases."""

    exit_code = 1


class UsageError(SentiflowError):
    """The call or the settings ask for something that cannot be done."""

    exit_code = 2


class SettingsError(UsageError):
    """A settings key is unknown or its value is not allowed."""


class SourceError(UsageError):
    """A source of reviews cannot be read at all."""


class LineageError(UsageError):
    """The settings would compare models that may not be compared."""


class ForeignRegistry(UsageError):
    """The ledger is about the versions of another MLflow than the one that is asked."""


class NoModelError(UsageError):
    """There is no registered version that answers to what was asked."""


class DataRejected(SentiflowError):
    """The night's data failed a critical expectation.

    Attributes:
        reasons: one sentence per failed expectation.
    """

    exit_code = 3

    def __init__(self, reasons: Sequence[str]) -> None:
        """Keep the reasons, so that they can be reported one by one."""
        super().__init__("The data was rejected: " + " ".join(reasons))
        self.reasons = tuple(reasons)


class GateNotEvaluated(SentiflowError):
    """The decision could not be made, so the champion stays."""

    exit_code = 4


class RegistryUnreachable(GateNotEvaluated):
    """The model registry did not answer."""


class RegistryFailed(GateNotEvaluated):
    """The model registry answered that it broke over what it was asked."""


class LedgerUnreachable(GateNotEvaluated):
    """The release ledger did not answer."""


class LedgerConflict(GateNotEvaluated):
    """The ledger went on since the decision was made, so it was not written."""


class ReleaseForbidden(GateNotEvaluated):
    """A rule of the gate, a hold or a check forbids what was asked; the champion stays."""


class NightRefused(GateNotEvaluated):
    """Another night of the model, or upkeep, is running; this one did nothing.

    Attributes:
        night: the date of the night that is running; None when it is upkeep.
    """

    def __init__(self, message: str, night: str | None = None) -> None:
        """Keep which night it was: only one of the same date does this one's work."""
        super().__init__(message)
        self.night = night


class LeaseLost(GateNotEvaluated):
    """Another night took over, because this one was taken for dead."""


class TrainingError(SentiflowError):
    """Training ended without a usable model."""


class TrainingDiverged(TrainingError):
    """The training loss became NaN or infinite."""


class TrainingTimedOut(TrainingError):
    """Training did not end within training.max_minutes."""


class ArtifactError(SentiflowError):
    """A stored file is missing, damaged or does not do what it did when it was made."""
