"""Calls of the project's own functions: bots, owed hooks, notices of absent people.

Each has its time, after which it is cancelled. What is sync runs in a thread of its
handler, with connections to the database that are closed after it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

from headgate.chat.hooks import owed_handlers, room_event
from headgate.chat.project_functions import ProjectFunction
from headgate.chat.whereabouts import close_whereabouts
from headgate.outbound.absent import absent_named
from headgate.outbound.absent_call import call_absent
from headgate.outbound.bot_call import Bill, call_bot
from headgate.outbound.bots import bot_named
from headgate.outbound.calls import Call, Outcome
from headgate.outbound.handler_errors import GiveUp, Skipped, outcome_of
from headgate.outbound.handler_threads import HandlerThreads

__all__ = ["HandlerSender"]

logger = logging.getLogger("headgate.outbound")


class HandlerSender:
    """Calls what `Target.handler` names; a `Sender` of `headgate.outbound.calls`."""

    def __init__(self) -> None:
        self._threads = HandlerThreads()
        self._kinds: dict[str, Callable[[str, Call, Bill], Awaitable[None]]] = {
            "bot": self._bot,
            "function": self._function,
            "absent": self._absent,
        }

    async def send(self, call: Call) -> Outcome:
        """Call the handler; it ends in time, or is cancelled."""
        began, bill = time.monotonic(), Bill()
        outcome = await self._in_time(call, bill)
        seconds = time.monotonic() - began
        return replace(outcome, service_seconds=seconds, cost=bill.cost)

    async def close(self) -> None:
        """End the threads, and let go of Redis."""
        await self._threads.close()
        await close_whereabouts()

    async def _in_time(self, call: Call, bill: Bill) -> Outcome:
        kind, _, name = call.target.handler.partition(":")
        limit = asyncio.timeout(call.target.timeout_seconds)
        try:
            async with limit, self._threads.calling(call.target.handler):
                await self._kinds.get(kind, _unknown)(name, call, bill)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return Outcome(result="failed", error="The handler cancelled itself.")
        except (Exception, SystemExit) as exc:  # noqa: BLE001 - told as what it comes to
            return _failed(call, exc, late=limit.expired())
        return Outcome(result="delivered")

    # --- the kinds ---

    async def _bot(self, name: str, call: Call, bill: Bill) -> None:
        bot = bot_named(name)
        if bot is None:
            await _unknown(name, call, bill)
        else:
            skipped = [await call_bot(bot, told, bill) for told in call.told]
            if skipped and all(skipped):
                raise Skipped(skipped[0])

    async def _function(self, name: str, call: Call, bill: Bill) -> None:
        handler = owed_handlers().get(f"function:{name}")
        if handler is None:
            await _unknown(name, call, bill)
        else:
            pushes = [told.push for told in call.told if told.push is not None]
            if not pushes:
                raise Skipped("It tells of nothing that happened in a room.")
            for push in pushes:
                event = room_event(push)
                await self._run(call.target.handler, handler.function, event)

    async def _absent(self, name: str, call: Call, bill: Bill) -> None:
        absent = absent_named(name)
        if absent is None:
            await _unknown(name, call, bill)
        else:
            run = partial(self._run, call.target.handler)
            for told in call.told:
                await call_absent(absent, call.target.id, told, run)

    async def _run(self, handler: str, function: ProjectFunction, *args: Any) -> None:
        if function.is_async:
            await function.call(*args)
        else:
            await self._threads.run(handler, function, *args)


async def _unknown(_name: str, call: Call, _bill: Bill) -> None:
    raise GiveUp(
        f"There is no handler {call.target.handler!r} in this process. Bring its code "
        "back and replay the call, or delete the destination.",
    )


def _failed(call: Call, exc: BaseException, *, late: bool) -> Outcome:
    """Return what an exception comes to; one that is a fault is logged."""
    outcome = outcome_of(exc)
    if late:
        seconds = call.target.timeout_seconds
        text = f"It took longer than {seconds:g} s, and was cancelled."
        outcome = Outcome(result="failed", error=text)
    if outcome.result == "failed":
        logger.warning(
            "handler_failed handler=%s delivery=%s attempt=%d",
            call.target.handler,
            call.id,
            call.attempt,
            exc_info=exc,
        )
    return outcome
