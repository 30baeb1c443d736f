"""Numbers of an organization's own: an agent may write first, and everybody who writes there talks with it."""

import pytest

from accounts.models import Identity
from events.models import Event
from imessage.connecting import release
from imessage.errors import (
    ConnectionReleased,
    FallbackImpossible,
    FastTrackUnavailable,
    NoSender,
    RecipientBlocked,
    ReplyTargetNotFound,
)
from imessage.models import Connection, Conversation, Message
from imessage.senders import choose_sender
from imessage.sending import send_message
from lines.models import Line, ProviderAccount
from tests import make
from tests.providers.scripted import ScriptedDriver, run_jobs, tell, text_event

pytestmark = pytest.mark.django_db


@pytest.fixture
def own(identity: Identity, account: ProviderAccount) -> Line:
    return make.make_owned_line(identity, "+15555550150", account=account)


def write(own: Line, identity: Identity, **fields: object) -> Message:
    return send_message(make.agent_of(identity), **{"identity": identity, "to": make.HUMAN, "line": own, **fields})  # type: ignore[arg-type]


def test_an_agent_writes_first_from_its_own_number(own: Line, identity: Identity, driver: ScriptedDriver) -> None:
    message = write(own, identity, text="hello")
    run_jobs()
    assert [(order.line, order.human) for order in driver.sent] == [(own.address, make.HUMAN)]
    assert message.conversation.owned_line == own
    assert Connection.objects.get().owned_line == own


def test_a_text_to_an_owned_number_opens_a_thread(own: Line, identity: Identity) -> None:
    tell(own.account, text_event(own, "hi"))
    heard = Message.objects.get()
    assert (heard.identity, heard.text, heard.conversation.owned_line) == (identity, "hi", own)
    tell(own.account, text_event(own, "again"))
    assert Conversation.objects.get().visible_total == 2


def test_a_blocked_humans_first_text_is_kept_and_shows_no_connection(own: Line, identity: Identity) -> None:
    make.make_rule(identity)
    tell(own.account, text_event(own, "hi"))
    assert Message.objects.get().is_blocked
    assert not Connection.objects.visible_to(make.agent_of(identity)).exists()


def test_who_was_released_must_write_first_again(own: Line, identity: Identity) -> None:
    message = write(own, identity, text="hello")
    release(make.operator(), message.conversation.connection or Connection())
    with pytest.raises(ConnectionReleased):
        write(own, identity, text="still there?")
    tell(own.account, text_event(own, "yes"))
    assert write(own, identity, text="good").conversation_id == message.conversation_id


def test_a_rule_stops_a_first_text_and_leaves_nothing(own: Line, identity: Identity) -> None:
    make.make_rule(identity)
    with pytest.raises(RecipientBlocked):
        write(own, identity, text="hello")
    assert not Conversation.objects.exists()


def test_an_sms_number_says_so_at_once(identity: Identity, account: ProviderAccount) -> None:
    sms = make.make_owned_line(identity, service=Line.Service.SMS, account=account)
    assert write(sms, identity, text="hello").service == "sms"


def test_a_text_on_the_fast_track_needs_an_own_number(written: Conversation) -> None:
    with pytest.raises(FastTrackUnavailable):
        send_message(make.agent_of(written.identity), conversation=written, text="now", is_fast=True)


def test_a_number_of_another_agent_is_no_sender(own: Line, identity: Identity) -> None:
    other = make.make_identity(identity.organization)
    with pytest.raises(NoSender):
        write(own, other, text="hello")


class TestChoosing:
    def test_a_number_goes_before_a_line_and_that_before_an_agent(self, own: Line, identity: Identity) -> None:
        admin = make.admin_of(identity.organization)
        other = make.make_identity(identity.organization)
        second = make.make_owned_line(other)
        chosen = choose_sender(admin, number=second.address, line_id=own.id, identity=identity)
        assert (chosen.identity, chosen.line) == (other, second)
        assert choose_sender(admin, line_id=own.id, identity=other).line == own
        assert choose_sender(admin, identity=identity).line == own

    def test_without_a_name_the_talk_goes_on_where_it_is(self, own: Line, written: Conversation) -> None:
        chosen = choose_sender(make.admin_of(written.organization), to=make.HUMAN)
        assert (chosen.identity, chosen.line) == (written.identity, None)

    def test_a_pool_line_is_a_sender_to_whom_one_talks_with_there(self, written: Conversation) -> None:
        admin = make.admin_of(written.organization)
        assert choose_sender(admin, number=written.line.address, to=make.HUMAN).identity == written.identity

    def test_an_agent_without_any_way_has_no_sender(self, identity: Identity) -> None:
        with pytest.raises(NoSender):
            choose_sender(make.admin_of(identity.organization), identity=identity, to=make.HUMAN)


def test_a_fallback_number_must_know_sms(own: Line, identity: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imessage.sending.can_send_sms", lambda line: False)
    with pytest.raises(FallbackImpossible):
        write(own, identity, text="hello", fallback_line=own)


def test_an_answer_to_what_was_said_over_another_number_is_an_ordinary_text(
    own: Line, identity: Identity, driver: ScriptedDriver
) -> None:
    tell(own.account, text_event(own, "hi"))
    other = make.make_owned_line(identity, account=own.account)
    answer = write(other, identity, text="hello", reply_to=Message.objects.get().id)
    assert answer.reply_unresolved is True
    run_jobs()
    assert driver.sent[0].reply_to is None


def test_what_another_human_said_is_no_target(own: Line, identity: Identity) -> None:
    tell(own.account, text_event(own, "hi", make.OTHER_HUMAN))
    with pytest.raises(ReplyTargetNotFound):
        write(own, identity, text="hello", reply_to=Message.objects.get().id)


def test_whoever_counts_on_sms_is_told_when_there_is_none(
    own: Line, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imessage.fallback.can_send_sms", lambda line: line.service == "sms")
    with pytest.raises(FallbackImpossible):
        write(own, identity, text="hello", require_fallback=True)
    make.make_owned_line(identity, service=Line.Service.SMS)
    assert write(own, identity, text="hello", require_fallback=True)


def test_a_stand_in_sends_and_is_told_of(own: Line, identity: Identity) -> None:
    spare = make.make_owned_line(identity)
    Line.objects.filter(pk=own.pk).update(seen=Line.Seen.DOWN, failover={"enabled": True, "mode": "all"})
    chosen = choose_sender(make.agent_of(identity), number=own.address)
    message = write(chosen.line or own, identity, text="hello", substitution=chosen.substitution)
    told = Event.objects.get(type="line.substituted")
    assert (message.line, told.data["message_id"], told.data["reason"]) == (spare, str(message.id), "down")
