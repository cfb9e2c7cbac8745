"""Read settings: defaults, then a preset or TOML file, then overrides, each later one winning.

Unknown keys are refused by name.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from sentiflow.errors import SettingsError
from sentiflow.files import hide_secrets
from sentiflow.settings.groups import Settings
from sentiflow.settings.suggestions import suggest_keys


def load_settings(
    config: str | None = None, overrides: Sequence[str] = (), category: str | None = None
) -> Settings:
    """Return the settings of a preset or TOML file with overrides applied.

    Args:
        config: a preset's name (`article-2018`), a path of a TOML file, or None.
        overrides: `group.key=value` strings; later ones win. Values are TOML (numbers,
            true, [64, 32]); what is no TOML is taken as text.
        category: shorthand for data.category.

    Raises:
        SettingsError: the file cannot be read, a key is unknown or a value is not allowed.
    """
    values = _read_config(config) if config else {}
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator or not key.strip():
            raise SettingsError(
                "An override must look like group.key=value. Received: "
                f"{hide_secrets(override)!r}. "
                "Example: --set training.epochs=3"
            )
        _set_key(values, key.strip().split("."), _parse_value(text.strip()))
    if category is not None:
        _set_key(values, ["data", "category"], category)
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(_explain(error)) from None


def list_presets() -> list[str]:
    """Return the names of the presets that come with the project."""
    return sorted(path.stem for path in _locate_configs().glob("*.toml"))


def _locate_configs() -> Path:
    package = Path(__file__).resolve().parents[1]
    packaged = package / "configs"
    return packaged if packaged.is_dir() else package.parents[1] / "configs"


def _read_config(config: str) -> dict[str, Any]:
    path = Path(config).expanduser()
    if not path.is_file():
        path = _locate_configs() / f"{config}.toml"
    if not path.is_file():
        raise SettingsError(
            f"--config must be a TOML file or a preset. Received: {config!r}. "
            f"Presets: {', '.join(list_presets())}."
        )
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(
            f"A settings file must be readable TOML. Received: {config}: {error}."
        ) from None


def _parse_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return None if text.lower() in ("none", "null") else text


def _set_key(values: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for part in path[:-1]:
        inner = values.setdefault(part, {})
        if not isinstance(inner, dict):
            raise SettingsError(f"{'.'.join(path)} goes deeper than there are groups.")
        values = inner
    values[path[-1]] = value


def _explain(error: ValidationError) -> str:
    sentences = []
    for problem in error.errors(include_url=False):
        path = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            sentences += [
                _explain_unknown(key) for key in _list_written(path, problem.get("input"))
            ]
        elif problem["type"] in ("model_type", "model_attributes_type"):
            inside = [key for key in list_keys() if key.startswith(f"{path}.")]
            sentences.append(
                f"{path} is a group of settings. Name one of them, for example {inside[0]}."
            )
        else:
            received = hide_secrets(repr(problem.get("input")))
            sentences.append(f"{path}: {problem['msg']}. Received: {received}.")
    return " ".join(sentences)


def _list_written(path: str, value: Any) -> list[str]:
    """Return every setting that was written below a name that is none, dotted."""
    if isinstance(value, Mapping) and value:
        return [key for name in value for key in _list_written(f"{path}.{name}", value[name])]
    return [path]


def _explain_unknown(key: str) -> str:
    near = suggest_keys(key, list_keys())
    hint = f"Did you mean {' or '.join(near)}?" if near else "See configs/default.toml."
    return f"There is no setting {key}. {hint}"


def list_keys(group: type[BaseModel] = Settings, prefix: str = "") -> list[str]:
    """Return every settings key, dotted."""
    keys = []
    for name, entry in group.model_fields.items():
        kind = entry.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            keys += list_keys(kind, f"{prefix}{name}.")
        else:
            keys.append(prefix + name)
    return keys


def describe_settings(settings: Settings) -> dict[str, Any]:
    """Return the settings as others may see them: no address shows a password."""
    described: dict[str, Any] = _hide_in(settings.model_dump(mode="json"))
    return described


def _hide_in(value: Any) -> Any:
    if isinstance(value, str):
        return hide_secrets(value)
    if isinstance(value, list):
        return [_hide_in(entry) for entry in value]
    if isinstance(value, dict):
        return {key: _hide_in(entry) for key, entry in value.items()}
    return value


def flatten_settings(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return settings as dotted key → text, for MLflow's parameters."""
    flat: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten_settings(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = str(value)
    return flat
