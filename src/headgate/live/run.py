"""Events that follow each other, as each mode gets them: encoded and joined once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from headgate.live.frames import Frame, Mode, Shared, text_frame

__all__ = ["EVENT_BYTES", "RUN_MAX_BYTES", "Run", "Said", "memory_of", "run_of"]

EVENT_BYTES = 1024  # of the objects around an event's text
RUN_MAX_BYTES = 64 * 1024  # past it a run ends, with the event that reached it


class Said:
    """What pushes are in one mode: their frames, and all of them as one write.

    Attributes:
        frames: One for each push; a mode may say less than all.
        size_bytes: Of their payloads.
    """

    __slots__ = ("_ready", "frames", "size_bytes")

    def __init__(self, pushes: Iterable[Shared], mode: Mode) -> None:
        self.frames: list[Frame] = []
        self.size_bytes = 0
        self._ready: bytes | None = None
        for shared in pushes:
            frame = shared.frame(mode)
            if frame is not None:
                self.frames.append(frame)
                self.size_bytes += frame.size

    @property
    def ready(self) -> bytes:
        """All in their WebSocket frames, one after the other."""
        if self._ready is None:
            self._ready = b"".join([text_frame(frame.payload) for frame in self.frames])
        return self._ready


class Run:
    """The events after a seq, up to another, shared by all who get them.

    Attributes:
        shared: The events.
        is_full: Whether it ends because no more goes out at once.
        after: The seq before the first.
        last: The seq of the last.
    """

    __slots__ = (
        "_parts",
        "_plain",
        "_stream",
        "_v1",
        "after",
        "is_full",
        "last",
        "shared",
    )

    def __init__(
        self, shared: Sequence[Shared], after: int, *, is_full: bool = False
    ) -> None:
        self.shared = shared
        self.is_full = is_full
        self.after = after
        self.last = after + len(shared)
        self._v1: Said | None = None
        self._plain: Said | None = None
        self._stream: Said | None = None
        self._parts: dict[int, Run] | None = None

    def said(self, mode: Mode) -> Said:
        """Return what it is in a mode, made at first use."""
        # No dict by mode: an Enum is hashed by Python code, and that for each watcher.
        if mode is Mode.V1:
            if self._v1 is None:
                self._v1 = Said(self.shared, mode)
            return self._v1
        if mode is Mode.PLAIN:
            if self._plain is None:
                self._plain = Said(self.shared, mode)
            return self._plain
        if self._stream is None:
            self._stream = Said(self.shared, mode)
        return self._stream

    def part(self, position: int) -> Run:
        """Return what of it comes after a seq in it."""
        if position == self.after:
            return self
        if self._parts is None:
            self._parts = {}
        part = self._parts.get(position)
        if part is None:
            rest = self.shared[position - self.after :]
            part = self._parts[position] = Run(rest, position)
        return part


def memory_of(count: int, size_bytes: int) -> int:
    """Return about what so many events take, whose payloads have so many bytes.

    The text is there twice, in the event and in the payload.
    """
    return 2 * size_bytes + EVENT_BYTES * count


def run_of(shared: Sequence[Shared], begin: int, after: int) -> Run:
    """Return the run that begins at an index, and is as long as goes out at once.

    `after` is the seq before the event at index 0.
    """
    size, end = 0, begin
    while end < len(shared) and size < RUN_MAX_BYTES:
        size += shared[end].size
        end += 1
    return Run(shared[begin:end], after + begin, is_full=size >= RUN_MAX_BYTES)
