"""Lines that come through a pipe or from a file, one at a time.

They are read in a thread, which waits while the one before is not taken: so a pipe
that is full of lines is as slow as the chat lets it be.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator

__all__ = ["piped_lines"]

_READ_BYTES = 65_536
MAX_LINE_BYTES = 65_536  # no message is so long: what is beyond is cut off


async def piped_lines(descriptor: int) -> AsyncIterator[str]:
    """Yield the lines of a file descriptor without their ends, until its end.

    The thread is not waited for: it may be reading when the program ends.
    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[str | None] = asyncio.Queue(1)

    def put(line: str | None) -> bool:
        try:
            asyncio.run_coroutine_threadsafe(queue.put(line), loop).result()
        except (RuntimeError, asyncio.CancelledError, TimeoutError):
            return False  # the program ends
        return True

    def read() -> None:
        rest = b""
        while chunk := _read(descriptor):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if not put(_text(line)):
                    return
            rest = rest[:MAX_LINE_BYTES]
        if rest:
            put(_text(rest))
        put(None)

    threading.Thread(target=read, name="headgate tail stdin", daemon=True).start()
    while (line := await queue.get()) is not None:
        yield line


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, _READ_BYTES)
    except OSError:  # it is closed, or of a terminal that is not ours
        return b""


def _text(line: bytes) -> str:
    return line[:MAX_LINE_BYTES].decode(errors="replace").rstrip("\r")
