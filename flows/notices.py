"""Tell people what came of a night: by webhook, and through a notification block of Prefect's."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Sequence

from prefect.blocks.abstract import NotificationBlock
from prefect.blocks.core import Block
from prefect.settings import get_current_settings
from prefect.utilities.asyncutils import run_coro_as_sync

from sentiflow.errors import SentiflowError
from sentiflow.night.night import read_settings
from sentiflow.night.request import NightRequest
from sentiflow.notices.messages import (
    Notice,
    check_notices,
    choose_told,
    compose_notices,
    join_page,
    ping_outside,
    send_notices,
)
from sentiflow.reporting.record import NightRecord
from sentiflow.settings import (
    NoticeSettings,
    Settings,
    is_own_prefect,
    read_home,
    resolve_tracking_uri,
)

# Below sentiflow, so that the command line shows it.
logger = logging.getLogger("sentiflow.flows.notices")


def tell(request: NightRequest, record: NightRecord) -> list[str]:
    """Tell whoever is to be told of a night, and call the outside watcher after a good one.

    Args:
        request: what the night was asked to do; says which settings hold.
        record: what came of it.

    Returns:
        One sentence for everything that did not go out; each is logged as a warning, none is
        raised.
    """
    settings = _read_settings(request)
    notices = _compose(record, settings)
    return [*send(notices, settings.notices), *ping_outside(record, settings)]


def tell_crash(request: NightRequest, record: NightRecord) -> list[str]:
    """Tell whoever is to be told of a crashed night; no watcher is called for it.

    Args:
        request: what the night that found it was asked to do; says which settings hold.
        record: what came of it.

    Returns:
        One sentence for everything that did not go out; each is logged as a warning, none is
        raised.
    """
    settings = _read_settings(request)
    return send(_compose(record, settings), settings.notices)


def send(notices: Sequence[Notice], settings: NoticeSettings) -> list[str]:
    """Send the notices of the kinds that are told, by webhook and through Prefect's block.

    Returns:
        One sentence for everything that did not go out; each is logged as a warning.
    """
    return [
        *send_notices(notices, settings),
        *_notify_block(choose_told(notices, settings), settings),
    ]


def _read_settings(request: NightRequest) -> Settings:
    try:
        return read_settings(request)
    except SentiflowError:
        # Wrong settings are the news itself: it is sent by the defaults and the environment.
        return Settings()


def link_mlflow(request: NightRequest, page: str) -> str | None:
    """Return the address of a page of MLflow's; None where no server of its is known.

    Args:
        request: what the night was asked to do; says which settings hold.
        page: relative to MLflow's address.
    """
    settings = _read_settings(request)
    uri = resolve_tracking_uri(settings.tracking, read_home())
    return join_page(settings.notices.mlflow_url or uri, page)


def _compose(record: NightRecord, settings: Settings) -> list[Notice]:
    uri = resolve_tracking_uri(settings.tracking, read_home())
    return compose_notices(record, settings.notices, uri, resolve_prefect_url())


def list_problems(settings: NoticeSettings) -> list[str]:
    """Return what is wrong with where people are to be told, before anybody has to be."""
    problems = check_notices(settings)
    if settings.block:
        try:
            _load_block(settings.block)
        except Exception as error:
            problems.append(_explain_block(settings.block, error))
    return problems


def resolve_prefect_url() -> str | None:
    """Return where people open Prefect, by its own settings; None without a server that stays."""
    return None if is_own_prefect() else get_current_settings().ui_url


def _notify_block(notices: Sequence[Notice], settings: NoticeSettings) -> list[str]:
    if not notices or not settings.block:
        return []
    try:
        block = _load_block(settings.block)
        # Without it most blocks hide a failure.
        with block.raise_on_failure():
            for notice in notices:
                waiting: object = block.notify(notice.text, notice.title)
                if inspect.iscoroutine(waiting):
                    # A block of somebody's own may know the asynchronous way only.
                    run_coro_as_sync(waiting)
    except Exception as error:
        problem = f"Nobody was told through Prefect: {_explain_block(settings.block, error)}"
        logger.warning("%s", problem)
        return [problem]
    return []


def _load_block(name: str) -> NotificationBlock:
    # Importing them registers the types of Prefect's own blocks.
    import prefect.blocks.notifications  # noqa: F401

    block = Block.load(name)
    if not isinstance(block, NotificationBlock):
        raise TypeError(name)
    return block


def _explain_block(name: str, error: Exception) -> str:
    # Only its type: a block's error may quote the address, which is a secret.
    return (
        f"notices.block must name a notification block that works, as type/name. Received: {name}, "
        f"{type(error).__name__}. prefect block ls shows those there are."
    )
