"""Whatever one connection says, it is answered or closed, and nobody else notices."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headgate.chat.models import Room
from headgate.protocol.codes import Close, Code
from tests.chat.talker import Ended, Talker, Talkers, guests_fixture  # noqa: F401
from tests.protocol.strategies import (
    any_text,
    broken_text,
    json_values,
    mutated_commands,
)

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.database,
    pytest.mark.usefixtures("guests"),
]

fuzzed = settings(
    deadline=None,
    max_examples=50,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)

_slugs = st.sampled_from(["general", "general", "group", "nowhere"])
_seqs = st.integers(0, 12)
_good: st.SearchStrategy[Any] = st.one_of(
    st.fixed_dictionaries(
        {
            "cmd": st.just("send"),
            "room": _slugs,
            "text": st.text(min_size=1, max_size=9),
        },
        optional={"id": _seqs, "client_id": st.sampled_from(["a", "b"])},
    ),
    st.fixed_dictionaries(
        {"cmd": st.sampled_from(["edit", "delete"]), "room": _slugs},
        optional={"id": _seqs, "target": _seqs, "text": st.text(max_size=9)},
    ),
    st.fixed_dictionaries(
        {
            "cmd": st.sampled_from(["join", "leave", "typing", "read", "history"]),
            "room": _slugs,
        },
        optional={"id": _seqs, "after": _seqs, "seq": _seqs, "before": _seqs},
    ),
    st.fixed_dictionaries({"message": st.text(max_size=9)}),
)
_frames: st.SearchStrategy[str | bytes] = st.one_of(
    _good.map(json.dumps),
    _good.map(json.dumps),
    mutated_commands(),
    broken_text(),
    any_text,
    json_values(any_text).map(lambda value: json.dumps(value)[:20_000]),
    st.binary(max_size=20),
)


def code_of(said: dict[str, Any]) -> str | None:
    """Return the code of an error in either mode."""
    error = said.get("error")
    return error["code"] if isinstance(error, dict) else error


async def alive(hostile: Talker, *, plain: bool) -> bool:
    """Return whether a connection still answers; it must, or be closed by the table."""
    fence = "fence"
    if plain:
        await hostile.say({"message": " ", "client_id": fence})
    else:
        await hostile.say({"cmd": "join", "id": 999, "room": "fence"})
    while True:
        try:
            said = await hostile.hear()
        except Ended as ended:
            return Close(ended.code or 0) is None  # a ValueError for any other code
        if code_of(said) is not None:
            assert code_of(said) in {code.value for code in Code} - {"internal"}
        if said.get("reply") == 999 or said.get("client_id") == fence:
            return True


async def attack(frames: list[str | bytes], *, plain: bool, hello: bool) -> None:
    async with Talkers() as talk:
        neighbour = await talk()
        start = neighbour.welcome["rooms"]["general"]["head"]
        hostile = await (talk.plain() if plain else talk.raw())
        if hello and not plain:
            await hostile.say({"cmd": "hello"})
        said = 0
        for frame in frames:
            await hostile.say(frame)
            if said < 3:
                said += 1
                await neighbour.ask("send", room="general", text=f"n{said}")
        await alive(hostile, plain=plain)
        last = (await neighbour.ask("send", room="general", text="last"))["seq"]
        heard = await neighbour.until("general", last)
        seqs = [push["seq"] for push in heard if push["push"] not in {"typing", "read"}]
        assert seqs == list(range(start + 1, last + 1))
        assert [p["text"] for p in heard if p["push"] == "message"][-1] == "last"


@pytest.mark.parametrize("mode", ["v1", "plain", "before hello"])
def test_no_frame_raises_and_no_neighbour_notices(room: Room, mode: str) -> None:
    Room.objects.create(slug="group", kind=Room.Kind.GROUP)

    @fuzzed
    @given(st.lists(_frames, max_size=14))
    def check(frames: list[str | bytes]) -> None:
        asyncio.run(attack(frames, plain=mode == "plain", hello=mode == "v1"))

    check()


@fuzzed
@given(json_values(any_text) | st.dictionaries(any_text, json_values(any_text)))
def test_no_hello_raises(room: Room, fields: Any) -> None:
    async def run() -> None:
        async with Talkers() as talk:
            talker = await talk.raw()
            hello = fields if isinstance(fields, dict) else {"name": fields}
            await talker.say(json.dumps({**hello, "cmd": "hello"}))
            said = await talker.hear()
            assert said.get("push") == "welcome" or code_of(said) == "bad_command"

    asyncio.run(run())


_hello: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "guest": st.text(max_size=100)
        | st.sampled_from(["a:b:c", "::", "e30:1uzVwX:" + "A" * 43]),
        "name": st.text(max_size=45),
        "ticket": st.text(max_size=50),
        "agent": st.text(max_size=110),
        "resume": st.dictionaries(
            _slugs,
            st.integers(-1, 2**53)
            | st.fixed_dictionaries({"seq": _seqs}, optional={"epoch": st.text()}),
        ),
        "pending": st.dictionaries(_slugs, st.lists(st.text(max_size=66), max_size=3)),
    },
)


@fuzzed
@given(_hello)
def test_no_near_hello_raises(room: Room, hello: dict[str, Any]) -> None:
    async def run() -> None:
        async with Talkers() as talk:
            talker = await talk.raw()
            await talker.say(json.dumps({**hello, "cmd": "hello", "id": 1}))
            said = await talker.hear()
            if said.get("push") == "welcome":
                assert await talker.ask("ping")
            else:
                assert code_of(said) in {"bad_command", "ticket_refused"}

    asyncio.run(run())
