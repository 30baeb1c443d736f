"""The socket and the listener: who hears what, what is replayed, and what survives the death of PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from channels.auth import AuthMiddlewareStack
from channels.routing import URLRouter
from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.contrib.sessions.models import Session
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone

from accounts.models import Membership, Organization, User
from console import live, sockets
from console.listening import Listener
from console.topics import organization_group
from core import notices
from core.actor import Actor
from events import feed
from events.record import record
from tests import make
from tests.console.conftest import signed_in
from tests.console.sockets import PageSocket

pytestmark = pytest.mark.django_db(transaction=True)
application = AuthMiddlewareStack(URLRouter(live.urlpatterns))


def happen(organization: Organization | None, type: str = "message.received", **facts: Any) -> int:
    with transaction.atomic():
        event = record(Actor.system("tests"), type, organization_id=organization.id if organization else None, **facts)
    return event.number


def socket_of(client: Client) -> PageSocket:
    cookie = f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"
    return PageSocket(application, "/ws/console/", headers=[(b"cookie", cookie.encode())])


@asynccontextmanager
async def connected(client: Client) -> AsyncIterator[PageSocket]:
    socket = socket_of(client)
    assert await socket.connect()
    assert (await socket.receive_json_from())["type"] == "ready"
    try:
        yield socket
    finally:
        await socket.disconnect()


@asynccontextmanager
async def listening() -> AsyncIterator[Listener]:
    listener = Listener()
    listener.start()
    try:
        await until(lambda: listener.listening)
        yield listener
    finally:
        await listener.stop()


async def until(condition: Any) -> None:
    async with asyncio.timeout(8):
        while not condition():
            await asyncio.sleep(0.02)


async def numbers_told(socket: PageSocket) -> list[int]:
    while True:
        message = await socket.receive_json_from(within=8)
        if message["type"] == "events":
            return [event["number"] for event in message["events"]]


def test_nobody_hears_without_a_session() -> None:
    async def story() -> None:
        socket = PageSocket(application, "/ws/console/")
        await socket.connect()
        assert (await socket.receive_output())["code"] == sockets.SESSION_ENDED

    async_to_sync(story)()


def test_a_person_without_membership_is_turned_away() -> None:
    client = signed_in(make.make_user(None, "nobody@example.com"))

    async def story() -> None:
        socket = socket_of(client)
        await socket.connect()
        assert (await socket.receive_output())["code"] == sockets.RIGHTS_CHANGED

    async_to_sync(story)()


def test_a_committed_event_is_told_without_its_text(alice: User, organization: Organization) -> None:
    conversation_id = "01890000-0000-7000-8000-000000000001"

    async def story() -> None:
        async with listening(), connected(signed_in_alice) as socket:
            number = await sync_to_async(happen)(
                organization, conversation_id=conversation_id, data={"message": {"text": "secret"}}
            )
            message = await socket.receive_json_from(within=8)
            assert message == {
                "type": "events",
                "last": number,
                "events": [
                    {
                        "number": number,
                        "type": "message.received",
                        "topics": ["threads", f"thread:{conversation_id}"],
                    }
                ],
            }

    signed_in_alice = signed_in(alice)
    async_to_sync(story)()


def test_other_organizations_hear_nothing(alice: User, charlie: User, organization: Organization) -> None:
    clients = signed_in(alice), signed_in(charlie)

    async def story() -> None:
        async with listening(), connected(clients[0]) as hers, connected(clients[1]) as his:
            number = await sync_to_async(happen)(organization)
            assert await numbers_told(hers) == [number]
            assert await his.receive_nothing(0.3)

    async_to_sync(story)()


def test_hello_replays_what_was_missed_of_ones_own(
    alice: User, organization: Organization, other_organization: Organization
) -> None:
    last = happen(organization)
    mine = [happen(organization), happen(organization)]
    happen(other_organization)
    client = signed_in(alice)

    async def story() -> None:
        async with connected(client) as socket:
            await socket.send_json_to({"type": "hello", "last": last, "fresh": True})
            assert await numbers_told(socket) == mine

    async_to_sync(story)()


def test_hello_after_too_much_resets(alice: User, organization: Organization) -> None:
    for _ in range(sockets.REPLAY_LIMIT + feed.MARGIN):
        happen(organization)
    client = signed_in(alice)

    async def story() -> None:
        async with connected(client) as socket:
            await socket.send_json_to({"type": "hello", "last": 0})
            assert (await socket.receive_json_from(within=8))["type"] == "reset"

    async_to_sync(story)()


def test_nonsense_does_not_end_a_socket(alice: User) -> None:
    client = signed_in(alice)

    async def story() -> None:
        async with connected(client) as socket:
            for nonsense in ("nonsense", "[]", '{"type": "hello", "last": "x"}'):
                await socket.send_to(text_data=nonsense)
            assert (await socket.receive_json_from())["type"] == "events"
            await socket.send_json_to({"type": "ping"})
            assert (await socket.receive_json_from())["type"] == "pong"

    async_to_sync(story)()


def test_signing_out_closes_the_socket(alice: User) -> None:
    client = signed_in(alice)

    async def story() -> None:
        async with listening():
            socket = socket_of(client)
            await socket.connect()
            await socket.receive_json_from()
            await sync_to_async(client.post)("/accounts/logout/")
            assert (await socket.receive_output(timeout=2))["code"] == sockets.SESSION_ENDED

    async_to_sync(story)()


ENDS = {
    "signed out everywhere": (lambda: Session.objects.all().delete(), sockets.SESSION_ENDED),
    "session expired": (lambda: Session.objects.update(expire_date=timezone.now()), sockets.SESSION_ENDED),
    "password changed": (lambda: _alice().update(password=make_password("another")), sockets.SESSION_ENDED),
    "switched off": (lambda: _alice().update(is_active=False), sockets.SESSION_ENDED),
    "no longer a member": (lambda: Membership.objects.all().delete(), sockets.RIGHTS_CHANGED),
    "a viewer now": (lambda: Membership.objects.update(role="viewer"), sockets.RIGHTS_CHANGED),
    "an operator now": (lambda: _alice().update(is_superuser=True), sockets.RIGHTS_CHANGED),
}


@pytest.mark.parametrize("how", ENDS)
def test_a_lost_right_closes_the_socket_within_two_seconds(how: str, alice: User) -> None:
    """Acceptance 3: by whatever hand it ends, and whether or not anybody tells of it."""
    end, code = ENDS[how]
    client = signed_in(alice)

    async def story() -> None:
        socket = socket_of(client)
        await socket.connect()
        await socket.receive_json_from()
        await sync_to_async(end)()
        assert (await socket.receive_output(timeout=2))["code"] == code

    async_to_sync(story)()


def test_a_socket_whose_rights_stand_stays_open(alice: User) -> None:
    client = signed_in(alice)

    async def story() -> None:
        async with connected(client) as socket:
            assert await socket.receive_nothing(2.5)

    async_to_sync(story)()


def test_signals_are_told_in_a_few_words(alice: User, charlie: User, organization: Organization) -> None:
    clients = signed_in(alice), signed_in(charlie)

    def storm() -> None:
        for number in range(300):
            feed.publish_topics(organization.id, ["deliveries", "webhook:w", f"delivery:{number}"])

    async def story() -> None:
        async with listening(), connected(clients[0]) as hers, connected(clients[1]) as his:
            await sync_to_async(storm)()
            told, topics = 0, set()
            while not await hers.receive_nothing(1):
                told += 1
                topics |= set((await hers.receive_json_from())["topics"])
            assert told <= 10
            assert {"deliveries", "webhook:w"} <= topics or {"deliveries", "webhook:*"} <= topics
            assert await his.receive_nothing(0.1)

    async_to_sync(story)()


def test_typing_is_passed_on_and_never_stored(alice: User, organization: Organization) -> None:
    client = signed_in(alice)
    signal = {
        "kind": "typing",
        "organization_id": str(organization.id),
        "conversation_id": "c",
        "on": True,
        "by": "human",
    }

    async def story() -> None:
        async with listening(), connected(client) as socket:
            await sync_to_async(feed.publish_signal)(signal)
            told = await socket.receive_json_from(within=8)
            assert told == {"type": "typing", "topics": ["thread:c"], "on": True, "by": "human"}

    async_to_sync(story)()


def test_a_lost_notification_is_found_in_the_table(
    alice: User, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = signed_in(alice)
    monkeypatch.setattr(notices, "_say", lambda: None)

    async def story() -> None:
        async with listening(), connected(client) as socket:
            number = await sync_to_async(happen)(organization)
            assert await numbers_told(socket) == [number]

    async_to_sync(story)()


def test_the_listener_comes_back_after_its_connection_was_killed(alice: User, organization: Organization) -> None:
    client = signed_in(alice)

    async def story() -> None:
        async with listening() as listener, connected(client) as socket:
            await sync_to_async(_kill_listeners)()
            await until(lambda: not listener.listening)
            missed = await sync_to_async(happen)(organization)
            assert await numbers_told(socket) == [missed]
            await until(lambda: listener.listening)

    async_to_sync(story)()


def test_groups_are_named_as_the_channel_layer_wants(organization: Organization) -> None:
    assert len(organization_group(organization.id)) < 100


def _kill_listeners() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'cordboard live' AND datname = current_database()"
        )


def _alice() -> Any:
    return User.objects.filter(email="alice@example.com")
