"""Which requests come from this server's own pages and programs, and which from elsewhere."""

from __future__ import annotations

import pytest

from sentiflow.access.origins import explain_foreign, is_navigation, list_own_hosts

HOSTS = list_own_hosts(4200, ["Nights.example:443", " "])


def explain(method: str | None = "POST", **headers: str) -> str | None:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return explain_foreign(pairs, HOSTS, method)


@pytest.mark.parametrize(
    "host",
    ["localhost:4200", "127.0.0.1:4200", "[::1]:4200", "LOCALHOST:4200", "nights.example:443"],
)
def test_its_own_names_are_answered(host: str) -> None:
    assert explain(host=host) is None


@pytest.mark.parametrize(
    "host",
    ["evil.example:4200", "localhost", "localhost:4201", "localhost.evil.example:4200",
     "127.0.0.1:4200.evil.example", "nights.example", "", "localhost:4200@evil.example"],
)  # fmt: skip
def test_another_name_is_refused_whatever_it_resolves_to(host: str) -> None:
    assert "Host" in str(explain(host=host))


def test_no_host_and_two_hosts_are_refused() -> None:
    assert explain() is not None
    twice = [(b"host", b"localhost:4200"), (b"host", b"evil.example")]
    assert explain_foreign(twice, HOSTS, "GET") is not None


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", None])
@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "http://localhost:3000", "null", "http://localhost", "",
     "file://localhost:4200", "http://[", "http://localhost:4200.evil.example"],
)  # fmt: skip
def test_pages_of_other_origins_are_refused_by_request_and_by_socket(
    method: str | None, origin: str
) -> None:
    assert "origin" in str(explain(method, host="localhost:4200", origin=origin))


@pytest.mark.parametrize("origin", ["http://localhost:4200", "https://nights.example:443"])
def test_its_own_pages_are_answered(origin: str) -> None:
    own = {"host": "localhost:4200", "origin": origin}
    assert explain("POST", **own) is None
    assert explain(None, **own) is None
    assert explain("GET", **own, sec_fetch_site="same-origin", sec_fetch_mode="cors") is None


def test_a_link_that_a_person_follows_is_answered_and_what_a_page_fetches_or_frames_is_not() -> (
    None
):
    link = {
        "host": "localhost:4200", "sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate",
        "sec_fetch_dest": "document",
    }  # fmt: skip
    assert explain("GET", **link) is None
    assert explain("POST", **link) is not None
    for other in ({"sec_fetch_dest": "iframe"}, {"sec_fetch_mode": "no-cors"}):
        assert explain("GET", **{**link, **other}) is not None
        assert explain("GET", **{**link, **other, "sec_fetch_site": "same-site"}) is not None


def test_a_person_who_opens_a_page_is_told_from_a_program() -> None:
    assert is_navigation([(b"accept", b"text/html,*/*")], "GET")
    assert is_navigation([(b"sec-fetch-dest", b"document")], "GET")
    assert not is_navigation([(b"sec-fetch-dest", b"empty"), (b"accept", b"text/html")], "GET")
    assert not is_navigation([(b"accept", b"*/*")], "GET")
    assert not is_navigation([(b"accept", b"text/html")], "POST")
