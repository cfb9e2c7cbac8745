"""Links that let a browser in without a password, and the cookies they leave there."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit, urlunsplit

LINK_PARAMETER: Final = "sentiflow-link"
# A link works once; the one that `up` printed in the morning shall open the page at night.
_LINK_SECONDS: Final = 24 * 3_600
_SESSION_SECONDS: Final = 30 * 24 * 3_600


@dataclass
class Sessions:
    """Makes and checks the links and cookies of one service of one home.

    Attributes:
        secret: the home's; who has it can make links.
        service: `prefect` or `mlflow`; a link to one opens no other.
    """

    secret: str
    service: str
    _used: set[str] = field(default_factory=set, init=False, repr=False)

    @property
    def cookie_name(self) -> str:
        """The cookie's name. A host's ports share cookies, so service and home are in it."""
        return f"sentiflow-{self.service}-{self._sign('name')[:8]}"

    def make_link(self, url: str, now: float | None = None) -> str:
        """Return an address with a token that lets one browser in, once.

        Args:
            url: the page; its fragment stays.
            now: seconds since 1970; default: the clock's.
        """
        expires = int((time.time() if now is None else now) + _LINK_SECONDS)
        token = f"{expires}.{secrets.token_urlsafe(9)}"
        parts = urlsplit(url)
        query = "&".join(
            part for part in (parts.query, f"{LINK_PARAMETER}={self._seal(token)}") if part
        )
        return urlunsplit(parts._replace(path=parts.path or "/", query=query))

    def use_link(self, token: str, now: float | None = None) -> bool:
        """Return whether a link's token holds, and let it hold no second time."""
        if token in self._used or not self._holds(token, now):
            return False
        self._used.add(token)
        return True

    def make_cookie(self, now: float | None = None) -> str:
        """Return a Set-Cookie header: not for scripts, not for requests of other sites."""
        expires = int((time.time() if now is None else now) + _SESSION_SECONDS)
        value = self._seal(str(expires), "session")
        return (
            f"{self.cookie_name}={value}; Path=/; Max-Age={_SESSION_SECONDS}; HttpOnly; "
            # Not Strict: a link to a run in a mail or a chat opens the page. Whatever else
            # another site sends is refused by its Origin and Sec-Fetch headers.
            "SameSite=Lax"
        )

    def is_open(self, cookies: str, now: float | None = None) -> bool:
        """Return whether a Cookie header holds a session of this service."""
        shown = (part.strip().partition("=") for part in cookies.split(";"))
        return any(
            name == self.cookie_name and self._holds(value, now, "session")
            for name, _, value in shown
        )

    def _holds(self, sealed: str, now: float | None, purpose: str = "link") -> bool:
        content, _, _ = sealed.rpartition(".")
        expires = content.split(".")[0]
        if not hmac.compare_digest(self._seal(content, purpose).encode(), sealed.encode()):
            return False
        return (time.time() if now is None else now) < int(expires)

    def _seal(self, content: str, purpose: str = "link") -> str:
        return f"{content}.{self._sign(f'{purpose}/{content}')}"

    def _sign(self, content: str) -> str:
        message = f"{self.service}/{content}".encode()
        return hmac.new(self.secret.encode(), message, hashlib.sha256).hexdigest()
