"""Call an address outside whose path is a secret: a webhook, or a watcher.

What goes wrong is told by the host alone. Nothing is raised.
"""

from __future__ import annotations

import time
from http.client import HTTPException
from typing import IO, Any, Final
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

# Seconds between tries; there is one try more.
_PAUSES: Final = (0.5, 2.0)


class _NoRedirect(HTTPRedirectHandler):
    """Follow no redirect: the body and the address are meant for one host only."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> None:
        """Refuse to follow: without a new request, the redirect is reported as an error."""


def call_address(name: str, url: str, body: bytes | None, timeout: float) -> str | None:
    """Call an address, three times if it must be; return what went wrong, without the address.

    Args:
        name: the variable that holds the address, to name it by.
        url: the address, which is a secret but for its host.
        body: JSON to post; None asks with GET.
        timeout: seconds to wait for each answer.
    """
    if not is_web_address(url):
        return explain_address(name)
    headers = {"User-Agent": "sentiflow"}
    if body is not None:
        headers["Content-Type"] = "application/json"
    host = urlsplit(url).hostname
    opener = build_opener(_NoRedirect)
    problem = ""
    for pause in (*_PAUSES, None):
        try:
            with opener.open(Request(url, body, headers), timeout=timeout):
                return None
        except HTTPError as error:
            error.close()
            problem = f"status {error.code}"
            if 300 <= error.code < 400:
                problem += ", a redirect, which is not followed"
            if error.code < 500 and error.code not in (408, 429):
                break
        except (OSError, HTTPException, ValueError) as error:
            # Never the error's own words: some quote the address.
            problem = _name_failure(error)
        if pause is not None:
            time.sleep(pause)
    return f"{host} must take it. Received: {problem}. Check {name}."


def _name_failure(error: Exception) -> str:
    reason = getattr(error, "reason", error)
    if isinstance(reason, TimeoutError):
        return "no answer in time (notices.timeout_seconds)"
    if isinstance(reason, OSError) and reason.strerror:
        return f"no connection ({reason.strerror})"
    return f"no answer ({type(reason).__name__})"


def is_web_address(url: str) -> bool:
    """Say whether an address can be called: http or https, with a host and no user's name."""
    try:
        parts = urlsplit(url)
        # Reading the port finds out whether it is a number.
        has_host = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False
    is_plain = url.isascii() and url.isprintable() and " " not in url and "@" not in parts.netloc
    return has_host and is_plain and parts.scheme in ("http", "https")


def explain_address(name: str) -> str:
    """Say that a variable or setting must hold an address, without what it holds."""
    return (
        f"{name} must be an http or https address without a user's name. Received: something "
        "else. Correct or unset it."
    )
