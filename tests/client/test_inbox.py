from __future__ import annotations

import asyncio

import pytest

from headgate.client.inbox import Inbox


async def test_what_was_put_before_the_end_is_still_read() -> None:
    inbox: Inbox[int] = Inbox()
    inbox.put(1)
    inbox.end(KeyError("over"))
    inbox.end()  # the first end counts

    assert await inbox.get() == 1
    for _ in range(2):
        with pytest.raises(KeyError):
            await inbox.get()


async def test_an_end_without_error_ends_the_iteration() -> None:
    inbox: Inbox[int] = Inbox()
    reader = asyncio.ensure_future(inbox.get())
    await asyncio.sleep(0)
    inbox.end()

    with pytest.raises(StopAsyncIteration):
        await reader


async def test_putters_wait_for_space_and_lose_nothing() -> None:
    inbox: Inbox[int] = Inbox(limit=3)
    most = 0

    async def put_all(first: int) -> None:
        nonlocal most
        for n in range(first, first + 50):
            assert await inbox.space()
            inbox.put(n)
            most = max(most, len(inbox))

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(put_all(0))
        group.create_task(put_all(100))
        read = [await inbox.get() for _ in range(100)]

    assert sorted(read) == [*range(50), *range(100, 150)]
    assert most <= 3


async def test_hurry_ends_the_wait() -> None:
    inbox: Inbox[int] = Inbox(limit=1)
    inbox.put(1)
    in_a_hurry = False
    waiter = asyncio.ensure_future(inbox.space(lambda: in_a_hurry))
    await asyncio.sleep(0)
    assert not waiter.done()

    in_a_hurry = True
    inbox.stir()

    assert await waiter is False


async def test_a_cancelled_reader_takes_nothing_along() -> None:
    inbox: Inbox[int] = Inbox()
    reader = asyncio.ensure_future(inbox.get())
    await asyncio.sleep(0)
    inbox.put(1)
    reader.cancel()
    await asyncio.wait([reader])

    assert await inbox.get() == 1


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="limit"):
        Inbox(limit=0)
