"""Say what to type next, as it can be pasted where the command was typed."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sentiflow.files import hide_secrets

if TYPE_CHECKING:
    from sentiflow.night.request import NightRequest
    from sentiflow.reporting.record import NightRecord

# Settings that say where things are: without them another command would look elsewhere.
_PLACES: Final = ("model.", "tracking.", "ledger.")


def name_program() -> str:
    """Return what a shell runs this program by, from the folder it was started in.

    The environment it lives in need not be activated: then `sentiflow` alone is not found.
    """
    started = Path(sys.argv[0])
    if started.name == "__main__.py":
        return f"{_name_from_here(Path(sys.executable))} -m sentiflow"
    found = shutil.which("sentiflow")
    if found is not None and started.exists() and os.path.samefile(found, started):
        return "sentiflow"
    return _name_from_here(started) if started.exists() else "sentiflow"


def name_program_in(text: str) -> str:
    """Return advice in which `sentiflow COMMAND` can be pasted where this command was typed.

    For what sentiflow itself says; a user's own words are left as they are.
    """
    from sentiflow.cli.common import app

    program = name_program()
    if program == "sentiflow":
        return text
    names = (one.name or getattr(one.callback, "__name__", "") for one in app.registered_commands)
    listed = "|".join(map(re.escape, filter(None, names)))
    # A longer word that ends in the name, or a path to it, is no such advice.
    return re.sub(
        rf"(?<![\w./-])(?<!-m )sentiflow (?=(?:{listed})\b)", lambda _: f"{program} ", text
    )


def repeat_options(request: NightRequest, model: str | None) -> str:
    """Return the options by which another command finds what a night of this request made.

    Args:
        request: what the night was asked to do.
        model: the model's name, where the settings and the night agree on none.
    """
    options: list[str] = []
    if request.config:
        options += ["--config", request.config]
    kept = [one for one in request.overrides if one.strip().startswith(_PLACES)]
    # An address with a password is not repeated where it may be kept.
    kept = [one for one in kept if hide_secrets(one) == one]
    if model is not None:
        kept = [one for one in kept if not one.strip().startswith("model.name")]
        kept.append(f"model.name={model}")
    options += [part for override in kept for part in ("--set", override)]
    return "".join(f" {shlex.quote(option)}" for option in options)


def suggest_next(record: NightRecord, request: NightRequest, home: Path) -> str:
    """Return the commands that a person may want to type after a night, one a line."""
    from sentiflow.night.night import read_settings
    from sentiflow.settings import SAMPLE_MODEL_NAME, read_running_servers

    program = name_program()
    is_named = read_settings(request).model.name == record.model
    options = repeat_options(request, None if is_named else record.model)
    commands = []
    if record.champion_version is not None:
        commands.append(f'{program} predict "Great food, but we waited an hour."{options}')
    commands.append(f"{program} status{options if request.config or request.overrides else ''}")
    # A link to MLflow's page.
    commands.append(f"{program} {'links' if read_running_servers(home) else 'ui'}")
    lines = ["  Next", *(f"    {command}" for command in commands)]
    if record.model == SAMPLE_MODEL_NAME:
        lines.append(f"  Your own reviews: {program} run --data FILE")
    return "\n".join(lines)


def _name_from_here(path: Path) -> str:
    """Return a path as short as it can be typed here, and with a slash, so that it is no name."""
    whole, here = Path(os.path.abspath(path)), Path.cwd()
    if not whole.is_relative_to(here):
        return shlex.quote(str(whole))
    inside = str(whole.relative_to(here))
    return shlex.quote(inside if "/" in inside else f"./{inside}")
