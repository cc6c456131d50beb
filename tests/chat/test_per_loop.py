"""Each event loop has things of its own, and none outlives its loop."""

from __future__ import annotations

import asyncio

from headgate.chat.per_loop import PerLoop


async def test_made_once_for_each_key() -> None:
    things: PerLoop[object] = PerLoop()
    one = things.get("a", object)

    assert things.get("a", object) is one
    assert things.get("b", object) is not one


async def test_taken_they_are_forgotten() -> None:
    things: PerLoop[object] = PerLoop()
    one, two = things.get("a", object), things.get("b", object)

    assert things.take_all() == [one, two]
    assert things.take_all() == []
    assert things.get("a", object) is not one


def test_each_loop_has_its_own_and_takes_it_along() -> None:
    things: PerLoop[object] = PerLoop()

    async def get() -> object:
        return things.get("a", object)

    with asyncio.Runner() as one, asyncio.Runner() as two:
        mine = one.run(get())
        assert two.run(get()) is not mine
        assert one.run(get()) is mine
    with asyncio.Runner() as three:
        three.run(get())
        assert list(things._made) == [three.get_loop()]
