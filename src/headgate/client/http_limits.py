"""What answers over HTTP say of limits: `RateLimit-Policy`, `RateLimit`, `Retry-After`.

Their syntax is that of draft-ietf-httpapi-ratelimit-headers, revision 10, as the
server writes it; what is not understood is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from headgate.client.bucket import Rate
from headgate.client.errors import retry_after_seconds

__all__ = ["Told", "limits_in", "room_of"]

_MAX_FIELD_CHARACTERS = 4096
_ITEM = re.compile(r'"([a-z][a-z0-9_.-]{0,63})"((?:;[a-z-]{1,32}=\d{1,9})*)', re.ASCII)
_PARAMETER = re.compile(r";([a-z-]+)=(\d+)", re.ASCII)
_PATH = re.compile(
    r"/?(?:api/v1/rooms/(?P<of_api>[\w.-]{1,64})/messages(?:/\d+)?"
    r"|ws/chat/(?P<of_socket>[\w.-]{1,64})/?|api/v1/.*)",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Told:
    """What an answer says of one policy, and in how long there is one more."""

    policy: str
    rate: Rate
    remaining: int
    next_in_seconds: float | None


def limits_in(status: int, headers: Mapping[str, str]) -> list[Told]:
    """Return what an answer says of limits.

    Times are in whole seconds, rounded up: they are kept within what the rate says.
    Of a refusal, `Retry-After` is the wait of the policy that has the longest.
    """
    policies = dict(_items(headers.get("RateLimit-Policy", "")))
    found = []
    for name, left in _items(headers.get("RateLimit", "")):
        policy = policies.get(name, {})
        quota, window = policy.get("q", 0), policy.get("w", 0)
        if not quota or not window or "r" not in left:
            continue
        interval = window / quota
        burst = policy.get("headgate-burst", quota)
        after = min(left["t"], interval) if "t" in left else None
        rate = Rate(max(burst, 1), interval, quota / window)
        found.append(Told(name, rate, left["r"], after))
    wait = retry_after_seconds(headers.get("Retry-After", ""))
    if status != HTTPStatus.TOO_MANY_REQUESTS or not wait:
        return found
    used_up = [each for each in found if not each.remaining]
    slowest = max(used_up, key=lambda each: each.next_in_seconds or 0, default=None)
    return [
        Told(each.policy, each.rate, 0, wait) if each is slowest else each
        for each in found
    ]


def room_of(path: str) -> str | None:
    """Return the room that a path of the chat is about; an empty text for none.

    None stands for a path that is not the chat's: limits of the project's own may
    have the same names. `path` is below the chat's own address.
    """
    found = _PATH.fullmatch(path)
    if found is None:
        return None
    return found["of_api"] or found["of_socket"] or ""


def _items(field: str) -> Iterator[tuple[str, dict[str, int]]]:
    for name, parameters in _ITEM.findall(field[:_MAX_FIELD_CHARACTERS]):
        pairs = _PARAMETER.findall(parameters)
        yield name, {key: int(value) for key, value in pairs}
