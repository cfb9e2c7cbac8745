"""The secrets of a home: drawn once, kept for its owner alone, found by every command."""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Final

from sentiflow.errors import SettingsError
from sentiflow.files import make_temporary_prefix

ACCESS_FILE: Final = "access.json"
_USER: Final = "sentiflow"
_BYTES: Final = 24


@dataclass(frozen=True)
class HomeAccess:
    """What the servers of a home ask of those who call.

    Attributes:
        prefect: Prefect's `user:password`.
        mlflow_user: the name that MLflow asks for.
        mlflow_password: its password.
        links: signs the links and cookies by which a person's browser is known.
    """

    prefect: str
    mlflow_user: str
    mlflow_password: str
    links: str

    def __repr__(self) -> str:
        """Return the name alone, so that no log and no traceback has a secret."""
        return "HomeAccess(…)"


def load_access(home: Path) -> HomeAccess:
    """Return the secrets of a home; the first who asks draws them.

    Args:
        home: SENTIFLOW_HOME, which exists.

    Raises:
        SettingsError: the file cannot be read or written, or is not what was written.
    """
    path = home / ACCESS_FILE
    try:
        if not path.exists():
            _draw(path)
        values = json.loads(path.read_text(encoding="utf-8"))
        return HomeAccess(**{field.name: _take(values, field.name) for field in fields(HomeAccess)})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise SettingsError(
            f"{path} must hold the secrets that sentiflow wrote there, readable and writable. "
            f"Received: {type(error).__name__}. Mend its rights, or stop the servers and remove "
            "it: the next start draws new secrets."
        ) from None


def _take(values: dict[str, str], name: str) -> str:
    value = values[name]
    if not isinstance(value, str) or not value:
        raise ValueError(name)
    return value


def _draw(path: Path) -> None:
    """Write new secrets, unless another process was quicker: all must find the same ones."""
    drawn = HomeAccess(
        prefect=f"{_USER}:{secrets.token_urlsafe(_BYTES)}",
        mlflow_user=_USER,
        mlflow_password=secrets.token_urlsafe(_BYTES),
        links=secrets.token_urlsafe(_BYTES),
    )
    # Readable by its owner alone from the first byte on.
    handle, name = tempfile.mkstemp(prefix=make_temporary_prefix(), dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(json.dumps({"format": 1, **asdict(drawn)}, indent=2) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        with suppress(FileExistsError):
            os.link(name, path)
    finally:
        Path(name).unlink(missing_ok=True)
