"""Groups on owned numbers: who is in them, who said what, and whom the rules keep out."""

from typing import Any

import pytest

from accounts.models import Identity
from imessage.errors import RecipientBlocked
from imessage.groups import group_title, with_members
from imessage.models import Conversation, Message
from imessage.sending import send_message
from imessage.shapes import group_shape, message_shape
from lines.models import Line, ProviderAccount
from lines.providers.base import Outcome, SendReceipt
from tests import make
from tests.providers.scripted import ScriptedDriver, run_jobs, status_event, tell, text_event

pytestmark = pytest.mark.django_db

ANNA, BEN, CARL = make.HUMAN, make.OTHER_HUMAN, "+15555550125"


@pytest.fixture
def own(identity: Identity, account: ProviderAccount) -> Line:
    return make.make_owned_line(identity, "+15555550150", account=account)


def said_in_group(own: Line, human: str, text: str, members: tuple[str, ...] = (ANNA, BEN), name: str = "") -> bytes:
    group = {"key": "grp-1", "name": name, "members": list(members)}
    return text_event(own, text, human, group=group)


def open_group(identity: Identity, **fields: Any) -> Message:
    return send_message(make.agent_of(identity), identity=identity, recipients=[ANNA, BEN], text="hello", **fields)


def test_all_that_is_said_in_a_group_is_one_thread(own: Line) -> None:
    tell(own.account, said_in_group(own, ANNA, "hi", name="Lunch"))
    tell(own.account, said_in_group(own, BEN, "hey", name="Lunch"))
    group = Conversation.objects.get()
    assert (group.is_group, group.group_name, group.connection, group.visible_total) == (True, "Lunch", None, 2)
    assert list(Message.objects.order_by("position").values_list("human", flat=True)) == [ANNA, BEN]
    shape = message_shape(Message.objects.get(human=BEN))
    assert (shape["is_group"], shape["sender"], shape["participants"]) == (True, BEN, [ANNA, BEN])


def test_who_comes_and_goes_is_kept(own: Line) -> None:
    tell(own.account, said_in_group(own, ANNA, "hi"))
    tell(own.account, said_in_group(own, ANNA, "bye Ben", members=(ANNA, CARL)))
    group = Conversation.objects.get()
    assert set(group.participants.present().values_list("human", flat=True)) == {ANNA, CARL}
    assert group.participants.get(human=BEN).left_at is not None


def test_a_blocked_members_text_is_kept_apart_and_the_group_cannot_be_written_to(own: Line, identity: Identity) -> None:
    tell(own.account, said_in_group(own, ANNA, "hi"))
    make.make_rule(identity, BEN)
    tell(own.account, said_in_group(own, BEN, "psst"))
    assert Message.objects.get(human=BEN).is_blocked
    group = Conversation.objects.get()
    assert (group.visible_total, group.blocked_total) == (1, 1)
    with pytest.raises(RecipientBlocked):
        send_message(make.agent_of(identity), conversation=group, text="hello")


def test_a_group_is_made_by_its_first_text_and_named_by_the_provider(
    own: Line, identity: Identity, driver: ScriptedDriver
) -> None:
    driver.answers = [SendReceipt(outcome=Outcome.ACCEPTED, handle="h-1", chat="grp-9")]
    message = open_group(identity)
    send_message(make.agent_of(identity), conversation=message.conversation, text="again")
    run_jobs()
    assert [(order.human, order.group.key if order.group else "") for order in driver.sent] == [("", ""), ("", "grp-9")]
    assert driver.sent[0].group is not None
    assert driver.sent[0].group.members == (ANNA, BEN)
    assert Conversation.objects.get().thread_key == "grp-9"


@pytest.mark.parametrize("who", ["the report", "the answer"])
def test_a_report_that_overtakes_the_answer_opens_no_second_group(
    own: Line, identity: Identity, driver: ScriptedDriver, who: str
) -> None:
    """Whichever of them names the group, the next text goes into it."""
    message = open_group(identity)
    named = {"group": {"key": "grp-9", "name": "", "members": [ANNA, BEN]}} if who == "the report" else {}

    def report_first(order: object) -> SendReceipt:
        tell(own.account, status_event(message, "sent", message_id="h-1", **named))
        return SendReceipt(outcome=Outcome.ACCEPTED, handle="h-1", chat="" if named else "grp-9")

    driver.answers = [report_first]
    send_message(make.agent_of(identity), conversation=message.conversation, text="again")
    run_jobs()
    assert [order.group.key for order in driver.sent if order.group] == ["", "grp-9"]


def test_an_answer_that_comes_before_the_groups_name_finds_it(own: Line, identity: Identity) -> None:
    message = open_group(identity)
    tell(own.account, said_in_group(own, BEN, "who is this?"))
    assert Conversation.objects.get().id == message.conversation_id


def test_the_same_humans_are_found_again(own: Line, identity: Identity) -> None:
    group = open_group(identity).conversation
    assert with_members(identity, {BEN, ANNA}) == [group]
    assert with_members(identity, {ANNA}) == []


def test_a_group_without_a_name_is_called_by_its_members(own: Line) -> None:
    assert group_title(make.make_group(own, (ANNA, BEN))) == "+1 555-555-0123, +1 555-555-0124"


def test_an_answer_inline_names_its_parent(own: Line, identity: Identity, driver: ScriptedDriver) -> None:
    tell(own.account, said_in_group(own, ANNA, "lunch?"))
    parent = Message.objects.get()
    answer = send_message(make.agent_of(identity), conversation=parent.conversation, text="yes", reply_to=parent.id)
    run_jobs()
    assert driver.sent[0].reply_to is not None
    assert driver.sent[0].reply_to.handle == parent.provider_handle
    assert (answer.reply_unresolved, answer.thread_root_id) == (False, parent.id)


def test_an_answer_to_what_was_blocked_does_not_point_at_it(own: Line, identity: Identity) -> None:
    """Its id and its words would reach the agent with the answer."""
    tell(own.account, said_in_group(own, ANNA, "hi"))
    make.make_rule(identity, BEN)
    tell(own.account, said_in_group(own, BEN, "psst"))
    blocked = Message.objects.get(is_blocked=True)
    group = {"key": "grp-1", "name": "", "members": [ANNA, BEN]}
    for human in (ANNA, BEN):
        reply_to = {"id": blocked.provider_handle, "part": 0}
        tell(own.account, text_event(own, f"{human} answers", human, group=group, reply_to=reply_to))
    seen, kept = (Message.objects.get(text=f"{human} answers") for human in (ANNA, BEN))
    assert (seen.is_blocked, seen.reply_to, seen.thread_root) == (False, None, None)
    assert (kept.is_blocked, kept.reply_to) == (True, blocked)


def test_the_contact_book_names_who_is_in_a_group(own: Line) -> None:
    group = make.make_group(own, [ANNA, BEN])
    make.make_contact(group.organization, ANNA, "Anna of the book")
    group.participants.update(name="as the phone says")
    told = group_shape(group)["participants"]
    assert told == [{"human": ANNA, "name": "Anna of the book"}, {"human": BEN, "name": "as the phone says"}]
