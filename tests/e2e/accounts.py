"""Accounts on a server: made by its command, signed in as a browser does it."""

from __future__ import annotations

import urllib.parse
import urllib.request
from http.cookiejar import CookieJar

from tests.servers import HeadgateServer, run_headgate

__all__ = ["PASSWORD", "make_account", "sign_in"]

PASSWORD = "long enough for all of the validators"


def make_account(server: HeadgateServer, name: str) -> None:
    """Make a user who may use the admin."""
    where = ["--data", str(server.data)]
    if server.database_url is not None:
        where += ["--database", server.database_url]
    made = run_headgate("user", name, "--staff", *where, given=f"{PASSWORD}\n")
    if made.returncode:
        raise RuntimeError(f"headgate user failed: {made.stderr}")


def sign_in(server: HeadgateServer, name: str) -> str:
    """Sign in with the form of the admin, and return the cookies as a header."""
    cookies = CookieJar()
    browser = urllib.request.build_opener(
        urllib.request.HTTPCookieProcessor(cookies),
    )
    form_url = f"{server.url}/admin/login/"
    with browser.open(form_url, timeout=30):
        pass  # the form's cookie is what matters
    form = {
        "username": name,
        "password": PASSWORD,
        "csrfmiddlewaretoken": _value(cookies, "csrftoken"),
        "next": "/healthz",
    }
    with browser.open(form_url, urllib.parse.urlencode(form).encode(), timeout=30):
        pass
    return f"sessionid={_value(cookies, 'sessionid')}"


def _value(cookies: CookieJar, name: str) -> str:
    for cookie in cookies:
        if cookie.name == name and cookie.value is not None:
            return cookie.value
    raise RuntimeError(f"the server set no cookie {name!r}")
