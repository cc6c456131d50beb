"""uvicorn's WebSocket protocol, with a faster way in and a faster way out.

In: whole text frames, which are what chat consists of, are read here, so many at a
time that nobody waits long for a neighbour who sends many at once. From the
first frame of any other kind that is not a control frame, everything goes to the
parser of uvicorn's own protocol, which keeps every rule of RFC 6455; control frames
go there one by one. A text is offered to the listener that the consumer gave for
`scope["extensions"]`, if the consumer waits for it: so most cost no change of task.

Out: the consumer finds a maker of `ReadyFrameSink` in `scope["extensions"]`. On
other servers neither is there, and ASGI `receive` and `send` are used.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState
from websockets.frames import apply_mask  # type: ignore[attr-defined] # C or Python

from headgate.chat.consumer import DIRECT_TEXTS, READY_FRAMES, REST_KEEPALIVE
from headgate.server.ready_frames import ReadyFrameSink

__all__ = ["ChatWebSocketProtocol"]

# Frames of one connection that are read in one turn of the loop: others, and the
# thread that writes, wait for no more than these.
MOST_AT_ONCE = 16
MAX_PAST_CLOSE_BYTES = 64 * 1024  # taken and thrown away, as what was on its way
LINGER_SECONDS = 1.0  # for the client to take the close frame

# RFC 6455, section 5.2.
_WHOLE_TEXT = 0x81  # FIN and opcode 1, no extension bits
_CONTROL = (0x88, 0x89, 0x8A)  # close, ping and pong, whole as they must be
_MASKED = 0x80
_LENGTH = 0x7F
_TWO_BYTES = 126  # the length is in the next two bytes
_EIGHT_BYTES = 127  # the length is in the next eight bytes
_JUDGED = 2  # bytes that tell what kind of frame it is
_SHORT_HEAD = 6  # two bytes and the mask
_MEDIUM_HEAD = 8  # the same with a length of two bytes


class _Events:
    """What came and is not received yet: what uvicorn uses of `asyncio.Queue`.

    One reader, no bound (reading is paused while anything waits here), and half the
    work for each event.
    """

    __slots__ = ("_events", "_loop", "_waiter")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._events: deque[Any] = deque()
        self._loop = loop
        self._waiter: asyncio.Future[None] | None = None

    def put_nowait(self, event: Any) -> None:
        """Add an event and wake the reader."""
        self._events.append(event)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def empty(self) -> bool:
        """Return whether nothing waits."""
        return not self._events

    @property
    def awaited(self) -> bool:
        """Whether the reader waits: it has done with all that came before."""
        return self._waiter is not None and not self._waiter.done()

    async def get(self) -> Any:
        """Wait for an event and remove it."""
        while not self._events:
            self._waiter = self._loop.create_future()
            await self._waiter
        return self._events.popleft()


class ChatWebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's sans-I/O protocol, for many small texts."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sink: ReadyFrameSink | None = None
        self._listener: Callable[[str], bool] | None = None
        # Whether frames are read here, and the begin of one whose end is to come.
        self._reading = False
        self._begun, self._at = b"", 0  # what came, and up to where it was read
        # Whether there may be whole frames among that, for which reading is paused.
        self._held = False
        self._past_close = 0  # bytes that came after our close frame
        # Whether something came that is uvicorn's to read, with all that follows.
        self._unusual = False
        self._max_size = self.config.ws_max_size
        self.queue: _Events = _Events(self.loop)  # type: ignore[assignment]

    # --- in ---

    def data_received(self, data: bytes) -> None:
        """Read text frames; hand all else on."""
        if self.close_sent and self._goes_on_and_on(data):
            return
        if not self._reading and not self._begin_reading():
            self._hand_on(data)
            return
        self._begun, self._at = self._begun[self._at :] + data, 0
        self._read_on()

    def _goes_on_and_on(self, data: bytes) -> bool:
        """Return whether a client sends too much after it was told of the end.

        uvicorn would read and discard it for ten seconds. Not being read, the client
        has a moment to take the close frame and to answer it, and is cut off then.
        """
        self._past_close += len(data)
        if self._past_close <= MAX_PAST_CLOSE_BYTES:
            return False
        if not self.transport.is_closing():
            self.transport.pause_reading()
            self.loop.call_later(LINGER_SECONDS, self.transport.abort)
        return True

    def _read_on(self) -> None:
        """Read frames, as many as one turn may, and have the others wait as they are.

        What waits holds up the socket: there is never more of it than came in one read.
        """
        data, at, left = self._begun, self._at, MOST_AT_ONCE
        held, self._held = self._held, False
        while at < len(data):
            if self.read_paused or not left:
                self._held = True
                break
            end = self._end_of_frame(data, at)
            if not end:
                break
            self._frame_received(data, at, end)
            at, left = end, left - 1
            if self.transport.is_closing():
                self._begun, self._at = b"", 0
                return  # what comes after a close frame is nothing (section 5.5.1)
        self._at = at
        if self._unusual:
            self._reading = False
            self._begun, self._at = b"", 0
            self._hand_on(data[at:])
        if self._held and not self.read_paused:
            if not held:
                self.transport.pause_reading()
            self.loop.call_soon(self._go_on)
        elif held and not self.read_paused:
            self.transport.resume_reading()

    def _go_on(self) -> None:
        """Read what waits, unless the application is not ready for it."""
        if self._held and not self.read_paused and not self.disconnected:
            self._read_on()

    def _frame_received(self, data: bytes, at: int, end: int) -> None:
        if data[at] == _WHOLE_TEXT:
            self._text_received(data, at, end)
        else:
            self._hand_on(data[at:end])

    def _hand_on(self, data: bytes) -> None:
        """Let uvicorn's parser read."""
        try:
            super().data_received(data)
        except InvalidState:
            # uvicorn 0.54 cannot answer a text that is no UTF-8 when a close frame
            # came with it; there is nobody left to be answered.
            self.transport.close()

    def _begin_reading(self) -> bool:
        """Take over when the handshake is done, unless data came too early."""
        self._reading = self.handshake_complete and not self._unusual
        # Data between the request and its answer has gone to uvicorn's parser,
        # which may be in the middle of a frame.
        self._unusual = self._unusual or (
            self.handshake_initiated and not self.handshake_complete
        )
        return self._reading

    def _end_of_frame(self, data: bytes, at: int) -> int:
        """Return where a frame ends, or 0 where its end has not come yet.

        An unusual frame makes uvicorn's parser take over, for good.
        """
        here = len(data) - at
        if here < _JUDGED:
            return 0
        first, second = data[at], data[at + 1]
        length = second & _LENGTH
        usual = first == _WHOLE_TEXT or first in _CONTROL
        usual = usual and second & _MASKED != 0 and length != _EIGHT_BYTES
        head = _SHORT_HEAD
        if usual and length == _TWO_BYTES:
            head = _MEDIUM_HEAD
            if here < head:
                return 0
            length = int.from_bytes(data[at + 2 : at + 4], "big")
        if not usual or length > self._max_size:
            self._unusual = True
            return 0
        return at + head + length if here >= head + length else 0

    def _text_received(self, data: bytes, at: int, end: int) -> None:
        """Offer the text of a whole frame, or queue it as uvicorn does."""
        if self.close_sent:
            return  # past `websocket.close` what comes is discarded
        head = _MEDIUM_HEAD if data[at + 1] & _LENGTH == _TWO_BYTES else _SHORT_HEAD
        mask = data[at + head - 4 : at + head]
        try:
            text = apply_mask(data[at + head : end], mask).decode()
        except UnicodeDecodeError:
            self._hand_on(data[at:end])  # which closes with 1007
            return
        listener = self._listener
        if listener is not None and self.queue.awaited and listener(text):
            return
        self.queue.put_nowait({"type": "websocket.receive", "text": text})
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    async def receive(self) -> Any:
        """Return the next ASGI message, and read on when none is left.

        As uvicorn does it, but that what waits here comes before what is on the socket.
        """
        message = await self.queue.get()
        if self.read_paused and self.queue.empty():
            self.read_paused = False
            if self._held:
                self.loop.call_soon(self._go_on)
            else:
                self.transport.resume_reading()
        return message

    def _listen(self, listener: Callable[[str], bool]) -> None:
        self._listener = listener

    # --- out ---

    def handle_connect(self, event: Any) -> None:
        """Offer both fast ways to the application."""
        super().handle_connect(event)
        scope = getattr(self, "scope", None)
        if scope is not None:
            scope["extensions"][READY_FRAMES] = self._make_sink
            scope["extensions"][DIRECT_TEXTS] = self._listen
            scope["extensions"][REST_KEEPALIVE] = self._rest_keepalive

    async def send(self, message: Any) -> None:
        """Send an ASGI message; an answer other than 101 ends the handshake, too.

        uvicorn 0.54 does not note that, and logs an error for each refusal.
        """
        await super().send(message)
        answered = message["type"] == "websocket.http.response.body"
        if answered and not message.get("more_body", False):
            self.handshake_complete = True

    def _rest_keepalive(self, resting: bool) -> None:  # noqa: FBT001 - the consumer's call
        """Send no pings while the socket is not read, or begin again.

        The answer to a ping would not be read, and uvicorn close with 1011.
        """
        self.stop_keepalive()
        if not resting and not self.disconnected and not self.close_sent:
            self.start_keepalive()

    def _make_sink(self) -> ReadyFrameSink:
        self._sink = ReadyFrameSink(self)
        return self._sink

    def resume_writing(self) -> None:
        """Let the sink write again."""
        super().resume_writing()
        if self._sink is not None:
            self._sink.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let whoever waits for the sink go on; what was not read yet is nothing.

        An orderly end comes after it, since it is not seen while reading is paused.
        """
        self._held, self._begun, self._at = False, b"", 0
        super().connection_lost(exc)
        if self._sink is not None:
            self._sink.resume()
