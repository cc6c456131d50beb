"""What HTTP says of limits: `RateLimit-Policy`, `RateLimit` and `Retry-After`.

The syntax of the first two is that of draft-ietf-httpapi-ratelimit-headers, which is
no RFC yet and still moves. So it stands here only, under the name of its revision.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from headgate.limits.decision import Decision
from headgate.limits.policy import Policy

__all__ = ["EXPOSED", "REVISION", "limit_fields", "retry_after"]

REVISION = "draft-10"

# Which of the answers' fields a page of another origin has to be let read.
EXPOSED = ("Retry-After", "RateLimit", "RateLimit-Policy")

_Serializer = Callable[[Sequence[Decision]], dict[str, str]]


def limit_fields(
    decisions: Iterable[Decision], *, revision: str = REVISION
) -> dict[str, str]:
    """Return the header fields that tell policies and what is left of them.

    Args:
        decisions: What was decided for one request. What a policy on a dry run would
            refuse is not told.
        revision: Of the draft: a key of `REVISIONS`.
    """
    told = [each for each in decisions if not each.policy.dry_run]
    return REVISIONS[revision](told) if told else {}


def retry_after(decision: Decision) -> dict[str, str]:
    """Return the field that tells how long to wait (RFC 9110, section 10.2.3).

    Whole seconds, rounded up, at least 1; none where waiting does not help.
    """
    seconds = decision.retry_after_seconds
    if seconds is None:
        return {}
    return {"Retry-After": str(max(1, math.ceil(seconds)))}


def _draft_10(decisions: Sequence[Decision]) -> dict[str, str]:
    """Return the fields of revision 10 (27 September 2025), sections 3 and 4."""
    return {
        "RateLimit-Policy": ", ".join(_policy(each.policy) for each in decisions),
        "RateLimit": ", ".join(_left(each) for each in decisions),
    }


def _policy(policy: Policy) -> str:
    """Return a quota of so many in a window of whole seconds, and the burst."""
    window_seconds = max(1, math.ceil(policy.rate.period_seconds))
    quota = math.floor(policy.per_second * window_seconds + 1e-6)
    if policy.rate.period_seconds == window_seconds:
        quota = policy.rate.count
    burst = f";headgate-burst={policy.burst}"
    return f'"{policy.name}";q={quota};w={window_seconds}{burst}'


def _left(decision: Decision) -> str:
    """Return what is left and, where something is missing, when there is more."""
    after = math.ceil(decision.next_after_seconds)
    more = f";t={after}" if after else ""
    return f'"{decision.policy.name}";r={decision.remaining}{more}'


REVISIONS: dict[str, _Serializer] = {"draft-10": _draft_10}
