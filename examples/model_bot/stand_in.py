"""A stand-in for the service of a language model: slow, limited, and failing.

It speaks `POST /v1/chat/completions` with `stream: true`, and answers with words that
follow from the question. On purpose, and by a seed, some requests get a 429 with
Retry-After or a 500, some get nothing at all, and some answers break off. `GET /stats`
says what it has seen.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import random
import time
from collections import Counter
from typing import Any

import uvicorn

from headgate.limits import Limiter, Policy

WORDS = ("a", "calm", "river", "turns", "many", "mills", "on", "its", "way", "down")
ALLOWED = Policy("stand-in", "5/s:10")
HANG_SECONDS = 30.0
# What becomes of a request: so many of a hundred.
FATES = {"busy": 8, "error": 10, "hang": 5, "cut": 12, "whole": 65}


def words_of(question: str) -> list[str]:
    """Return the answer to a question, word by word."""
    chosen = random.Random(hashlib.sha256(question.encode()).digest())  # noqa: S311
    return [chosen.choice(WORDS) for _ in range(chosen.randint(8, 30))]


class StandIn:
    """The service, as an ASGI application.

    Args:
        seed: Of what goes wrong.
        slow_ms: Between two words, on average.
    """

    def __init__(self, seed: int, slow_ms: float) -> None:
        # Two, so that the seed alone says what becomes of the n-th request.
        self.chance = random.Random(seed)  # noqa: S311 - no secret
        self.pace = random.Random(seed)  # noqa: S311 - no secret
        self.slow_seconds = slow_ms / 1000
        self.limiter = Limiter()
        self.came: list[float] = []  # the times of all requests, in seconds
        self.fates: Counter[str] = Counter()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return  # a lifespan, which it does without
        if scope["path"] == "/stats":
            stats = {"came": self.came, "fates": dict(self.fates)}
            await respond(send, 200, stats)
        elif (scope["method"], scope["path"]) == ("POST", "/v1/chat/completions"):
            body = b""
            while True:
                part = await receive()
                body += part.get("body", b"")
                if not part.get("more_body"):
                    break
            question = json.loads(body)["messages"][-1]["content"]
            await self.complete(question, send)
        else:
            await respond(send, 404, {"error": "There is nothing here."})

    async def complete(self, question: str, send: Any) -> None:
        """Answer a question, or do what its fate is."""
        self.came.append(time.monotonic())
        fate = self.chance.choices(list(FATES), list(FATES.values()))[0]
        decision = self.limiter.decide_one(ALLOWED, "all")
        if not decision.allowed:
            fate = "too fast"
        self.fates[fate] += 1
        if fate in {"busy", "too fast"}:
            wait = max(1, round(decision.retry_after_seconds or 1))
            await respond(send, 429, {"error": fate}, retry_after=wait)
        elif fate == "error":
            await respond(send, 500, {"error": "It has broken down."})
        elif fate == "hang":
            await asyncio.sleep(HANG_SECONDS)
        else:
            await self.stream(words_of(question), send, cut=fate == "cut")

    async def stream(self, words: list[str], send: Any, *, cut: bool) -> None:
        """Send words as server-sent events; one that is cut has half of them."""
        await begin(send, 200, "text/event-stream")
        for word in words[: len(words) // 2] if cut else words:
            delta = {"choices": [{"index": 0, "delta": {"content": f"{word} "}}]}
            await part(send, f"data: {json.dumps(delta)}\n\n")
            await asyncio.sleep(self.pace.uniform(0, 2 * self.slow_seconds))
        if not cut:
            await part(send, "data: [DONE]\n\n")
        await send({"type": "http.response.body", "body": b""})


async def respond(send: Any, status: int, body: Any, **more: int) -> None:
    """Send JSON."""
    await begin(send, status, "application/json", **more)
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})


async def begin(send: Any, status: int, kind: str, retry_after: int = 0) -> None:
    """Send the head of an answer."""
    headers = [(b"content-type", kind.encode())]
    if retry_after:
        headers.append((b"retry-after", str(retry_after).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def part(send: Any, text: str) -> None:
    """Send a part of a body that goes on."""
    body = text.encode()
    await send({"type": "http.response.body", "body": body, "more_body": True})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--slow-ms", type=float, default=40.0)
    given = parser.parse_args()
    app = StandIn(given.seed, given.slow_ms)
    uvicorn.run(
        app,
        port=given.port,
        log_level="warning",
        timeout_graceful_shutdown=1,  # those that hang are not waited for
    )
