"""The order of one room, and its repair, without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from headgate.client.catch_up import catch_up
from headgate.client.inbox import Inbox
from headgate.client.incoming import Page, UnknownEvent
from headgate.client.rooms import MAX_HELD, Room
from headgate.protocol.commands import History
from headgate.protocol.pushes import Author, Deleted, Gap, Message, Reset, RoomJoined

AUTHOR = Author(id="u", kind="user", name="Ada")


def event(seq: int) -> Message:
    return Message(room="a", seq=seq, author=AUTHOR, text=str(seq), at="now")


def live(position: int = 0, epoch: str = "e") -> Room:
    room = Room("a", asyncio.get_running_loop().create_future())
    room.confirm(RoomJoined(head=position, epoch=epoch))
    return room


class Log:
    """What `history` answers from."""

    def __init__(self, head: int, *, oldest: int = 1, epoch: str = "e") -> None:
        self.head, self.oldest, self.epoch = head, oldest, epoch
        self.asked: list[int] = []
        self.page_size = 3

    async def page(self, history: History) -> Page:
        assert history.after is not None
        self.asked.append(history.after)
        await asyncio.sleep(0)
        first = max(history.after + 1, self.oldest)
        last = min(first + self.page_size - 1, self.head)
        events: list[Any] = [event(seq) for seq in range(first, last + 1)]
        more = last < self.head
        return Page(reply=1, events=events, head=self.head, epoch=self.epoch, more=more)


async def mend(room: Room, log: Log, inbox: Inbox[Any]) -> list[Any]:
    async with asyncio.timeout(60):
        await catch_up(room, inbox, log.page)
        return [await inbox.get() for _ in range(len(inbox))]


def seqs(pushes: Iterable[Any]) -> list[int]:
    return [push.seq for push in pushes]


async def test_the_next_is_delivered_and_a_double_is_not() -> None:
    room = live(5)
    assert [room.take(event(seq), fits=True) for seq in (6, 6, 5, 7, 1)] == [
        True,
        False,
        False,
        True,
        False,
    ]
    assert room.position == 7
    assert not room.behind


async def test_a_hole_is_read_from_the_log_before_what_is_beyond() -> None:
    room, inbox, log = live(1), Inbox[Any](), Log(9)
    for seq in (8, 9):
        assert not room.take(event(seq), fits=True)

    assert seqs(await mend(room, log, inbox)) == [2, 3, 4, 5, 6, 7, 8, 9]
    assert log.asked == [1, 4]  # 8 and 9 were held: they are not read again
    assert not room.behind
    assert room.take(event(10), fits=True)


async def test_a_gap_is_read_from_the_log() -> None:
    room, inbox = live(1), Inbox[Any]()
    room.take(Gap(room="a", from_=2, to=4), fits=True)
    room.take(event(5), fits=True)

    assert seqs(await mend(room, Log(5), inbox)) == [2, 3, 4, 5]


async def test_a_gap_that_is_known_already_is_none() -> None:
    room = live(4)
    assert not room.take(Gap(room="a", from_=2, to=4), fits=True)
    assert not room.behind


async def test_what_found_no_space_is_read_from_the_log() -> None:
    room, inbox = live(1), Inbox[Any]()
    for seq in range(2, 2 + MAX_HELD + 50):
        room.take(event(seq), fits=False)
    assert len(room.held) == MAX_HELD
    log = Log(MAX_HELD + 51)

    read = await mend(room, log, inbox)

    assert seqs(read) == list(range(2, MAX_HELD + 52))
    assert log.asked[0] == MAX_HELD + 1


async def test_pushes_before_the_join_is_confirmed_wait() -> None:
    room, inbox = Room("a", asyncio.get_running_loop().create_future()), Inbox[Any]()
    for seq in (6, 7):
        assert not room.take(event(seq), fits=True)
    room.confirm(RoomJoined(head=6, epoch="e"))

    assert seqs(await mend(room, Log(7), inbox)) == [7]


async def test_what_was_held_is_forgotten_with_the_connection() -> None:
    """The next connection may be to another epoch of the log."""
    room = live(1)
    for seq in range(5, 6 + MAX_HELD):
        room.take(event(seq), fits=True)
    room.disconnect()
    assert not room.confirmed

    room.confirm(RoomJoined(head=2, epoch="new"))

    assert not room.behind
    assert (room.position, room.epoch) == (1, "e")


async def test_a_reset_moves_the_position_anywhere() -> None:
    room = live(50)
    reset = Reset(room="a", oldest=1, head=40, epoch="e")

    assert room.take(reset, fits=True)
    assert room.position == 40
    assert not room.take(reset, fits=True)
    assert room.take(event(41), fits=True)


async def test_a_log_that_was_cut_gives_a_reset() -> None:
    room, inbox = live(1), Inbox[Any]()
    room.take(event(9), fits=True)
    room.take(event(10), fits=True)

    reset, after = await mend(room, Log(9, oldest=6), inbox)

    assert reset == Reset(room="a", oldest=6, head=9, epoch="e")
    assert after.seq == 10


async def test_another_epoch_gives_a_reset() -> None:
    room, inbox = live(5), Inbox[Any]()
    room.take(event(9), fits=True)

    (reset,) = await mend(room, Log(9, epoch="new"), inbox)

    assert reset.epoch == "new"
    assert (room.position, room.epoch) == (9, "new")


async def test_a_log_that_ends_before_a_push_gives_a_reset() -> None:
    """A server that contradicts itself must not be asked for ever."""
    room, inbox = live(1), Inbox[Any]()
    room.take(event(9), fits=True)

    read = await mend(room, Log(3), inbox)

    assert seqs(read[:2]) == [2, 3]
    assert read[2] == Reset(room="a", oldest=9, head=8, epoch="e")
    assert read[3].seq == 9


async def test_unknown_events_follow_on_too() -> None:
    room = live(1)
    assert room.take(UnknownEvent(push="reacted", room="a", seq=2, raw={}), fits=True)
    assert room.take(
        Deleted(room="a", seq=3, target=1, author=AUTHOR, at="now"), fits=True
    )


@given(
    head=st.integers(0, 60),
    start=st.integers(0, 20),
    faults=st.lists(
        st.sampled_from(["ok", "skip", "double", "gap", "full"]), max_size=90
    ),
    limit=st.integers(1, 9),
    data=st.data(),
)
def test_whatever_happens_to_pushes_the_stream_is_the_log(
    head: int, start: int, faults: list[str], limit: int, data: st.DataObject
) -> None:
    start = min(start, head)

    async def scenario() -> None:
        room, inbox, log = live(start), Inbox[Any](limit), Log(head)
        read: list[int] = []

        async def feed() -> None:
            for seq, fault in zip(range(start + 1, head + 1), faults, strict=False):
                if fault == "gap":
                    room.take(Gap(room="a", from_=seq, to=seq), fits=True)
                    continue
                for _ in range({"skip": 0, "double": 2}.get(fault, 1)):
                    fits = not inbox.is_full and fault != "full"
                    if room.take(event(seq), fits=fits):
                        inbox.put(event(seq))
                if room.behind and seq % 3 == 0:
                    await catch_up(room, inbox, log.page)
                await asyncio.sleep(0)
            room.take(Gap(room="a", from_=head, to=head), fits=True)
            await catch_up(room, inbox, log.page)

        async with asyncio.timeout(60):
            feeding = asyncio.ensure_future(feed())
            while len(read) < head - start:
                read.append((await inbox.get()).seq)
            await feeding
        assert read == list(range(start + 1, head + 1))
        assert len(inbox) == 0
        assert not room.behind

    asyncio.run(scenario())
