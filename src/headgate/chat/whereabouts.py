"""Whether somebody has an open connection, as far as that is known here.

Of this process it is certain. Of the others it is known by the places that connections
take in Redis (`headgate.chat.leased_places`): a process that dies is forgotten there in
30 s. Without `HEADGATE["REDIS"]`, or with the cap `connect.open` off, nobody knows of
the connections of another process.
"""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from headgate.chat.arrivals import open_connections
from headgate.chat.conf import conf
from headgate.chat.installation import namespace
from headgate.chat.per_loop import PerLoop

if TYPE_CHECKING:
    from headgate.chat.shared_redis import SharedScript

__all__ = ["close_whereabouts", "is_connected"]

_scripts: PerLoop[SharedScript] = PerLoop()


async def is_connected(key: str) -> bool:
    """Return whether somebody has an open connection, by their key.

    While Redis is away only the connections of this process are known.
    """
    place = "connect.open", f"{{{key}}}"
    if open_connections().get(place):
        return True
    url = conf().REDIS
    if url is None:
        return False
    from headgate.limits.redis import redis_key

    script = _scripts.get(url, lambda: _script(url))
    question: list[str | int] = [1, redis_key(f"{namespace()}:open", *place)]
    (answer,) = await script.ask([question])
    return answer is not None and answer[0] > 0


async def close_whereabouts() -> None:
    """Close the connections to Redis that the running loop has for this."""
    for each in _scripts.take_all():
        await each.aclose()


def _script(url: str) -> SharedScript:
    from headgate.chat.shared_redis import SharedScript

    text = (files("headgate.chat") / "whereabouts.lua").read_text("utf-8")
    return SharedScript(url, text, name="whereabouts")
