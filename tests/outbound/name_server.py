"""Names that resolve as a test wants, also to something else each time."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Sequence

__all__ = ["NameServer"]


class NameServer:
    """Stands in for `getaddrinfo`; give its `resolve` to the sender.

    Args:
        answers: For each name the answers in turn, each a list of addresses; from the
            last on it begins anew. An empty answer is a name without an address.

    Attributes:
        asked: How often each name was asked for.
    """

    def __init__(self, answers: dict[str, Sequence[Sequence[str]]]) -> None:
        self._answers = answers
        self._lock = threading.Lock()
        self.asked: Counter[str] = Counter()

    def resolve(self, host: str) -> list[str]:
        """Return the addresses of a name; raises `OSError` for one that nobody has."""
        with self._lock:
            answers = self._answers.get(host)
            if answers is None:
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            answer = answers[self.asked[host] % len(answers)]
            self.asked[host] += 1
            return list(answer)
