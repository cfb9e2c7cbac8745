"""The options of the program that starts servers: what is written is what is read."""

from __future__ import annotations

import pytest

from sentiflow.servers.options import ServerOptions, make_command
from sentiflow.servers.start import read_options


@pytest.mark.parametrize(
    "options",
    [
        ServerOptions("prefect"),
        ServerOptions("prefect", port=4200, names=("a:1", "[::1]:2"), asks=True, links=True),
        ServerOptions("mlflow", "0.0.0.0", 5000, workers=2, users=True, artifacts="s3://b/c"),
        ServerOptions("prefect", socket=7),
    ],
)
def test_a_command_line_says_all_of_them(options: ServerOptions) -> None:
    module, *arguments = make_command(options)
    assert module == "sentiflow.servers.start"
    assert read_options(arguments) == options
