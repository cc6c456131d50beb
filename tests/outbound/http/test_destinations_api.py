"""A room's owner says over HTTP which services are told of the room."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from uuid import UUID

import httpx
import pytest
from django.contrib.auth.models import Permission, User
from pytest_django import Settings
from standardwebhooks import Webhook

from headgate.chat import actions
from headgate.chat.models import Member, Room
from headgate.outbound.http.schemas import MAX_DESTINATIONS
from headgate.outbound.models import Attempt, Delivery, Destination
from headgate.outbound.switches import BY_STAFF, disable
from tests.chat.http.browsers import Browsers, browse_fixture, problem_of  # noqa: F401
from tests.chat.talker import guests_fixture, in_thread  # noqa: F401 - fixtures

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

HERE = "/api/v1/rooms/general/destinations"
CRM = {"name": "crm", "url": "https://crm.example/hook", "rate": "10/s:20"}


@pytest.fixture
async def owner(browse: Browsers, room: Room, ada: User) -> httpx.AsyncClient:
    """A browser of the room's owner."""
    await in_thread(actions.add_member, room, ada, role=Member.Role.OWNER)
    return await browse(ada)


def row() -> Destination:
    return Destination.objects.get()


def owed(state: str, **more: Any) -> Delivery:
    """Return a delivery of the one destination."""
    made: Delivery = Delivery.objects.create(
        destination=row(),
        event="message",
        state=state,
        due_at=time.time(),
        created_at=time.time(),
        finished_at=None if state == "due" else time.time(),
        **more,
    )
    return made


# --- made, shown, changed, deleted ---


async def test_one_is_made_and_its_secret_is_shown_this_once(
    owner: httpx.AsyncClient,
) -> None:
    made = await owner.post(HERE, json=CRM)

    assert made.status_code == 201, made.text
    assert made.headers["location"] == f"{HERE}/crm"
    assert made.headers["cache-control"] == "no-store"
    said = made.json()
    secret = said.pop("secret")
    Webhook(secret)  # takes it
    kept = await in_thread(row)
    assert (kept.kind, kept.secrets) == ("webhook", [secret])
    assert kept.name != "crm"  # which others may use for theirs

    shown = await owner.get(f"{HERE}/crm")
    listed = await owner.get(HERE)
    assert shown.json() == said
    assert listed.json() == {"destinations": [said]}
    assert secret not in shown.text + listed.text
    assert (said["state"], said["secrets"], said["due"]) == ("on", 1, 0)


async def test_it_is_told_of_its_room_alone(
    owner: httpx.AsyncClient,
    ada: User,
) -> None:
    await owner.post(HERE, json=CRM)
    await in_thread(Room.objects.create, slug="elsewhere")

    await in_thread(actions.send_message, "elsewhere", ada, "not for them")
    await in_thread(actions.send_message, "general", ada, "hi")

    (told,) = await in_thread(lambda: list(Delivery.objects.all()))
    assert (told.event, told.room_id) == ("message", (await in_thread(row)).room_id)


async def test_what_is_given_is_changed_and_nothing_else(
    owner: httpx.AsyncClient,
) -> None:
    before = (await owner.post(HERE, json=CRM)).json()
    del before["secret"]
    await in_thread(lambda: Destination.objects.update(rate_tat=77.0))

    changed = await owner.patch(
        f"{HERE}/crm", json={"importance": "high", "paused": True, "events": ["edited"]}
    )

    assert changed.json() == before | {
        "importance": "high",
        "paused": True,
        "events": ["edited"],
        "state": "paused",
        "standing": "paused",
    }
    kept = await in_thread(row)
    assert kept.importance == Destination.Importance.HIGH
    assert kept.rate_tat == 77.0


async def test_one_is_deleted_with_all_that_it_is_owed(
    owner: httpx.AsyncClient,
    ada: User,
) -> None:
    await owner.post(HERE, json=CRM)
    await in_thread(actions.send_message, "general", ada, "hi")

    gone = await owner.delete(f"{HERE}/crm")

    assert (gone.status_code, gone.json()) == (200, {"count": 1})
    assert await in_thread(Delivery.objects.count) == 0
    for name in ("crm", "crm%00"):  # which PostgreSQL does not take
        assert problem_of(await owner.get(f"{HERE}/{name}")) == (404, "not_found")


async def test_two_rooms_have_one_of_the_same_name(
    owner: httpx.AsyncClient,
    ada: User,
) -> None:
    other = await in_thread(Room.objects.create, slug="other")
    await in_thread(actions.add_member, other, ada, role=Member.Role.OWNER)
    there = HERE.replace("general", "other")

    answers = [await owner.post(where, json=CRM) for where in (HERE, there, HERE)]

    assert [each.status_code for each in answers] == [201, 201, 409]
    assert problem_of(answers[2]) == (409, "id_conflict")
    assert answers[2].json()["field"] == "name"
    assert (await owner.delete(f"{there}/crm")).status_code == 200
    assert (await owner.get(f"{HERE}/crm")).status_code == 200


async def test_a_room_has_at_most_ten_also_where_many_are_made_at_once(
    owner: httpx.AsyncClient,
) -> None:
    answers = await asyncio.gather(
        *(
            owner.post(HERE, json=CRM | {"name": f"crm-{n}"})
            for n in range(MAX_DESTINATIONS + 4)
        )
    )

    codes = sorted(each.status_code for each in answers)
    assert codes == [201] * MAX_DESTINATIONS + [409] * 4
    assert await in_thread(Destination.objects.count) == MAX_DESTINATIONS


# --- what will not do ---


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"url": ""}, "url"),
        ({"rate": "often"}, "rate"),
        ({"rate": "0/s"}, "rate"),
        ({"name": "Crm"}, "name"),
        ({"name": "crm\n"}, "name"),
        ({"events": ["service.degraded"]}, "events"),
        ({"events": []}, "events"),
        ({"concurrency": 17}, "concurrency"),
        ({"concurrency": True}, "concurrency"),
        ({"timeout_seconds": 31}, "timeout_seconds"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
async def test_what_will_not_do_is_refused_by_its_field(
    owner: httpx.AsyncClient, given: dict[str, Any], field: str
) -> None:
    refused = await owner.post(HERE, json=CRM | given)

    assert problem_of(refused) == (400, "bad_command")
    assert refused.json()["field"] == field
    assert await in_thread(Destination.objects.count) == 0


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"ordering": "rooms"}, '`ordering`: write "none" or "room".'),
        (
            {"events": ["message", "sent"]},
            '`events`: write "message", "edited", "deleted" or "membership".',
        ),
    ],
)
async def test_another_word_is_told_what_to_write(
    owner: httpx.AsyncClient, given: dict[str, Any], told: str
) -> None:
    refused = await owner.post(HERE, json=CRM | given)

    assert problem_of(refused) == (400, "bad_command")
    assert told in refused.text.replace('\\"', '"')


@pytest.mark.parametrize(
    "url",
    [
        "http://crm.example/",
        "https://10.1.2.3/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://ada:pw@crm.example/",
        "https://crm.example:25/",
        "crm.example",
    ],
)
async def test_a_url_that_may_not_be_called(owner: httpx.AsyncClient, url: str) -> None:
    refused = await owner.post(HERE, json=CRM | {"url": url})

    assert problem_of(refused) == (403, "forbidden")
    assert refused.json()["field"] == "url"
    assert await in_thread(Destination.objects.count) == 0


@pytest.mark.parametrize("what", ["test", "secrets"])
async def test_a_form_where_nothing_is_asked_for(
    owner: httpx.AsyncClient, what: str
) -> None:
    await owner.post(HERE, json=CRM)

    kind = {"Content-Type": "multipart/form-data"}
    refused = await owner.post(f"{HERE}/crm/{what}", headers=kind)

    assert problem_of(refused) == (415, "binary")


async def test_private_networks_are_for_those_who_run_the_server(
    owner: httpx.AsyncClient, settings: Settings
) -> None:
    settings.HEADGATE = {"OUTBOUND_NETWORKS": ["10.0.0.0/8"]}

    for url in ("https://10.1.2.3/", "http://crm.example/"):
        refused = await owner.post(HERE, json=CRM | {"url": url})
        assert problem_of(refused) == (403, "forbidden")
    await owner.post(HERE, json=CRM)
    refused = await owner.patch(f"{HERE}/crm", json={"url": "https://10.1.2.3/"})
    assert problem_of(refused) == (403, "forbidden")
    assert (await in_thread(row)).url == CRM["url"]


@pytest.mark.parametrize(
    "body", ["", "[]", '{"name"', '{"name": "\\u0000"}', "[" * 9999]
)
async def test_a_body_that_is_none(owner: httpx.AsyncClient, body: str) -> None:
    kind = {"Content-Type": "application/json"}

    refused = await owner.post(HERE, content=body, headers=kind)

    assert problem_of(refused) == (400, "bad_command")


async def test_a_moderator_is_no_owner_and_a_permission_makes_one(
    browse: Browsers,
    room: Room,
    grace: User,
) -> None:
    await in_thread(actions.add_member, room, grace, role=Member.Role.MODERATOR)
    browser = await browse(grace)
    assert problem_of(await browser.post(HERE, json=CRM)) == (403, "forbidden")

    permission = await in_thread(
        Permission.objects.get,
        content_type__app_label="headgate_outbound",
        codename="change_destination",
    )
    await in_thread(grace.user_permissions.add, permission)

    assert (await browser.post(HERE, json=CRM)).status_code == 201


async def test_with_a_cookie_a_token_is_needed(
    browse: Browsers,
    owner: httpx.AsyncClient,
    ada: User,
) -> None:
    browser = await browse(ada, csrf=False)

    for method, path in (
        ("POST", HERE),
        ("DELETE", f"{HERE}/crm"),
        ("POST", f"{HERE}/crm/secrets"),
        ("POST", "/api/v1/rooms/general/incoming"),
    ):
        refused = await browser.request(method, path, json=CRM)
        assert problem_of(refused) == (403, "csrf_failed")


@pytest.mark.limits
async def test_it_is_throttled_like_the_rest(
    owner: httpx.AsyncClient, settings: Settings
) -> None:
    settings.HEADGATE = {"LIMITS": {"command": "2/min:2"}}

    answers = [await owner.get(HERE) for _ in range(3)]

    assert [each.status_code for each in answers] == [200, 200, 429]
    assert "ratelimit" in answers[0].headers
    assert answers[2].json()["policy"] == "command"


# --- secrets, tests, and beginning anew ---


async def test_a_new_secret_stands_beside_the_one_before(
    owner: httpx.AsyncClient,
) -> None:
    secrets = [(await owner.post(HERE, json=CRM)).json()["secret"]]
    for live in (2, 2):
        made = await owner.post(f"{HERE}/crm/secrets")
        assert (made.status_code, made.json()["secrets"]) == (201, live)
        secrets.insert(0, made.json()["secret"])

    assert (await in_thread(row)).secrets == secrets[:2]
    assert len(set(secrets)) == 3


async def test_a_test_is_owed_unless_it_is_disabled(owner: httpx.AsyncClient) -> None:
    await owner.post(HERE, json=CRM)

    owed_now = await owner.post(f"{HERE}/crm/test")

    assert owed_now.status_code == 201
    made = await in_thread(Delivery.objects.get)
    assert made.pk == UUID(owed_now.json()["delivery"])
    assert made.event == "test"
    await in_thread(lambda: disable(row()))
    refused = await owner.post(f"{HERE}/crm/test")
    assert problem_of(refused) == (409, "id_conflict")


async def test_what_failed_for_long_is_enabled_by_its_owner(
    owner: httpx.AsyncClient,
) -> None:
    await owner.post(HERE, json=CRM)
    await in_thread(
        lambda: Destination.objects.update(
            enabled=False,
            disabled_reason="It failed.",
            breaker_opened=3,
            not_before=9e9,
        )
    )
    assert (await owner.get(f"{HERE}/crm")).json()["standing"] == "disabled: It failed."

    enabled = await owner.patch(f"{HERE}/crm", json={"enabled": True})

    assert (enabled.json()["state"], enabled.json()["enabled"]) == ("on", True)


async def test_what_an_administrator_disabled_stays_so(
    owner: httpx.AsyncClient,
) -> None:
    await owner.post(HERE, json=CRM)
    await in_thread(lambda: disable(row(), BY_STAFF))

    refused = await owner.patch(f"{HERE}/crm", json={"enabled": True})

    assert problem_of(refused) == (403, "forbidden")
    assert not (await in_thread(row)).enabled


# --- deliveries ---


async def test_deliveries_come_a_page_at_a_time_the_newest_first(
    owner: httpx.AsyncClient,
) -> None:
    await owner.post(HERE, json=CRM)
    ids = [str((await in_thread(owed, "due")).pk) for _ in range(5)]
    dead = await in_thread(
        lambda: owed("dead", last_status=500, last_error="It answered 500.")
    )

    async def page(**asked: Any) -> dict[str, Any]:
        found = await owner.get(f"{HERE}/crm/deliveries", params=asked)
        assert found.status_code == 200, found.text
        return dict(found.json())

    first = await page(limit=4)
    second = await page(limit=4, before=first["next"])
    both = [each["id"] for each in first["deliveries"] + second["deliveries"]]
    assert both == [str(dead.pk), *reversed(ids)]
    assert "next" not in second
    (shown,) = (await page(state="dead"))["deliveries"]
    assert (shown["last_status"], shown["last_error"]) == (500, "It answered 500.")
    assert (shown["due_at"], shown["event"]) == (None, "message")


@pytest.mark.parametrize("asked", ["state=odd", "before=1", "limit=0", "limit=x"])
async def test_what_cannot_be_asked_of_deliveries(
    owner: httpx.AsyncClient, asked: str
) -> None:
    await owner.post(HERE, json=CRM)

    refused = await owner.get(f"{HERE}/crm/deliveries?{asked}")

    assert problem_of(refused) == (400, "bad_command")
    assert refused.json()["field"] == asked.partition("=")[0]


async def test_what_was_given_up_is_replayed_one_or_all(
    owner: httpx.AsyncClient,
) -> None:
    await owner.post(HERE, json=CRM)
    dead = [await in_thread(owed, "dead") for _ in range(3)]
    await in_thread(owed, "dropped")
    there = f"{HERE}/crm/deliveries/replay"

    one = await owner.post(there, json={"ids": [str(dead[1].pk)]})
    rest = await owner.post(there, json={})

    assert (one.json(), rest.json()) == ({"count": 1}, {"count": 2})
    states = await in_thread(
        lambda: sorted(Delivery.objects.values_list("state", flat=True))
    )
    assert states == ["dropped", "due", "due", "due"]


async def test_what_is_due_is_dropped_one_or_all(owner: httpx.AsyncClient) -> None:
    await owner.post(HERE, json=CRM)
    due = [await in_thread(owed, "due") for _ in range(3)]
    there = f"{HERE}/crm/deliveries/drop"

    one = await owner.post(there, json={"ids": [str(due[1].pk)]})
    rest = await owner.post(there, json={})

    assert (one.json(), rest.json()) == ({"count": 1}, {"count": 2})
    assert await in_thread(Delivery.objects.filter(state="dropped").count) == 3


async def test_deliveries_of_others_are_out_of_reach(
    owner: httpx.AsyncClient,
) -> None:
    await owner.post(HERE, json=CRM)
    await owner.post(HERE, json=CRM | {"name": "other"})

    def theirs() -> Delivery:
        other = Destination.objects.get(name__endswith="other")
        made: Delivery = Delivery.objects.create(
            destination=other, event="message", state="dead", due_at=0, created_at=0
        )
        Attempt.objects.create(
            delivery=made, number=1, at=0, outcome="failed", service_seconds=0
        )
        return made

    made = await in_thread(theirs)
    for what in ("replay", "drop"):
        done = await owner.post(
            f"{HERE}/crm/deliveries/{what}", json={"ids": [str(made.pk)]}
        )
        assert done.json() == {"count": 0}
    await in_thread(made.refresh_from_db)
    assert made.state == "dead"


# --- incoming webhooks ---

INCOMING = "/api/v1/rooms/general/incoming"


async def test_an_incoming_webhook_posts_and_is_gone(
    owner: httpx.AsyncClient, browse: Browsers
) -> None:
    made = (await owner.post(INCOMING, json={"name": "Build server"})).json()
    unsigned = (
        await owner.post(INCOMING, json={"name": "Doorbell", "signed": False})
    ).json()

    listed = (await owner.get(INCOMING)).json()["hooks"]
    assert [(each["name"], each["signed"], each["url"]) for each in listed] == [
        ("Build server", True, made["url"]),
        ("Doorbell", False, None),
    ]
    assert made["secret"].startswith("whsec_")
    assert unsigned["secret"] is None
    assert made["secret"] not in str(listed)
    service = await browse()
    assert (await service.post(made["url"], json={"text": "hi"})).status_code == 403
    rung = await service.post(unsigned["url"], json={"text": "Somebody is at the door"})
    assert rung.status_code == 201, rung.text

    gone = await owner.delete(f"{INCOMING}/{unsigned['id']}")

    assert gone.json() == {"count": 1}
    after = await service.post(unsigned["url"], json={"text": "Anybody there?"})
    assert after.status_code == 404
    again = await owner.delete(f"{INCOMING}/{unsigned['id']}")
    assert problem_of(again) == (404, "not_found")


@pytest.mark.parametrize(
    ("asked", "given"),
    [("2/s", "2/s"), ("6/s:5", "5/s:50"), ("1/s:51", "5/s:50"), ("5/s:50", "5/s:50")],
)
async def test_an_owners_webhook_is_not_too_fast(
    owner: httpx.AsyncClient, asked: str, given: str
) -> None:
    made = await owner.post(INCOMING, json={"name": "Build", "rate": asked})
    assert made.json()["rate"] == given


@pytest.mark.parametrize("given", [{"rate": "often"}, {"rate": ""}, {"name": ""}])
async def test_an_incoming_webhook_that_will_not_do(
    owner: httpx.AsyncClient, given: dict[str, Any]
) -> None:
    refused = await owner.post(INCOMING, json={"name": "Build server"} | given)

    assert problem_of(refused) == (400, "bad_command")
    assert refused.json()["field"] == next(iter(given))


async def test_an_id_that_is_none(owner: httpx.AsyncClient) -> None:
    for number in ("x", "-1", "0", "9" * 30):
        refused = await owner.delete(f"{INCOMING}/{number}")
        assert problem_of(refused) == (404, "not_found")
