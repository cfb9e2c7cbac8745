"""No proxy stands before this machine, whatever the environment names, and one outside is used."""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import requests

from sentiflow.data.reading.listing import list_source_files
from sentiflow.settings import DataSettings, prepare_environment
from sentiflow.settings.proxies import is_loopback, plan_proxies
from tests.listening import Listener, listen

NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
DEAD = "127.0.0.1:9"


def set_environment(monkeypatch: pytest.MonkeyPatch, home: Path, values: dict[str, str]) -> None:
    """Set proxy variables and nothing else of a proxy, and prepare the environment as a command."""
    for name in os.environ:
        # All are as before after the test.
        monkeypatch.setenv(name, os.environ[name])
    for name in NAMES:
        for spelled in (name, name.lower()):
            monkeypatch.setenv(spelled, "")
            monkeypatch.delenv(spelled)
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    prepare_environment(home)


def look_for_source(url: str) -> object:
    return list_source_files([url], DataSettings())


CLIENTS: dict[str, Callable[[str], object]] = {
    "httpx (Prefect, webhooks)": lambda url: httpx.get(url, timeout=5),
    "requests (MLflow)": lambda url: requests.get(url, timeout=5),
    "urllib": lambda url: urllib.request.build_opener().open(url, timeout=5).close(),
    "fsspec (sources)": look_for_source,
}
ODD = {
    "http": {"HTTP_PROXY": f"http://{DEAD}"},
    "lower case": {"http_proxy": f"http://{DEAD}"},
    "no scheme": {"http_proxy": DEAD},
    "all": {"ALL_PROXY": f"http://{DEAD}", "all_proxy": f"HTTP://{DEAD}"},
    "SOCKS": {"ALL_PROXY": f"socks5://{DEAD}", "all_proxy": f"socks5h://{DEAD}"},
    "of a desktop": {"all_proxy": f"socks://{DEAD}/", "http_proxy": f"http://{DEAD}/"},
    "SOCKS 4": {"ALL_PROXY": f"socks4://{DEAD}", "http_proxy": f"socks4a://{DEAD}"},
    "no address": {"ALL_PROXY": "http://gate:port", "https_proxy": "://", "http_proxy": "a b"},
    "spaces": {"http_proxy": f"  http://{DEAD} "},
    "spared: others": {"http_proxy": f"http://{DEAD}", "NO_PROXY": "corp.example, 10.0.0.0/8"},
    "spared: odd": {
        "http_proxy": f"http://{DEAD}",
        "no_proxy": "[::1];fe80::/10 <local> *.corp.example|http://a.example:80/ a_b.example:x",
    },
    "spared in one spelling": {"http_proxy": f"http://{DEAD}", "NO_PROXY": "a", "no_proxy": "b"},
}


@pytest.mark.parametrize("values", ODD.values(), ids=ODD)
def test_no_client_asks_this_machine_by_a_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listener: Listener, values: dict[str, str]
) -> None:
    set_environment(monkeypatch, tmp_path, values)
    for name, ask in CLIENTS.items():
        ask(f"{listener.url}/reviews.jsonl")
        assert listener.requests, name
        listener.requests.clear()


@pytest.mark.parametrize("name", CLIENTS)
def test_what_is_outside_is_asked_by_the_proxy_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with listen() as proxy:
        set_environment(monkeypatch, tmp_path, {"HTTP_PROXY": proxy.url.removeprefix("http://")})
        CLIENTS[name]("http://reviews.example/reviews.jsonl")
        assert {request.path for request in proxy.requests} == {
            "http://reviews.example/reviews.jsonl"
        }


def test_a_proxy_that_no_client_can_use_is_told_without_its_password() -> None:
    environment = {
        "ALL_PROXY": "socks4://ada:hunter2@gate:1080",
        "http_proxy": "socks5://gate:1080",
    }
    changes, problems = plan_proxies(environment, (), has_socks=False)
    assert (changes["ALL_PROXY"], changes["http_proxy"]) == (None, None)
    kinds = ["one of another kind", "one of SOCKS, and the package socksio is not installed"]
    assert [kind in problem for kind, problem in zip(kinds, sorted(problems), strict=True)] == [
        True, True,
    ]  # fmt: skip
    assert "hunter2" not in str(problems)


def test_servers_of_this_machine_are_spared_by_the_name_they_are_called_by() -> None:
    addresses = ("http://0.0.0.0:4200/api", "http://mlflow.example:5000", "http://127.0.0.2:1", "")
    changes, _ = plan_proxies({}, addresses, has_socks=True)
    assert changes == dict.fromkeys(
        ("NO_PROXY", "no_proxy"), "localhost,127.0.0.1,::1,0.0.0.0,127.0.0.2"
    )


@pytest.mark.parametrize(
    ("host", "is_own"),
    [
        ("localhost", True), ("a.localhost", True), ("127.1.2.3", True), ("[::1]", True),
        ("0.0.0.0", True), ("10.0.0.1", False), ("localhost.example", False), ("", False),
    ],
)  # fmt: skip
def test_a_host_is_this_machine_or_another(host: str, is_own: bool) -> None:
    assert is_loopback(host) == is_own
