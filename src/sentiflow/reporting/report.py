"""Tell a decision as one HTML page that needs nothing beside itself."""

from __future__ import annotations

from html import escape
from pathlib import Path

from sentiflow.files import write_text
from sentiflow.reporting.decision_record import DecisionRecord


def write_report(path: Path, record: DecisionRecord) -> Path:
    """Write the decision's page and return its path."""
    write_text(path, "<p>" + escape(" ".join(record.decision["reasons"])) + "</p>")
    return path
