"""Open a home: its settings, its model registry and its release ledger, found in one way by all."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from sentiflow.errors import RegistryUnreachable
from sentiflow.files import make_sqlite_url
from sentiflow.settings import (
    Settings,
    load_settings,
    read_actor,
    resolve_ledger_url,
    resolve_tracking_uri,
)

if TYPE_CHECKING:
    from sentiflow.release.ledger import Ledger
    from sentiflow.release.registry import Registry


@dataclass(frozen=True)
class HomeContext:
    """What a command works with. Registry and ledger are loaded when they are first asked for.

    Attributes:
        settings: all settings.
        home: SENTIFLOW_HOME.
        actor: who acts.
    """

    settings: Settings
    home: Path
    actor: str = field(default_factory=read_actor)

    @property
    def model(self) -> str:
        """The registered model's name."""
        return self.settings.model.name

    @property
    def tracking_uri(self) -> str:
        """MLflow's address."""
        return resolve_tracking_uri(self.settings.tracking, self.home)

    @property
    def ledger_url(self) -> str:
        """The ledger's database."""
        return resolve_ledger_url(self.settings.ledger, self.home)

    @cached_property
    def registry(self) -> Registry:
        """The model registry.

        Raises:
            RegistryUnreachable: it is the home's own, which is not there and cannot be made.
        """
        from sentiflow.release.registry import Registry

        own = self.home / "mlflow.db"
        is_own = self.tracking_uri == make_sqlite_url(own)
        if is_own and not own.exists() and not os.access(self.home, os.W_OK):
            # MLflow would try for minutes.
            raise RegistryUnreachable(
                f"MLflow must answer. Received: no database {own}, and none can be made there. "
                "Name a home that can be written to, or another MLflow (tracking.uri)."
            )
        return Registry(self.tracking_uri)

    @cached_property
    def ledger(self) -> Ledger:
        """The release ledger; its tables are made where there are none."""
        from sentiflow.release.ledger import Ledger

        return Ledger(self.ledger_url)

    @cached_property
    def ledger_to_read(self) -> Ledger:
        """The release ledger for who may only read; where there is none, none is made."""
        from sentiflow.release.ledger import Ledger

        return Ledger(self.ledger_url, may_create=False)


def open_home(
    config: str | None, overrides: Sequence[str], home: Path, actor: str | None = None
) -> HomeContext:
    """Return a home with the settings that are asked for.

    Args:
        config: a preset's name or a TOML file.
        overrides: `group.key=value`, later ones win.
        home: SENTIFLOW_HOME.
        actor: who acts; None: whoever runs this process.

    Raises:
        SettingsError: the file cannot be read, a key is unknown or a value is not allowed.
    """
    return HomeContext(load_settings(config, overrides), home, actor or read_actor())
