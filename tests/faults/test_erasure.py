"""A deleted text is gone from the disk, not only from the tables."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from headgate.client import Client
from headgate.protocol.pushes import Deleted, Edited, LogEvent, Message
from tests.conftest import Serve
from tests.e2e.bare import LIMIT_SECONDS, welcomed
from tests.faults.log import events_of
from tests.steady import SteadyClock

ERASED_SECONDS = 5.0
LENGTHS = (10, 100, 1000, 4000, 4096, 12_000)  # bytes: in a page, and over several
ALPHABETS = {"ascii": "canary", "unicode": "канарейка 金丝雀 🐤"}
OTHERS = 200  # messages before, between and after


def canary(number: int, alphabet: str, size: int) -> str:
    """Return a text that is nowhere else, whatever part of it one looks for."""
    text, part = "", 0
    while len(text.encode()) < size:
        text += f"{number:02}!{part:03}{ALPHABETS[alphabet]}"
        part += 1
    while len(text.encode()) > size:
        text = text[:-1]
    return text


def pieces(text: str) -> list[bytes]:
    """Return parts of a text: pages may keep some and overwrite others."""
    raw = text.encode()
    return [raw[at : at + 10] for at in range(0, len(raw) - 9, 50)]


def left(files: list[Path], texts: list[str]) -> set[str]:
    """Return the beginnings of those texts of which any part is on the disk."""
    raw = b"".join(path.read_bytes() for path in files if path.exists())
    return {text[:20] for text in texts if any(piece in raw for piece in pieces(text))}


async def test_deleted_texts_are_nowhere_on_the_disk(
    serve: Serve, steady: SteadyClock
) -> None:
    server = serve("--guests", "--demo")
    files = [
        server.sqlite_file.with_name(f"chat.sqlite3{end}")
        for end in ("", "-wal", "-shm")
    ]
    first = [
        canary(number, alphabet, size)
        for number, (alphabet, size) in enumerate(
            (alphabet, size) for alphabet in ALPHABETS for size in LENGTHS
        )
    ]
    # Every second one is edited: to a longer text, then to a shorter one.
    edits = {
        number: [canary(50 + number, "ascii", 9000), canary(70 + number, "unicode", 60)]
        for number in range(0, len(first), 2)
    }
    canaries = first + [text for texts in edits.values() for text in texts]

    async with Client(server.url, name="Ada") as ada:
        kept: dict[int, str] = {}
        seqs: list[int] = []
        for number, text in enumerate(first):
            seqs.append((await ada.send("general", text)).seq)
            for other in range(OTHERS // len(first)):
                said = f"Kept {number}-{other} " + "and all of it " * (other * 20)
                kept[(await ada.send("general", said)).seq] = said
        for number, texts in edits.items():
            for text in texts:
                await ada.edit("general", seqs[number], text)
        before = await events_of(ada, "general")
        there = [text for number, text in enumerate(first) if number not in edits]
        there += [text for texts in edits.values() for text in texts]
        assert left(files, there) == {text[:20] for text in there}  # the search works
        seen = max(seqs[: len(seqs) // 2])  # what somebody had read who then left

        for seq in seqs:
            await ada.delete("general", seq)
        deleted_at = time.monotonic()
        while found := left(files, canaries):
            late = steady.since(deleted_at) > ERASED_SECONDS
            assert not late, f"still on the disk: {sorted(found)}"
            await asyncio.sleep(0.1)

        after = await events_of(ada, "general")

    assert [event.seq for event in after] == list(range(1, len(after) + 1))
    assert len(after) == len(before) + len(seqs)
    assert all(isinstance(event, Deleted) for event in after[len(before) :])
    messages = [event for event in after if isinstance(event, Message)]
    assert {each.seq: each.text for each in messages if not each.deleted} == kept
    for event in after:
        if isinstance(event, Edited) or event.seq in seqs:
            assert blank(event)

    # Whoever resumes is told the same, and later writes bring nothing back.
    async with welcomed(server.ws_url, resume={"general": seen}) as bob:
        last = after[-1].seq
        await bob.hear_until(lambda said: said.get("seq") == last, LIMIT_SECONDS)
        resumed = {said["seq"]: said for said in bob.heard[1:]}
        assert list(resumed) == list(range(seen + 1, last + 1))
        for seq, push in resumed.items():
            erased = seq in seqs or push["push"] == "edited"
            assert push.get("deleted", False) is erased
            assert not (erased and push["text"])
    assert left(files, canaries) == set()
    server.stop()
    assert left(files, canaries) == set()


def blank(event: LogEvent) -> bool:
    return isinstance(event, Message | Edited) and event.deleted and not event.text
