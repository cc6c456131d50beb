"""uvicorn's WebSocket protocol, with a faster way in and out, and with bounds.

In: frames are told apart here, so many at a time that nobody waits long for a
neighbour who sends many at once; what is left waits as it came, and holds up the
socket. Whole text frames, which are what chat consists of, are read here. A text is
offered to the listener that the consumer gave for `scope["extensions"]`, if the
consumer waits for it: so most cost no change of task. Pings and pongs are answered
here, too. All else goes to the parser of uvicorn's own protocol, frame by frame, which
keeps every rule of RFC 6455.

Out: the consumer finds a maker of `ReadyFrameSink` in `scope["extensions"]`. On other
servers neither is there, and ASGI `receive` and `send` are used; so they are where
middleware has its own in their place, which is to see every message. What a client does
not read is bounded: past the transport's high-water mark nothing is written, a client
that has pings to be answered then is not read until it reads, and of several pings only
the newest is answered.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState

from headgate.chat.consumer import DIRECT_TEXTS, READY_FRAMES, REST_KEEPALIVE
from headgate.server.event_queue import EventQueue
from headgate.server.frame_reader import (
    BAD,
    PING,
    PONG,
    WHOLE_TEXT,
    end_of_frame,
    payload_of,
    pong_to,
)
from headgate.server.keepalive import keepalive_of
from headgate.server.ready_frames import ReadyFrameSink

__all__ = ["ChatWebSocketProtocol"]

logger = logging.getLogger("headgate.server")

# Frames of one connection that are read in one turn of the loop: others, and the
# thread that writes, wait for no more than these.
MOST_AT_ONCE = 16
TURN_SECONDS = 0.0005  # nor for longer, but for the frame that takes it past that
# A connection that fills turn after turn rests between them, so that it gets a part of
# the processor and not all of it; the loop may sleep then, and others have the rest.
FULL_TURNS = 8
REST_SECONDS = 0.001
MAX_PAST_CLOSE_BYTES = 64 * 1024  # taken and thrown away, as what was on its way
LINGER_SECONDS = 1.0  # for the client to take the close frame

WRITE_HIGH_BYTES = 64 * 1024  # the transport's mark: past it the client is not reading
# What the kernel takes and has not sent, so that a stall shows here and not there.
UNSENT_BYTES = 64 * 1024
# What the kernel takes in and is not read yet, and so what can come in one read; Linux
# doubles it, for its own bookkeeping. A frame has no more than 64 KiB.
RECEIVE_BYTES = 32 * 1024
# A chat's client for whom more than this waits for `LINGER_SECONDS` is cut off. It is
# the mark, a write of as much, and a large page; 64 KiB more are the outbox's.
MAX_WRITE_BYTES = 192 * 1024
_clock = time.perf_counter
_PING_FRAME = b"\x89\x00"  # anything that comes is an answer, so it says nothing


class ChatWebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's sans-I/O protocol, for many small texts from people of all kinds."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sink: ReadyFrameSink | None = None
        self._listener: Callable[[str], bool] | None = None
        self._begun, self._at = b"", 0  # what came, and up to where it was read
        # Whether there may be whole frames among that, for which reading is paused.
        self._held = False
        self._turn: asyncio.Handle | None = None  # when they are read
        self._full_turns = 0
        self._socket_read = True
        self._past_close = 0  # bytes that came after our close frame
        self._cut_off = False  # too many: nothing is read any more
        # Whether a bad frame came: uvicorn's parser refuses it, and discards the rest.
        self._refused = False
        self._max_size = self.config.ws_max_size
        # What the next frame may have: less in the middle of a message in fragments.
        self._room_for = self._max_size
        self._in_message = False
        self._pongs: list[bytes] = []  # to be written, with one write for all
        self._keepalive = keepalive_of(self.config, self.loop)
        self._heard = True  # whether the client has shown that it is there
        self._over: asyncio.TimerHandle | None = None  # when too much waits
        self.queue: EventQueue = EventQueue(self.loop)  # type: ignore[assignment]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Bound what is buffered for the client, here and in the kernel."""
        super().connection_made(transport)
        self.transport.set_write_buffer_limits(high=WRITE_HIGH_BYTES)
        kind = self.transport.get_extra_info("socket")
        if kind is None:
            return
        kind.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        internet = kind.family in {socket.AF_INET, socket.AF_INET6}
        if internet and hasattr(socket, "TCP_NOTSENT_LOWAT"):
            kind.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)

    # --- in ---

    def data_received(self, data: bytes) -> None:
        """Read frames: some at once, the others soon."""
        self._heard = True
        if self._refused or not self.handshake_initiated:
            self._hand_on(data)
        elif not (self.close_sent and self._goes_on_and_on(data)):
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
        if not self._cut_off and not self.transport.is_closing():
            self._cut_off = True
            self._settle()
            self.loop.call_later(LINGER_SECONDS, self.transport.abort)
        return True

    @property
    def _waits(self) -> bool:
        """Whether nothing may be read: somebody is not ready for what comes of it."""
        if self.read_paused or self._cut_off or not self.handshake_complete:
            return True
        return bool(self._pongs) and not self.writable.is_set()

    def _settle(self) -> None:
        """Read what is held soon, or the socket, or neither."""
        waits = self._waits
        if self._held and not waits and self._turn is None:
            if self._full_turns < FULL_TURNS or self.close_sent:
                self._turn = self.loop.call_soon(self._go_on)
            else:
                self._turn = self.loop.call_later(REST_SECONDS, self._go_on)
        reads = not (self._held or waits)
        if reads != self._socket_read:
            self._socket_read = reads
            if reads:
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()

    def _go_on(self) -> None:
        """Read what waits, unless the application is not ready for it."""
        self._turn = None
        if self._held and not self._waits and not self.disconnected:
            self._read_on()

    def _read_on(self) -> None:
        """Read frames, as many as one turn may, and have the others wait as they are.

        What waits holds up the socket: there is never more of it than came in one read.
        """
        data, at, left = self._begun, self._at, MOST_AT_ONCE
        until = _clock() + TURN_SECONDS
        self._held = False
        while at < len(data):
            is_first = left == MOST_AT_ONCE
            if self._waits or not left or not (is_first or _clock() < until):
                self._held = True
                break
            end = end_of_frame(data, at, self._room_for)
            if end <= 0:
                self._refused = end == BAD
                break
            self._frame_received(data, at, end)
            at, left = end, left - 1
            if self.transport.is_closing():
                self._begun, self._at = b"", 0
                return  # what comes after a close frame is nothing (section 5.5.1)
        self._at = at
        if self._pongs:
            self._answer_pings()
        if self._refused:
            self._begun, self._at = b"", 0
            self._hand_on(data[at:])
        if self._held and not self._waits:
            self._full_turns = min(self._full_turns + 1, FULL_TURNS)
        else:  # all is read: a burst of as much as may be unanswered is no flood
            self._full_turns //= 2
        self._settle()

    def _frame_received(self, data: bytes, at: int, end: int) -> None:
        first = data[at]
        if first == WHOLE_TEXT and not self._in_message:
            self._text_received(data, at, end)
        elif first == PING:
            if not self.close_sent:
                self._ping_received(pong_to(data, at, end))
        elif first != PONG:  # which need no answer, and showed that somebody is there
            self._hand_on(data[at:end])

    def _hand_on(self, data: bytes) -> None:
        """Let uvicorn's parser read."""
        self._answer_pings()
        try:
            super().data_received(data)
        except InvalidState:
            # uvicorn 0.54 cannot answer a text that is no UTF-8 when a close frame
            # came with it; there is nobody left to be answered.
            self.transport.close()
        if self.read_paused:
            self._socket_read = False  # uvicorn has paused it
        begun = self.conn.current_size
        self._in_message = begun is not None
        self._room_for = self._max_size - (begun or 0)

    def handle_cont(self, event: Any) -> None:
        """Add to the message that has begun, in one piece.

        uvicorn keeps a list of the fragments, which costs sixty bytes for each, and
        there is no limit to the number of empty ones.
        """
        message: Any = self.frames[0]
        if not isinstance(message, bytearray):
            message = bytearray(message)
        message += event.data
        self.frames[0] = message
        if event.fin:
            self.frames[0] = bytes(message)
            self.send_receive_event_to_app()

    def _text_received(self, data: bytes, at: int, end: int) -> None:
        """Offer the text of a whole frame, or queue it as uvicorn does."""
        if self.close_sent:
            return  # past `websocket.close` what comes is discarded
        try:
            text = payload_of(data, at, end).decode()
        except UnicodeDecodeError:
            self._hand_on(data[at:end])  # which closes with 1007
            return
        listener = self._listener
        if listener is not None and self.queue.awaited and listener(text):
            return
        self.queue.put_nowait({"type": "websocket.receive", "text": text})
        self.read_paused = True

    async def receive(self) -> Any:
        """Return the next ASGI message, and read on when none is left.

        As uvicorn does it, but that what waits here comes before what is on the socket.
        """
        message = await self.queue.get()
        if self.read_paused and self.queue.empty():
            self.read_paused = False
            self._settle()
        return message

    def _listen(self, receive: Any, listener: Callable[[str], bool]) -> None:
        """Offer texts to a listener, if nobody else reads before it.

        Args:
            receive: What the consumer was given. Where it is not our own, middleware
                is to see each message, and all go by way of it.
            listener: It returns whether it has taken a text.
        """
        if receive == self.receive:
            self._listener = listener

    # --- control frames ---

    def _ping_received(self, pong: bytes) -> None:
        """Answer, once this turn is over, or when the client reads again.

        Of several that are not answered yet only the newest has to be (section 5.5.3).
        """
        if self.writable.is_set():
            self._pongs.append(pong)
        else:
            self._pongs = [pong]

    def _answer_pings(self) -> None:
        if not self._pongs:
            return
        if self.writable.is_set():
            self.transport.write(b"".join(self._pongs))
            self._pongs.clear()
        else:
            del self._pongs[:-1]

    def start_keepalive(self) -> None:
        """Ping from now on, with all others."""
        self._heard = True
        if self._keepalive is not None:
            self._keepalive.watch(self)

    def stop_keepalive(self) -> None:
        """Ping no more."""
        if self._keepalive is not None:
            self._keepalive.forget(self)

    def _rest_keepalive(self, resting: bool) -> None:  # noqa: FBT001 - the consumer's call
        """Send no pings while the socket is not read, or begin again.

        The answer to a ping would not be read, and uvicorn close with 1011.
        """
        self.stop_keepalive()
        if not resting and not self.disconnected and not self.close_sent:
            self.start_keepalive()

    def ask(self) -> None:
        """Send a ping, if the client is reading."""
        self._heard = False
        if self.writable.is_set() and not self.close_sent:
            self.transport.write(_PING_FRAME)

    def answered(self) -> bool:
        """Return whether the client is there, as far as it could show it.

        One that the application keeps from being read cannot; nor would one that does
        not read itself, but its transport would take something from time to time.
        """
        kept = self.read_paused and self.writable.is_set() and not self.close_sent
        return self._heard or kept

    def give_up(self) -> None:
        """Close with 1011; at once, if the close could not get past what waits."""
        closing = self.close_sent or self.transport.is_closing()
        if closing or self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.keepalive_timeout()

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
        """Send an ASGI message, and read on after an answer to the handshake.

        An answer other than 101 ends the handshake, too: uvicorn 0.54 does not note
        that, and logs an error for each refusal. It also closes the socket some time
        after a close frame, which never ends for a client that reads nothing.
        """
        paused = self.read_paused
        await super().send(message)
        if paused and not self.read_paused:
            self._socket_read = True  # uvicorn reads on, for the answer to a close
        answered = message["type"] == "websocket.http.response.body"
        if answered and not message.get("more_body", False):
            self.handshake_complete = True
        if message["type"] == "websocket.accept":
            # What uvicorn needs no more: the headers of both, for every connection.
            self.request = self.response = None  # type: ignore[assignment]
            self._settle()
        elif message["type"] == "websocket.close":
            self._settle()
            if self.close_timer is not None:
                self.close_timer.cancel()
                self.close_timer = self.loop.call_later(
                    self.close_timeout, self.transport.abort
                )

    def _make_sink(self, send: Any) -> ReadyFrameSink | None:
        """Return the fast way out in the place of `send`, if that is our own.

        None where middleware has put its own before it, which is to see what goes out.
        """
        if send != self.send:
            return None
        self._sink = ReadyFrameSink(self)
        return self._sink

    def pause_writing(self) -> None:
        """Write no more, and see soon whether too much waits."""
        super().pause_writing()
        size = self.transport.get_write_buffer_size()
        if self._sink is not None and size > MAX_WRITE_BYTES and self._over is None:
            self._over = self.loop.call_later(LINGER_SECONDS, self._cut_if_over)

    def _cut_if_over(self) -> None:
        self._over = None
        size = self.transport.get_write_buffer_size()
        if size > MAX_WRITE_BYTES and not self.disconnected:
            logger.warning("write_buffer_full client=%s bytes=%d", self.client, size)
            self.transport.abort()

    def resume_writing(self) -> None:
        """Let the sink write again, and answer the newest ping."""
        self._heard = True
        super().resume_writing()
        self._answer_pings()
        self._settle()
        if self._sink is not None:
            self._sink.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let whoever waits for the sink go on; what was not read yet is nothing.

        An orderly end comes after it, since it is not seen while reading is paused.
        """
        self._held, self._begun, self._at = False, b"", 0
        for handle in (self._turn, self._over):
            if handle is not None:
                handle.cancel()
        self._pongs.clear()
        super().connection_lost(exc)
        if self._sink is not None:
            self._sink.resume()
