"""The systemd unit says what the command line understands."""

from __future__ import annotations

import configparser
import shlex
from pathlib import Path

from typer.testing import CliRunner

from sentiflow.cli import app
from sentiflow.settings import ServingSettings

UNIT = Path(__file__).parents[1] / "configs" / "systemd" / "sentiflow.service"


def read_service() -> configparser.SectionProxy:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(UNIT)
    return unit["Service"]


def test_the_unit_starts_a_command_that_parses_and_stops_it_in_order() -> None:
    service = read_service()
    program, *arguments = shlex.split(service["ExecStart"])
    assert program.endswith("/.venv/bin/sentiflow")
    answer = CliRunner().invoke(app, [*arguments, "--help"])
    assert answer.exit_code == 0, answer.output
    # `sentiflow up` itself ends its children: a signal to all of them at once would not.
    assert service["KillMode"] == "mixed"
    assert service["Environment"] == "SENTIFLOW_HOME=/var/lib/" + service["StateDirectory"]


def test_the_unit_allows_more_files_than_the_predictions_take_connections() -> None:
    service = read_service()
    assert int(service["LimitNOFILE"]) > 2 * ServingSettings().max_connections + 784
