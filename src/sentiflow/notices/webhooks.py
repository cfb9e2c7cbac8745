"""Call an address outside whose path is a secret: a webhook, or a watcher.

What goes wrong is told by the host alone. Nothing is raised.
"""

from __future__ import annotations

import ipaddress
import logging
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final
from urllib.parse import urlsplit

# Seconds between tries; there is one try more.
_PAUSES: Final = (0.5, 2.0)
# They write an address whole, or where a server would have us go instead.
_LOGGERS: Final = ("httpx", "httpcore.http11", "httpcore.proxy")


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
    problem = ""
    for pause in (*_PAUSES, None):
        try:
            status = _ask(url, body, timeout)
        except Exception as error:
            # Never the error's own words: some quote the address. And nobody is to hear of a
            # night otherwise because a proxy's name is wrong, whatever that raises.
            problem = _name_failure(error)
        else:
            if 200 <= status < 300:
                return None
            problem = f"status {status}"
            if 300 <= status < 400:
                problem += ", a redirect, which is not followed"
            if status < 500 and status not in (408, 429):
                break
        if pause is not None:
            time.sleep(pause)
    return f"{urlsplit(url).hostname} must take it. Received: {problem}. Check {name}."


def _ask(url: str, body: bytes | None, timeout: float) -> int:
    """Return the status that an address answers with; what else it says is not read."""
    import httpx

    headers = {"User-Agent": "sentiflow"}
    if body is not None:
        headers["Content-Type"] = "application/json"
    with (
        _say_nothing(),
        httpx.Client(
            timeout=timeout,
            # The machine's own certificates: a company's are among them.
            verify=ssl.create_default_context(),
            trust_env=not _is_loopback(url),
            # The body and the address are meant for one host only.
            follow_redirects=False,
        ) as client,
        client.stream("GET" if body is None else "POST", url, content=body, headers=headers) as got,
    ):
        return got.status_code


@contextmanager
def _say_nothing() -> Iterator[None]:
    """Keep what this thread calls out of the HTTP client's own log."""
    here = threading.get_ident()

    def is_elsewhere(record: logging.LogRecord) -> bool:
        return record.thread != here

    with ExitStack() as filters:
        for name in _LOGGERS:
            log = logging.getLogger(name)
            log.addFilter(is_elsewhere)
            filters.callback(log.removeFilter, is_elsewhere)
        yield


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _name_failure(error: Exception) -> str:
    import httpx

    if isinstance(error, httpx.TimeoutException):
        return "no answer in time (notices.timeout_seconds)"
    reason: BaseException | None = error
    while reason is not None and not isinstance(reason, OSError):
        reason = reason.__cause__
    if reason is not None and reason.strerror:
        return f"no connection ({reason.strerror})"
    return f"no answer ({type(error).__name__})"


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
