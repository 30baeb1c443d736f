"""What is kept with a thread: its program's state, a group's name, the picture behind it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from accounts.models import Identity
from core.actor import Role
from core.errors import Conflict, Forbidden, Invalid, NotFound, Upstream
from events.models import Event
from imessage import keeping, media
from imessage.errors import BackgroundUnsupported, BadPicture, ConnectionReleased, GroupsUnsupported, NoSuchMedia
from imessage.models import Conversation, MediaFile
from lines.models import ProviderAccount
from tests import make
from tests.core import receivers
from tests.providers.scripted import ScriptedDriver

pytestmark = pytest.mark.django_db

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
GIF = b"GIF89a" + bytes(100)


def told() -> list[tuple[str, dict[str, Any]]]:
    events = Event.objects.filter(type__startswith="conversation.").order_by("number")
    return [(event.type.removeprefix("conversation."), event.data) for event in events]


def test_metadata_is_replaced_whole_and_cleared_by_null(conversation: Conversation, identity: Identity) -> None:
    agent = make.agent_of(identity)
    for state in ({"step": 1, "name": "Å"}, {"step": 2}, {"step": 2}, None):
        kept = keeping.keep_metadata(agent, conversation, state)
        assert kept.metadata == state
    assert [data["after"] for _, data in told()] == [{"step": 1, "name": "Å"}, {"step": 2}, None]


DEEP: Any = []
for _ in range(5000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    "metadata", [{"x": "y" * 16_384}, {"x": "\x00"}, {"\ud800": 1}, {"x": float("nan")}, {"x": DEEP}, {"x": object()}]
)
def test_metadata_that_cannot_be_kept_is_refused(metadata: Any, conversation: Conversation, identity: Identity) -> None:
    with pytest.raises(Invalid):
        keeping.keep_metadata(make.agent_of(identity), conversation, metadata)


def test_strangers_know_no_thread_and_viewers_keep_nothing(
    conversation: Conversation, identity: Identity, charlies_identity: Identity
) -> None:
    with pytest.raises(NotFound):
        keeping.keep_metadata(make.agent_of(charlies_identity), conversation, {})
    with pytest.raises(Forbidden):
        keeping.keep_metadata(make.admin_of(identity.organization, role=Role.VIEWER), conversation, {})


@pytest.fixture
def group(identity: Identity, account: ProviderAccount) -> Conversation:
    return make.make_group(make.make_owned_line(identity, account=account), key="chat-7", group_name="Old")


def test_a_group_is_renamed_on_the_phones(group: Conversation, identity: Identity, driver: ScriptedDriver) -> None:
    for _ in range(2):
        group = keeping.rename_group(make.agent_of(identity), group, " Picnic ")
    assert driver.direct == [{"line": group.line.address, "chat": "chat-7", "name": "Picnic"}]
    event = Event.objects.get(type="group.changed")
    assert (group.group_name, event.data) == ("Picnic", {"joined": [], "left": [], "name": "Picnic"})


def test_what_is_no_group_or_no_name_is_not_renamed(
    group: Conversation, conversation: Conversation, identity: Identity
) -> None:
    for thread, name in ((conversation, "Picnic"), (group, " "), (group, "x" * 101), (group, "a\nb")):
        with pytest.raises(Invalid):
            keeping.rename_group(make.agent_of(identity), thread, name)


def test_a_group_is_not_renamed_where_that_cannot_be_done(
    group: Conversation, identity: Identity, driver: ScriptedDriver
) -> None:
    agent = make.agent_of(identity)
    Conversation.objects.update(thread_key="new:1")
    with pytest.raises(Conflict):
        keeping.rename_group(agent, group, "Picnic")
    driver.card = replace(driver.card, group_rename=False)
    with pytest.raises(GroupsUnsupported):
        keeping.rename_group(agent, group, "Picnic")
    group.line.routes.update(held_until=group.created_at)
    with pytest.raises(ConnectionReleased):
        keeping.rename_group(agent, group, "Picnic")


@pytest.fixture
def stored(identity: Identity, settings: Any, tmp_path: Path) -> Callable[[bytes], str]:
    """Puts a file into a storage of the test's own; its link."""
    storage = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": str(tmp_path)}}
    settings.STORAGES = {**settings.STORAGES, "media": storage}

    def store(content: bytes) -> str:
        agent = make.agent_of(identity)
        return media.media_url(media.store_upload(agent, name="a.png", declared_type="", chunks=[content]))

    return store


def test_a_background_is_set_changed_and_removed(
    written: Conversation, identity: Identity, driver: ScriptedDriver, stored: Callable[[bytes], str]
) -> None:
    agent = make.agent_of(identity)
    changed = [keeping.set_background(agent, written, stored(content)) for content in (PNG, PNG, GIF)]
    written.refresh_from_db()
    assert (changed, written.background_version) == ([True, False, True], 2)
    file = keeping.background_of(written)
    assert file
    assert (file.content_type, file.identity) == ("image/gif", identity)
    assert [keeping.remove_background(agent, written) for _ in range(2)] == [True, False]
    shown = [call["media"] and call["media"].content_type for call in driver.direct]
    assert shown == ["image/png", "image/gif", None]
    assert [(type, data["version"]) for type, data in told()] == [
        ("background_changed", 1),
        ("background_changed", 2),
        ("background_removed", 3),
    ]


def test_a_background_is_fetched_through_the_guard(
    written: Conversation, identity: Identity, driver: ScriptedDriver, stored: Any, settings: Any
) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(PNG)}\r\n\r\n".encode()
    with receivers.raw(receivers.answering(head + PNG)) as server:
        settings.INTERNAL_HOSTS = []
        with pytest.raises(BadPicture):
            keeping.set_background(make.agent_of(identity), written, "https://127.0.0.1/a.png")
        settings.INTERNAL_HOSTS = ["127.0.0.1"]
        assert keeping.set_background(make.agent_of(identity), written, server.url)
    written.refresh_from_db()
    assert written.background_url == server.url


def test_what_is_no_picture_of_the_agents_is_refused(
    written: Conversation, identity: Identity, other_organization: Any, stored: Callable[[bytes], str]
) -> None:
    agent = make.agent_of(identity)
    with pytest.raises(BadPicture):
        keeping.set_background(agent, written, stored(b"%PDF-1.7"))
    with pytest.raises(NoSuchMedia):
        keeping.set_background(agent, written, media.media_url(make.make_file(other_organization)))


def test_a_background_that_the_phone_did_not_take_is_not_kept(
    written: Conversation, identity: Identity, driver: ScriptedDriver, stored: Callable[[bytes], str]
) -> None:
    driver.direct_fails = True
    link = stored(PNG)
    with pytest.raises(Upstream):
        keeping.set_background(make.agent_of(identity), written, link)
    written.refresh_from_db()
    assert (written.background_id, told()) == (None, [])
    assert media.forget() == 1


def test_sms_has_no_background_and_groups_refuse_one(
    written: Conversation, group: Conversation, identity: Identity, driver: ScriptedDriver
) -> None:
    agent = make.agent_of(identity)
    make.make_message(written, service="sms")
    assert not keeping.set_background(agent, written, "https://example.com/a.png")
    with pytest.raises(BackgroundUnsupported):
        keeping.set_background(agent, group, "https://example.com/a.png")
    driver.card = replace(driver.card, background=False)
    make.make_message(written)
    with pytest.raises(BackgroundUnsupported):
        keeping.set_background(agent, written, "https://example.com/a.png")


def test_a_picture_behind_a_thread_is_not_forgotten(
    written: Conversation, identity: Identity, driver: ScriptedDriver, stored: Callable[[bytes], str]
) -> None:
    keeping.set_background(make.agent_of(identity), written, stored(PNG))
    MediaFile.objects.update(expires_at=written.created_at)
    written.refresh_from_db()
    assert (media.forget(), keeping.background_of(written) is None) == (1, False)
