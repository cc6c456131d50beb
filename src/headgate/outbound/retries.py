"""When a call that failed is made again: full jitter, never before `Retry-After`.

Source of the rule: AWS's "Exponential Backoff And Jitter": those that failed together
must not come back together.
"""

from __future__ import annotations

__all__ = ["retry_in_seconds"]

# The first wait is up to twice this; with 12 attempts they go over about 11 hours.
BASE_SECONDS = 10.0
LONGEST_SECONDS = 6 * 3600.0


def retry_in_seconds(
    attempt: int, retry_after_seconds: float | None, jitter: float
) -> float:
    """Return how long to wait after a failed attempt.

    Args:
        attempt: The one that failed; 1 is the first.
        retry_after_seconds: What the service asked for, or None.
        jitter: A random number from 0 up to 1.
    """
    longest = LONGEST_SECONDS
    if attempt < 32:  # noqa: PLR2004 - past it the power is too large for anything
        longest = min(longest, BASE_SECONDS * 2**attempt)
    return max(longest * jitter, retry_after_seconds or 0.0)
