"""Say how far a step has come, through the standard logging module.

The library only emits records; whoever runs it decides how they look. The command line
draws them as one live line, Prefect keeps them as log lines.
"""

from __future__ import annotations

import logging
import time
from typing import Final

logger = logging.getLogger(__name__)

INTERVAL_SECONDS: Final = 0.5
_last_report: dict[str, float] = {}


def report_progress(step: str, done: float, total: float, message: str) -> None:
    """Report progress of a step, at most every INTERVAL_SECONDS and always at its end.

    Args:
        step: the step's name.
        done: how much is done, in the unit of `total`.
        total: how much there is; 0 when unknown.
        message: what to show, without review text.
    """
    now = time.monotonic()
    is_end = total > 0 and done >= total
    if not is_end and now - _last_report.get(step, 0.0) < INTERVAL_SECONDS:
        return
    _last_report[step] = now
    share = min(done / total, 1.0) if total > 0 else None
    logger.info("%s: %s", step, message, extra={"step": step, "share": share, "live": True})
