"""Write how every model stands as text."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any


def format_models(described: Mapping[str, Any], program: str = "sentiflow") -> str:
    """Return the status of all models as text.

    Args:
        described: as `describe_models` returns it; `next_start` where it was looked up.
        program: what a shell runs sentiflow by.
    """
    lines = [f"{'home':<13} {described['home']}"]
    if "next_start" in described:
        lines.append(f"{'next night':<13} {_name_start(described['next_start'], program)}")
    if described["registry_error"]:
        lines.append(f"Warning: {described['registry_error']} What follows is the ledger's.")
    default = described.get("default_model")
    lines += _list_others(described, program)
    for entry in described["models"]:
        option = (
            "" if entry["model"] == default else f" --set model.name={shlex.quote(entry['model'])}"
        )
        lines += [entry["model"], *(f"  {line}" for line in _list_model(entry, program, option))]
    return "\n".join(lines)


def _name_start(start: str | None, program: str) -> str:
    if start is not None:
        return f"{start[:16].replace('T', ' ')} UTC"
    return f"none is scheduled: no server that runs nights answers here ({program} up starts one)"


def _list_others(described: Mapping[str, Any], program: str) -> Iterator[str]:
    """Yield what to do where the model that commands mean by themselves has no champion."""
    models, default = described["models"], described.get("default_model")
    if not models:
        yield f"No model is registered yet. Run a night: {program} run"
        return
    live = [entry["model"] for entry in models if entry["champion"]]
    if live and default not in live:
        named = ", ".join(f"--set model.name={shlex.quote(name)}" for name in live)
        yield (
            f"{default} has no champion, and commands mean it unless they name another. Live are: "
            f"{named}"
        )


def _list_model(entry: Mapping[str, Any], program: str, option: str) -> Iterator[str]:
    if entry["registry_error"]:
        yield f"Warning: {entry['registry_error']} What follows is the ledger's."
    yield f"{'champion':<11} {_name_champion(entry['champion'])}"
    if entry["no_champion"]:
        yield f"  {entry['no_champion']}"
    yield f"{'challenger':<11} {_name(entry['challenger'])}"
    if entry.get("running"):
        running = entry["running"]
        night = f"night {running['night']}" if running["night"] else "a night"
        yield f"{'runs':<11} {night}, since {_name_time(running['since'])} by {running['actor']}"
    if entry["waiting"]:
        version = entry["waiting"]["version"]
        yield (
            f"{'waiting':<11} version {version} waits for a person: {program} promote {version} "
            f"--reason …{option}"
        )
    if entry["hold"]:
        hold = entry["hold"]
        yield f"{'hold':<11} since {_name_time(hold['time'])} by {hold['actor']}:"
        yield f"  {hold['reason']}"
        yield f"  Nights promote again after: {program} release-hold --reason …{option}"
    if entry["moved_outside"]:
        yield f"Warning: {entry['moved_outside']}"
    if entry["last_night"]:
        last = entry["last_night"]
        yield f"{'last night':<11} {last['night']} {last['outcome']}"
        # What a night said of what a person has decided since is no news any more.
        yield from (f"  {reason}" for reason in last["since"] or last["reasons"])
    if entry["refused_start"]:
        refused = entry["refused_start"]
        yield f"{'refused':<11} another start for {refused['night']}, later than that"
        yield from (f"  {reason}" for reason in refused["reasons"])


def _name_champion(champion: Mapping[str, Any] | None) -> str:
    if champion is None:
        return "none"
    words = [_name(champion)]
    age = champion.get("age_nights")
    if age is not None:
        words.append("of today" if age == 0 else f"{age} night{'s' * (age != 1)} old")
    if champion.get("accuracy") is not None:
        words.append(f"test accuracy {champion['accuracy']:.4f}")
    return ", ".join([*words, f"live since {_name_time(champion['since'])}"])


def _name(version: Mapping[str, Any] | None) -> str:
    if version is None:
        return "none"
    night = f" of the night {version['night']}" if version.get("night") else ""
    return f"version {version['version']}{night}"


def _name_time(moment: str) -> str:
    return f"{moment[:16].replace('T', ' ')} UTC"
