"""What this process tells the others, and what it hears from them.

Events, signals and the word that there is a notice travel by the relay. All of it is a
hint: what is missed shows in the rooms' heads, which are compared at once wherever the
relay is in doubt, and every second in any case.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Sequence

import msgspec
from msgspec import Struct

from headgate.chat.conf import conf
from headgate.chat.installation import namespace
from headgate.live.hub import Hub
from headgate.live.presence import People
from headgate.live.signals import Signal
from headgate.protocol.pushes import SIGNALS, LogEvent, Partial
from headgate.relay.open_relay import open_relay
from headgate.relay.relay import Relay

__all__ = ["Neighbours"]

logger = logging.getLogger("headgate.neighbours")

_ROOM = "room:"
_NOTICES = "notices"

# What a payload about a room begins with.
_EVENTS, _SIGNAL, _HEAD, _PEOPLE, _PARTIAL = b"e", b"s", b"h", b"p", b"t"


class _SignalTold(Struct, omit_defaults=True):
    """A signal on its way between processes."""

    key: tuple[str, str]
    push: SIGNALS
    only: str | None = None
    but: str | None = None


_decode_events = msgspec.json.Decoder(list[LogEvent]).decode
_decode_signal = msgspec.json.Decoder(_SignalTold).decode
_decode_people = msgspec.json.Decoder(People).decode
_decode_partial = msgspec.json.Decoder(Partial).decode
_encode = msgspec.json.Encoder().encode


class Neighbours:
    """The engine's end of the relay; implements its `Listener`.

    Args:
        hub: Takes what is heard about rooms.
        compare: Called with rooms whose heads are to be compared at once.
        look: Called when there is a notice to be read.
        heard: Called with a room's id and whom another process has there.
        told: Called with the events of a room that another process has written.
        grown: Called with what it tells of a growing message.
    """

    def __init__(
        self,
        hub: Hub,
        *,
        compare: Callable[[Iterable[int]], None],
        look: Callable[[], None],
        heard: Callable[[int, People], None],
        told: Callable[[int, Sequence[LogEvent]], None],
        grown: Callable[[int, Partial], None],
    ) -> None:
        self._hub = hub
        self._compare = compare
        self._look = look
        self._heard = heard
        self._told = told
        self._grown = grown
        self.relay: Relay = open_relay(conf().REDIS, namespace(), self)
        self.relay.watch(_NOTICES)

    # --- telling ---

    def watched(self, room_id: int, begins: bool) -> None:  # noqa: FBT001 - the node's call
        """Hear about a room from now on, or no longer."""
        if begins:
            self.relay.watch(f"{_ROOM}{room_id}")
        else:
            self.relay.unwatch(f"{_ROOM}{room_id}")

    def tell_events(self, room_id: int, events: Sequence[LogEvent]) -> None:
        """Tell that events of a room are committed."""
        topic = f"{_ROOM}{room_id}"
        if self.relay.reaches(topic):
            self.relay.publish(topic, _EVENTS + _encode(events))

    def tell_head(self, room_id: int, head: int) -> None:
        """Tell that a room's log goes up to a seq."""
        self.relay.publish(f"{_ROOM}{room_id}", _HEAD + b"%d" % head)

    def tell_signal(self, room_id: int, signal: Signal) -> None:
        """Tell a signal."""
        topic = f"{_ROOM}{room_id}"
        if self.relay.reaches(topic):
            told = _SignalTold(signal.key, signal.push, signal.only, signal.but)
            self.relay.publish(topic, _SIGNAL + _encode(told))

    def tell_partial(self, room_id: int, partial: Partial) -> None:
        """Tell what a growing message's text is from what is saved of it on."""
        topic = f"{_ROOM}{room_id}"
        if self.relay.reaches(topic):
            self.relay.publish(topic, _PARTIAL + _encode(partial))

    def tell_people(self, room_id: int, people: People) -> None:
        """Tell whom this process has in a room."""
        self.relay.publish(f"{_ROOM}{room_id}", _PEOPLE + _encode(people))

    def tell_notice(self) -> None:
        """Tell that there is a notice about people's access, or about limits."""
        self.relay.publish(_NOTICES, b"")

    # --- hearing ---

    def received(self, topic: str, payload: bytes) -> None:
        """Take what another process told."""
        if topic == _NOTICES:
            self._look()
            return
        room_id, kind, rest = int(topic.removeprefix(_ROOM)), payload[:1], payload[1:]
        try:
            if kind == _EVENTS:
                events = _decode_events(rest)
                self._hub.publish(room_id, events)
                self._told(room_id, events)
            elif kind == _SIGNAL:
                told = _decode_signal(rest)
                signal = Signal(told.key, told.push, told.only, told.but)
                self._hub.signal(room_id, signal)
            elif kind == _PARTIAL:
                self._grown(room_id, _decode_partial(rest))
            elif kind == _PEOPLE:
                self._heard(room_id, _decode_people(rest))
            elif kind == _HEAD:
                self._hub.reach(room_id, int(rest))
        except (msgspec.MsgspecError, ValueError):
            # Another version beside this one, in the middle of an upgrade. What it
            # wrote is in the log all the same.
            logger.warning("neighbour_not_understood topic=%s", topic)
            self._compare([room_id])

    def doubtful(self, topics: Collection[str]) -> None:
        """Compare: something may have been missed."""
        if _NOTICES in topics:
            self._look()
        rooms = [topic for topic in topics if topic != _NOTICES]
        self._compare(int(topic.removeprefix(_ROOM)) for topic in rooms)

    async def close(self) -> None:
        """Tell and hear nothing any more."""
        await self.relay.close()
