from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from headgate.chat import actions
from headgate.chat.append import append
from headgate.chat.entries import (
    Change,
    Draft,
    Entry,
    Known,
    ReadMark,
    Refused,
    Verdict,
    Written,
)
from headgate.chat.models import Event, Member, Message, Room
from headgate.chat.people import Actor, actor_for, new_guest
from headgate.protocol.pushes import Message as MessagePush

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


def write(*entries: Entry) -> list[Verdict | None]:
    with transaction.atomic():
        return append(connection, entries)


def seqs(verdicts: list[Verdict | None]) -> list[int | None]:
    found: list[int | None] = []
    for verdict in verdicts:
        if isinstance(verdict, Written):
            found.append(verdict.push.seq)
        else:
            found.append(verdict.seq if isinstance(verdict, Known) else None)
    return found


@pytest.fixture(params=["user", "guest"])
def author(request: pytest.FixtureRequest, ada: User) -> Actor:
    return actor_for(ada) if request.param == "user" else new_guest("Gus")


def test_numbers_a_batch_without_holes(room: Room, author: Actor) -> None:
    other = Room.objects.create(slug="other")
    entries = [Draft(r.pk, author, f"m{i}") for i in range(5) for r in (room, other)]

    assert [n for i in range(1, 6) for n in (i, i)] == seqs(write(*entries))
    room.refresh_from_db()
    assert room.head == 5
    assert list(Event.objects.filter(room=room).values_list("seq", flat=True)) == [
        1,
        2,
        3,
        4,
        5,
    ]


def test_a_batch_larger_than_one_statement_arrives_whole(
    room: Room,
    author: Actor,
) -> None:
    entries = [Draft(room.pk, author, f"m{i}", f"c{i}") for i in range(200)]

    assert list(range(1, 201)) == seqs(write(*entries))
    texts = Message.objects.order_by("seq").values_list("text", flat=True)
    assert [f"m{i}" for i in range(200)] == list(texts)


def test_the_same_client_id_in_one_batch_is_one_message(
    room: Room,
    author: Actor,
) -> None:
    draft = Draft(room.pk, author, "hi", "c-1")

    assert seqs(write(draft, draft, Draft(room.pk, author, "ho", "c-2"))) == [1, 1, 2]
    assert Message.objects.count() == 2


def test_the_same_client_id_in_a_later_batch_gives_the_first_seq(
    room: Room,
    author: Actor,
) -> None:
    draft = Draft(room.pk, author, "hi", "c-1", {"data": {"a": [1, None]}})
    write(draft)

    verdicts = write(Draft(room.pk, author, "new", "c-2"), draft)

    assert seqs(verdicts) == [2, 1]
    assert isinstance(verdicts[1], Known)
    assert Message.objects.count() == 2


def test_without_a_look_a_retry_is_an_error_and_nothing_is_written(
    room: Room,
    author: Actor,
) -> None:
    write(Draft(room.pk, author, "hi", "c-1"))
    batch = [Draft(room.pk, author, f"m{n}", f"c-{n}") for n in (3, 2, 1)]

    with pytest.raises(IntegrityError), transaction.atomic():
        append(connection, batch, look=False)

    assert Event.objects.count() == 1
    room.refresh_from_db()
    assert room.head == 1


def test_a_retry_among_many_new_ones_costs_no_seq(room: Room, author: Actor) -> None:
    write(Draft(room.pk, author, "old", "c-7"))
    drafts = [
        Draft(room.pk, author, "old" if i == 7 else "n", f"c-{i}") for i in range(20)
    ]

    found = seqs(write(*drafts))

    assert found[7] == 1
    assert sorted(n for n in found if n != 1) == list(range(2, 21))


@pytest.mark.parametrize("together", [True, False])
def test_another_content_under_the_same_client_id_is_a_conflict(
    room: Room,
    author: Actor,
    together: bool,  # noqa: FBT001
) -> None:
    first, second = Draft(room.pk, author, "a", "c"), Draft(room.pk, author, "b", "c")
    verdicts = write(first, second) if together else [*write(first), *write(second)]

    refused = verdicts[1]
    assert isinstance(refused, Refused)
    assert (refused.error.code, refused.error.client_id) == ("id_conflict", "c")
    assert Message.objects.get().text == "a"


def test_details_count_for_the_conflict(room: Room, author: Actor) -> None:
    write(Draft(room.pk, author, "a", "c", {"reply_to": 1}))

    assert isinstance(write(Draft(room.pk, author, "a", "c"))[0], Refused)


def test_a_retry_after_an_edit_or_a_deletion_gives_the_first_seq(
    room: Room,
    author: Actor,
) -> None:
    draft = Draft(room.pk, author, "first", "c-1")
    write(draft)
    write(Change(room.pk, author, 1, "second"))
    assert seqs(write(draft)) == [1]
    write(Change(room.pk, author, 1, None))

    assert seqs(write(draft)) == [1]
    conflict = write(Draft(room.pk, author, "second", "c-1"))[0]
    assert isinstance(conflict, Refused)
    assert conflict.error.code == "id_conflict"


def test_authors_and_rooms_do_not_share_client_ids(
    room: Room,
    ada: User,
    grace: User,
) -> None:
    other = Room.objects.create(slug="other")
    guests = [new_guest("a"), new_guest("b")]
    people = [actor_for(ada), actor_for(grace), *guests]

    verdicts = write(
        *[
            Draft(r.pk, who, f"by {who.key}", "c")
            for who in people
            for r in (room, other)
        ],
    )

    assert seqs(verdicts) == [1, 1, 2, 2, 3, 3, 4, 4]


def test_a_digest_of_a_rotated_secret_still_counts(
    room: Room,
    author: Actor,
    settings: object,
) -> None:
    draft = Draft(room.pk, author, "hi", "c-1")
    write(draft)
    old = settings.SECRET_KEY  # type: ignore[attr-defined]
    settings.SECRET_KEY = "another"  # type: ignore[attr-defined]
    settings.SECRET_KEY_FALLBACKS = [old]  # type: ignore[attr-defined]

    assert seqs(write(draft)) == [1]


def test_a_digest_does_not_tell_the_text_to_who_lacks_the_secret(
    room: Room,
    author: Actor,
    settings: object,
) -> None:
    write(Draft(room.pk, author, "yes", "c-1"))
    settings.SECRET_KEY = "another"  # type: ignore[attr-defined]
    write(Draft(room.pk, author, "yes", "c-2"))

    first, second = (bytes(m.digest or b"") for m in Message.objects.order_by("seq"))
    assert first != second


def test_an_edit_is_an_event_and_changes_the_message(room: Room, author: Actor) -> None:
    write(Draft(room.pk, author, "a", details={"reply_to": 9, "format": "markdown"}))

    assert seqs(write(Change(room.pk, author, 1, "b", {"data": {"n": 1}}))) == [2]
    message = Message.objects.get(seq=1)
    assert (message.text, message.edited_seq) == ("b", 2)
    assert message.details == {"reply_to": 9, "data": {"n": 1}}


def test_an_edit_that_changes_nothing_gives_the_earlier_seq(
    room: Room,
    author: Actor,
) -> None:
    write(Draft(room.pk, author, "a"))
    assert seqs(write(Change(room.pk, author, 1, "a"))) == [1]
    write(Change(room.pk, author, 1, "b"))

    assert seqs(write(Change(room.pk, author, 1, "b"))) == [2]
    assert Event.objects.count() == 2


def test_a_deletion_blanks_the_message_and_its_edits(room: Room, author: Actor) -> None:
    write(Draft(room.pk, author, "secret one", details={"data": {"x": "secret"}}))
    write(Change(room.pk, author, 1, "secret two"))

    assert seqs(write(Change(room.pk, author, 1, None))) == [3]
    assert seqs(write(Change(room.pk, author, 1, None))) == [3]
    assert {""} == set(Event.objects.values_list("text", flat=True))
    assert {None} == set(Event.objects.values_list("details", flat=True))
    refused = write(Change(room.pk, author, 1, "again"))[0]
    assert isinstance(refused, Refused)
    assert refused.error.code == "not_found"


def test_a_change_and_a_send_of_one_batch_keep_their_order(
    room: Room,
    author: Actor,
) -> None:
    verdicts = write(
        Draft(room.pk, author, "a"),
        Change(room.pk, author, 1, "b"),
        Draft(room.pk, author, "c"),
        Change(room.pk, author, 3, None),
        Draft(room.pk, author, "d"),
    )

    assert seqs(verdicts) == [1, 2, 3, 4, 5]


def test_who_is_muted_or_banned_is_refused_and_neighbours_are_not(
    room: Room,
    ada: User,
    grace: User,
) -> None:
    guest = new_guest("Gus")
    write(Draft(room.pk, actor_for(grace), "before", "c-0"))
    actions.mute(room, grace, timezone.now() + timedelta(seconds=90))
    actions.ban(room, guest)

    verdicts = write(
        Draft(room.pk, actor_for(ada), "a", "c-1"),
        Draft(room.pk, actor_for(grace), "b", "c-2"),
        Draft(room.pk, guest, "c", "c-3"),
        Change(room.pk, actor_for(grace), 1, "edited"),
        Draft(room.pk, actor_for(grace), "before", "c-0"),
    )

    assert seqs(verdicts) == [4, None, None, None, 1]
    muted, banned = verdicts[1], verdicts[2]
    assert isinstance(muted, Refused)
    assert isinstance(banned, Refused)
    assert (muted.error.code, muted.error.client_id) == ("muted", "c-2")
    assert 80_000 < (muted.error.retry_after_ms or 0) <= 90_001
    assert (banned.error.code, banned.error.client_id) == ("banned", "c-3")


def test_a_mute_that_is_over_does_not_count(room: Room, ada: User) -> None:
    actions.mute(room, ada, timezone.now() - timedelta(seconds=1))

    assert seqs(write(Draft(room.pk, actor_for(ada), "a"))) == [2]


def test_a_room_that_is_gone_is_not_found(room: Room, author: Actor) -> None:
    gone = room.pk
    room.delete()

    refused = write(Draft(gone, author, "a"))[0]
    assert isinstance(refused, Refused)
    assert refused.error.code == "not_found"


def test_a_room_that_is_gone_is_not_waited_for(room: Room, author: Actor) -> None:
    """Whoever does not wait tells it from a room that somebody holds."""
    other = Room.objects.create(slug="other")
    entries = [
        Draft(room.pk, author, "a"),
        Draft(other.pk, author, "b"),
        Change(room.pk, author, 1, None),
        ReadMark(room.pk, author, 1),
    ]
    room.delete()

    with transaction.atomic():
        verdicts = append(connection, entries, wait=False)

    assert seqs(verdicts) == [None, 1, None, None]
    for refused in (verdicts[0], *verdicts[2:]):
        assert isinstance(refused, Refused)
        assert refused.error.code == "not_found"


def test_pushes_say_what_was_written(room: Room, ada: User) -> None:
    details = {"kind": "x-poll", "data": {"a": 1}, "priority": "high"}
    verdict = write(Draft(room.pk, actor_for(ada), "Привет 👋", "c", details))[0]

    assert isinstance(verdict, Written)
    push = verdict.push
    assert isinstance(push, MessagePush)
    assert (push.room, push.seq, push.client_id) == ("general", 1, "c")
    assert (push.text, push.kind, push.data) == ("Привет 👋", "x-poll", {"a": 1})
    assert (push.author.kind, push.author.name) == ("user", "Ada Lovelace")
    assert push.author.id == f"u:{ada.pk}"


def test_memberships_are_events_and_change_nothing_twice(room: Room, ada: User) -> None:
    assert actions.add_member(room, ada, role="moderator").seq == 1
    assert actions.add_member(room, ada).seq == 1
    assert actions.set_role(room, ada, "owner").seq == 2
    assert actions.remove_member(room, ada).seq == 3
    assert actions.remove_member(room, ada).seq == 3

    kinds = Event.objects.order_by("seq").values_list("details__change", flat=True)
    assert list(kinds) == ["added", "role", "removed"]


def test_in_a_group_neither_mute_nor_unban_makes_a_member(ada: User) -> None:
    group = Room.objects.create(slug="group", kind=Room.Kind.GROUP)

    actions.mute(group, ada, timezone.now() + timedelta(hours=1))
    assert not Member.objects.exists()
    actions.ban(group, ada)
    actions.unban(group, ada)
    assert not Member.objects.exists()


def test_a_group_member_sees_from_where_they_were_added(ada: User, grace: User) -> None:
    group = Room.objects.create(slug="group", kind=Room.Kind.GROUP)
    actions.add_member(group, grace)
    for _ in range(3):
        actions.send_message(group, grace, "hi")

    actions.add_member(group, ada)

    assert Member.objects.get(author_key=f"u:{ada.pk}").visible_from_seq == 5
