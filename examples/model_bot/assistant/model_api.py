"""The model's HTTP API, `POST /chat/completions`, called no faster than it allows.

The service allows 5 requests a second. Ours are counted before they go, by a policy of
their own, and wait for their turn; whoever would wait too long is told so.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from http import HTTPStatus
from typing import TypedDict

import httpx2
from django.conf import settings

import headgate
from headgate.contrib.shared import limiter
from headgate.limits import Policy

CALLS = Policy("model", "5/s", key="service", past="delay", longest_wait_seconds=20)
TRIES = 4  # of a request that brought no piece of an answer
PAUSE_SECONDS = 0.5  # before the second; then twice as long
BUSY_SECONDS = 2.0  # where it does not say how long to wait


class Said(TypedDict):
    """One thing that was said."""

    role: str
    content: str


class ModelError(Exception):
    """The service did not do what it should."""


@asynccontextmanager
async def answer(said: list[Said]) -> AsyncIterator[AsyncIterator[str]]:
    """Ask the model, and hand out the pieces of its answer.

    Raises:
        TryAgain: The service is busy.
        ModelError: It failed, or its answer broke off.
    """
    key = settings.MODEL_KEY
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    timeout = httpx2.Timeout(settings.MODEL_SILENT_SECONDS)
    async with (
        httpx2.AsyncClient(
            base_url=settings.MODEL_URL, headers=headers, timeout=timeout
        ) as client,
        aclosing(_pieces(client, said)) as pieces,
    ):
        yield pieces


async def _pieces(
    client: httpx2.AsyncClient, said: list[Said]
) -> AsyncGenerator[str, None]:
    """Yield the pieces of an answer; until the first has come it is asked again."""
    for tried in range(TRIES):
        begun = False
        try:
            async with aclosing(_asked(client, said)) as asked:
                async for piece in asked:
                    begun = True
                    yield piece
        except (ModelError, httpx2.TransportError) as exc:
            if begun or tried + 1 == TRIES:
                raise ModelError(f"after {tried + 1} tries: {exc!r}") from None
            await asyncio.sleep(PAUSE_SECONDS * 2**tried)
        else:
            return


async def _asked(
    client: httpx2.AsyncClient, said: list[Said]
) -> AsyncGenerator[str, None]:
    """Ask once, when it is our turn."""
    turn = await limiter().areserve(CALLS, "chat")
    if not turn.allowed:
        raise headgate.TryAgain(turn.retry_after_seconds or BUSY_SECONDS)
    await asyncio.sleep(turn.delay_seconds)
    body = {"model": settings.MODEL_NAME, "stream": True, "messages": said}
    async with client.stream("POST", "/chat/completions", json=body) as response:
        if response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
            raise headgate.TryAgain(_wait_seconds(response))
        if response.status_code != HTTPStatus.OK:
            raise ModelError(f"status {response.status_code}")
        async for line in response.aiter_lines():
            # A server-sent event; the last one says that the answer is whole.
            if line == "data: [DONE]":
                return
            if line.startswith("data: "):
                chunk = json.loads(line.removeprefix("data: "))
                piece = chunk["choices"][0]["delta"].get("content")
                if piece:
                    yield piece
    raise ModelError("the answer broke off")


def _wait_seconds(response: httpx2.Response) -> float:
    """Return how long the service asks to wait."""
    with suppress(ValueError):
        return max(0.1, float(response.headers.get("Retry-After", "")))
    return BUSY_SECONDS
