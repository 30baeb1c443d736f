"""Sending, in the words of both clients: which number it leaves from, what carries it, what is refused."""

from typing import Any

import pytest

from accounts.models import Identity
from core.ids import prefixed
from events.models import Event
from imessage.models import Conversation, Message
from lines.models import Line
from tests import make
from tests.api.contiguity.conftest import Api, data_of, error_of

both_paths = pytest.mark.parametrize("path", ["/send/imessage", "/imessage"])
HUMAN = make.HUMAN
TEXT = {"to": HUMAN, "message": "hi"}


@pytest.fixture
def number(identity: Identity) -> Line:
    return make.make_owned_line(identity)


@pytest.fixture
def sms(identity: Identity) -> Line:
    return make.make_owned_line(identity, service=Line.Service.SMS)


def sent(api: Api, path: str = "/send/imessage", **body: Any) -> Message:
    """The message that a good request made; its id is as the answer says."""
    answer = data_of(api.post(path, {**TEXT, **body}))
    message = Message.objects.latest("created_at")
    prefix = "text" if message.conversation.line.service == Line.Service.SMS else "imsg"
    assert answer == {"message_id": prefixed(prefix, message.id)}
    return message


@both_paths
def test_an_agent_may_write_first_from_a_number_of_its_own(agent: Api, number: Line, path: str) -> None:
    message = sent(agent, path)
    assert (message.human, message.text, message.line, message.status) == (HUMAN, "hi", number, "queued")
    assert message.conversation.owned_line == number


def test_the_number_that_is_named_is_used(admin: Api, identity: Identity, number: Line) -> None:
    other = make.make_owned_line(identity)
    assert sent(admin, **{"from": other.address}).line == other
    assert sent(admin).line == other, "where the talk is"


def test_a_shared_number_is_used_where_the_talk_is(agent: Api, open_conversation: Conversation, number: Line) -> None:
    assert sent(agent).conversation == open_conversation
    assert sent(agent, **{"from": open_conversation.line.address}).conversation == open_conversation


def test_files_go_along(agent: Api, number: Line) -> None:
    message = sent(agent, message="", attachments=["https://files.example.com/cat.png"])
    assert (message.text, message.parts.count()) == (None, 1)


@pytest.mark.parametrize(
    ("body", "fallback"),
    [
        ({}, "never"),
        ({"fallback": {"when": []}}, "never"),
        ({"fallback": None}, "never"),
        ({"fallback": {"when": ["imessage_unsupported"]}}, "if_unsupported"),
        ({"fallback": {"when": ["imessage_fails"]}}, "if_failed"),
        ({"fallback_when": ["imessage_fails", "imessage_unsupported"]}, "if_unsupported_or_failed"),
    ],
)
def test_sms_stands_in_only_where_it_is_asked_for(
    agent: Api, number: Line, sms: Line, body: dict[str, Any], fallback: str
) -> None:
    assert sent(agent, **body).fallback == fallback


@pytest.mark.parametrize("python", [True, False])
def test_the_number_that_sms_leaves_from_may_be_named(agent: Api, number: Line, sms: Line, python: bool) -> None:
    when = ["imessage_fails"]
    flat = {"fallback_when": when, "fallback_number": sms.address}
    assert sent(agent, **flat if python else {"fallback": {"when": when, "from": sms.address}}).fallback_line == sms


def test_a_fallback_to_a_number_that_cannot_is_refused(agent: Api, number: Line, charlies_identity: Identity) -> None:
    theirs = make.make_owned_line(charlies_identity, service=Line.Service.SMS)
    for address in (theirs.address, "+12125550199"):
        body = {**TEXT, "fallback": {"when": ["imessage_fails"], "from": address}}
        assert error_of(agent.post("/send/imessage", body))[0] == 400
    assert not Message.objects.exists()


def test_the_fast_track_is_for_owned_numbers(agent: Api, open_conversation: Conversation, identity: Identity) -> None:
    assert error_of(agent.post("/send/imessage", {**TEXT, "fast_track": True}))[0] == 403
    number = make.make_owned_line(identity)
    assert sent(agent, fast_track=True, **{"from": number.address}).is_fast


def test_a_text_leaves_from_a_number_for_sms(agent: Api, number: Line, sms: Line) -> None:
    message = sent(agent, "/send/text")
    assert (message.line, message.service) == (sms, "sms")
    assert sent(agent).line == number


def test_a_text_needs_a_number_for_sms(agent: Api, number: Line) -> None:
    assert error_of(agent.post("/send/text", TEXT))[0] == 400
    words = f"{number.address} sends iMessages; texts leave from a number for SMS."
    assert error_of(agent.post("/send/text", {**TEXT, "from": number.address})) == (400, words)


def test_another_number_stands_in_for_one_that_cannot_send_and_that_is_told(
    agent: Api, identity: Identity, number: Line
) -> None:
    Line.objects.update(failover={"enabled": True, "mode": "all", "numbers": []}, seen=Line.Seen.DOWN)
    other = make.make_owned_line(identity)
    message = sent(agent, **{"from": number.address})
    assert message.line == other
    told = Event.objects.get(type="line.substituted")
    assert (told.data["original"]["address"], told.data["used"]["address"]) == (number.address, other.address)
    assert told.data["message_id"] == str(message.id)


def test_without_a_number_nothing_leaves(agent: Api) -> None:
    assert error_of(agent.post("/send/imessage", TEXT))[0] == 400


def test_who_must_write_first_may_not_be_written_to(agent: Api, conversation: Conversation) -> None:
    """The human has connected to the shared number and said nothing."""
    conversation.delete()
    body = {**TEXT, "from": conversation.line.address}
    assert error_of(agent.post("/send/imessage", body))[0] in {403, 404}
    assert not Message.objects.exists()


def test_a_blocked_human_is_not_written_to(agent: Api, number: Line, identity: Identity) -> None:
    make.make_rule(identity, HUMAN)
    words = "A contact rule blocks this recipient; nothing was sent."
    assert error_of(agent.post("/send/imessage", TEXT)) == (403, words)


def test_another_organization_s_number_is_not_there(stranger: Api, number: Line) -> None:
    assert error_of(stranger.post("/send/imessage", {**TEXT, "from": number.address}))[0] == 404
    assert error_of(stranger.post("/send/imessage", TEXT))[0] == 400


def test_another_agent_s_number_is_not_there_for_a_bound_key(agent: Api, identity: Identity) -> None:
    other = make.make_owned_line(make.make_identity(identity.organization, "colleague"))
    assert error_of(agent.post("/send/imessage", {**TEXT, "from": other.address}))[0] == 404


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"to": None}, "to: Input should be a valid string"),
        ({"to": "me@icloud.com"}, "to: The number must be in E.164 form, like +15555550123."),
        ({"message": ""}, "body: A message needs words in message, or attachments."),
        ({"message": "\x00"}, None),
        ({"message": "x" * 20_000}, None),
        ({"message": 5}, "message: Input should be a valid string"),
        ({"attachments": ["ftp://x.example/a.png"]}, None),
        ({"attachments": ["https://x.example/a.png"] * 11}, None),
        ({"fallback": {"when": ["later"]}}, None),
        ({"fallback": {}}, "fallback.when: Field required"),
        ({"fast_track": "yes"}, None),
        ({"from": "5550123"}, "from: The number must be in E.164 form, like +15555550123."),
    ],
)
def test_a_bad_request_is_explained_in_one_sentence(
    agent: Api, number: Line, change: dict[str, Any], words: str | None
) -> None:
    status, said = error_of(agent.post("/send/imessage", {**TEXT, **change}))
    assert status == 400
    assert words is None or said == words
    assert not Message.objects.exists()


@pytest.mark.parametrize("body", ["", "[]", "{", '{"to": 1, "to": 2}', '"x"', "null", "{}"])
@pytest.mark.parametrize("path", ["/send/imessage", "/send/text", "/imessage/read", "/send/imessage/reactions"])
def test_what_is_no_object_is_refused(agent: Api, number: Line, path: str, body: str) -> None:
    assert error_of(agent.client.generic("POST", path, body, content_type="application/json"))[0] == 400


def test_unknown_fields_are_ignored(agent: Api, number: Line) -> None:
    assert sent(agent, colour="blue", metadata={"a": 1}).text == "hi"


def test_the_cap_is_told(agent: Api, number: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imessage.sending.CAP", 1)
    sent(agent)
    answer = agent.post("/send/imessage", TEXT)
    assert error_of(answer)[0] == 429
    assert int(answer["Retry-After"]) > 5
