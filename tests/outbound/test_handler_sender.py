"""Calls of the project's functions that are owed: sync, async, gone, and failing."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection

import headgate
from headgate.chat import actions, hooks
from headgate.chat.hooks import RoomEvent
from headgate.chat.models import Event, Room
from headgate.chat.project_threads import THREADS
from headgate.outbound.calls import Call, Target, Told
from headgate.outbound.handler_sender import HandlerSender
from headgate.outbound.worker import Worker
from tests.chat.talker import in_thread
from tests.outbound.handler_calls import (  # noqa: F401 - fixtures are found by name
    Handlers,
    handlers_fixture,
)
from tests.server.services import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


@pytest.fixture(autouse=True)
def _no_hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "_handlers", {})
    monkeypatch.setattr(hooks, "_owed", {})


def owed(function: Callable[..., Any], event: str = "message") -> str:
    """Have a function owed all events of a kind; return its handler's name."""
    headgate.on(event, owed=True)(function)
    return next(iter(hooks.owed_handlers()))


async def test_a_sync_function_runs_in_a_thread_and_leaves_no_connection(
    handlers: Handlers, room: Room, ada: User
) -> None:
    seen: list[tuple[str, int, Any]] = []

    def book(event: RoomEvent) -> None:
        count = Event.objects.count()
        seen.append((threading.current_thread().name, count, connection.connection))

    name = owed(book)
    await headgate.asend_message(room, ada, "one")
    await headgate.asend_message(room, ada, "two")
    assert [each.result for each in await handlers.work(name)] == ["delivered"] * 2
    assert all(thread.startswith("headgate-project") for thread, _, _ in seen)
    assert [count for _, count, _ in seen] == [2, 2]
    assert all(each.closed for _, _, each in seen if hasattr(each, "closed"))


async def test_an_async_function_is_told_each_kind_of_event(
    handlers: Handlers, room: Room, ada: User
) -> None:
    seen: list[tuple[str, str]] = []

    async def book(event: RoomEvent) -> None:
        await asyncio.sleep(0)
        seen.append((event.event, event.text))

    for event in ("message", "edited", "deleted", "membership"):
        name = owed(book, event)
    await headgate.asend_message(room, ada, "one")
    await in_thread(lambda: actions.edit_message(room, 1, "two", by=ada))
    await in_thread(lambda: actions.delete_message(room, 1, by=ada))
    await in_thread(actions.add_member, room, ada)
    await handlers.work(name)
    # As they are now: what was deleted has no text any more.
    assert seen == [
        ("message", ""),
        ("edited", ""),
        ("deleted", ""),
        ("membership", ""),
    ]


async def test_bots_are_told_of_to_functions(
    handlers: Handlers, room: Room, ada: User
) -> None:
    """Only bots are not told of bots."""
    seen: list[str] = []

    async def book(event: RoomEvent) -> None:
        seen.append(event.author.id)

    name = owed(book)

    @headgate.bot("helper")
    async def helper(message: RoomEvent, history: Any, reply: Any) -> None: ...

    await headgate.asend_message(room, headgate.bots.actor("helper"), "hi")
    await handlers.work(name)
    assert seen == ["b:helper"]


async def test_what_a_function_raises(
    handlers: Handlers, room: Room, ada: User
) -> None:
    raised: list[BaseException] = [
        headgate.TryAgain(3),
        headgate.GiveUp("no such order"),
        SystemExit(1),
        KeyError("my secret"),
    ]

    def book(event: RoomEvent) -> None:
        raise raised.pop()

    name = owed(book)
    await headgate.asend_message(room, ada, "my secret")
    (call,) = await handlers.due(name)
    outcomes = [await handlers.send(call) for _ in range(4)]
    assert [each.result for each in outcomes] == [
        "failed",
        "failed",
        "refused",
        "throttled",
    ]
    assert outcomes[0].error.startswith("KeyError in book, test_handler_sender.py:")
    assert "secret" not in "".join(each.error for each in outcomes)
    assert outcomes[2].error == "no such order"
    assert outcomes[3].retry_after_seconds == 3


async def test_a_function_is_not_called_for_what_is_no_event(
    handlers: Handlers, room: Room, ada: User
) -> None:
    seen: list[RoomEvent] = []

    def book(event: RoomEvent) -> None:
        seen.append(event)

    name = owed(book)
    await headgate.asend_message(room, ada, "one")
    (call,) = await handlers.due(name)
    test = replace(call, told=(Told(id=call.id, event="test", at=0.0, payload={}),))
    outcome = await handlers.send(test)
    assert (outcome.result, seen) == ("skipped", [])
    assert outcome.error


async def test_several_events_of_one_call_go_in_their_order(
    handlers: Handlers, room: Room, ada: User
) -> None:
    seen: list[str] = []

    async def book(event: RoomEvent) -> None:
        seen.append(event.text)

    name = owed(book)
    for n in range(3):
        await headgate.asend_message(room, ada, f"m{n}")
    calls = await handlers.due(name)
    together = replace(calls[0], told=tuple(each.told[0] for each in calls))
    gone = replace(together.told[1], push=None)  # with its room
    together = replace(together, told=(together.told[0], gone, together.told[2]))
    assert (await handlers.send(together)).result == "delivered"
    assert seen == ["m0", "m2"]


async def test_a_sync_function_that_takes_too_long_is_given_up(
    handlers: Handlers, room: Room, ada: User
) -> None:
    release = threading.Event()

    def book(event: RoomEvent) -> None:
        release.wait(20)

    name = owed(book)
    await headgate.asend_message(room, ada, "one")
    handlers.timeout_seconds = 0.1
    (call,) = await handlers.due(name)
    began = time.monotonic()
    outcome = await handlers.send(call)
    assert outcome.error == "It took longer than 0.1 s, and was cancelled."
    assert time.monotonic() - began < 10
    release.set()


async def test_a_sync_function_that_hangs_holds_up_no_other(
    handlers: Handlers,
    room: Room,
    ada: User,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("WARNING", "headgate.outbound")
    release = threading.Event()
    seen: list[str] = []

    def hangs(event: RoomEvent) -> None:
        release.wait(60)

    def books(event: RoomEvent) -> None:
        seen.append(event.text)

    headgate.on("message", owed=True)(hangs)
    headgate.on("message", owed=True)(books)
    names = {name.rpartition(".")[2]: name for name in hooks.owed_handlers()}
    await headgate.asend_message(room, ada, "one")
    (call,) = await handlers.due(names["hangs"])
    short = replace(call, target=replace(call.target, timeout_seconds=0.5))
    try:
        late = await asyncio.gather(*(handlers.send(short) for _ in range(THREADS)))
        assert [each.result for each in late] == ["failed"] * THREADS
        # It gets no more threads, and that is no attempt; it is a moment until a call
        # counts as hanging.
        async with asyncio.timeout(30):
            while (refused := await handlers.send(short)).result == "failed":
                pass
        hanging = [each for each in caplog.messages if "handler_hangs" in each]
        assert len(hanging) == THREADS
        assert names["hangs"] in hanging[-1]
        assert (refused.result, refused.retry_after_seconds) == ("throttled", 30)
        assert "hang, and hold all of its threads" in refused.error
        # Others have theirs.
        assert [each.result for each in await handlers.work(names["books"])] == [
            "delivered"
        ]
        assert seen == ["one"]
    finally:
        release.set()
    late_ends = "handler_ended_late"
    await in_thread(
        until, lambda: sum(late_ends in each for each in caplog.messages) == THREADS
    )
    assert (await handlers.send(call)).result == "delivered"


async def test_a_call_that_waits_for_a_thread_hangs_in_none(
    handlers: Handlers,
    room: Room,
    ada: User,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("WARNING", "headgate.outbound")
    release = threading.Event()

    def book(event: RoomEvent) -> None:
        release.wait(60)

    name = owed(book)
    await headgate.asend_message(room, ada, "one")
    (call,) = await handlers.due(name)
    holding = [asyncio.create_task(handlers.send(call)) for _ in range(THREADS)]
    await asyncio.sleep(0)
    short = replace(call, target=replace(call.target, timeout_seconds=0.5))
    try:
        assert (await handlers.send(short)).result == "failed"
    finally:
        release.set()
    outcomes = await asyncio.gather(*holding)
    assert [each.result for each in outcomes] == ["delivered"] * THREADS
    assert not [each for each in caplog.messages if "handler_hangs" in each]


@pytest.mark.parametrize("name", ["function:shop.gone", "absent:gone", "shop.gone", ""])
async def test_code_that_is_gone_is_said_what_to_do(
    handlers: Handlers, name: str
) -> None:
    target = Target(id=1, name="gone", kind="handler", handler=name)
    call = Call(
        id="c", attempt=1, target=target, told=(Told(id="c", event="message", at=0.0),)
    )
    outcome = await handlers.send(call)
    assert outcome.result == "refused"
    assert repr(name) in outcome.error
    assert "replay" in outcome.error


async def test_the_worker_keeps_to_the_rate_of_a_function(
    handlers: Handlers, room: Room, ada: User
) -> None:
    called: asyncio.Queue[float] = asyncio.Queue()

    async def book(event: RoomEvent) -> None:
        called.put_nowait(time.monotonic())

    headgate.on("message", owed=True, rate="10/s:1")(book)
    for n in range(11):
        await headgate.asend_message(room, ada, f"m{n}")
    sender = HandlerSender()
    worker = Worker({"handler": sender})
    working = asyncio.create_task(worker.run())
    try:
        async with asyncio.timeout(60):
            times = [await called.get() for _ in range(11)]
    finally:
        worker.stop()
        await working
        await sender.close()
    assert times[-1] - times[0] > 0.9


async def test_the_worker_calls_what_is_owed(
    handlers: Handlers, room: Room, ada: User
) -> None:
    seen: asyncio.Queue[str] = asyncio.Queue()
    failures = [RuntimeError("not yet")]

    async def book(event: RoomEvent) -> None:
        if failures:
            raise failures.pop()
        seen.put_nowait(event.text)

    owed(book)
    sender = HandlerSender()
    worker = Worker({"handler": sender})
    working = asyncio.create_task(worker.run())
    try:
        for n in range(5):
            await headgate.asend_message(room, ada, f"m{n}")
        async with asyncio.timeout(30):
            texts = [await seen.get() for _ in range(5)]
    finally:
        worker.stop()
        await working
        await sender.close()
    assert sorted(texts) == [f"m{n}" for n in range(5)]
