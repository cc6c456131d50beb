"""New epochs for rooms whose log is another than the one that people have seen.

A backup that was put back, or a server that took over without the last commits, has the
log end earlier. Seqs are given out again then, to other events: whoever resumed with
theirs alone would miss those without a word. In another epoch they are told to load the
room afresh.
"""

from __future__ import annotations

from django.db import router, transaction

from headgate.chat.models import Room, new_epoch

__all__ = ["begin_epochs", "current_epoch"]

_AT_ONCE = 500  # rooms in one statement


def begin_epochs() -> int:
    """Give every room another epoch, and return how many rooms there are.

    Servers that run see it within two seconds, and have those who watch come back.
    """
    using = router.db_for_write(Room)
    with transaction.atomic(using=using):
        rooms = list(Room.objects.using(using).only("pk"))
        for room in rooms:
            room.epoch = new_epoch()
        Room.objects.using(using).bulk_update(rooms, ["epoch"], batch_size=_AT_ONCE)
    return len(rooms)


def current_epoch(room_id: int, epoch: str, known: int) -> str:
    """Return a room's epoch: another one where its log ends before a known seq.

    It is asked for where is written, as a copy that is read may lag. Of several
    processes that ask, one begins the new epoch.
    """
    room = Room.objects.using(router.db_for_write(Room)).filter(pk=room_id)
    room.filter(epoch=epoch, head__lt=known).update(epoch=new_epoch())
    return room.values_list("epoch", flat=True).first() or epoch
