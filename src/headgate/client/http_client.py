"""HTTP as the person that the client is: the object behind `client.http`.

An `httpx2.AsyncClient` with two hooks. What leaves for the client's own server gets
the client's headers, the guest's token and what Django's CSRF check asks for; an
answer of that server that carries `Headgate-Connect` is followed. Requests to other
servers get nothing, and their answers are not followed.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import secrets
import string
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from http.cookiejar import CookieJar
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit, urlunsplit

from headgate.client.cookies import pairs_of, set_cookie
from headgate.client.descriptor import (
    CONNECT_HEADER,
    Descriptor,
    descriptor_in,
    host_of,
)
from headgate.client.errors import (
    ClientClosed,
    ClientError,
    DescriptorRefused,
    Lost,
    retry_after_seconds,
)
from headgate.client.http_limits import Told, limits_in, room_of
from headgate.client.identity import Identity

if TYPE_CHECKING:
    import ssl as ssl_module

    import httpx2

__all__ = ["HttpDoor"]

_log = logging.getLogger("headgate.client")

GUEST_HEADER = "Headgate-Guest"
CSRF_COOKIE, CSRF_HEADER = "csrftoken", "X-CSRFToken"
CSRF_CHARACTERS = 32  # a secret as Django makes it: letters and digits
CONNECT_PATH = "api/v1/connect"

_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})  # RFC 9110, section 9.2.1
_ADDED = "headgate.added"  # extension of a request: the headers that are ours
_UNFOLLOWED = "headgate.unfollowed"  # the same: its answer is not to be followed
_NEEDED = (
    "client.http needs httpx2, which belongs to the client's extra: "
    'pip install "headgate[client]"'
)


class HttpDoor:
    """Makes the one HTTP client of a chat client, when it is first asked for.

    Args:
        url: The client's, as `http(s)://`.
        origin: The Origin of requests that change something.
        headers: Sent to this server.
        jar: Cookies; those that answers set go into it.
        identity: Knows the guest's token.
        follow: Is given each descriptor that comes.
        told: Is given what answers of the chat say of limits, and the room they are
            about or an empty text.
        ssl: For certificates that the system does not know.
        open_timeout_seconds: How long it may take to reach the server.
        reply_timeout_seconds: How long it may be silent.
    """

    def __init__(
        self,
        *,
        url: str,
        origin: str,
        headers: Mapping[str, str],
        jar: CookieJar,
        identity: Identity,
        follow: Callable[[Descriptor], Awaitable[None]],
        told: Callable[[list[Told], str], None],
        ssl: ssl_module.SSLContext | None,
        open_timeout_seconds: float,
        reply_timeout_seconds: float,
    ) -> None:
        self.host = host_of(url)
        self._url = _without_user(url)
        self._headers = {**_basic(url), **headers}
        self._origin = origin
        self._jar = jar
        self._identity = identity
        self._follow = follow
        self._told = told
        self._ssl = ssl
        self._open_timeout_seconds = open_timeout_seconds
        self._reply_timeout_seconds = reply_timeout_seconds
        self._client: httpx2.AsyncClient | None = None
        self._is_closed = False

    @property
    def client(self) -> httpx2.AsyncClient:
        """The HTTP client.

        Raises:
            ClientClosed: After `close`.
            ImportError: httpx2 is not installed.
        """
        if self._is_closed:
            raise ClientClosed
        if self._client is None:
            self._client = self._made()
        return self._client

    async def close(self) -> None:
        """Close its connections, for good."""
        self._is_closed = True
        if self._client is not None:
            await self._client.aclose()

    async def ask_ticket(self) -> Descriptor | None:
        """Return a descriptor for who we are over HTTP; None where there is none.

        Raises:
            Lost: There may be one later, such as after a 429 or a 503.
        """
        try:
            import httpx2
        except ImportError:
            return None
        asked = {_UNFOLLOWED: True}
        try:
            answer = await self.client.post(CONNECT_PATH, json={}, extensions=asked)
        except (httpx2.NetworkError, httpx2.TimeoutException) as exc:
            raise Lost(f"could not ask for a ticket: {type(exc).__name__}") from exc
        except httpx2.HTTPError as exc:  # such as a server of WebSockets alone
            _log.warning("No ticket over HTTP: %s", type(exc).__name__)
            return None
        status = answer.status_code
        if status == HTTPStatus.OK:
            try:
                return descriptor_in(answer.content, self.host)
            except DescriptorRefused as refused:
                _log.warning("No ticket from %s: %s", answer.url.path, refused)
                return None
        if status == HTTPStatus.TOO_MANY_REQUESTS or answer.is_server_error:
            wait = retry_after_seconds(answer.headers.get("Retry-After", ""))
            raise Lost(f"HTTP {status} instead of a ticket", wait)
        return None

    def _made(self) -> httpx2.AsyncClient:
        try:
            import httpx2
        except ImportError as exc:
            raise ImportError(_NEEDED) from exc
        for name in ("httpcore2.http11", "httpcore2.http2"):
            logging.getLogger(name).addFilter(_leave_out_secrets)
        self._own_origin = httpx2.URL(self._url).origin
        tls: dict[str, Any] = {} if self._ssl is None else {"verify": self._ssl}
        return httpx2.AsyncClient(
            base_url=self._url,
            timeout=httpx2.Timeout(
                self._reply_timeout_seconds, connect=self._open_timeout_seconds
            ),
            cookies=self._jar,
            event_hooks={"request": [self._leaves], "response": [self._answered]},
            **tls,
        )

    # --- hooks ---

    async def _leaves(self, request: httpx2.Request) -> None:
        """Give a request what it needs, or take it away where it goes elsewhere."""
        for name in request.extensions.get(_ADDED, ()):
            request.headers.pop(name, None)  # of the request that was redirected here
        added: list[str] = []
        if self._is_ours(request.url):
            default = self.client.headers
            for name, value in self._headers_for(request).items():
                if request.headers.get(name) == default.get(name):
                    request.headers[name] = value
                    added.append(name)
        request.extensions = {**request.extensions, _ADDED: added}

    def _headers_for(self, request: httpx2.Request) -> dict[str, str]:
        headers = dict(self._headers)
        if self._identity.guest is not None:
            headers[GUEST_HEADER] = self._identity.guest
        if request.method not in _SAFE:
            headers["Origin"] = self._origin
            headers[CSRF_HEADER] = self._csrf_token(request)
        return headers

    def _csrf_token(self, request: httpx2.Request) -> str:
        """Return the token that goes with the cookie, both made here if need be.

        The check is against pages that make a browser send its cookies. A program
        that holds the cookies is none: it may choose the token.
        """
        cookies = request.headers.get("Cookie", "")
        token = pairs_of(cookies).get(CSRF_COOKIE)
        if token is None:
            alphabet = string.ascii_letters + string.digits
            token = "".join(secrets.choice(alphabet) for _ in range(CSRF_CHARACTERS))
            set_cookie(self._jar, self._url, CSRF_COOKIE, token)
            pair = f"{CSRF_COOKIE}={token}"
            request.headers["Cookie"] = f"{cookies}; {pair}" if cookies else pair
        return token

    async def _answered(self, response: httpx2.Response) -> None:
        """Learn from an answer, and follow it; it is the caller's all the same."""
        if self._is_ours(response.request.url):
            self._learn(response)
        header = response.headers.get(CONNECT_HEADER)
        if response.request.extensions.get(_UNFOLLOWED):
            return
        if not self._is_ours(response.request.url):
            if header is not None:
                _log.warning(
                    "Not connected by the answer of %s: this client is for %s",
                    response.request.url.host,
                    self.host,
                )
            return
        guest = response.headers.get(GUEST_HEADER)
        if guest is not None:
            self._identity.met_guest(guest)
        if header is None:
            return
        path = response.request.url.path
        try:
            async with asyncio.timeout(self._open_timeout_seconds):
                await self._follow(descriptor_in(header, self.host))
        except TimeoutError:
            _log.warning("Not connected in time by the answer of %s", path)
        except ClientError as exc:
            _log.warning("Not connected by the answer of %s: %s", path, exc)

    def _learn(self, response: httpx2.Response) -> None:
        """Take in what an answer of the chat says of limits."""
        path = response.request.url.path
        chat = urlsplit(self._url).path.rstrip("/") + "/"
        room = room_of(path.removeprefix(chat)) if path.startswith(chat) else None
        limits = limits_in(response.status_code, response.headers)
        if room is not None and limits:
            self._told(limits, room)

    def _is_ours(self, url: httpx2.URL) -> bool:
        return url.origin == self._own_origin


def _without_user(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _basic(url: str) -> dict[str, str]:
    """Return the header for `http://user:password@host`, as the WebSocket sends it."""
    parts = urlsplit(url)
    if parts.username is None:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def _leave_out_secrets(record: logging.LogRecord) -> bool:
    """Keep tickets and guests' tokens out of what httpcore2 tells at its loudest."""
    if "headgate-" in record.getMessage().lower():
        record.msg, record.args = "headers left out: they hold a ticket", ()
    return True
