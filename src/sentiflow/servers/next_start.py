"""Ask Prefect's server when the next night starts."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Final

from sentiflow.files import hide_secrets
from sentiflow.settings import read_prefect_api

logger = logging.getLogger(__name__)

_SECONDS: Final = 3.0
# The deployment of prefect.yaml that the schedule belongs to.
_DEPLOYMENT: Final = "nightly"


def look_up_next_start() -> str | None:
    """Return the time of the next scheduled night in ISO form, UTC.

    Returns:
        None where no server is named, none answers, or it has no night scheduled.
    """
    named = read_prefect_api()
    if named is None:
        return None
    import httpx

    address, credentials = named
    user, _, password = (credentials or "").partition(":")
    asked = {
        "deployments": {"name": {"any_": [_DEPLOYMENT]}},
        "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}},
        "sort": "EXPECTED_START_TIME_ASC",
        "limit": 1,
    }
    try:
        answer = httpx.post(
            f"{address.rstrip('/')}/flow_runs/filter",
            json=asked,
            auth=(user, password) if credentials else None,
            timeout=_SECONDS,
        )
        due = [run["expected_start_time"] for run in answer.raise_for_status().json()]
        return datetime.fromisoformat(due[0]).astimezone(UTC).isoformat() if due else None
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as error:
        # A status is told all the same: what is live needs no Prefect.
        logger.info(
            "Prefect at %s tells no next night: %s", hide_secrets(address), type(error).__name__
        )
        return None
