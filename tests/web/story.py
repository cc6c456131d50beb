"""The conversation of the documentation's pictures: always the same, to the minute."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

__all__ = ["tell_story"]

# Who, what, the minutes since the one before, and which one it answers.
STORY: list[tuple[str, str, float, int | None]] = [
    ("Ada", "Morning! The new gauge at the upper lock is in. 🎉", 0, None),
    (
        "Ada",
        "It reports every ten seconds now, before it was once a minute.",
        0.4,
        None,
    ),
    ("Ben", "Nice. Does it still round to whole centimetres?", 3, None),
    (
        "Ada",
        "No, millimetres. See https://example.org/gauges/upper-lock",
        1.2,
        3,
    ),
    ("Noa", "שלום! המפה מראה אותו פעמיים, זה ידוע?", 6, None),
    ("Ben", "Known. The old one stays until noon, then it goes.", 1.5, 5),
    ("Dan", "How much do we let through tonight?", 42, None),
    ("Cleo", "Rain is due at nine. I would open the second gate earlier.", 2, None),
    ("Cleo", "Half of it by eight, say. We can always close it again.", 0.5, None),
    ("Ada", "Agreed. I put it into the plan and tell the mill.", 3, None),
]
BEGINS = datetime(2026, 5, 12, 7, 41, tzinfo=UTC)
READER, READ = "Dan", 7  # up to his own message
ASIDE = {"help": ("Cleo", 3), "random": ("Ben", 12)}  # messages that nobody has read


def tell_story(people: dict[str, Any]) -> None:
    """Write it into the demo rooms."""
    from headgate.chat.actions import edit_message, send_message
    from headgate.chat.models import Event, Member, Room

    at = BEGINS
    for name, text, minutes, reply_to in STORY:
        seq = send_message("general", people[name], text, reply_to=reply_to).seq
        at += timedelta(minutes=minutes)
        Event.objects.filter(room__slug="general", seq=seq).update(at=at)
    edit_message("general", 6, f"{STORY[5][1]} I see to it.", by=people["Ben"])

    def has_read(name: str, slug: str, seq: int) -> None:
        user = people[name]
        room = Room.objects.get(slug=slug)
        key = f"u:{user.pk}"
        Member.objects.create(room=room, author_key=key, user=user, read_seq=seq)

    has_read(READER, "general", READ)
    for slug, (author, count) in ASIDE.items():
        send_message(slug, people[author], "What everybody has read.")
        for n in range(count):
            send_message(slug, people[author], f"By the way, {n}.")
        for name in people:
            has_read(name, slug, 1)
