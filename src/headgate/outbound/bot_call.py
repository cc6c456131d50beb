"""One call of a bot: whether it is to answer, what it is told, and what it costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from headgate.chat import storage
from headgate.chat.growing_ends import cut_left
from headgate.chat.growing_rows import Growing, growing_at
from headgate.chat.history import messages_of, messages_page
from headgate.chat.hooks import RoomEvent, room_event
from headgate.chat.models import Event, Room
from headgate.chat.people import Actor
from headgate.chat.permissions import rights_in
from headgate.chat.rows import COLUMNS, EventRow, as_push
from headgate.outbound.bots import HandlerBot
from headgate.outbound.budgets import Spent, waiting_words
from headgate.outbound.calls import Told
from headgate.outbound.handler_errors import GiveUp
from headgate.outbound.reply import Earlier, Reply, stream_number
from headgate.protocol.pushes import LogEvent, Message

__all__ = ["Bill", "call_bot"]

# Bots don't answer each other for ever, and a system message is nobody's question.
_NOT_ANSWERED = frozenset({"bot", "system"})


@dataclass(slots=True)
class Bill:
    """What a call has cost, whatever came of it."""

    cost: int = 0


@dataclass(frozen=True, slots=True)
class _Scene:
    """What the database says for a call."""

    history: Sequence[Message]
    earlier: Earlier
    unfinished: Sequence[Growing]  # of what an earlier run has begun


async def call_bot(bot: HandlerBot, told: Told, bill: Bill) -> str | None:
    """Have a bot answer; return why it was not called, or None.

    Raises:
        Exception: Whatever the bot raises.
    """
    push = told.push
    if push is None or told.room_id is None:
        return "There is nothing that a bot could answer."
    event = room_event(push)
    why_not = _why_not(bot, push, event)
    if why_not is not None:
        return why_not
    scene = await storage.read(_scene, bot, told.room_id, event, told.id)
    if scene is None:
        return "The bot may not see it: in a group room it has to be a member first."
    if scene.earlier.is_cancelled:
        return None  # it was called before, and stopped
    for each in scene.unfinished:
        await cut_left(event.room, each)
    reply = Reply(bot.actor, told.room_id, event, told.id, scene.earlier)
    history = [room_event(each) for each in scene.history]
    try:
        await _answer(bot, event, history, reply)
    finally:
        bill.cost += reply.spent
        await bot.budgets.charge(reply.spent, event.author.id, event.room)
    return None


def _why_not(bot: HandlerBot, push: LogEvent, event: RoomEvent) -> str | None:
    """Return why an event is not for a bot, as far as it says so itself, or None."""
    if push.author.kind in _NOT_ANSWERED:
        return "Bots and the system are not answered."
    if getattr(push, "deleted", False):
        return "The message was deleted."
    if not bot.wants(event):
        return "It is not for this bot, as its `when` says."
    return None


async def _answer(
    bot: HandlerBot,
    event: RoomEvent,
    history: list[RoomEvent],
    reply: Reply,
) -> None:
    """Answer by what was said before, by asking to wait, or by the handler."""
    key = None if bot.answers is None else bot.answers.key(event)
    if bot.answers is not None and key is not None:
        known = await bot.answers.get(key)
        if known is not None:
            await reply.say_again(known)
            return
    spent = await bot.budgets.admit(event.author.id, event.room)
    if spent is not None:
        await _ask_to_wait(bot, event, reply, spent)
        return
    try:
        await bot.function(event, history, reply)
    except GiveUp:
        raise
    except BaseException:  # it will be called again, and counted then
        await bot.budgets.refund(event.author.id, event.room)
        raise
    if bot.answers is not None and key is not None and reply.said and reply.whole:
        await bot.answers.keep(key, reply.said)


async def _ask_to_wait(
    bot: HandlerBot, event: RoomEvent, reply: Reply, spent: Spent
) -> None:
    """Tell somebody, once, when the bot may answer again."""
    wait = spent.wait_seconds
    if await bot.budgets.is_to_be_told(event.author.id, event.room, wait):
        whom = "you" if spent.by == "user" else "here"
        words = waiting_words(wait)
        await reply.say_wait(f"{bot.actor.name} may answer {whom} again in {words}.")


def _scene(
    bot: HandlerBot, room_id: int, event: RoomEvent, call_id: str
) -> _Scene | None:
    """Return what a bot is told, or None where it may not watch; off the loop."""
    room = Room.objects.filter(pk=room_id).first()
    if room is None:
        return None
    rights = rights_in(bot.actor, room)
    if rights.denial("watch") is not None or event.seq < rights.visible_from:
        return None
    history: Sequence[Message] = ()
    if bot.history and rights.denial("history") is None:
        page = messages_page(
            room_id,
            before=event.seq,
            after=None,
            visible_from=rights.visible_from,
            limit=bot.history,
        )
        history = [each for each in messages_of(page) if not each.deleted]
    messages, cut = _earlier(bot.actor, room, event, call_id)
    growing = [growing_at(room_id, each.seq) for each in cut if each.open]
    return _Scene(
        history,
        Earlier(
            {each.client_id or "": each for each in messages},
            Counter(stream_number(each.client_id or "") for each in cut),
        ),
        [each for each in growing if each is not None],
    )


def _earlier(
    actor: Actor, room: Room, event: RoomEvent, call_id: str
) -> tuple[list[Message], list[Message]]:
    """Return what an earlier run has said, and what it did not bring to its end."""
    rows = Event.objects.filter(
        room=room,
        seq__gt=event.seq,
        author_key=actor.key,
        client_id__startswith=f"{call_id}-",
    )
    pushes = [as_push(EventRow(*row), room.slug) for row in rows.values_list(*COLUMNS)]
    messages = [each for each in pushes if isinstance(each, Message)]
    cut = [each for each in messages if each.open or each.state == "cut"]
    return [each for each in messages if each not in cut], cut
