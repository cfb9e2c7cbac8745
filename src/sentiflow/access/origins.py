"""Tell a request that some web page sent from one that was meant for this server."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import urlsplit

Headers = Sequence[tuple[bytes, bytes]]

_LOOPBACK: Final = ("localhost", "127.0.0.1", "[::1]")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_FOREIGN_SITES: Final = frozenset(("cross-site", "same-site"))


def list_own_hosts(port: int, more: Iterable[str] = ()) -> frozenset[str]:
    """Return the Host headers a server answers to: loopback's names with its port, and more.

    Args:
        port: where it listens.
        more: other names, each with its port as browsers send it.

    >>> sorted(list_own_hosts(80, ["Nights.example"]))[:3]
    ['127.0.0.1', '127.0.0.1:80', '[::1]']
    """
    names = [f"{name}:{port}" for name in _LOOPBACK]
    if port in _DEFAULT_PORTS.values():
        names += _LOOPBACK
    return frozenset((*names, *(name.strip().lower() for name in more if name.strip())))


def explain_foreign(headers: Headers, hosts: frozenset[str], method: str | None) -> str | None:
    """Return why a request must not be answered, or None.

    A page of another site can send requests here, and with a name of its own resolved to this
    machine (DNS rebinding) read the answers: the browser's Origin and Host headers say so, and
    no page can change them.

    Args:
        headers: names in lower case, values as they came.
        hosts: what the Host header may be.
        method: HTTP's; None: a WebSocket.

    >>> mine = list_own_hosts(4200)
    >>> explain_foreign([(b"host", b"localhost:4200")], mine, "POST")
    >>> explain_foreign([(b"host", b"evil.example:4200")], mine, "POST")
    'the Host header is not one of this server'
    """
    named = _read(headers, b"host")
    if len(named) != 1 or named[0].lower() not in hosts:
        return "the Host header is not one of this server"
    if not all(is_own_origin(origin, hosts) for origin in _read(headers, b"origin")):
        return "a page of another origin sent it"
    if method is not None and not _is_wanted(headers, method):
        return "a page of another site asked for it"
    return None


def is_own_origin(origin: str, hosts: frozenset[str]) -> bool:
    """Return whether an Origin header names one of the hosts.

    >>> is_own_origin("http://localhost:4200", frozenset({"localhost:4200"}))
    True
    >>> is_own_origin("null", frozenset({"localhost:4200"}))
    False
    """
    try:
        parts = urlsplit(origin.lower())
    except ValueError:
        return False
    return parts.scheme in _DEFAULT_PORTS and parts.netloc in hosts


def read_header(headers: Headers, name: bytes) -> str:
    """Return a header's value; empty without one, or with several."""
    found = _read(headers, name)
    return found[0] if len(found) == 1 else ""


def is_navigation(headers: Headers, method: str) -> bool:
    """Return whether a person opens a page, rather than a program or a page asking for data."""
    if method not in ("GET", "HEAD"):
        return False
    if destination := read_header(headers, b"sec-fetch-dest"):
        return destination == "document"
    return "text/html" in read_header(headers, b"accept")


def _is_wanted(headers: Headers, method: str) -> bool:
    """Return whether it comes from here, or is a link that a person followed to here."""
    if read_header(headers, b"sec-fetch-site") not in _FOREIGN_SITES:
        return True
    is_link = read_header(headers, b"sec-fetch-mode") == "navigate"
    return is_link and is_navigation(headers, method)


def _read(headers: Headers, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in headers if key == name]
