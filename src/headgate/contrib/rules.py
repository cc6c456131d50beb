"""What a throttle is told, checked: how many, under which name, and what comes past it.

All throttles of this package take their rate in the same ways, and a mistake is an
error where the throttle is made, not at the first message.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterable
from typing import Any

from headgate.limits.policy import DELAY_SECONDS, Past, Policy, StoreAway
from headgate.limits.rates import Rate

__all__ = ["GivenRate", "name_for", "name_from", "policies_of", "rate_from_numbers"]

# One way to say how many, or several that must all allow it.
GivenRate = str | Rate | Policy | Iterable[str | Rate | Policy]

_MAX_NAME = 64
_HASH_LENGTH = 8
_MILLISECOND = 0.001
_NO_FIRST = "_.-0123456789"  # what no name begins with


def policies_of(
    rate: GivenRate,
    *,
    name: str,
    key: object = "user",
    past: Past | None = None,
    default_past: Past = "reject",
    store_away: StoreAway | None = None,
    dry_run: bool = False,
    max_wait_seconds: float | None = None,
) -> tuple[Policy, ...]:
    """Return the policies that a rate stands for; all of them must allow it.

    Args:
        rate: A text such as `10/s`, a `Rate`, a `Policy`, or several of those.
        name: Of the policies that have none of their own. With several, the second is
            `name.2`.
        key: What they count by, for people who read of it.
        past: What happens past the limit; as the policies say if it is left out.
        default_past: The same for what is no policy.
        store_away: What is decided while the shared store is away; as the policies
            say if it is left out.
        dry_run: Refuse nothing and count what would be refused.
        max_wait_seconds: How long one may be held, where `past` is `delay`.

    Raises:
        TypeError: It is no rate.
        ValueError: With what was meant.
    """
    given = _several(rate)
    if past is None:
        past = _common_past(given, default_past)
    if max_wait_seconds is None:
        longest = DELAY_SECONDS if past == "delay" else 0.0
    elif past != "delay":
        raise ValueError("max_wait_seconds is for past='delay': nothing else waits.")
    elif max_wait_seconds <= 0:
        raise ValueError("max_wait_seconds is a time of more than 0 seconds.")
    else:
        longest = max_wait_seconds
    words = key if isinstance(key, str) else _words_of(key)
    found = []
    for number, each in enumerate(given, 1):
        own = name if number == 1 else f"{name}.{number}"
        policy = each if isinstance(each, Policy) else Policy(own, each, key=words)
        if policy.cost > policy.burst:
            raise ValueError(
                f"{policy.name}: a cost of {policy.cost} is more than the burst of "
                f"{policy.burst}, so it would let nothing through.",
            )
        if max_wait_seconds is None and isinstance(each, Policy) and past == "delay":
            longest = each.longest_wait_seconds or DELAY_SECONDS
        found.append(
            Policy(
                policy.name,
                policy.rate,
                policy.burst,
                policy.key,
                policy.cost,
                past=past,
                store_away=store_away or policy.store_away,
                dry_run=dry_run or policy.dry_run,
                longest_wait_seconds=longest,
            ),
        )
    names = {policy.name for policy in found}
    if len(names) < len(found):
        raise ValueError(
            "Two of the policies have the same name, so they would share what they "
            "count: give each a name of its own.",
        )
    return tuple(found)


def rate_from_numbers(
    rate: GivenRate | None,
    rate_limit: int | None,
    per_second: float,
) -> GivenRate:
    """Return a rate from `rate_limit` messages in `per_second` seconds.

    One a second where nothing is said at all.

    Raises:
        ValueError: Both ways are used at once, or the numbers make no rate.
    """
    if rate is not None:
        if rate_limit is not None or per_second != 1:
            raise ValueError(
                "Say it once: rate='10/2s', or rate_limit=10, per_second=2.",
            )
        return rate
    number = 1 if rate_limit is None else rate_limit
    if type(number) is not int or number < 1:
        raise ValueError(
            f"rate_limit={rate_limit!r}: how many messages, a whole number from 1.",
        )
    if not _is_number(per_second) or not _MILLISECOND <= per_second < math.inf:
        raise ValueError(
            f"per_second={per_second!r}: in how many seconds, at least 0.001. "
            "rate_limit=10, per_second=2 is 10 in 2 seconds.",
        )
    period_ms = round(per_second * 1000)
    if period_ms * 1000 < number:
        raise ValueError(
            f"{number} in {per_second} seconds is more than one in a microsecond, "
            "which is no limit.",
        )
    return Rate(number, period_ms / 1000, number)


def name_for(
    of: Callable[..., Any] | type, owner: type | None = None, *, more: str = ""
) -> str:
    """Return a policy's name made of where a function or class is written.

    Args:
        of: The function or class.
        owner: The class whose method it is, where it may be inherited.
        more: What the name ends with.
    """
    module = getattr(owner or of, "__module__", None) or "view"
    name = getattr(of, "__qualname__", None) or type(of).__qualname__
    if owner is not None:
        name = f"{owner.__qualname__}.{name.rpartition('.')[2]}"
    return name_from(f"{module}.{name}{more}".replace(".<locals>", ""))


def name_from(text: str) -> str:
    """Return a policy's name made of any text; the same for the same text."""
    whole = text.lower()
    found = re.sub(r"[^a-z0-9_.-]", "-", whole).lstrip(_NO_FIRST) or "view"
    if len(found) <= _MAX_NAME:
        return found
    # What tells it from others is at the end; the rest is in the hash.
    digest = hashlib.sha256(whole.encode()).hexdigest()[:_HASH_LENGTH]
    end = found[-(_MAX_NAME - _HASH_LENGTH - 1) :].lstrip(_NO_FIRST) or "view"
    return f"{end}-{digest}"


def _several(rate: GivenRate) -> list[str | Rate | Policy]:
    if isinstance(rate, str | Rate | Policy):
        return [rate]
    if isinstance(rate, Iterable):
        given = list(rate)
        for each in given:
            if not isinstance(each, str | Rate | Policy):
                raise TypeError(_no_rate(each))
        if given:
            return given
        raise ValueError("An empty list of rates limits nothing: name one.")
    raise TypeError(_no_rate(rate))


def _no_rate(given: object) -> str:
    return (
        f"{given!r} is no rate. Write a text such as '10/s' or '60/min:20', a Rate, "
        "a Policy, or a list of those."
    )


def _common_past(given: list[str | Rate | Policy], default: Past) -> Past:
    said = {each.past for each in given if isinstance(each, Policy)}
    if len(said) > 1:
        raise ValueError(
            "The policies do not agree on what happens past them: say past=….",
        )
    return said.pop() if said else default


def _words_of(key: object) -> str:
    return str(getattr(key, "__name__", None) or type(key).__name__)


def _is_number(given: object) -> bool:
    return isinstance(given, int | float) and not isinstance(given, bool)
