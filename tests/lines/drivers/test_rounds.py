"""One round over each hosted provider that signs: through our callback's door, the queue, and back as a status."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from accounts.models import Identity
from imessage.models import Conversation, Message
from imessage.sending import send_message
from lines import polling
from lines.models import Callback, Dispatch, Line, ProviderAccount
from lines.provisioning import add_account, add_line, install_callbacks
from tests import make
from tests.lines.drivers import hosted
from tests.lines.drivers.cases import HUMAN, LINE
from tests.lines.drivers.test_linq import Linq
from tests.lines.drivers.test_twilio import Twilio
from tests.providers.scripted import drain_now, let_time_pass, run_jobs

pytestmark = pytest.mark.django_db

PROVIDERS = {"linq": Linq, "twilio": Twilio}


@pytest.fixture(scope="module", params=PROVIDERS)
def stand_in(request: pytest.FixtureRequest) -> Iterator[Any]:
    with hosted.StandIn(f"tests.lines.drivers.{request.param}.standin") as process:
        yield PROVIDERS[request.param](process)


@pytest.fixture
def account(stand_in: Any, settings: Any) -> ProviderAccount:
    """The account with its line, our callbacks and, as after a rotation, two secrets valid at once."""
    settings.BASE_URL = "https://switchboard.example.com"
    stand_in.process.reset()
    if stand_in.driver.name == "twilio":
        stand_in.process.ask("line", line=LINE, sms_url="")
    given = {"base_url": stand_in.account.base_url, "token": stand_in.account.token}
    secret = stand_in.account.callback_secrets[0]
    account = add_account(
        make.operator(), name="hosted", provider=stand_in.driver.name, callback_secret=secret, **given
    )
    install_callbacks(account)
    return add_account(make.operator(), name="hosted", callback_secret="whsec_bmV3ZXIgc2VjcmV0IG9mIG91cnM=")


@pytest.fixture
def conversation(account: ProviderAccount, identity: Identity) -> Conversation:
    line = add_line(make.operator(), account, address=LINE, kind="pool")
    Line.objects.update(seen="healthy")
    return make.make_conversation(connection=make.make_connection(identity, HUMAN, line=line))


def deliver(client: Client, stand_in: Any, account: ProviderAccount) -> list[int]:
    """Post what the provider has for us to where it was told, and let the jobs run; the answers' statuses."""
    answers = []
    for url, headers, body in stand_in.process.posts():
        path = url.partition("#")[0].removeprefix("https://switchboard.example.com") or f"/callbacks/{account.id}"
        answer = client.post(
            path,
            body,
            content_type=headers["Content-Type"],
            headers={name: value for name, value in headers.items() if name != "Content-Type"},
        )
        answers.append(answer.status_code)
    run_jobs()
    return answers


def test_a_text_each_way(client: Client, stand_in: Any, account: ProviderAccount, conversation: Conversation) -> None:
    stand_in.process.ask("text", human=HUMAN, text="hello")
    assert deliver(client, stand_in, account) == [204]
    sent = send_message(make.agent_of(conversation.identity), conversation=conversation, text="hi yourself")
    run_jobs()
    assert stand_in.on_phone(HUMAN) == ["hi yourself"]
    assert set(deliver(client, stand_in, account)) == {204}
    sent.refresh_from_db()
    assert (sent.status, sent.provider_handle != "") == ("delivered", True)
    assert list(Message.objects.order_by("position").values_list("text", flat=True)) == ["hello", "hi yourself"]
    assert set(Callback.objects.values_list("state", flat=True)) == {"applied"}


@pytest.mark.parametrize("stand_in", ["twilio"], indirect=True)
def test_pictures_each_way_on_an_agent_s_own_sms_number(
    client: Client, stand_in: Any, account: ProviderAccount, identity: Identity
) -> None:
    number = make.make_owned_line(identity, LINE, account=account, service=Line.Service.SMS)
    stand_in.process.ask("text", human=HUMAN, media=["1.png", "2.png"])
    assert deliver(client, stand_in, account) == [204]
    heard = Message.objects.get()
    assert (heard.service, heard.message_type, heard.parts.count()) == ("sms", "carousel", 2)
    links = [f"https://files.example.com/{name}.png" for name in "ab"]
    agent = make.agent_of(identity)
    sent = send_message(agent, identity=identity, line=number, to=HUMAN, text="and mine", media_urls=links)
    run_jobs()
    assert stand_in.process.calls("/Messages.json")[-1]["body"]["MediaUrl"] == links
    deliver(client, stand_in, account)
    sent.refresh_from_db()
    assert (sent.conversation, sent.status, sent.service) == (heard.conversation, "delivered", "sms")


def test_a_lost_answer_is_settled_by_the_status_callback(
    client: Client, stand_in: Any, account: ProviderAccount, conversation: Conversation
) -> None:
    make.make_message(conversation, "I write first")
    sent = send_message(make.agent_of(conversation.identity), conversation=conversation, text="once")
    stand_in.process.set_faults(lost_answers=1, repeats=2, reorder=1)
    drain_now(conversation)
    assert Dispatch.objects.get().outcome == "unknown"
    deliver(client, stand_in, account)
    let_time_pass()
    drain_now(conversation)
    sent.refresh_from_db()
    assert (sent.status, Dispatch.objects.get().outcome) == ("delivered", "accepted")
    assert stand_in.on_phone(HUMAN) == ["once"]
    assert stand_in.send_calls() == 1


def test_a_lost_answer_is_settled_without_any_callback(
    stand_in: Any, account: ProviderAccount, conversation: Conversation
) -> None:
    make.make_message(conversation, "I write first")
    sent = send_message(make.agent_of(conversation.identity), conversation=conversation, text="once")
    stand_in.process.set_faults(lost_answers=1, drops=99)
    drain_now(conversation)
    let_time_pass()
    drain_now(conversation)
    polling.poll(account)
    run_jobs()
    sent.refresh_from_db()
    assert (sent.status, stand_in.on_phone(HUMAN)) == ("delivered", ["once"])


def test_a_forged_callback_is_refused_and_counted(
    client: Client, stand_in: Any, account: ProviderAccount, conversation: Conversation
) -> None:
    stand_in.process.ask("text", human=HUMAN, text="hello")
    _, headers, body = stand_in.process.posts()[0]
    content_type = headers.pop("Content-Type")
    answer = client.post(
        f"/callbacks/{account.id}", body.replace(b"hello", b"howdy"), content_type=content_type, headers=headers
    )
    account.refresh_from_db()
    assert (answer.status_code, account.callbacks_refused, Callback.objects.count()) == (401, 1, 0)
