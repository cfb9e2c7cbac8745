"""What the checks of a whole night found, in sentences."""

from __future__ import annotations

from dataclasses import dataclass

from sentiflow.data.checks.expectation import TableExpectation


@dataclass(frozen=True)
class ExpectationOutcome:
    """What became of one table expectation.

    Attributes:
        name: its short stable name.
        critical: whether its failure rejects the night's data.
        passed: whether it was met.
        required: what was required.
        received: what was there, as name=value.
        sentence: both in one, with what to do next when it failed.
    """

    name: str
    critical: bool
    passed: bool
    required: str
    received: str
    sentence: str


@dataclass(frozen=True)
class TableReport:
    """The outcomes of a night's table expectations and the verdict that follows.

    Attributes:
        outcomes: one for each expectation that was checked.
        unchecked: one sentence for each that could not be checked tonight, with the reason.
    """

    outcomes: tuple[ExpectationOutcome, ...]
    unchecked: tuple[str, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the data is rejected: the sentences of failed critical expectations."""
        return tuple(
            outcome.sentence for outcome in self.outcomes if outcome.critical and not outcome.passed
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """What should be looked at: the sentences of the other failed expectations."""
        return tuple(
            outcome.sentence
            for outcome in self.outcomes
            if not outcome.critical and not outcome.passed
        )

    @property
    def passed(self) -> bool:
        """Whether the data may be trained on: no critical expectation failed."""
        return not self.reasons

    @property
    def verdict(self) -> str:
        """The verdict and the numbers behind it, in one sentence."""
        passed = sum(outcome.passed for outcome in self.outcomes)
        return (
            f"{'Accepted' if self.passed else 'Rejected'}: "
            f"{len(self.reasons)} critical failures, {len(self.warnings)} warnings, "
            f"{passed} passed, {len(self.unchecked)} not checked."
        )


def describe_outcome(expected: TableExpectation, *, passed: bool) -> ExpectationOutcome:
    """Put the outcome into a sentence; what to do next is only said when it failed."""
    sentence = f"{expected.required}. Received: {expected.received}."
    return ExpectationOutcome(
        name=expected.name,
        critical=expected.critical,
        passed=passed,
        required=expected.required,
        received=expected.received,
        sentence=sentence if passed else f"{sentence} {expected.advice}",
    )


def describe_unchecked(expected: TableExpectation) -> str:
    """Say why an expectation was not checked."""
    return f"{expected.name} was not checked: {expected.unless}."
