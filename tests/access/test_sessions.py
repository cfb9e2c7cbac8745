"""Links that let one browser in once, and the cookies by which it is known afterwards."""

from __future__ import annotations

import pytest

from sentiflow.access.sessions import LINK_PARAMETER, Sessions

DAY = 24 * 3_600.0


def take_token(link: str) -> str:
    return link.partition(f"{LINK_PARAMETER}=")[2].partition("#")[0]


def take_cookie(header: str) -> str:
    return header.partition(";")[0]


def test_a_link_lets_one_browser_in_once() -> None:
    sessions = Sessions("secret", "mlflow")
    link = sessions.make_link("http://127.0.0.1:5000/#/experiments?a=b", now=0.0)
    assert link.startswith(f"http://127.0.0.1:5000/?{LINK_PARAMETER}=")
    assert link.endswith("#/experiments?a=b")
    token = take_token(link)
    assert sessions.use_link(token, now=60.0)
    assert not sessions.use_link(token, now=60.0)
    assert sessions.make_link("http://h/", now=0.0) != sessions.make_link("http://h/", now=0.0)


def test_a_link_ends_after_a_day_and_a_cookie_after_thirty() -> None:
    sessions = Sessions("secret", "mlflow")
    token = take_token(sessions.make_link("http://h", now=0.0))
    assert not sessions.use_link(token, now=DAY + 1)
    cookie = take_cookie(sessions.make_cookie(now=0.0))
    assert sessions.is_open(cookie, now=29 * DAY)
    assert not sessions.is_open(cookie, now=31 * DAY)


def test_neither_opens_another_service_or_another_home() -> None:
    mine = Sessions("secret", "mlflow")
    token, cookie = take_token(mine.make_link("http://h")), take_cookie(mine.make_cookie())
    for other in (Sessions("secret", "prefect"), Sessions("another", "mlflow")):
        assert not other.use_link(token)
        assert not other.is_open(cookie)
        renamed = f"{other.cookie_name}={cookie.partition('=')[2]}"
        assert not other.is_open(renamed)
        assert other.cookie_name != mine.cookie_name, "a host's ports share their cookies"


def test_a_restarted_server_knows_a_browser_again_among_other_cookies() -> None:
    cookie = take_cookie(Sessions("secret", "prefect").make_cookie())
    again = Sessions("secret", "prefect")
    assert again.is_open(f'odd="a;b"; {cookie}; session=x')
    assert not again.is_open("")


@pytest.mark.parametrize("change", ["{}x", "x{}", "9{}", "", ".", "99999999999.aa", "ü.{}"])
def test_what_was_not_signed_opens_nothing(change: str) -> None:
    sessions = Sessions("secret", "prefect")
    token = take_token(sessions.make_link("http://h"))
    assert not sessions.use_link(change.format(token))
    cookie = take_cookie(sessions.make_cookie())
    name, _, value = cookie.partition("=")
    assert not sessions.is_open(f"{name}={change.format(value)}")
    # A link's token is no cookie, and a cookie no link.
    assert not sessions.is_open(f"{name}={token}")
    assert not sessions.use_link(value)


def test_scripts_and_other_sites_requests_do_not_get_the_cookie() -> None:
    parts = Sessions("secret", "prefect").make_cookie().split("; ")
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(parts)
