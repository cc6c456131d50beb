"""The façade: what an application calls.

Start reading here and in `writing`, then `link` (what outlives a socket), `visit` (the
work on one), `connection` (the socket), `rooms` (order), `outbox` (what is not
acknowledged) and `pacing` (when it may go). How an HTTP answer connects:
`http_client`, `descriptor`, `following`, `identity`.
"""

from __future__ import annotations

import asyncio
import random as random_module
import time
from typing import TYPE_CHECKING, Any, Literal, Self, overload

from headgate.client.arguments import valid_room, valid_seq
from headgate.client.backoff import Backoff
from headgate.client.cookies import in_jar
from headgate.client.descriptor import Descriptor, descriptor_of
from headgate.client.dial import Dial, addresses
from headgate.client.following import follow
from headgate.client.growing import GrowingTexts
from headgate.client.http_client import HttpDoor
from headgate.client.identity import Identity
from headgate.client.inbox import Inbox
from headgate.client.incoming import Page, Push
from headgate.client.link import Link
from headgate.client.outbox import Outbox
from headgate.client.pacing import Pacing
from headgate.client.writer import Writer
from headgate.client.writing import Writing
from headgate.protocol.commands import Hello, History

if TYPE_CHECKING:
    import ssl as ssl_module
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping

    import httpx2

    from headgate.client.http_limits import Told
    from headgate.client.state import State
    from headgate.protocol.pushes import Author, EventsPage, MessagesPage, RoomJoined

__all__ = ["Client"]

AGENT = "headgate-python"


class Client(Writing):
    """A chat client that comes back by itself.

    ```python
    async with Client("http://127.0.0.1:8000", rooms=["general"]) as client:
        await client.send("general", "hi")
        async for push in client:
            ...
    ```

    Without `rooms` it may also be nobody yet: where the server does not know it, it
    waits for an HTTP answer that says who it is and where to.

    ```python
    async with Client(url, headers={"Authorization": "Token …"}) as client:
        await client.http.post("/orders/7/comment", json={"text": "Where is it?"})
        ...  # connected to the order's room
    ```

    Args:
        url: Where the chat is, `http(s)://` or `ws(s)://`, with the prefix if it has
            one; `/ws/chat/` is added.
        rooms: Rooms to watch from the start.
        name: The name that a guest wants.
        guest: The `guest` of an earlier client, to be the same guest again.
        cookies: Sent when connecting and by `http`, such as Django's session cookie.
        headers: Sent when connecting and by `http`.
        origin: The Origin header; by default the origin of `url`.
        ssl: For certificates that the system does not know.
        min_backoff_seconds: The ceiling of the first wait before coming back.
        max_backoff_seconds: The highest ceiling of such a wait.
        stable_seconds: How long a connection must hold for the waits to start over.
        open_timeout_seconds: How long a socket may take to open, and then the
            welcome to come.
        reply_timeout_seconds: Without a reply for so long, a connection is dead.
        max_outbox_items: How many messages may wait for their acknowledgement.
        max_outbox_bytes: How many bytes they may have together.
        max_outbox_age_seconds: How long they may wait for anything but a limit before
            they fail as `Expired`; by default for ever.
        keep_failed: Whether messages that have failed stay in `outbox`, before those
            behind them, for `retry` or `discard`.
        max_inbox_items: How many pushes may wait to be read; when there are more,
            the socket is not read.
        on_state: Called with each new state; must neither raise nor block.
        random: Gives numbers in [0, 1).
        clock: Gives seconds that never run backwards.
    """

    def __init__(
        self,
        url: str,
        *,
        rooms: Iterable[str] = (),
        name: str | None = None,
        guest: str | None = None,
        cookies: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        origin: str | None = None,
        ssl: ssl_module.SSLContext | None = None,
        min_backoff_seconds: float = 0.5,
        max_backoff_seconds: float = 20.0,
        stable_seconds: float = 10.0,
        open_timeout_seconds: float = 10.0,
        reply_timeout_seconds: float = 20.0,
        max_outbox_items: int = 1000,
        max_outbox_bytes: int = 4 * 2**20,
        max_outbox_age_seconds: float | None = None,
        keep_failed: bool = False,
        max_inbox_items: int = 10_000,
        on_state: Callable[[State], None] | None = None,
        random: Callable[[], float] = random_module.random,  # noqa: S311 - no secret
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        where = addresses(url)
        sent, jar = in_jar(where.http, headers, cookies)
        identity = Identity(guest, clock)
        self._first_rooms = [valid_room(room) for room in dict.fromkeys(rooms)]
        self._inbox: Inbox[Push] = Inbox(max_inbox_items)
        self._texts = GrowingTexts()
        outbox = Outbox(
            max_items=max_outbox_items,
            max_bytes=max_outbox_bytes,
            max_age_seconds=max_outbox_age_seconds,
            keep_failed=keep_failed,
        )
        pacing = Pacing()
        self._door = HttpDoor(
            url=where.http,
            origin=origin or where.origin,
            headers=sent,
            jar=jar,
            identity=identity,
            follow=self._follow,
            told=self._told,
            ssl=ssl,
            open_timeout_seconds=open_timeout_seconds,
            reply_timeout_seconds=reply_timeout_seconds,
        )
        self._link = Link(
            Dial(
                url=where.socket,
                origin=origin or where.origin,
                headers=sent,
                jar=jar,
                ssl=ssl,
                open_timeout_seconds=open_timeout_seconds,
                reply_timeout_seconds=reply_timeout_seconds,
                clock=clock,
            ),
            backoff=Backoff(
                min_seconds=min_backoff_seconds,
                cap_seconds=max_backoff_seconds,
                stable_seconds=stable_seconds,
                random=random,
                clock=clock,
            ),
            outbox=outbox,
            pacing=pacing,
            inbox=self._inbox,
            identity=identity,
            hello=Hello(name=name, agent=AGENT),
            ask_ticket=self._door.ask_ticket,
            random=random,
            clock=clock,
            on_state=on_state,
        )
        self._writer = Writer(self._link, outbox, pacing, clock)
        self._was_opened = False

    # --- open and close -----------------------------------------------------------

    async def open(self) -> None:
        """Connect and join the first rooms, for as long as that takes.

        A server that is away is waited for: put a limit around this, not around the
        whole client, if that is not wanted.

        Without first rooms, a server that does not know us is no error: this returns,
        `user` is None, and the client connects by an HTTP answer that is for it, or
        tries again at the first call that needs a connection.

        Raises:
            RoomRefused: One of the first rooms is not for us; the client is closed.
            ClosedByServer: The server does not want us.
        """
        if self._was_opened:
            raise RuntimeError("a client is opened once")
        self._was_opened = True
        if self._first_rooms:
            self._link.want()
        self._link.begin()
        try:
            await self._link.settled()
            watching = self._link.watching
            first = [watching.add(room, None, None) for room in self._first_rooms]
            for room in first:
                await asyncio.shield(room.joined)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Say goodbye and end; what is not acknowledged raises `NotSent`."""
        try:
            await self._link.close()
        finally:
            await self._door.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # --- what it knows ------------------------------------------------------------

    @property
    def state(self) -> State:
        """What the client is doing about its connection."""
        return self._link.states.now

    def states(self) -> AsyncIterator[State]:
        """Return the state now and each that follows, for `async for`.

        Any number of loops may read them; one that is slow gets the latest. They end
        with the closed state, and raise nothing.
        """
        return self._link.states.each()

    def retry_now(self) -> None:
        """Do not wait for the next try; what the server has asked to wait is waited.

        It does nothing where there is a connection, or a try is under way.

        Raises:
            ClientError: What has ended the client.
        """
        self._link.check_begun()
        self._link.retry_now()

    @property
    def user(self) -> Author | None:
        """Who we are, once welcomed."""
        return self._link.identity.user

    @property
    def guest(self) -> str | None:
        """What to pass as `guest` to be the same guest again; a secret."""
        return self._link.identity.guest

    # --- HTTP ---------------------------------------------------------------------

    @property
    def http(self) -> httpx2.AsyncClient:
        """HTTP as the same person, with paths below this client's `url`.

        An answer with the header `Headgate-Connect`, such as that of a view under
        `@headgate.connects(…)`, is followed before it is returned: the client is
        connected then and watches the rooms. Where that does not come about within
        `open_timeout_seconds`, or may not be, the log `headgate.client` says why.

        Cookies are shared with the WebSocket, both ways, and CSRF's token is sent.
        Nothing is sent again by itself, a 429 with Retry-After neither.

        Raises:
            ClientClosed: After `close()`.
            ImportError: httpx2 is not installed.
        """
        return self._door.client

    async def attach(self, descriptor: Mapping[str, Any]) -> None:
        """Connect as a descriptor says that came in a body, and join its rooms.

        Such as that of `POST /api/v1/connect`, or of `headgate.descriptor()`. A
        client that was not opened is open then, and is to be closed.

        Raises:
            DescriptorRefused: It is none, or for another host or somebody else.
            RoomRefused: One of its rooms is not for us.
            ClosedByServer: The server does not want us.
        """
        await self._follow(descriptor_of(descriptor, self._door.host))

    # --- reading ------------------------------------------------------------------

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Push:
        """Return the next push.

        Of each room the events in the order of the log, without holes and doubles;
        `Reset` where that is impossible; signals, a `Partial` with what is new; changes
        of rooms; this client's own `RoomLost` and `UnknownEvent`. Ends after `close()`,
        and raises `ClosedByServer` or `IdentityChanged` if that ended the client.
        """
        while (push := self._texts.take(await self._inbox.get())) is None:
            pass
        return push

    @overload
    async def history(
        self,
        room: str,
        *,
        of: Literal["messages"] = "messages",
        before: int | None = None,
        after: int | None = None,
        to: int | None = None,
        limit: int = 50,
    ) -> MessagesPage: ...
    @overload
    async def history(
        self,
        room: str,
        *,
        of: Literal["events"],
        before: int | None = None,
        after: int | None = None,
        to: int | None = None,
        limit: int = 50,
    ) -> EventsPage: ...

    async def history(
        self,
        room: str,
        *,
        of: Literal["messages", "events"] = "messages",
        before: int | None = None,
        after: int | None = None,
        to: int | None = None,
        limit: int = 50,
    ) -> MessagesPage | EventsPage:
        """Return a page of messages as they are now, or of events as they happened."""
        self._link.need()
        page = await self._link.ask(
            History(room=room, of=of, before=before, after=after, to=to, limit=limit)
        )
        if isinstance(page, Page):
            return page.known(room)
        self._texts.know(page.messages)
        return page

    # --- rooms and signals --------------------------------------------------------

    async def join(
        self,
        room: str,
        after: int | None = None,
        *,
        epoch: str | None = None,
    ) -> RoomJoined:
        """Watch a room, from now or from the event after `after` on.

        Returns what the server said of it; at once if it is watched already.

        Raises:
            RoomRefused: It is not for us.
        """
        self._link.need()
        watched = self._link.watching.add(valid_room(room), after, epoch)
        return await asyncio.shield(watched.joined)

    async def leave(self, room: str) -> None:
        """Stop watching a room. Pushes that were read before may still come."""
        self._link.need()
        await self._link.leave(room)

    def typing(self, room: str, on: bool = True) -> None:  # noqa: FBT001, FBT002 - like a switch
        """Say that one is writing, or no longer; call it as often as you like.

        It goes as often as the server wants to hear it, the latest first of all, and
        is lost when there is no connection.
        """
        self._link.need()
        self._link.typing(valid_room(room), on)

    def read(self, room: str, seq: int) -> None:
        """Move one's read mark up to `seq`; call it for every event that was read.

        The latest mark of a room goes when none has come for 0.5 s, after 2 s at the
        most, and when the client closes; without a connection, on the next one. Where
        the server refuses it, the log `headgate.client` says so.

        Raises:
            ValueError: It is no seq.
        """
        self._link.need()
        self._link.read(valid_room(room), valid_seq(seq))

    async def ping(self) -> float:
        """Return how many seconds the server takes to answer.

        Raises:
            NotConnected: There is no connection now, or it was lost.
        """
        self._link.need()
        return await self._link.ping()

    # --- inside -------------------------------------------------------------------

    async def _follow(self, found: Descriptor) -> None:
        await follow(self._link, found)

    def _told(self, limits: list[Told], room: str) -> None:
        self._writer.told(limits, room)
