"""Outcomes in sentences and the verdict that follows from them."""

from dataclasses import replace

from sentiflow.data.checks.expectation import TableExpectation
from sentiflow.data.checks.table_report import TableReport, describe_outcome, describe_unchecked

CRITICAL = TableExpectation(
    name="rows",
    required="The snapshot must have at least 10 rows",
    received="rows=9",
    advice="Add rows.",
    value=9,
    at_least=10,
)
WARNING = replace(CRITICAL, name="dates", critical=False)


def report(*, critical: bool, warning: bool) -> TableReport:
    return TableReport(
        outcomes=(
            describe_outcome(CRITICAL, passed=critical),
            describe_outcome(WARNING, passed=warning),
        ),
        unchecked=("volume_low was not checked: no reason.",),
    )


def test_a_failure_says_what_was_required_what_was_received_and_what_to_do() -> None:
    outcome = describe_outcome(CRITICAL, passed=False)
    assert outcome.sentence == (
        "The snapshot must have at least 10 rows. Received: rows=9. Add rows."
    )
    assert (outcome.name, outcome.critical, outcome.passed) == ("rows", True, False)
    assert (outcome.required, outcome.received) == (CRITICAL.required, CRITICAL.received)


def test_a_success_gives_no_advice() -> None:
    outcome = describe_outcome(CRITICAL, passed=True)
    assert outcome.sentence == "The snapshot must have at least 10 rows. Received: rows=9."
    assert outcome.passed


def test_a_failed_critical_expectation_rejects_the_night() -> None:
    found = report(critical=False, warning=True)
    assert not found.passed
    assert found.reasons == (found.outcomes[0].sentence,)
    assert found.warnings == ()
    assert found.verdict == "Rejected: 1 critical failures, 0 warnings, 1 passed, 1 not checked."


def test_a_failed_warning_does_not_reject_the_night() -> None:
    found = report(critical=True, warning=False)
    assert found.passed
    assert found.reasons == ()
    assert found.warnings == (found.outcomes[1].sentence,)
    assert found.verdict == "Accepted: 0 critical failures, 1 warnings, 1 passed, 1 not checked."


def test_what_was_not_checked_is_said_with_its_reason() -> None:
    sentence = describe_unchecked(replace(CRITICAL, unless="there is nothing to compare with"))
    assert sentence == "rows was not checked: there is nothing to compare with."
