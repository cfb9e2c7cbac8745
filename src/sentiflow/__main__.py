"""Run the command line as `python -m sentiflow`."""

from sentiflow.cli import main

main()
