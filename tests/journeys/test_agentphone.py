"""Every call of all three of AgentPhone's clients that concerns us, against the running product; none is left out."""

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.core import receivers
from tests.installation import Installation, waited
from tests.journeys.clients import Client, Refused, node_client, python_client
from tests.journeys.people import Human
from tests.webhooks.endpoints import Endpoint, Request, endpoint

# @concierge's own, in the demo organization.
NUMBER, SMS_NUMBER = "+15555550111", "+15555550112"
NOWHERE = "aaaaaaaaaaaaaaaaaaaaaaaaaa"

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 64

KINDS = ["sync", "async", "typescript"]

# What the TypeScript client calls what the Python ones call otherwise.
TYPESCRIPT = {
    "messages.send": "messages.sendMessage",
    "messages.react": "messages.sendReaction",
    "conversations.list": "conversations.listConversations",
    "conversations.get": "conversations.getConversation",
    "conversations.update": "conversations.updateConversation",
    "conversations.get_messages": "conversations.getConversationMessages",
    "conversations.send_typing": "conversations.sendTypingIndicator",
    "conversations.set_background": "conversations.setChatBackground",
    "conversations.delete_background": "conversations.removeChatBackground",
    "numbers.list": "numbers.listNumbers",
    "numbers.buy": "numbers.createNumber",
    "numbers.get": "numbers.getNumber",
    "numbers.release": "numbers.deleteNumber",
    "numbers.get_messages": "numbers.getMessages",
    "numbers.get_contact_card": "contactCards.getContactCard",
    "numbers.set_contact_card": "contactCards.putContactCard",
    "numbers.delete_contact_card": "contactCards.deleteContactCard",
    "agents.list": "agents.listAgents",
    "agents.create": "agents.createAgent",
    "agents.get": "agents.getAgent",
    "agents.update": "agents.updateAgent",
    "agents.delete": "agents.deleteAgent",
    "agents.attach_number": "agents.attachNumberToAgent",
    "agents.detach_number": "agents.detachNumberFromAgent",
    "agents.list_conversations": "agents.listAgentConversations",
    "agents.get_webhook": "agentWebhooks.getAgentWebhook",
    "agents.set_webhook": "agentWebhooks.createOrUpdateAgentWebhook",
    "agents.delete_webhook": "agentWebhooks.deleteAgentWebhook",
    "agents.list_webhook_deliveries": "agentWebhooks.listAgentDeliveries",
    "agents.test_webhook": "agentWebhooks.testAgentWebhook",
    "contacts.list": "contacts.listContacts",
    "contacts.create": "contacts.createContact",
    "contacts.get": "contacts.getContact",
    "contacts.update": "contacts.updateContact",
    "contacts.delete": "contacts.deleteContact",
    "contacts.get_capabilities": "contacts.getContactCapabilities",
    "webhooks.get": "webhooks.getWebhook",
    "webhooks.set": "webhooks.createOrUpdateWebhook",
    "webhooks.delete": "webhooks.deleteWebhook",
    "webhooks.list_deliveries": "webhooks.listDeliveries",
    "webhooks.get_delivery_stats": "webhooks.deliveryStats",
    "webhooks.get_all_time_stats": "webhooks.allTimeStats",
    "webhooks.test": "webhooks.testWebhook",
}
RESOURCES = {
    "typescript": [
        "messages",
        "conversations",
        "numbers",
        "contactCards",
        "agents",
        "agentWebhooks",
        "contacts",
        "webhooks",
    ],
    "sync": ["messages", "conversations", "numbers", "agents", "contacts", "webhooks"],
}
RESOURCES["async"] = RESOURCES["sync"]
# Of telephony, which is no business of ours.
OTHERS = {
    "agents.list_calls",
    "agents.list_voices",
    "numbers.list_calls",
    "agents.listVoices",
    "agents.listAgentCalls",
}

# Where the TypeScript client writes its fields with underscores, as in paths.
_UNDERSCORED = re.compile(r"(messages|conversations)\.|contacts\.get_capabilities")
_IN_PATHS = {"agent_id", "number_id", "contact_id", "conversation_id", "message_id"}


class Phone:
    """One of the three clients, by the names of the Python ones; what it answers has underscores, too."""

    def __init__(self, kind: str, client: Client) -> None:
        self.kind = kind
        self.client = client

    @property
    def is_python(self) -> bool:
        return self.kind != "typescript"

    def __call__(self, name: str, /, **fields: Any) -> Any:
        if self.is_python:
            return _underscored(self.client(name, **fields))
        return _underscored(self.client(TYPESCRIPT[name], _request(name, fields)))

    def refusal(self, name: str, /, **fields: Any) -> Refused:
        if self.is_python:
            return self.client.refusal(name, **fields)
        return self.client.refusal(TYPESCRIPT[name], _request(name, fields))


def _request(name: str, fields: dict[str, Any]) -> dict[str, Any]:
    if _UNDERSCORED.match(name):
        return fields
    in_path = {key: value for key, value in fields.items() if key in _IN_PATHS and name != "agents.attach_number"}
    if name == "agents.attach_number":
        in_path = {"agent_id": fields["agent_id"]}
    rest = {_humped(key): value for key, value in fields.items() if key not in in_path}
    if name in {"webhooks.set", "agents.set_webhook"}:
        return {**in_path, "body": rest}
    return {**in_path, **rest}


def _humped(name: str) -> str:
    return re.sub(r"_([a-z])", lambda found: found[1].upper(), name)


def _underscored(value: Any) -> Any:
    if isinstance(value, list):
        return [_underscored(item) for item in value]
    if isinstance(value, dict):
        return {
            re.sub(r"[A-Z]", lambda hump: f"_{hump[0].lower()}", key): _underscored(of) for key, of in value.items()
        }
    return value


def opened(kind: str, commons: Installation, key: str) -> Client:
    env = {"ORIGIN": commons.base_url, "AGENTPHONE_API_KEY": key}
    if kind == "typescript":
        return node_client("agentphone-1.0.17", "agentphone_driver.mjs", env=env)
    return python_client(
        "agentphone-0.20.3", "agentphone_driver.py", env={**env, **({"ASYNC": "1"} if kind == "async" else {})}
    )


@pytest.fixture(scope="module")
def key(commons: Installation) -> str:
    made = commons.manage(
        "create_api_key", "--organization", "demo", "--label", "agentphone", "--dialect", "agentphone", "--json"
    )
    return str(json.loads(made)["api_key"])


@pytest.fixture(scope="module", params=KINDS)
def phone(request: pytest.FixtureRequest, commons: Installation, key: str) -> Iterator[Phone]:
    client = opened(request.param, commons, key)
    yield Phone(request.param, client)
    client.close()


@pytest.fixture(scope="module")
def concierge(phone: Phone) -> dict[str, Any]:
    """The agent that the numbers belong to."""
    agents = phone("agents.list")["data"]
    return dict(next(agent for agent in agents if NUMBER in {one["phone_number"] for one in agent["numbers"]}))


@pytest.fixture
def human(commons: Installation) -> Human:
    guest = Human(commons)
    guest.line = NUMBER
    return guest


@pytest.fixture
def there() -> Iterator[Endpoint]:
    with endpoint() as healthy:
        yield healthy


def conversation_with(phone: Phone, human: Human) -> dict[str, Any] | None:
    rows = phone("conversations.list")["data"]
    return next((row for row in rows if row["participant"] == human.number), None)


def messages_of(phone: Phone, conversation_id: str) -> list[dict[str, Any]]:
    return list(phone("conversations.get_messages", conversation_id=conversation_id)["data"])


def begun(phone: Phone, human: Human) -> dict[str, Any]:
    """A conversation in which both have said a word; the send's answer."""
    sent = phone("messages.send", from_number=NUMBER, to_number=human.number, body="hi")
    human.wait_for_bubble("hi")
    human.write("hello")
    waited(lambda: len(messages_of(phone, sent["conversation_id"])) == 2, what="the answer")
    return dict(sent)


def test_a_text_goes_out_and_its_answer_comes_back(phone: Phone, concierge: dict[str, Any], human: Human) -> None:
    sent = phone("messages.send", agent_id=concierge["id"], to_number=human.number, body="hi", send_style="slam")
    assert (sent["status"], sent["channel"], sent["from_number"]) == ("sent", "imessage", NUMBER)
    assert human.wait_for_bubble("hi")["effect"] == "slam"
    human.write("hello")
    found = waited(lambda: _whole(phone, human), what="both messages")
    assert (found["last_message_preview"], found["agent_id"]) == ("hello", concierge["id"])
    inbound, outbound = messages_of(phone, found["id"])
    assert (inbound["body"], inbound["from_number"], inbound["direction"]) == ("hello", human.number, "inbound")
    assert (outbound["id"], outbound["body"], outbound["to_number"]) == (sent["id"], "hi", human.number)
    waited(lambda: messages_of(phone, found["id"])[1]["status"] == "delivered", what="its delivery")
    detail = phone("conversations.get", conversation_id=found["id"], message_limit=1)
    assert [message["body"] for message in detail["messages"]] == ["hello"]
    assert [
        row["body"]
        for row in phone("conversations.get_messages", conversation_id=found["id"], before=inbound["id"])["data"]
    ] == ["hi"]
    of_agent = phone("agents.list_conversations", agent_id=concierge["id"], limit=1)
    assert of_agent["data"][0]["id"] == found["id"]


def _whole(phone: Phone, human: Human) -> dict[str, Any] | None:
    found = conversation_with(phone, human)
    return found if found and found["message_count"] == 2 else None


def test_tapbacks_typing_and_replies(phone: Phone, human: Human) -> None:
    sent = begun(phone, human)
    hello = messages_of(phone, sent["conversation_id"])[0]
    put = phone("messages.react", message_id=hello["id"], reaction="love")
    assert (put["reaction_type"], put["message_id"], put["channel"]) == ("love", hello["id"], "imessage")
    typed = phone("conversations.send_typing", conversation_id=sent["conversation_id"])
    assert typed["status"] == "typing indicator sent"
    human.wait_for_news(type="typing", on=True)
    reply = phone(
        "messages.send", from_number=NUMBER, to_number=human.number, body="hey", reply_to_message_id=hello["id"]
    )
    assert (reply["reply_to_message_id"], reply["reply_parent_unresolved"]) == (hello["id"], False)
    assert human.wait_for_bubble("hey")["reply_to"]
    human.react("laugh")
    newest = waited(lambda: _reacted(phone, sent["conversation_id"]), what="the tapback")
    # The Python clients keep neither reactions nor parents of a list, only of a single conversation.
    whole = phone("conversations.get", conversation_id=sent["conversation_id"])["messages"]
    assert newest["reaction_type"] == "laugh"
    assert whole[0]["reply_to"]["message_id"] == hello["id"]
    assert [one["reaction_type"] for one in whole[1]["reactions"]] == ["love"]


def _reacted(phone: Phone, conversation_id: str) -> dict[str, Any] | None:
    newest = phone("conversations.get", conversation_id=conversation_id)["messages"][0]
    return next(iter(newest["reactions"]), None)


def test_a_group_is_opened_named_and_answered(phone: Phone, commons: Installation) -> None:
    ada, bea = Human(commons), Human(commons)
    ada.line = bea.line = NUMBER
    opened = phone("messages.send", from_number=NUMBER, recipients=[ada.number, bea.number], body="hi all")
    assert opened["to_number"].startswith("grp_")
    [group] = waited(ada.groups, what="the group")
    ada.write("hello", to=group["key"])
    detail = waited(lambda: _answered(phone, opened["conversation_id"]), what="her answer")
    assert (detail["is_group"], detail["group_id"]) == (True, opened["to_number"])
    assert {member["identifier"] for member in detail["participants"]} == {ada.number, bea.number}
    assert detail["messages"][0]["sender_identifier"] == ada.number
    named = phone("conversations.update", conversation_id=opened["conversation_id"], group_name="Trip")
    assert named["group_name"] == "Trip"
    waited(lambda: bea.groups()[0]["name"] == "Trip", what="the name on her phone")
    again = phone("messages.send", from_number=NUMBER, to_number=opened["to_number"], body="more")
    assert again["conversation_id"] == opened["conversation_id"]
    waited(lambda: [b for b in bea.inbox(group["key"]) if b["text"] == "more"], what="the second text")


def _answered(phone: Phone, conversation_id: str) -> dict[str, Any] | None:
    detail = dict(phone("conversations.get", conversation_id=conversation_id))
    return detail if detail["messages"][0]["direction"] == "inbound" else None


def test_state_and_a_picture_are_kept_with_a_conversation(phone: Phone, human: Human, picture: str) -> None:
    conversation_id = begun(phone, human)["conversation_id"]
    kept = phone("conversations.update", conversation_id=conversation_id, metadata={"step": 2})
    assert kept["metadata"] == {"step": 2}
    first = phone("conversations.set_background", conversation_id=conversation_id, image_url=picture)
    second = phone("conversations.set_background", conversation_id=conversation_id, image_url=picture)
    assert (first["has_background"], first["background_version"], first["changed"]) == (True, 1, True)
    assert (second["background_id"], second["changed"]) == (first["background_id"], False)
    phone("conversations.delete_background", conversation_id=conversation_id)
    phone("conversations.delete_background", conversation_id=conversation_id)


_SERVED = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n" % len(PNG) + PNG


def test_pictures_go_out_together_and_come_in_one_by_one(phone: Phone, human: Human, picture: str) -> None:
    pictures = [f"{picture}/{name}.png" for name in ("one", "two")]
    sent = phone("messages.send", from_number=NUMBER, to_number=human.number, body="", media_urls=pictures)
    assert sent["media_urls"] == pictures
    bubble = waited(human.inbox, what="the carousel")[0]
    assert [item["url"] for item in bubble["media"]] == pictures
    texts = {"to": NUMBER, "text": "", "media": pictures}
    human.installation.handset("POST", human.number, "texts", texts)
    rows = waited(lambda: _inbound(phone, sent["conversation_id"]), what="both pictures")
    assert [len(row["media_urls"]) for row in rows] == [1, 1]
    put = phone("messages.react", message_id=rows[0]["id"], reaction="like")
    assert put["message_id"] == rows[0]["id"]
    newest = waited(lambda: human.inbox()[-1]["tapbacks"], what="the tapback")[0]
    assert (newest["kind"], newest["part"]) == ("like", 1)


def _inbound(phone: Phone, conversation_id: str) -> list[dict[str, Any]]:
    return [row for row in messages_of(phone, conversation_id) if row["direction"] == "inbound"]


@pytest.fixture(scope="module")
def picture() -> Iterator[str]:
    """Where a picture can be fetched."""
    with receivers.raw(receivers.answering(_SERVED)) as shelf:
        yield shelf.url


def test_on_sms_what_is_richer_is_left_out(phone: Phone, commons: Installation) -> None:
    guest = Human(commons)
    guest.line = SMS_NUMBER
    sent = phone("messages.send", from_number=SMS_NUMBER, to_number=guest.number, body="hi", send_style="slam")
    assert sent["channel"] == "sms"
    assert guest.wait_for_bubble("hi")["service"] == "sms"
    assert phone("conversations.send_typing", conversation_id=sent["conversation_id"])["status"] == "skipped"
    refused = phone.refusal("messages.react", message_id=sent["id"], reaction="love")
    assert refused.facts["status"] == 400


def test_agents_and_their_numbers(phone: Phone, commons: Installation) -> None:
    agent = phone("agents.create", name=f"Clerk of {phone.kind}", description="Knows", enable_messaging=True)
    number = phone("numbers.buy", country="US", area_code=free_number(commons)[2:5])
    assert (number["status"], number["agent_id"]) == ("active", None)
    attached = phone("agents.attach_number", agent_id=agent["id"], number_id=number["id"])
    assert attached["number"]["phone_number"] == number["phone_number"]
    shown = phone("agents.get", agent_id=agent["id"])
    assert [one["id"] for one in shown["numbers"]] == [number["id"]]
    assert phone("agents.update", agent_id=agent["id"], name="New")["name"] == "New"
    assert agent["id"] in {one["id"] for one in phone("agents.list")["data"]}
    assert phone("agents.detach_number", agent_id=agent["id"], number_id=number["id"]) == {"success": True}
    assert phone("numbers.get", number_id=number["id"])["agent_id"] is None
    assert phone("agents.delete", agent_id=agent["id"])["success"] is True
    assert phone.refusal("agents.get", agent_id=agent["id"]).facts["status"] == 404
    assert phone("numbers.release", number_id=number["id"])["status"] == "released"
    assert number["id"] not in {one["id"] for one in phone("numbers.list")["data"]}


def test_numbers_and_their_cards(phone: Phone, concierge: dict[str, Any], human: Human) -> None:
    begun(phone, human)
    number_id = concierge["numbers"][0]["id"]
    newest = phone("numbers.get_messages", number_id=number_id, limit=1)["data"][0]
    # Of a row of this list the TypeScript client knows older names than the Python ones.
    assert (newest["body"], newest.get("from_number") or newest["from_"]) == ("hello", human.number)
    card = phone("numbers.set_contact_card", number_id=number_id, first_name="Con", last_name="Cierge")
    assert card == phone("numbers.get_contact_card", number_id=number_id)
    assert (card["first_name"], card["has_avatar"]) == ("Con", False)
    phone("numbers.delete_contact_card", number_id=number_id)
    assert phone.refusal("numbers.get_contact_card", number_id=number_id).facts["status"] == 404
    if phone.is_python:
        assert phone("numbers.update", number_id=number_id, external_id="crm-7")["external_id"] == "crm-7"
        looked_up = phone("numbers.lookup", phone_numbers=["+4915112345678", human.number])
        assert looked_up[0]["country"] == "DE"
        assert phone("numbers.available", limit=1)[0]["phone_number"]


def free_number(commons: Installation) -> str:
    """A number that can be bought."""
    address = f"+1{next(_area_codes)}5550100"
    commons.sql(
        "INSERT INTO lines_line SELECT (jsonb_populate_record(line, jsonb_build_object("
        " 'id', gen_random_uuid(), 'address', %s::text, 'kind', 'dedicated'))).*"
        " FROM lines_line AS line WHERE kind = 'pool' LIMIT 1 RETURNING 1",
        address,
    )
    return address


_area_codes = itertools.count(415)


def test_the_contact_book_and_what_a_phone_takes(phone: Phone, commons: Installation) -> None:
    ada = Human(commons)
    made = phone("contacts.create", phone_number=ada.number, name="Ada")
    changed = phone("contacts.update", contact_id=made["id"], notes="VIP")
    assert changed == phone("contacts.get", contact_id=made["id"])
    assert changed in phone("contacts.list", limit=200)["data"]
    found = phone("contacts.get_capabilities", phone_number=PROBED)
    assert found["capabilities"] == {"imessage": True, "sms": True}
    assert not phone("contacts.delete", contact_id=made["id"])
    assert phone.refusal("contacts.get", contact_id=made["id"]).facts["status"] == 404


# One for all: lines look numbers up one at a time, and an answer is kept.
PROBED = "+15555559901"


def test_a_project_s_webhook_is_told_until_the_agent_has_its_own(
    phone: Phone, concierge: dict[str, Any], human: Human, there: Endpoint
) -> None:
    assert phone("webhooks.get") is None
    hook = phone("webhooks.set", url=f"{there.url}/project", context_limit=2, timeout=10)
    assert phone("webhooks.get") == hook
    conversation_id = begun(phone, human)["conversation_id"]
    request = told(there, "/project", "hello")
    assert request.payload["data"]["conversationId"] == conversation_id
    assert request.payload["agentId"] == concierge["id"]
    assert [item["content"] for item in request.payload["recentHistory"]] == ["hi"]
    own = phone("agents.set_webhook", agent_id=concierge["id"], url=f"{there.url}/agent")
    assert phone("agents.get_webhook", agent_id=concierge["id"]) == own
    human.write("again")
    own_request = told(there, "/agent", "again")
    if phone.is_python:
        verify(phone, own_request, own["secret"])
    assert not [
        one for one in there.requests if one.path.endswith("/project") and one.payload["data"]["message"] == "again"
    ]
    assert phone("agents.test_webhook", agent_id=concierge["id"])["success"] is True
    assert phone("webhooks.test")["success"] is True
    rows = phone("agents.list_webhook_deliveries", agent_id=concierge["id"], limit=5)
    assert {row["status"] for row in rows} == {"success"}
    listed = phone("webhooks.list_deliveries", limit=5, hours=1)
    assert [row["status"] for row in (listed if phone.is_python else listed["items"])] == ["success"] * 2
    stats = phone("webhooks.get_delivery_stats", hours=1)
    assert (stats["total"], stats["success"], stats["success_rate"]) == (2, 2, 1.0)
    assert phone("webhooks.get_all_time_stats")["success"] == 2
    assert phone("agents.delete_webhook", agent_id=concierge["id"]) == {"success": True}
    assert phone("webhooks.delete") == {"success": True}
    assert phone("agents.get_webhook", agent_id=concierge["id"]) is None


def told(there: Endpoint, path: str, words: str) -> Request:
    """The delivery of a text."""

    def found() -> Request | None:
        at_path = [one for one in there.requests if one.path.endswith(path)]
        return next((one for one in at_path if one.payload["data"].get("message") == words), None)

    return waited(found, what=f"{words!r} at {path}")


def verify(phone: Phone, request: Request, secret: str) -> None:
    """The client's own verifier takes the delivery, and not with a changed byte."""
    body = request.body.decode()
    proof = {
        "signature": request.headers["x-webhook-signature"],
        "secret": secret,
        "timestamp": request.headers["x-webhook-timestamp"],
    }
    assert phone.client("verify_webhook", body, **proof) is None
    event = phone.client("construct_event", body, **proof)
    assert (event["event"], event["data"]["message"]) == ("agent.message", "again")
    changed = phone.client.refusal("verify_webhook", body.replace("again", "Again"), **proof)
    assert changed.type == "WebhookVerificationError"


def test_each_client_raises_its_own_error(phone: Phone, commons: Installation, human: Human) -> None:
    missing = phone.refusal("conversations.get", conversation_id=f"conv_{NOWHERE}")
    malformed = phone.refusal("messages.send", from_number=NUMBER, to_number="12", body="hi")
    stranger = phone.refusal(
        "messages.send", from_number=NUMBER, to_number=human.number, body="hi", reply_to_message_id=f"msg_{NOWHERE}"
    )
    client = opened(phone.kind, commons, "sk_live_nonsense")
    denied = Phone(phone.kind, client).refusal("agents.list")
    client.close()
    if phone.is_python:
        assert [(one.type, one.facts["status"]) for one in (missing, malformed, stranger, denied)] == [
            ("NotFoundError", 404),
            ("AgentPhoneError", 422),
            ("NotFoundError", 404),
            ("AuthenticationError", 401),
        ]
        assert stranger.words.endswith("Reply target not found.")
    else:
        assert [(one.type, one.facts["status"]) for one in (missing, malformed, stranger, denied)] == [
            ("AgentPhoneError", 404),
            ("UnprocessableEntityError", 422),
            ("AgentPhoneError", 404),
            ("AgentPhoneError", 401),
        ]
        assert stranger.facts["body"]["detail"] == "Reply target not found."


def test_no_call_was_left_out(phone: Phone) -> None:
    """The last of all, for what was called by then."""
    assert phone.client.methods(*RESOURCES[phone.kind]) - phone.client.called - OTHERS == set()
