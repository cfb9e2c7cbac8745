"""Say what is of the last year: the gate compares with its champions, so prune spares them."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Final

_YEAR: Final = timedelta(days=365)
# A night is a date of schedule.timezone, and the ledger's times are UTC.
_TIME_ZONES: Final = timedelta(days=1)


def begin_year(night: date) -> date:
    """Return the first night whose version is still compared with on this one."""
    return night - _YEAR


def is_of_year(moment: datetime, now: datetime) -> bool:
    """Say whether what was a champion at a moment may be of a night since `begin_year`.

    A version is made before it is champion, so its night can be of the year only if this is.

    Args:
        moment: when it became champion, or ceased to be; UTC.
        now: UTC.
    """
    return moment.date() >= begin_year(now.date()) - _TIME_ZONES
