"""The values of a table's columns as parts of a message: ids, slugs, texts, times."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from hashlib import blake2b
from typing import Any

from django.conf import settings
from django.utils import timezone
from django.utils.text import slugify

from headgate.protocol.codec import BadCommand, decode_command, encode, is_room_slug
from headgate.protocol.codes import Code
from headgate.protocol.fields import MAX_CLIENT_ID

__all__ = [
    "IMPORTED",
    "MAX_SLUG",
    "client_id_of",
    "digest",
    "made_slug",
    "moment_of",
    "own_slug",
    "short",
    "text_of",
]

IMPORTED = "import:"  # what the client_ids of imported messages begin with
MAX_SLUG = 64  # characters


def own_slug(text: str) -> str:
    """Return a text where it is a slug, and one made of it where it is not."""
    return text if is_room_slug(text) else made_slug(text)


def made_slug(text: str) -> str:
    """Return a slug made of what people read."""
    return slugify(text)[:MAX_SLUG] or f"room-{digest(text)[:8]}"


def client_id_of(label: str, pk: Any) -> str:
    """Return the client_id of a row's message, the same each time."""
    return IMPORTED + short(f"{label}:{pk}", MAX_CLIENT_ID - len(IMPORTED))


def short(text: str, limit: int) -> str:
    """Return a text where it fits, and something that stands for it where not."""
    return text if len(text) <= limit and "\x00" not in text else digest(text)


def digest(text: str) -> str:
    """Return what stands for a text, in 16 characters."""
    return blake2b(text.encode(errors="surrogatepass"), digest_size=8).hexdigest()


def text_of(value: Any, client_id: str) -> tuple[str, str | None]:
    """Return a text, and what keeps it from being a message, if anything.

    What is taken over the wire is taken here.
    """
    text = "" if value is None else str(value)
    command = {"cmd": "send", "room": "r", "client_id": client_id, "text": text}
    try:
        decode_command(encode(command).decode())
    except BadCommand as bad:
        return text, _in_words(text, bad)
    except ValueError:
        return text, "the text is no Unicode"
    return text, None


def _in_words(text: str, bad: BadCommand) -> str:
    """Return what is wrong as it is said of a row."""
    if bad.error.code == Code.TOO_LARGE:
        size = len(text.encode())
        return f"the text has {size:,} bytes; at most 16 KiB are taken, as JSON"
    if "\x00" in text:
        return "the text has the character U+0000"
    return "the text is blank" if not text.strip() else bad.error.text.rstrip(".")


def moment_of(value: Any) -> datetime | None:
    """Return a time as Django keeps it, in UTC where it keeps time zones at all.

    Raises `OverflowError` or `ValueError` for one that no calendar has.
    """
    if value is None:
        return None
    if not isinstance(value, datetime):
        value = datetime.combine(_day(value), time())
    if timezone.is_naive(value):
        value = timezone.make_aware(value)
    value = value.astimezone(UTC)
    return value if settings.USE_TZ else timezone.make_naive(value)


def _day(value: Any) -> date:
    if not isinstance(value, date):
        raise ValueError(f"{value!r} is no date")  # noqa: TRY004 - told as a bad value
    return value
