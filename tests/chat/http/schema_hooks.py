"""What schemathesis is told about the API's description; loaded by its command line."""

from __future__ import annotations

from typing import Any

import schemathesis

from headgate.protocol.fields import MAX_INTEGER

__all__ = ["map_body"]


@schemathesis.hook
def map_body(_context: Any, body: Any) -> Any:
    """Write numbers as the wire has them, which JSON Schema cannot say of `data`.

    To JSON Schema 3.0 is an integer; the wire tells the two apart, as its codec does
    in every language. And no integer is beyond 2**53 - 1, however deep it stands.
    """
    return _numbers(body)


def _numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _numbers(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_numbers(each) for each in value]
    if isinstance(value, float) and value.is_integer() and abs(value) <= MAX_INTEGER:
        return int(value)
    if type(value) is int:
        return max(-MAX_INTEGER, min(value, MAX_INTEGER))
    return value
