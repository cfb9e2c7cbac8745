import logging

import pytest

from sentiflow.progress import report_progress


def test_progress_is_a_log_record_with_its_share(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="sentiflow.progress"):
        report_progress("a step of its own", 5, 5, "five of five")
    (record,) = caplog.records
    assert record.getMessage() == "a step of its own: five of five"
    assert (record.step, record.share, record.live) == ("a step of its own", 1.0, True)


def test_frequent_reports_are_thinned_out_but_the_end_is_always_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, logger="sentiflow.progress"):
        for done in range(1, 1_001):
            report_progress("another step", done, 1_000, f"{done}")
    assert len(caplog.records) < 500
    assert caplog.records[-1].getMessage() == "another step: 1000"


def test_an_unknown_total_has_no_share(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="sentiflow.progress"):
        report_progress("a third step", 7, 0, "seven")
    assert caplog.records[0].share is None
