"""Reports that name a text or a thread, but not the line: Linq's, of an account with several lines."""

import pytest

from accounts.models import Identity
from imessage.models import Conversation, Message
from lines.models import Callback, Dispatch, Line, ProviderAccount, Route
from tests import make
from tests.lines.drivers import test_linq as told
from tests.providers.scripted import tell

pytestmark = pytest.mark.django_db


@pytest.fixture
def account() -> ProviderAccount:
    return make.make_account("hosted", provider="linq")


@pytest.fixture
def sent(identity: Identity, account: ProviderAccount) -> Message:
    """A text of ours under the handle `m`, on one of the account's two lines."""
    make.make_line("+15555550101", account=account)
    line = make.make_line(told.LINE, account=account)
    conversation = make.make_conversation(connection=make.make_connection(identity, told.HUMAN, line=line))
    message = make.make_message(conversation, direction="outbound", provider_handle="m")
    Dispatch.objects.create(
        kind="message", order_id=message.id, attempt=1, line=line, human=told.HUMAN, outcome="accepted", handle="m"
    )
    return message


def test_a_failure_finds_its_text(account: ProviderAccount, sent: Message) -> None:
    assert tell(account, told.failed(4006)).state == Callback.State.APPLIED
    sent.refresh_from_db()
    assert (sent.status, sent.error_code) == ("error", "4006")


def test_a_text_that_failed_may_be_delivered_all_the_same(account: ProviderAccount, sent: Message) -> None:
    tell(account, told.failed(4006))
    tell(account, told.message("message.delivered", idempotency_key=str(sent.id), delivered_at=told.AT.isoformat()))
    tell(account, told.failed(4001))
    sent.refresh_from_db()
    assert (sent.status, sent.error_code) == ("delivered", "")


def test_a_tapback_finds_its_text(account: ProviderAccount, sent: Message) -> None:
    assert tell(account, told.reaction("added", reaction_type="love")).state == Callback.State.APPLIED
    assert [(tapback.kind, tapback.message) for tapback in sent.tapbacks.all()] == [("love", sent)]


def test_a_read_is_the_human_s_of_that_text(account: ProviderAccount, sent: Message) -> None:
    tell(account, told.message("message.read", read_at=told.AT.isoformat()))
    sent.refresh_from_db()
    assert (sent.status, sent.peer_read_at is not None) == ("delivered", True)


def test_news_of_a_text_nobody_knows_yet_waits(account: ProviderAccount, sent: Message) -> None:
    Message.objects.all().delete()
    Dispatch.objects.all().delete()
    assert tell(account, told.failed(4006)).state == Callback.State.WAITING


def test_a_text_teaches_the_name_of_its_thread(account: ProviderAccount, sent: Message) -> None:
    tell(account, told.message("message.received", out=False, id="in"))
    assert Route.objects.get(human=told.HUMAN).chat == "c"


@pytest.mark.parametrize("lines", [1, 2])
def test_typing_is_of_the_one_thread_with_that_human(
    account: ProviderAccount, sent: Message, charlies_identity: Identity, lines: int
) -> None:
    if lines == 2:
        other = Line.objects.get(address="+15555550101")
        make.make_connection(charlies_identity, told.HUMAN, line=other)
    typing = told.event("chat.typing_indicator.started", chat_id="c", actor_handle={"handle": told.HUMAN})
    assert tell(account, typing).state == (Callback.State.APPLIED if lines == 1 else Callback.State.UNROUTED)


def test_typing_in_a_thread_that_was_named_before_needs_no_human(account: ProviderAccount, sent: Message) -> None:
    tell(account, told.message("message.received", out=False, id="in"))
    assert tell(account, told.event("chat.typing_indicator.stopped", chat_id="c")).state == Callback.State.APPLIED
    assert Conversation.objects.count() == 1
