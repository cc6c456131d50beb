"""The façade: what an application calls.

Start reading here, then `link` (what outlives a socket), `visit` (the work on one),
`connection` (the socket), `rooms` (order) and `outbox` (what is not acknowledged). How
an HTTP answer connects: `http_client`, `descriptor`, `following`, `identity`.
"""

from __future__ import annotations

import asyncio
import random as random_module
import secrets
import time
from typing import TYPE_CHECKING, Any, Literal, Self, overload

from headgate.client.backoff import Backoff
from headgate.client.cookies import in_jar
from headgate.client.descriptor import Descriptor, descriptor_of
from headgate.client.dial import Dial, addresses
from headgate.client.errors import ClientClosed, Lost, NotConnected, Refused
from headgate.client.following import follow
from headgate.client.http_client import HttpDoor
from headgate.client.identity import Identity
from headgate.client.inbox import Inbox
from headgate.client.incoming import Page, Push, encode_command
from headgate.client.link import Link
from headgate.client.outbox import Entry, Outbox, Sent
from headgate.protocol.codec import BadCommand, decode_command, error, is_room_slug
from headgate.protocol.codes import Code
from headgate.protocol.commands import (
    Delete,
    Edit,
    Hello,
    History,
    Leave,
    Ping,
    Read,
    Send,
    Typing,
)
from headgate.protocol.fields import ROOM_RULE

if TYPE_CHECKING:
    import ssl as ssl_module
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType

    import httpx2

    from headgate.client.state import State
    from headgate.protocol.fields import Format, Priority
    from headgate.protocol.pushes import (
        Author,
        EventsPage,
        MessagesPage,
        RoomJoined,
    )

__all__ = ["Client"]

AGENT = "headgate-python"


class Client:
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
        max_inbox_items: int = 10_000,
        on_state: Callable[[State], None] | None = None,
        random: Callable[[], float] = random_module.random,  # noqa: S311 - no secret
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        where = addresses(url)
        sent, jar = in_jar(where.http, headers, cookies)
        identity = Identity(guest, clock)
        self._first_rooms = [_checked(room) for room in dict.fromkeys(rooms)]
        self._clock = clock
        self._inbox: Inbox[Push] = Inbox(max_inbox_items)
        self._door = HttpDoor(
            url=where.http,
            origin=origin or where.origin,
            headers=sent,
            jar=jar,
            identity=identity,
            follow=self._follow,
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
            outbox=Outbox(max_items=max_outbox_items, max_bytes=max_outbox_bytes),
            inbox=self._inbox,
            identity=identity,
            hello=Hello(name=name, agent=AGENT),
            ask_ticket=self._door.ask_ticket,
            clock=clock,
            on_state=on_state,
        )
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

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    # --- what it knows ------------------------------------------------------------

    @property
    def state(self) -> State:
        """What the client is doing about its connection."""
        return self._link.state

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

    async def connect(self, descriptor: Mapping[str, Any]) -> None:
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
        `Reset` where that is impossible; signals; `RoomChanged` and `Rooms`; and this
        client's own `RoomLost` and `UnknownEvent`. Ends after `close()`, and raises
        `ClosedByServer` or `IdentityChanged` if that ended the client.
        """
        return await self._inbox.get()

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
        self._check_open()
        page = await self._link.ask(
            History(room=room, of=of, before=before, after=after, to=to, limit=limit)
        )
        return page.known(room) if isinstance(page, Page) else page

    # --- writing ------------------------------------------------------------------

    async def send(
        self,
        room: str,
        text: str,
        *,
        client_id: str | None = None,
        kind: str = "text",
        format: Format = "plain",  # noqa: A002 - the name on the wire
        data: dict[str, Any] | None = None,
        reply_to: int | None = None,
        priority: Priority = "normal",
        expires_in_ms: int | None = None,
    ) -> Sent:
        """Send a message and return once it is saved, however long that takes.

        Waits out limits and lost connections; messages to a room go in the order of
        the calls. A call that is cancelled is not sent again; if it was on its way,
        it may be saved.

        Raises:
            Refused: The server said no.
            OutboxFull: Too much waits already; nothing was queued.
            NotSent: The client ended first.
            ValueError: A message with this client_id waits in this room already.
        """
        command = Send(
            room=room,
            text=text,
            client_id=client_id or secrets.token_urlsafe(16),
            kind=kind,
            format=format,
            data=data,
            reply_to=reply_to,
            priority=priority,
            expires_in_ms=expires_in_ms,
        )
        return await self._write(command, command.client_id)

    async def edit(
        self,
        room: str,
        target: int,
        text: str,
        *,
        format: Format = "plain",  # noqa: A002 - the name on the wire
        data: dict[str, Any] | None = None,
    ) -> Sent:
        """Replace the text of the message with the seq `target`; raises as `send`.

        In order with messages to the same room. After a lost reply it is sent again,
        so that it may overwrite what somebody else wrote in between.
        """
        command = Edit(room=room, target=target, text=text, format=format, data=data)
        return await self._write(command, None)

    async def delete(self, room: str, target: int) -> Sent:
        """Delete the message with the seq `target`; raises as `send`."""
        return await self._write(Delete(room=room, target=target), None)

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
        self._check_open()
        watched = self._link.watching.add(_checked(room), after, epoch)
        return await asyncio.shield(watched.joined)

    async def leave(self, room: str) -> None:
        """Stop watching a room. Pushes that were read before may still come."""
        self._check_open()
        self._link.watching.remove(room)
        connection = self._link.connection
        if connection is not None:
            try:
                await connection.call(Leave(room=room))
            except (Lost, Refused):
                return  # then it is not watched either

    async def typing(self, room: str, on: bool = True) -> None:  # noqa: FBT001, FBT002 - like a switch
        """Say that one is writing, or no longer; lost when there is no connection."""
        self._check_open()
        connection = self._link.connection
        if connection is not None:
            try:
                await connection.tell(Typing(room=room, typing=on))
            except Lost:
                return

    async def read(self, room: str, seq: int) -> None:
        """Move one's read mark up to `seq`; raises `Refused`."""
        self._check_open()
        await self._link.ask(Read(room=room, seq=seq))

    async def ping(self) -> float:
        """Return how many seconds the server takes to answer.

        Raises:
            NotConnected: There is no connection now, or it was lost.
        """
        self._check_open()
        connection = self._link.connection
        if connection is None:
            raise NotConnected(self.state.reason)
        began = self._clock()
        try:
            await connection.call(Ping())
        except Lost as lost:
            raise NotConnected(lost.reason) from lost
        return self._clock() - began

    # --- inside -------------------------------------------------------------------

    async def _follow(self, found: Descriptor) -> None:
        await follow(self._link, found)

    def _check_open(self) -> None:
        if not self._link.is_begun:
            raise ClientClosed
        self._link.check()
        self._link.want()

    async def _write(
        self,
        command: Send | Edit | Delete,
        client_id: str | None,
    ) -> Sent:
        if not self._link.is_begun:
            raise ClientClosed
        self._link.want()
        text = encode_command(command)
        # A command that the server cannot take is refused here: it counts against
        # the connection there, and one that is far too large would end it.
        try:
            decode_command(text)
        except BadCommand as bad:
            raise Refused(bad.error) from None
        size_bytes = len(text.encode())
        if size_bytes > self._link.max_message_bytes:
            raise Refused(error(Code.TOO_LARGE))
        answer: asyncio.Future[Sent] = asyncio.get_running_loop().create_future()
        entry = Entry(command, client_id, size_bytes, answer)
        self._link.enqueue(entry)
        try:
            return await answer
        except asyncio.CancelledError:
            self._link.cancel(entry)
            raise


def _checked(room: str) -> str:
    if not is_room_slug(room):
        raise ValueError(f"{room!r} names no room: {ROOM_RULE}")
    return room
