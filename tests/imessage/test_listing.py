"""What PostgreSQL builds is what Python builds, letter by letter."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from imessage.listing import conversation_page, message_shapes
from imessage.models import Conversation, Message
from imessage.shapes import message_shape
from tests import make


@pytest.fixture
def messages(conversation: Conversation) -> list[Message]:
    """One of every kind."""
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    plain = make.make_message(conversation, 'quotes " and \\ and \u2028 and 👋🏽', created_at=moment)
    make.make_tapback(plain, "love", ended_at=timezone.now())
    make.make_tapback(plain, "custom", emoji="🦑")
    make.make_tapback(plain, "laugh", direction="outbound", created_at=moment)
    picture = make.make_message(conversation, None, message_type="carousel")
    make.make_media(picture)
    make.make_media(picture, url="", media=make.make_file(conversation.organization))
    make.make_media(picture, url="", media=make.make_file(conversation.organization), content_type="", size=None)
    times = {name: moment + timedelta(microseconds=7) for name in ("sent_at", "failed_at", "peer_read_at")}
    make.make_message(
        conversation,
        direction="outbound",
        status="error",
        send_style="confetti",
        was_downgraded=True,
        error_code="x",
        **times,
    )
    make.make_message(conversation, direction="outbound", status="declined", error_reason="recipient_blocked")
    make.make_message(conversation, is_blocked=True, is_late=True, is_read=True)
    return list(Message.objects.order_by("position"))


@pytest.mark.django_db
def test_the_shapes_are_the_same(messages: list[Message]) -> None:
    assert message_shapes(Message.objects.order_by("position")) == [message_shape(message) for message in messages]


@pytest.mark.django_db
def test_the_rows_are_the_querysets_own(messages: list[Message]) -> None:
    actor = make.agent_of(messages[0].identity)
    rows = Message.objects.visible_to(actor).order_by("-position")[1:3]
    assert [shape["id"] for shape in message_shapes(rows)] == [str(message.id) for message in rows]
    assert message_shapes(Message.objects.none()) == []


def test_the_page_of_a_conversation_is_the_list_of_what_the_actor_may_see(conversation: Conversation) -> None:
    other = make.make_conversation(conversation.identity, make.OTHER_HUMAN)
    for number in range(5):
        make.make_message(conversation, f"text {number}", is_blocked=number == 3)
        make.make_message(other, f"other {number}")
    identity = conversation.identity
    for actor in (make.agent_of(identity), make.admin_of(identity.organization), make.agent_of(identity)):
        for chosen in (conversation, other):
            rows = Message.objects.visible_to(actor).filter(conversation=chosen).order_by("-position")
            page = conversation_page(actor, chosen.id, limit=3, offset=1)
            assert page == message_shapes(rows[1:4])
            assert len(page) == 3
    assert (
        conversation_page(make.agent_of(make.make_identity(identity.organization)), other.id, limit=3, offset=0) == []
    )
