"""The Origin check of the handshake: exact, on by default.

A browser sends the page's origin with a WebSocket handshake and the user's cookies
with it, whatever page that is (CWE-1385). So an Origin must be one of ours, to the
letter; and where there is none, cookies do not count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http.request import split_domain_port, validate_host

from headgate.chat.conf import conf

__all__ = ["allowed_origins", "header", "origin_allowed"]

_DEFAULT_PORTS = {"http": 80, "https": 443}
_LOCAL = [".localhost", "127.0.0.1", "[::1]"]  # what Django allows with DEBUG


def header(scope: Mapping[str, Any], name: bytes) -> list[str]:
    """Return all values of a header, as Latin-1 text."""
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def origin_allowed(scope: Mapping[str, Any], *, by_cookie: bool) -> bool:
    """Return whether a handshake's Origin may come in.

    Without an Origin it may unless a cookie identifies the caller: programs send
    none, browsers always do. Two Origins are never right.
    """
    given = header(scope, b"origin")
    if not given:
        return not by_cookie
    if len(given) > 1:
        return False
    origin = _normal(given[0])
    return origin is not None and origin in allowed_origins(scope)


def allowed_origins(scope: Mapping[str, Any]) -> set[str]:
    """Return the origins that may open a WebSocket to where this request went."""
    listed: Iterable[str] | None = conf().ALLOWED_ORIGINS
    if listed is None:
        own = _own(scope)
        listed = [*settings.CSRF_TRUSTED_ORIGINS, *([own] if own else [])]
    return {normal for origin in listed if (normal := _normal(origin)) is not None}


def _own(scope: Mapping[str, Any]) -> str | None:
    """Return the origin of the server itself, as the client sees it."""
    hosts = header(scope, b"host")
    if len(hosts) != 1:
        return None
    domain, _port = split_domain_port(hosts[0])
    allowed = settings.ALLOWED_HOSTS or (_LOCAL if settings.DEBUG else [])
    if not domain or not validate_host(domain, allowed):
        return None
    return f"{_scheme(scope)}://{hosts[0]}"


def _scheme(scope: Mapping[str, Any]) -> str:
    """Return http or https, by SECURE_PROXY_SSL_HEADER where that is set."""
    trusted = settings.SECURE_PROXY_SSL_HEADER
    if trusted:
        name, secure = trusted
        values = header(
            scope, name.removeprefix("HTTP_").replace("_", "-").lower().encode()
        )
        if values:
            return "https" if values[-1].split(",")[0].strip() == secure else "http"
    return "https" if scope.get("scheme") in {"wss", "https"} else "http"


def _normal(origin: str) -> str | None:
    """Return an origin as scheme://host:port, or None for what is none (RFC 6454).

    Only what a browser could have sent: no path, no credentials, nothing to trim.
    """
    if not origin.isascii() or origin != origin.strip():
        return None
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        return None
    scheme, host = parts.scheme, parts.hostname
    if (
        scheme not in _DEFAULT_PORTS
        or not host
        or origin != f"{scheme}://{parts.netloc}"
    ):
        return None
    if "@" in parts.netloc or parts.netloc.endswith(":") or origin != origin.lower():
        return None
    if port is None:
        port = _DEFAULT_PORTS[scheme]
    elif not parts.netloc.endswith(f":{port}"):
        return None  # spelt as no browser spells it, such as :0443
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}:{port}"
