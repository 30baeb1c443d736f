"""A message is accepted, or refused for the first reason of the contract's order."""

from typing import Any

import pytest
from django.db.models.expressions import RawSQL

from accounts.models import Identity
from contactrules.models import Decision
from core.errors import DomainError, Invalid
from core.phones import NotE164
from events.models import Event
from imessage import errors
from imessage.models import Conversation, DeliveryStep, Message
from imessage.sending import send_message, used_of_cap
from lines.models import Line
from tests import make
from tests.providers.scripted import waiting_jobs

pytestmark = pytest.mark.django_db


def send(identity: Identity, **fields: Any) -> Message:
    fields.setdefault("text", "hi")
    if "conversation" not in fields:
        fields = {"identity": identity, "to": make.HUMAN, **fields}
    return send_message(make.agent_of(identity), **fields)


def test_a_message_is_queued_with_its_job_and_event(written: Conversation, identity: Identity) -> None:
    message = send(identity, conversation=written)
    written.refresh_from_db()
    assert (message.status, message.position, message.direction) == ("queued", 2, "outbound")
    assert (written.visible_total, written.visible_unread, written.visible_last) == (2, 1, message)
    assert [job["task"] for job in waiting_jobs()] == ["imessage.drain"]
    assert Event.objects.filter(type="message.queued", subject_id=message.id).count() == 1
    assert DeliveryStep.objects.get(message=message).state == "queued"
    assert Decision.objects.get(message_id=message.id).allowed


def test_two_messages_share_one_job(written: Conversation, identity: Identity) -> None:
    assert [send(identity).position, send(identity).position] == [2, 3]
    assert len(waiting_jobs()) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"text": ""},
        {"text": None},
        {"text": "x" * 18_997},
        {"text": "a\x00b"},
        {"text": "\ud800"},
        {"media_urls": [f"https://x.example/{number}" for number in range(21)]},
        {"media_urls": ["ftp://x.example/1"]},
        {"media_urls": ["https:///nothing"]},
        {"media_urls": ["javascript:alert(1)"]},
        {"media_urls": ["https://x.example/" + "u" * 2000]},
        {"media_urls": ["https://[x"]},
        {"send_style": "glitter"},
        {"to": "5555550123"},
        {"to": ""},
    ],
)
def test_a_malformed_message_is_refused(fields: dict[str, Any], written: Conversation, identity: Identity) -> None:
    with pytest.raises(Invalid):
        send(identity, **fields)
    assert Message.objects.count() == 1


@pytest.mark.parametrize("fields", [{"to": None}, {"conversation": "it", "to": make.HUMAN}])
def test_exactly_one_recipient_is_named(fields: dict[str, Any], written: Conversation, identity: Identity) -> None:
    with pytest.raises(Invalid, match="exactly one"):
        send_message(
            make.agent_of(identity),
            identity=identity,
            text="hi",
            to=fields["to"],
            conversation=written if "conversation" in fields else None,
        )


@pytest.mark.parametrize("text", ["x" * 18_996, "\U0001f600" * 18_996, " "])
def test_texts_up_to_the_limit_are_taken(text: str, written: Conversation, identity: Identity) -> None:
    assert send(identity, text=text).text == text


# Each row makes true what it names and everything after it; the first one decides.
ORDER = [
    ("number", NotE164),
    ("disabled", errors.NotEnabled),
    ("released", errors.ConnectionReleased),
    ("blocked", errors.RecipientBlocked),
    ("capped", errors.CapReached),
]


@pytest.mark.parametrize("first", range(len(ORDER)))
def test_refusals_come_in_the_contract_s_order(
    first: int, written: Conversation, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {name for name, _ in ORDER[first:]}
    if "disabled" in names:
        identity.imessage_enabled = False
        identity.save()
    if "released" in names:
        type(written.connection).objects.update(status="released")
    if "blocked" in names:
        make.make_rule(identity)
    make.make_message(written, direction="outbound")
    monkeypatch.setattr("imessage.sending.CAP", 1)
    with pytest.raises(ORDER[first][1]):
        send(identity, to="nonsense" if "number" in names else make.HUMAN)
    assert not Message.objects.filter(status="queued").exists()
    assert waiting_jobs() == []


def test_a_number_that_never_connected_is_told_how_to(identity: Identity, router: Line) -> None:
    with pytest.raises(errors.NotConnected) as refused:
        send(identity)
    assert refused.value.fields == {"connect_command": "connect @helper", "router_number": router.address}
    assert "connect @helper" in refused.value.message


def test_a_human_who_has_not_written_is_not_written_to(identity: Identity, line: Line) -> None:
    make.make_connection(identity, line=line)
    with pytest.raises(errors.AwaitingInbound):
        send(identity)


def test_a_blocked_human_who_has_not_written_is_refused_as_blocked(identity: Identity, line: Line) -> None:
    make.make_connection(identity, line=line)
    rule = make.make_rule(identity)
    with pytest.raises(errors.RecipientBlocked) as refused:
        send(identity)
    assert refused.value.fields["matched_rule_id"] == rule.id


def test_a_refusal_by_the_rules_is_kept_as_a_decision(written: Conversation, identity: Identity) -> None:
    rule = make.make_rule(identity)
    with pytest.raises(errors.RecipientBlocked):
        send(identity, conversation=written)
    decision = Decision.objects.get()
    assert (decision.allowed, decision.direction, decision.rule_id) == (False, "outbound", rule.id)


def test_a_whitelist_refuses_without_a_rule(written: Conversation, identity: Identity) -> None:
    identity.imessage_filter_mode = "whitelist"
    identity.save()
    with pytest.raises(errors.RecipientBlocked) as refused:
        send(identity)
    assert refused.value.fields["matched_rule_id"] is None


def test_a_stranger_s_connection_is_no_connection(
    charlies_conversation: Conversation, identity: Identity, router: Line
) -> None:
    with pytest.raises(errors.NotConnected):
        send(identity)


def fill_cap(conversation: Conversation, ages: list[str]) -> None:
    """Outbound rows of the given ages, by the database's clock."""
    for age in ages:
        message = make.make_message(conversation, direction="outbound", status="error")
        created_at = RawSQL("clock_timestamp() - %s::interval", [age])
        Message.objects.filter(pk=message.pk).update(created_at=created_at)


def test_the_hundredth_is_taken_and_the_next_refused(written: Conversation, identity: Identity) -> None:
    fill_cap(written, ["1 hour"] * 99)
    send(identity)
    with pytest.raises(errors.CapReached) as refused:
        send(identity)
    assert refused.value.status == 429
    assert refused.value.fields["limit"] == 100
    assert refused.value.fields["remaining"] == 0
    assert 22.9 * 3600 < (refused.value.retry_after or 0) < 23.1 * 3600
    assert used_of_cap(identity) == 100


def test_a_slot_frees_24_hours_after_its_message(written: Conversation, identity: Identity) -> None:
    fill_cap(written, ["24 hours 1 second"] + ["1 hour"] * 99)
    send(identity)
    with pytest.raises(errors.CapReached):
        send(identity)


def test_a_message_just_inside_the_window_still_counts(written: Conversation, identity: Identity) -> None:
    fill_cap(written, ["23 hours 59 minutes 55 seconds"] + ["1 hour"] * 99)
    with pytest.raises(errors.CapReached) as refused:
        send(identity)
    # Never so short that newer clients would repeat the call by themselves.
    assert refused.value.retry_after == 6


def test_the_reset_is_when_the_oldest_that_counts_leaves(written: Conversation, identity: Identity) -> None:
    fill_cap(written, ["20 hours"] * 50 + ["2 hours"] * 60)
    with pytest.raises(errors.CapReached) as refused:
        send(identity)
    # 110 are in the window, so the tenth of the oldest must leave before one may come.
    assert 3.9 * 3600 < (refused.value.retry_after or 0) < 4.1 * 3600


def test_inbound_and_other_identities_do_not_count(
    written: Conversation, charlies_conversation: Conversation, identity: Identity
) -> None:
    fill_cap(charlies_conversation, ["1 hour"] * 100)
    for _ in range(5):
        make.make_message(written)
    send(identity)
    assert used_of_cap(identity) == 1


def test_a_refused_send_uses_nothing_of_the_cap(written: Conversation, identity: Identity) -> None:
    make.make_rule(identity)
    for _ in range(3):
        with pytest.raises(DomainError):
            send(identity)
    assert used_of_cap(identity) == 0


def test_a_full_queue_refuses_clearly_and_says_when_to_come_back(
    written: Conversation, identity: Identity, settings: Any
) -> None:
    settings.LINE_QUEUE_LIMIT = 2
    send(identity)
    send(identity)
    with pytest.raises(errors.QueueFull) as refused:
        send(identity)
    assert (refused.value.status, refused.value.retry_after, refused.value.fields) == (503, 60, {"waiting": 2})
    assert used_of_cap(identity) == 2
    Message.objects.filter(direction="outbound").update(status="sent")
    send(identity)
