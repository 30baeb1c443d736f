"""The typing bubble and the read receipt, in threads of one human and in groups."""

from dataclasses import replace

import pytest

from accounts.models import Identity
from imessage.errors import RecipientBlocked
from imessage.models import Conversation, Message
from imessage.receipts import mark_read, send_typing
from lines.models import ProviderAccount
from tests import make
from tests.providers.scripted import ScriptedDriver

pytestmark = pytest.mark.django_db


@pytest.fixture
def group(identity: Identity, account: ProviderAccount) -> Conversation:
    return make.make_group(make.make_owned_line(identity, account=account), key="chat-7")


def test_typing_begins_and_ends(written: Conversation, identity: Identity, driver: ScriptedDriver) -> None:
    agent = make.agent_of(identity)
    assert [send_typing(agent, written, on=on) for on in (True, False)] == [True, True]
    assert [call["on"] for call in driver.direct] == [True, False]


def test_where_a_bubble_cannot_be_taken_away_it_lapses(
    written: Conversation, identity: Identity, driver: ScriptedDriver
) -> None:
    driver.card = replace(driver.card, typing_end=False)
    assert send_typing(make.agent_of(identity), written, on=False)
    assert driver.direct == []


def test_sms_knows_no_typing(written: Conversation, identity: Identity, driver: ScriptedDriver) -> None:
    make.make_message(written, service="sms")
    assert not send_typing(make.agent_of(identity), written)
    assert driver.direct == []


def test_in_a_group_both_go_by_its_key(group: Conversation, identity: Identity, driver: ScriptedDriver) -> None:
    make.make_message(group, human=make.HUMAN)
    make.make_message(group, human=make.OTHER_HUMAN)
    send_typing(make.agent_of(identity), group)
    assert mark_read(make.agent_of(identity), group) == 2
    assert [(call["human"], call["chat"]) for call in driver.direct] == [("", "chat-7")] * 2
    assert not Message.objects.filter(is_read=False).exists()


def test_one_blocked_member_keeps_the_agent_from_the_group(
    group: Conversation, identity: Identity, driver: ScriptedDriver
) -> None:
    make.make_rule(identity, make.OTHER_HUMAN)
    with pytest.raises(RecipientBlocked) as refused:
        send_typing(make.agent_of(identity), group)
    assert (refused.value.fields["address"], driver.direct) == (make.OTHER_HUMAN, [])
    group.participants.filter(human=make.OTHER_HUMAN).update(left_at=group.created_at)
    assert send_typing(make.agent_of(identity), group)


def test_a_group_that_has_not_begun_sees_no_typing(
    group: Conversation, identity: Identity, driver: ScriptedDriver
) -> None:
    Conversation.objects.update(thread_key="new:1")
    assert not send_typing(make.agent_of(identity), group)
    assert driver.direct == []


def test_an_sms_is_marked_read_without_a_receipt(
    written: Conversation, identity: Identity, driver: ScriptedDriver
) -> None:
    agent = make.agent_of(identity)
    assert mark_read(agent, written) == 1
    make.make_message(written, service="sms")
    assert mark_read(agent, written) == 1
    assert len(driver.direct) == 1
