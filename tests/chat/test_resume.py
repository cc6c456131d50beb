"""Whoever resumes ends in the same state as whoever loads afresh.

Random histories of sends, edits and deletions by several authors, while a reading
client comes and goes. What it has made of the events must be what a list shows.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import pytest
from django.contrib.auth.models import User
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headgate.chat import actions
from headgate.chat.engine import Engine, engine
from headgate.chat.models import Event, Room
from headgate.chat.people import SYSTEM
from tests.chat.scenes import write
from tests.chat.talker import (
    Said,
    Talker,
    Talkers,
    guests_fixture,  # noqa: F401 - found by name
    in_thread,
    seqs,
    talk_fixture,  # noqa: F401 - found by name
)

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.database,
    pytest.mark.usefixtures("guests"),
]

AUTHORS = 3
Step = tuple[Any, ...]

_authors = st.integers(0, AUTHORS - 1)
_details = st.fixed_dictionaries(
    {},
    optional={"format": st.just("markdown"), "data": st.just({"n": 1})},
)
_texts = st.sampled_from(["a", "b", "c"])
_steps: st.SearchStrategy[Step] = st.one_of(
    st.tuples(st.just("send"), _authors, _texts, _details),
    st.tuples(st.just("send"), _authors, _texts, _details),
    st.tuples(st.just("edit"), _authors, st.integers(0, 9), _texts, _details),
    st.tuples(st.just("edit"), _authors, st.integers(0, 9), _texts, _details),
    st.tuples(st.just("delete"), _authors, st.integers(0, 9)),
    st.tuples(st.just("by hand"), st.just(0)),
    st.tuples(st.just("go"), st.just(0)),
    st.tuples(st.just("come"), st.just(0)),
    st.tuples(st.just("listen"), st.just(0)),
)


class Reader:
    """Applies events as a client does, and keeps what it has over disconnects."""

    def __init__(self, room: str) -> None:
        self.room = room
        self.messages: dict[int, Said] = {}
        self.seq = 0
        self.talker: Talker | None = None
        self.resets = 0

    async def come(self, talk: Talkers) -> None:
        """Connect and resume."""
        if self.talker is None:
            resume = {self.room: self.seq}
            self.talker = await talk(room=None, resume=resume)

    async def go(self, talk: Talkers) -> None:
        """Disconnect in the middle of whatever comes."""
        if self.talker is not None:
            talker, self.talker = self.talker, None
            await talk.end(talker)

    async def listen(self, to: int = 0) -> None:
        """Take what has come, at least up to a seq."""
        talker = self.talker
        if talker is None:
            return
        while True:
            for said in await talker.all():
                await self._take(said)
            if self.seq >= to:
                return
            if not talker.pushes:  # some may have come while a reset was obeyed
                talker.pushes.append(await talker.hear())

    async def _take(self, said: Said) -> None:
        if said["push"] == "reset":
            self.resets += 1
            await self.load(said["head"])
            return
        if said["seq"] != self.seq + 1:
            raise AssertionError(f"{said['seq']} came after {self.seq}")
        self.seq = said["seq"]
        self.apply(said)

    async def load(self, seq: int) -> None:
        """Forget all and read the list; events go on from `seq`."""
        assert self.talker is not None
        found = await fresh(self.talker, self.room)
        self.messages, self.seq = found, seq

    def apply(self, said: Said) -> None:
        """Apply one event: an edit counts only if it is newer than what is known."""
        if said["push"] == "message":
            self.messages[said["seq"]] = shown(said)
        elif said["push"] == "edited":
            message = self.messages[said["target"]]
            if said["seq"] > (message["edited"] or 0):
                message |= {
                    "text": said["text"],
                    "format": said.get("format"),
                    "data": said.get("data"),
                    "edited": said["seq"],
                }
        elif said["push"] == "deleted":
            message = self.messages[said["target"]]
            message |= {"text": "", "format": None, "data": None, "deleted": True}


def shown(said: Said) -> Said:
    """Return what a client shows of a message."""
    names = ("seq", "author", "text", "at", "format", "data", "edited", "deleted")
    return {name: said.get(name) for name in names}


async def fresh(talker: Talker, room: str) -> dict[int, Said]:
    """Load a room by pages of its list."""
    found: dict[int, Said] = {}
    more = True
    while more:
        asked = {"after": max(found, default=0), "limit": 4}
        page = await talker.ask("history", room=room, of="messages", **asked)
        found |= {message["seq"]: shown(message) for message in page["messages"]}
        more = page["more"]
    return found


async def live_through(program: list[Step], resume_limit: int) -> int:
    """Run one history; return how often the reader had to load afresh."""
    slug = f"r-{secrets.token_hex(6)}"
    await in_thread(Room.objects.create, slug=slug)
    async with Talkers() as talk:
        engine().node._resume_limit = resume_limit
        authors = [await talk(room=None) for _ in range(AUTHORS)]
        reader = Reader(slug)
        await reader.come(talk)
        sent: list[tuple[int, int]] = []
        for name, who, *rest in program:
            if name == "come":
                await reader.come(talk)
            elif name == "go":
                await reader.go(talk)
            elif name == "listen":
                await reader.listen()
            elif name == "by hand":
                await in_thread(actions.send_message, slug, SYSTEM, "s", kind="system")
            elif name == "send":
                text, more = rest
                reply = await authors[who].ask("send", room=slug, text=text, **more)
                sent.append((who, reply["seq"]))
            elif sent:
                author, target = sent[rest[0] % len(sent)]
                more = {"text": rest[1], **rest[2]} if name == "edit" else {}
                await authors[author].ask(name, room=slug, target=target, **more)
        await reader.come(talk)
        page = await authors[0].ask("history", room=slug)
        await reader.listen(page["head"])
        assert reader.messages == await fresh(authors[1], slug)
        return reader.resets


@settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)
@given(
    st.lists(_steps, max_size=25) | st.lists(_steps, min_size=15, max_size=30),
    st.sampled_from([1000, 1000, 3]),
)
def test_a_resumed_state_is_a_fresh_state(
    transactional_db: None,
    program: list[Step],
    resume_limit: int,
) -> None:
    asyncio.run(live_through(program, resume_limit))


SAID: Step = ("send", 0, "a", {})
GONE: list[Step] = [
    SAID,
    ("listen", 0),
    ("go", 0),
    *[SAID] * 5,
    ("edit", 0, 0, "b", {}),
]


def test_too_far_behind_loads_afresh(transactional_db: None) -> None:
    assert asyncio.run(live_through(GONE, resume_limit=3)) == 1
    assert asyncio.run(live_through(GONE, resume_limit=100)) == 0


@pytest.mark.parametrize("left_out", ["deleted", "edited"])
def test_a_reader_that_leaves_out_events_is_found_out(
    transactional_db: None,
    monkeypatch: pytest.MonkeyPatch,
    left_out: str,
) -> None:
    apply = Reader.apply

    def forgetful(self: Reader, said: Said) -> None:
        if said["push"] != left_out:
            apply(self, said)

    monkeypatch.setattr(Reader, "apply", forgetful)
    program = [SAID, SAID, ("listen", 0), ("edit", 0, 0, "b", {}), ("delete", 0, 1)]

    with pytest.raises(AssertionError):
        asyncio.run(live_through(program, resume_limit=100))


async def test_a_row_of_another_version_holds_up_nobody(
    talk: Talkers, room: Room, ada: User, chat: Engine
) -> None:
    """As after a rollback, or in an old worker while the new ones are started."""
    await in_thread(write, 3)
    later = Event.objects.filter(room=room, seq=2)
    await in_thread(later.update, details={"kind": "system", "reactions": {"+1": 3}})

    behind = await talk(ada, room=None, resume={"general": 1})

    assert seqs(await behind.until("general", 3)) == [2, 3]
    page = await behind.ask("history", room="general")
    assert [said["seq"] for said in page["messages"]] == [1, 2, 3]


async def test_however_many_come_back_a_page_is_read_once(
    talk: Talkers, room: Room, ada: User, chat: Engine
) -> None:
    """As after a restart: nothing is in memory, and all are at other places."""
    await in_thread(write, 400)
    back = await asyncio.gather(
        *[
            talk(ada, room=None, resume={"general": place})
            for place in range(0, 300, 10)
        ]
    )

    for place, talker in zip(range(0, 300, 10), back, strict=True):
        heard = await talker.until("general", 400)
        assert seqs(heard) == list(range(place + 1, 401))
    # Two pages of 256 have the log; whoever is within one shares it.
    assert chat.node.meters.log_reads == 2
