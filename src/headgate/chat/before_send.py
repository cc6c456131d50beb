"""What the project has to say before something is saved: `HEADGATE["BEFORE_SEND"]`.

One function looks at each message and each edit, whichever door it came by. It has
100 ms. Where it takes longer or fails, what was to be said is refused and can be sent
again: a filter that is broken lets nothing through.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import time
from dataclasses import dataclass
from typing import Any

from asgiref.sync import async_to_sync
from django.core.signals import setting_changed
from msgspec.structs import replace

from headgate.chat import storage
from headgate.chat.conf import conf
from headgate.chat.django_thread import in_django_thread
from headgate.chat.engine import started_engine
from headgate.chat.entries import Change, Draft, Known, Refused, Verdict
from headgate.chat.history import known_message
from headgate.chat.project_functions import ProjectFunction, named_function
from headgate.live.ports import LogUnavailable
from headgate.protocol.codec import BadCommand, decode_command, encode, error
from headgate.protocol.codes import ERRORS, Code
from headgate.protocol.commands import Edit, Send
from headgate.protocol.fields import MAX_COMMAND_BYTES
from headgate.protocol.pushes import Author

__all__ = [
    "MessageDraft",
    "Reject",
    "has_before_send",
    "looked_at",
    "looked_at_here",
    "write_looked_at",
]

logger = logging.getLogger("headgate.before_send")

LIMIT_SECONDS = 0.1
RETRY_MS = 1000  # what a refusal for now asks to wait
MAX_RUNNING = 1000  # calls at once; past it all is refused until some have ended
MAX_TEXT = 500  # characters of a rejection

Said = Draft | Change


@dataclass(slots=True, kw_only=True)
class MessageDraft:
    """A message, or with `edits` a new text for one, before it is saved.

    `text` and `data` may be changed; the rest is to be read.

    Attributes:
        room: The room's slug.
        author: Who says it: `id`, `kind` and `name`.
        text: What is said.
        kind: text, system, or x-… of the project's own.
        format: plain or markdown.
        data: A JSON object of at most 4 KiB, or None.
        reply_to: The seq of the message that it answers, or None.
        client_id: The sender's own id of the message, or None.
        edits: The seq of the message that gets this text, or None for a new one.
    """

    room: str
    author: Author
    text: str
    kind: str = "text"
    format: str = "plain"
    data: dict[str, Any] | None = None
    reply_to: int | None = None
    client_id: str | None = None
    edits: int | None = None


@dataclass(frozen=True, slots=True)
class Reject:
    """The answer that refuses a message.

    Attributes:
        code: One of the wire's error codes, such as `forbidden`.
        text: What people are told; the code's own text if it is left out.
        retry_after_ms: When the same message may be taken; a second where it is left
            out and the code says "later".

    Raises:
        ValueError: There is no such code.
    """

    code: str = Code.FORBIDDEN.value
    text: str | None = None
    retry_after_ms: int | None = None

    def __post_init__(self) -> None:
        if self.code not in {code.value for code in Code}:
            known = ", ".join(code.value for code in Code)
            raise ValueError(f"{self.code!r} is no error code. There are: {known}.")
        if self.retry_after_ms is not None and self.retry_after_ms < 1:
            raise ValueError("retry_after_ms is a positive number of milliseconds.")


def has_before_send() -> bool:
    """Return whether the project looks at what is said."""
    return conf().BEFORE_SEND is not None


async def write_looked_at(entry: Draft | Change, room: str) -> Verdict:
    """Write an entry of the room with this slug, once the project has looked at it."""
    looked = await looked_at(entry, room)
    return await storage.write(looked) if isinstance(looked, Said) else looked


async def looked_at(entry: Said, room: str) -> Said | Verdict:
    """Return an entry as the project lets it through, or a verdict in its place."""
    if not has_before_send() or entry.text is None:
        return entry
    draft = _as_draft(entry, room)
    answer: Any
    try:
        answer = await _in_time(named_function(str(conf().BEFORE_SEND)), draft)
        found = _taken(entry, room, answer)
    except Exception as exc:  # noqa: BLE001 - logged; nothing is let through
        return _failing.failed(exc)
    _failing.worked()
    if isinstance(answer, Reject) and isinstance(entry, Draft):
        try:
            return await storage.read(_known, entry) or found
        except LogUnavailable:
            return _for_now("The message could not be saved just now.")
    return found


def looked_at_here(entry: Said, room: str) -> Said | Verdict:
    """Return what `looked_at` does, in sync code and in its open transaction."""
    if not has_before_send() or entry.text is None:
        return entry
    draft = _as_draft(entry, room)
    answer: Any
    try:
        hook = named_function(str(conf().BEFORE_SEND))
        if hook.is_async:
            answer = async_to_sync(_in_time)(hook, draft)
        else:
            answer = _timed(hook, draft)
        found = _taken(entry, room, answer)
    except Exception as exc:  # noqa: BLE001 - logged; nothing is let through
        return _failing.failed(exc)
    _failing.worked()
    if isinstance(answer, Reject) and isinstance(entry, Draft):
        return _known(entry) or found
    return found


# --- calling it -------------------------------------------------------------------


_running: set[asyncio.Future[Any]] = set()


async def _in_time(hook: ProjectFunction, draft: MessageDraft) -> Any:
    """Return what the function answers; raises what it raises, or `TimeoutError`.

    It is not waited for past its time, even where it does not let itself be ended.
    """
    if len(_running) >= MAX_RUNNING:
        raise TimeoutError(f"{MAX_RUNNING} calls have not ended yet")
    task = asyncio.ensure_future(_asked(hook, draft))
    _running.add(task)
    task.add_done_callback(_ended)
    try:
        await asyncio.wait({task}, timeout=LIMIT_SECONDS)
    finally:
        if not task.done():
            task.cancel()
    if not task.done() or task.cancelled():
        raise TimeoutError(_TOO_LONG)
    return task.result()


_TOO_LONG = f"no answer within {LIMIT_SECONDS * 1000:.0f} ms"
_EXITED = "BEFORE_SEND called sys.exit()"


async def _asked(hook: ProjectFunction, draft: MessageDraft) -> Any:
    if hook.is_async:
        try:
            return await hook.call(draft)
        except SystemExit as exc:  # it would end the event loop, with everybody
            raise RuntimeError(_EXITED) from exc
    running = started_engine()
    run = in_django_thread if running is None else running.filter_threads.run
    return await run(hook.call, draft)


def _ended(task: asyncio.Future[Any]) -> None:
    _running.discard(task)
    if not task.cancelled():
        task.exception()  # nobody waits for it any more


def _timed(hook: ProjectFunction, draft: MessageDraft) -> Any:
    """Return what a sync function answers here, where nothing can end it early."""
    started = time.monotonic()
    try:
        answer = hook.call(draft)
    except SystemExit as exc:
        raise RuntimeError(_EXITED) from exc
    if time.monotonic() - started > LIMIT_SECONDS:
        raise TimeoutError(_TOO_LONG)
    return answer


# --- what it is asked, and what it answers ------------------------------------------


def _as_draft(entry: Said, room: str) -> MessageDraft:
    details = entry.details or {}
    return MessageDraft(
        room=room,
        author=entry.actor.author,
        text=entry.text or "",
        kind=details.get("kind", "text"),
        format=details.get("format", "plain"),
        data=copy.deepcopy(details.get("data")),
        reply_to=details.get("reply_to"),
        client_id=entry.client_id if isinstance(entry, Draft) else None,
        edits=entry.target if isinstance(entry, Change) else None,
    )


def _taken(entry: Said, room: str, answer: Any) -> Said | Refused:
    """Return what becomes of an entry by the project's answer.

    Raises:
        TypeError: It is no answer.
    """
    if isinstance(answer, Reject):
        return _rejected(answer)
    if not isinstance(answer, MessageDraft):
        raise TypeError(
            f"BEFORE_SEND returned {type(answer).__name__}: return the draft, or a "
            "headgate.Reject.",
        )
    details = entry.details or {}
    said: tuple[Any, Any] = answer.text, answer.data
    if said == (entry.text, details.get("data")):
        return entry
    if not isinstance(said[0], str) or not isinstance(said[1], dict | None):
        raise TypeError(
            "BEFORE_SEND set a text that is no str, or data that is no dict"
        )
    kept = {name: value for name, value in details.items() if name != "data"}
    checked = _checked(entry, room, answer, kept)
    if isinstance(checked, Refused):
        return checked
    if checked.data is not None:
        kept["data"] = checked.data
    if isinstance(entry, Change):
        return replace(entry, text=checked.text, details=kept or None)
    first = entry.text, entry.details
    return replace(entry, text=checked.text, details=kept or None, said=first)


def _checked(
    entry: Said,
    room: str,
    answer: MessageDraft,
    details: dict[str, Any],
) -> Send | Edit | Refused:
    """Return what was changed as the wire takes it: it has the same limits.

    A text that has grown may be larger as JSON than a command: its bytes are counted.
    """
    text, whole = answer.text, None
    is_counted = len(text.encode()) <= MAX_COMMAND_BYTES and "\x00" not in text
    if isinstance(entry, Change) and is_counted:
        text, whole = text.strip()[:1], text
    command = {"room": room, "text": text, **details}
    if answer.data is not None:
        command["data"] = answer.data
    if isinstance(entry, Change):
        command |= {"cmd": "edit", "target": entry.target}
    else:
        # `system` is for project code alone, so the wire's rules do not know it.
        kind = details.get("kind", "text")
        command |= {"cmd": "send", "kind": "text" if kind == "system" else kind}
    try:
        checked = decode_command(encode(command).decode())
    except BadCommand as bad:
        return Refused(bad.error)
    if not isinstance(checked, Send | Edit):
        raise TypeError("a message was checked and something else came back")
    return checked if whole is None else replace(checked, text=whole)


def _rejected(answer: Reject) -> Refused:
    code = Code(answer.code)
    later = RETRY_MS if ERRORS[code].retry else None
    text = None if answer.text is None else str(answer.text)[:MAX_TEXT]
    retry_after_ms = answer.retry_after_ms or later
    return Refused(error(code, text, retry_after_ms=retry_after_ms))


def _known(draft: Draft) -> Known | None:
    """Return where a message stands that is refused now and was saved before.

    Whoever sends it again, as they never got the answer, is told that it is there.
    """
    if draft.client_id is None:
        return None
    found = known_message(draft.room_id, draft.actor.key, draft.client_id)
    return None if found is None else Known(*found)


def _for_now(text: str) -> Refused:
    return Refused(error(Code.UNAVAILABLE, text, retry_after_ms=RETRY_MS))


# --- when it fails ------------------------------------------------------------------


class _Failing:
    """Whether the function fails, which is logged when it changes."""

    def __init__(self) -> None:
        self._now = False

    def failed(self, exc: Exception) -> Refused:
        """Note that it failed, and return the verdict."""
        if not self._now:
            logger.error("before_send_failed", exc_info=exc)
        self._now = True
        return _for_now("What you say could not be looked at just now.")

    def worked(self) -> None:
        """Note that it did not."""
        if self._now:
            logger.warning("before_send_back")
        self._now = False


_failing = _Failing()


def _forget(*, setting: str, **_: Any) -> None:
    if setting == "HEADGATE":
        _failing.worked()


setting_changed.connect(_forget)
