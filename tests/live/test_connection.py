"""Ending a connection from the side."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from headgate.live.frames import Mode
from headgate.protocol.codec import error
from headgate.protocol.codes import Close, Code
from headgate.protocol.pushes import Error, Rooms
from tests.live.parts import connect

WHY = error(Code.FORBIDDEN, "Not any more.")
ERROR = '{"code":"forbidden","text":"Not any more."}'
LAST = {
    Mode.V1: f'{{"reply":null,"error":{ERROR}}}',
    Mode.PLAIN: '{"error":"forbidden","text":"Not any more."}',
    Mode.STREAM: f'event: failure\ndata: {{"reply":null,"error":{ERROR}}}\n',
}


def heard_by_end(mode: Mode, failure: Error | None, *, after_what_waits: bool) -> Any:
    """Return what is left for the client when its connection is ended."""
    connection, sink = connect(mode=mode)
    connection.put_message(Rooms(left=["general"]))
    connection.end(Close.ACCESS_REVOKED, failure, after_what_waits=after_what_waits)
    connection.put_message(Rooms(left=["other"]))
    assert (connection.closed, connection.ending) == (True, Close.ACCESS_REVOKED)
    sink.flush(connection.outbox)
    return [frame.text for frame in sink.taken]


@pytest.mark.parametrize("mode", Mode)
async def test_what_waits_is_given_up_and_nothing_follows(mode: Mode) -> None:
    assert heard_by_end(mode, WHY, after_what_waits=False) == [LAST[mode]]


async def test_what_waits_goes_out_where_it_is_theirs() -> None:
    first, last = heard_by_end(Mode.V1, WHY, after_what_waits=True)

    assert first == '{"push":"rooms","left":["general"]}'
    assert last == LAST[Mode.V1]


async def test_a_close_that_says_all_itself_has_no_error_before_it() -> None:
    assert heard_by_end(Mode.V1, None, after_what_waits=False) == []


async def test_what_serves_it_is_interrupted_once() -> None:
    connection, _ = connect()
    connection.task = asyncio.create_task(asyncio.Event().wait())
    await asyncio.sleep(0)

    connection.end(Close.ACCESS_REVOKED, WHY)
    connection.end(Close.IDENTITY_CHANGED, WHY)

    assert connection.task.cancelling() == 1
    assert connection.ending is Close.ACCESS_REVOKED
    with pytest.raises(asyncio.CancelledError):
        await connection.task
