"""Let no proxy stand before this machine, and name to clients only proxies that they can use.

Every client here (Prefect's, MLflow's, ours, fsspec's) reads the same variables and stumbles over
its own odd values of them, some before anything is asked. So they are put right once, for all.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import urlsplit

_PROXIES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_SPARED: Final = "NO_PROXY"
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_WEB: Final = frozenset({"http", "https"})
_SOCKS: Final = frozenset({"socks5", "socks5h"})
# A name, an IPv4 address or network, or the end of a name; each with a port where one is said.
_HOST: Final = re.compile(r"\.?[\w-]+(\.[\w-]+)*(/\d{1,2}|:\d{1,5})?", re.ASCII)


def plan_proxies(
    environment: Mapping[str, str], addresses: Iterable[str], has_socks: bool
) -> tuple[dict[str, str | None], list[str]]:
    """Return what must change in the environment, and what was wrong with it.

    >>> plan_proxies({"all_proxy": "socks://gate:1080"}, (), True)[0]["all_proxy"]
    'socks5://gate:1080'

    Args:
        environment: as it is.
        addresses: of servers; those of this machine are spared as well.
        has_socks: whether the package that speaks SOCKS is installed.

    Returns:
        Variable → its new value, None to remove it; and one line for each proxy left out.
    """
    changes: dict[str, str | None] = {}
    problems = []
    for name in _list_names(_PROXIES):
        if not (named := environment.get(name, "").strip()):
            continue
        proxy, kind = _read_proxy(named, has_socks)
        changes[name] = proxy
        if proxy is None:
            # Never its value: it may hold a password.
            problems.append(
                f"{name} must name a proxy of http, https, socks5 or socks5h. Received: {kind}. "
                "What is outside of this machine is asked without it."
            )
    spared = [
        host
        for name in _list_names((_SPARED,))
        for part in re.split(r"[\s,;|]+", environment.get(name, ""))
        if (host := _read_host(part)) is not None
    ]
    if "*" in spared:
        hosts = ["*"]
    else:
        hosts = list(dict.fromkeys([*spared, *_LOOPBACK, *_list_own_hosts(addresses)]))
    changes |= dict.fromkeys(_list_names((_SPARED,)), ",".join(hosts))
    return changes, problems


def is_loopback(host: str) -> bool:
    """Say whether a host is this machine by any of its own names for itself."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    # 0.0.0.0 is where a server listens, and where some then ask for it.
    return address.is_loopback or address.is_unspecified


def _list_names(names: Iterable[str]) -> list[str]:
    return [spelled for name in names for spelled in (name, name.lower())]


def _read_proxy(named: str, has_socks: bool) -> tuple[str | None, str]:
    """Return a proxy's address as every client takes it, or None and what it is instead."""
    scheme, separator, rest = named.rpartition("://")
    scheme = scheme.lower() if separator else "http"
    # As desktops write it, of a proxy whose version they do not know.
    scheme = "socks5" if scheme == "socks" else scheme
    if scheme not in _WEB | _SOCKS:
        return None, "one of another kind"
    if scheme in _SOCKS and not has_socks:
        return None, "one of SOCKS, and the package socksio is not installed"
    try:
        parts = urlsplit(f"{scheme}://{rest}")
        is_address = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        is_address = False
    if not is_address or not rest.isprintable() or " " in rest:
        return None, "no address"
    return f"{scheme}://{rest}", ""


def _read_host(part: str) -> str | None:
    """Return an entry of NO_PROXY as every client takes it; None if no client can."""
    if part == "*":
        return part
    host = part.rpartition("://")[2].rstrip("/").removeprefix("*")
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    try:
        # Of IPv6 all know addresses, and none knows networks.
        return str(ipaddress.IPv6Address(host))
    except ValueError:
        return host if _HOST.fullmatch(host) else None


def _list_own_hosts(addresses: Iterable[str]) -> list[str]:
    """Return the hosts of addresses that are this machine's."""
    found = []
    for address in addresses:
        try:
            host = urlsplit(address).hostname or ""
        except ValueError:
            continue
        if is_loopback(host):
            found.append(host)
    return found
