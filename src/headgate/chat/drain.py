"""The drain: everybody is sent away before the server stops, and comes back unhurt.

The server says when (`headgate.server.chat_server`); what is said, and to whom, is
here. Whoever speaks `headgate.v1` is told when to come back and gets a ticket for it,
so that a storm of returns needs no HTTP. Whoever comes in meanwhile is refused for now.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from headgate.chat.engine import engine, started_engine
from headgate.chat.handshake import Refused
from headgate.chat.tickets import WELCOME_TICKET_SECONDS, issue_ticket
from headgate.chat.visitor import Visitor
from headgate.live.frames import Mode
from headgate.protocol.codec import error
from headgate.protocol.codes import Close, Code
from headgate.protocol.pushes import GoingAway

__all__ = [
    "begin_drain",
    "going_away",
    "hello_awaited",
    "is_anybody_here",
    "send_away",
    "window_seconds",
]

# What the next process is to meet: a return costs it a handshake, a look at an account
# and a read of each room. A quarter of what a core does leaves the rest to those who
# are back already.
RETURNS_PER_SECOND = 250
# A few come back spread over a second all the same. Nobody stays away for longer than
# a client would wait after its worst failures, however many there are.
MIN_WINDOW_SECONDS, MAX_WINDOW_SECONDS = 1.0, 20.0
# Connections that are told in one turn of the loop. Each then has a close frame to
# write, in the next turn: some milliseconds for all of them.
AT_ONCE = 25


def window_seconds(connections: int) -> float:
    """Return the time over which so many connections are to come back, in seconds."""
    wanted = connections / RETURNS_PER_SECOND
    return min(max(wanted, MIN_WINDOW_SECONDS), MAX_WINDOW_SECONDS)


def begin_drain() -> None:
    """Let nobody in any more, and tell those whose hello is still awaited."""
    running = engine()
    running.draining = True
    for limit in list(running.hellos):
        _end_now(limit)


async def send_away() -> None:
    """Tell all who are here and were not told, some in each turn of the loop.

    Each one's connection ends by itself, once what they had begun is answered and out.
    Call it again for those who were half in.
    """
    running = started_engine()
    if running is None:
        return
    staying = [visitor for visitor in running.visitors if not visitor.is_leaving]
    for at in range(0, len(staying), AT_ONCE):
        for visitor in staying[at : at + AT_ONCE]:
            back_in_ms = _back_in_ms(len(staying))
            visitor.go_away(back_in_ms, _farewell(visitor, back_in_ms))
        await asyncio.sleep(0)


def is_anybody_here() -> bool:
    """Return whether anybody is in, or is waited for to say hello."""
    running = started_engine()
    return running is not None and bool(running.visitors or running.hellos)


def going_away() -> Refused | None:
    """Return how to refuse somebody who comes in a drain; None where there is none."""
    running = started_engine()
    if running is None or not running.draining:
        return None
    failure = error(
        Code.UNAVAILABLE,
        "The server is going away.",
        retry_after_ms=max(_back_in_ms(len(running.visitors)), 1),
    )
    return Refused(failure, Close.GOING_AWAY)


@contextmanager
def hello_awaited(limit: asyncio.Timeout) -> Iterator[None]:
    """End the time limit of a hello early where the server drains."""
    running = engine()
    running.hellos.add(limit)
    if running.draining:
        _end_now(limit)
    try:
        yield
    finally:
        running.hellos.discard(limit)


def _end_now(limit: asyncio.Timeout) -> None:
    limit.reschedule(asyncio.get_running_loop().time())


def _back_in_ms(connections: int) -> int:
    """Draw when one of so many is to come back, evenly over their window."""
    return secrets.randbelow(round(window_seconds(connections) * 1000))


def _farewell(visitor: Visitor, back_in_ms: int) -> GoingAway | None:
    """Return the last words to somebody, where their mode has any."""
    if visitor.connection.mode is not Mode.V1:
        return None
    ticket = issue_ticket(
        visitor.actor, lives_seconds=WELCOME_TICKET_SECONDS, origin=visitor.origin
    )
    return GoingAway(reconnect_in_ms=back_in_ms, ticket=ticket)
