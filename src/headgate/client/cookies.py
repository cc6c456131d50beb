"""The cookies of one client, for its requests and its handshakes alike.

What an answer sets is sent with the next handshake too: after a new password, say, the
session has another key. A cookie goes to the host that it is of and to no other.
"""

from __future__ import annotations

import re
from http.cookiejar import Cookie, CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import Request

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["cookie_header", "in_jar", "pairs_of", "set_cookie"]

_PORT = re.compile(r":\d+$")


def in_jar(
    url: str,
    headers: Mapping[str, str] | None,
    cookies: Mapping[str, str] | None,
) -> tuple[dict[str, str], CookieJar]:
    """Return headers without their cookies, and a jar with all cookies.

    They are for the host of `url`, which is `http(s)://`.
    """
    exact = DefaultCookiePolicy.DomainStrictNonDomain  # not for hosts below it either
    jar = CookieJar(DefaultCookiePolicy(strict_ns_domain=exact))
    others: dict[str, str] = {}
    pairs: dict[str, str] = {}
    for name, value in (headers or {}).items():
        if name.lower() == "cookie":
            pairs |= pairs_of(value)
        else:
            others[name] = value
    for name, value in (pairs | dict(cookies or {})).items():
        set_cookie(jar, url, name, value)
    return others, jar


def set_cookie(jar: CookieJar, url: str, name: str, value: str) -> None:
    """Put a cookie into a jar, for all of a host, until the client ends."""
    host = _PORT.sub("", urlsplit(url).netloc.rpartition("@")[2]).lower()
    jar.set_cookie(
        Cookie(
            version=0,
            name=name,
            value=value,
            port=None,
            port_specified=False,
            # As the standard library spells a host that is no name with dots.
            domain=host if "." in host else f"{host}.local",
            domain_specified=False,
            domain_initial_dot=False,
            path="/",
            path_specified=True,
            secure=False,
            expires=None,
            discard=True,
            comment=None,
            comment_url=None,
            rest={},
        )
    )


def cookie_header(jar: CookieJar, url: str) -> str | None:
    """Return the Cookie header of a request to `url`, or None if there is none."""
    parts = urlsplit(url)
    netloc = parts.netloc.rpartition("@")[2]
    # Nothing is opened: the jar asks for one.
    request = Request(f"{parts.scheme}://{netloc}{parts.path or '/'}")  # noqa: S310
    jar.add_cookie_header(request)
    return request.get_header("Cookie")


def pairs_of(header: str) -> dict[str, str]:
    """Return the cookies of a Cookie header; of two of one name the last, as Django."""
    pairs = (part.partition("=") for part in header.split(";"))
    return {name.strip(): value.strip() for name, _, value in pairs if name.strip()}
