"""Who is where: joined for a second, told to other processes, ended by leases."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.live.connection import Watch
from headgate.live.presence import (
    JOIN_SECONDS,
    LEASE_SECONDS,
    RENEW_SECONDS,
    Attendance,
    People,
)
from headgate.live.signals import Signal
from headgate.protocol.pushes import Author, Presence
from tests.live.jumping_loop import JumpingLoop
from tests.live.parts import connect

ROOM = 1


def author(number: int, name: str = "Person") -> Author:
    return Author(f"u:{number}", "user", f"{name} {number}")


class Process:
    """One process's attendance, and what its watchers were told of the room."""

    def __init__(self, most: int = 100) -> None:
        self.told: list[Presence] = []
        self.out: list[People] = []
        self.neighbours: list[Process] = []
        self.cut = False  # whether nothing gets through to the others
        self.attendance = Attendance(lambda: most, signal=self._signal, tell=self._tell)

    def _signal(self, room_id: int, signal: Signal) -> None:
        assert room_id == ROOM
        self.told.append(signal.push)

    def _tell(self, room_id: int, people: People) -> None:
        self.out.append(people)
        if not self.cut:
            copy = msgspec.json.decode(msgspec.json.encode(people), type=People)
            for each in self.neighbours:
                each.attendance.heard(room_id, copy)

    def came(self, number: int, name: str = "Person") -> list[Any]:
        """Let somebody come, and return what they are told at once."""
        connection, sink = connect()
        watch = Watch(connection, ROOM, 0)
        self.attendance.came(watch, "general", f"u:{number}", author(number, name))
        sink.flush(connection.outbox)
        return [msgspec.json.decode(frame.payload) for frame in sink.taken]

    def went(self, number: int) -> None:
        self.attendance.went(ROOM, f"u:{number}")

    @property
    def known(self) -> set[str] | None:
        """Whom the watchers know from what they were told; None: it is off."""
        known: set[str] | None = set()
        for push in self.told:
            if push.off:
                known = None
            elif push.here is not None:
                known = {each.id for each in push.here}
            elif known is not None:
                joined, left = {each.id for each in push.joined}, set(push.left)
                assert not joined & known
                assert left <= known
                known = (known - left) | joined
        return known


def linked(*processes: Process) -> None:
    for each in processes:
        each.neighbours = [other for other in processes if other is not each]


def on_a_fake_clock(program: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        runner.run(program())


def test_comings_and_goings_are_told_joined() -> None:
    async def program() -> None:
        process = Process()
        for number in range(5):
            process.came(number)
        process.went(4)
        assert process.told == []
        await asyncio.sleep(JOIN_SECONDS)
        (told,) = process.told
        assert [each.id for each in told.joined] == [f"u:{n}" for n in range(4)]
        assert told.left == []

    on_a_fake_clock(program)


def test_who_reconnects_within_a_second_is_not_told() -> None:
    async def program() -> None:
        process = Process()
        process.came(1)
        await asyncio.sleep(2 * JOIN_SECONDS)
        process.went(1)
        process.came(1)
        await asyncio.sleep(2 * JOIN_SECONDS)
        assert len(process.told) == 1

    on_a_fake_clock(program)


@pytest.mark.parametrize("leaves", [True, False])
def test_another_name_is_told(leaves: bool) -> None:  # noqa: FBT001 - a case
    """Whoever takes another name connects anew, within a second or beside the old."""

    async def program() -> None:
        process = Process()
        process.came(1)
        await asyncio.sleep(2 * JOIN_SECONDS)
        if leaves:
            process.went(1)
        process.came(1, "Zoë")
        await asyncio.sleep(2 * JOIN_SECONDS)
        _, told = process.told
        assert ([each.name for each in told.joined], told.left) == (["Zoë 1"], [])

    on_a_fake_clock(program)


def test_who_comes_is_told_who_is_there() -> None:
    async def program() -> None:
        process = Process()
        assert process.came(1) == []  # nobody is there
        await asyncio.sleep(JOIN_SECONDS)
        (said,) = process.came(2)
        assert (said["push"], said["room"]) == ("presence", "general")
        assert [each["id"] for each in said["here"]] == ["u:1"]

    on_a_fake_clock(program)


def test_somebody_is_found_wherever_they_are() -> None:
    async def program() -> None:
        one, other = Process(), Process()
        linked(one, other)
        one.came(0)
        other.came(1)
        await asyncio.sleep(JOIN_SECONDS)
        for each in (one, other):
            find = each.attendance.find
            assert [find(ROOM, f"u:{n}") for n in (0, 1)] == [author(0), author(1)]
            assert find(ROOM, "u:2") is None
            assert find(ROOM + 1, "u:0") is None
        other.went(1)
        assert other.attendance.find(ROOM, "u:1") is None

    on_a_fake_clock(program)


def test_processes_tell_each_other() -> None:
    async def program() -> None:
        one, two = Process(), Process()
        linked(one, two)
        one.came(1)
        await asyncio.sleep(5 * JOIN_SECONDS)
        two.came(2)  # it asks the other, which tells whom it has
        await asyncio.sleep(3 * JOIN_SECONDS)
        assert one.known == two.known == {"u:1", "u:2"}
        two.went(2)
        await asyncio.sleep(3 * JOIN_SECONDS)
        assert one.known == {"u:1"}

    on_a_fake_clock(program)


def test_people_of_a_process_that_is_gone_leave_when_its_lease_is_over() -> None:
    async def program() -> None:
        one, two = Process(), Process()
        linked(one, two)
        one.came(1)
        two.came(2)
        await asyncio.sleep(3 * JOIN_SECONDS)
        two.cut = True  # as if killed: it tells nothing any more
        await asyncio.sleep(LEASE_SECONDS - RENEW_SECONDS - JOIN_SECONDS)
        assert one.known == {"u:1", "u:2"}
        await asyncio.sleep(2 * RENEW_SECONDS + 2 * JOIN_SECONDS)
        assert one.known == {"u:1"}
        two.cut = False
        await asyncio.sleep(RENEW_SECONDS + 3 * JOIN_SECONDS)
        assert one.known == {"u:1", "u:2"}

    on_a_fake_clock(program)


def test_a_process_that_ends_in_order_is_gone_at_once() -> None:
    async def program() -> None:
        one, two = Process(), Process()
        linked(one, two)
        one.came(1)
        two.came(2)
        await asyncio.sleep(3 * JOIN_SECONDS)
        two.attendance.close()
        await asyncio.sleep(2 * JOIN_SECONDS)
        assert one.known == {"u:1"}

    on_a_fake_clock(program)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_too_many_are_not_told(elsewhere: bool) -> None:  # noqa: FBT001 - a case
    async def program() -> None:
        one, two = Process(most=10), Process(most=10)
        linked(one, two)
        crowd = two if elsewhere else one
        one.came(100)
        two.came(200)
        for number in range(12):
            crowd.came(number)
        await asyncio.sleep(3 * JOIN_SECONDS)
        assert one.known is None
        assert two.known is None
        assert all(len(people.people) <= 10 for people in (*one.out, *two.out))
        for number in range(3):
            crowd.went(number)  # 11 are left, and 10 are too near
        await asyncio.sleep(3 * JOIN_SECONDS)
        assert one.known is None
        for number in range(3, 9):
            crowd.went(number)
        await asyncio.sleep(3 * JOIN_SECONDS)
        assert one.known == two.known == {"u:100", "u:200", "u:9", "u:10", "u:11"}

    on_a_fake_clock(program)


def test_nothing_is_kept_of_an_empty_room() -> None:
    async def program() -> None:
        one, two = Process(), Process()
        linked(one, two)
        one.came(1)
        two.came(2)
        await asyncio.sleep(3 * JOIN_SECONDS)
        one.went(1)
        await asyncio.sleep(3 * JOIN_SECONDS)
        assert not one.attendance._rooms
        assert two.known == {"u:2"}

    on_a_fake_clock(program)


_steps = st.lists(
    st.tuples(
        st.sampled_from(["came", "went", "lose", "find", "wait"]),
        st.integers(0, 1),
        st.integers(0, 5),
    ),
    max_size=50,
)


@given(_steps)
def test_at_rest_all_know_who_is_there(steps: list[tuple[str, int, int]]) -> None:
    """Whatever is lost on the way, after a renewal everybody knows everybody."""

    async def program() -> None:
        processes = [Process(), Process()]
        linked(*processes)
        here: list[list[int]] = [[], []]
        for number, process in enumerate(processes):
            process.came(90 + number)  # somebody watches everywhere
            here[number].append(90 + number)
        for step, which, number in steps:
            process = processes[which]
            if step == "came":
                process.came(number)
                here[which].append(number)
            elif step == "went" and number in here[which]:
                process.went(number)
                here[which].remove(number)
            elif step in {"lose", "find"}:
                process.cut = step == "lose"
            else:
                await asyncio.sleep(number * 0.7)
        for process in processes:
            process.cut = False
        await asyncio.sleep(RENEW_SECONDS + 4 * JOIN_SECONDS)
        expected = {f"u:{number}" for place in here for number in place}
        assert [process.known for process in processes] == [expected, expected]

    on_a_fake_clock(program)
