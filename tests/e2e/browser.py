"""A browser as far as forms go: it keeps cookies and sends what pages ask for.

browser = Browser(server)
browser.sign_in("ada")
async with welcomed(server.ws_url, origin=server.url, cookie=browser.cookie): ...
browser.sign_out()
"""

from __future__ import annotations

import urllib.parse
import urllib.request
from http.cookiejar import CookieJar

from tests.e2e.accounts import PASSWORD
from tests.servers import HeadgateServer

__all__ = ["Browser"]

LIMIT_SECONDS = 30.0


class Browser:
    """One browser, on the pages of a server. Its calls wait for the answers."""

    def __init__(self, server: HeadgateServer) -> None:
        self._url = server.url
        self._cookies = CookieJar()
        self._opener = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(self._cookies),
        )

    @property
    def cookie(self) -> str:
        """The header by which it is known, also to a WebSocket."""
        return f"sessionid={self._value('sessionid')}"

    def sign_in(self, name: str) -> None:
        """Fill in the form of the page."""
        self._post("/sign-in/", username=name, password=PASSWORD)

    def sign_out(self) -> None:
        """Press the button of the page."""
        self._post("/sign-out/", form="/")

    def change_password(self, new: str) -> None:
        """Fill in the form of the admin, which keeps one signed in."""
        self._post(
            "/admin/password_change/",
            old_password=PASSWORD,
            new_password1=new,
            new_password2=new,
        )

    def _post(self, path: str, *, form: str | None = None, **fields: str) -> None:
        with self._opener.open(self._url + (form or path), timeout=LIMIT_SECONDS):
            pass  # the form's cookie is what matters
        fields["csrfmiddlewaretoken"] = self._value("csrftoken")
        data = urllib.parse.urlencode(fields).encode()
        where = self._url + path
        with self._opener.open(where, data, timeout=LIMIT_SECONDS) as answer:
            if answer.url == where:
                raise RuntimeError(f"{path} shows the form again")

    def _value(self, name: str) -> str:
        for cookie in self._cookies:
            if cookie.name == name and cookie.value is not None:
                return cookie.value
        raise RuntimeError(f"the server set no cookie {name!r}")
