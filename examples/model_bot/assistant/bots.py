"""The bot: it answers whoever writes @model, with what the model says as it says it."""

from __future__ import annotations

from typing import Any

import headgate
from assistant.model_api import Said, answer

SYSTEM = "You are a helpful guest of this chat. Answer briefly, in Markdown."


@headgate.bot(
    "model",
    title="Model",
    when="mentioned",
    ordering="none",
    concurrency=8,
    timeout_seconds=90,
    limits={"user": "30/h:10", "cost.user": "20000/d", "cost.room": "200000/d"},
)
async def model(message: Any, history: list[Any], reply: Any) -> None:
    """Answer a message, at a cost of one for each piece of the answer."""
    said: list[Said] = [{"role": "system", "content": SYSTEM}]
    for each in [*history, message]:
        role = "assistant" if each.author.id == "b:model" else "user"
        said.append({"role": role, "content": each.text})
    async with answer(said) as pieces:
        # The first piece comes before anything is shown: where there is none, the call
        # fails and is tried again, and nobody sees an empty answer.
        first = await anext(pieces, None)
        if first is None:
            raise headgate.GiveUp("The model said nothing.")
        async with reply.stream() as out:
            await out.write(first)
            reply.cost(1)
            async for piece in pieces:
                await out.write(piece)
                reply.cost(1)
