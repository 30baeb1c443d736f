"""Every call of both of Contiguity's clients that concerns us, against the running product; none is left out."""

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.installation import Installation, waited
from tests.journeys.clients import Client, node_client, python_client
from tests.journeys.people import Human
from tests.webhooks.endpoints import Endpoint, Request, endpoint

# @concierge's own, in the demo organization.
NUMBER, SMS_NUMBER = "+15555550111", "+15555550112"

_free = itertools.count(100)


@pytest.fixture(scope="module")
def key(commons: Installation) -> str:
    """An admin key in the form that the JavaScript client demands."""
    dressed = ("--label", "contiguity", "--dialect", "contiguity")
    made = commons.manage("create_api_key", "--organization", "demo", *dressed, "--json")
    return str(json.loads(made)["api_key"])


@pytest.fixture(scope="module")
def python(commons: Installation, key: str) -> Iterator[Client]:
    env = {"ORIGIN": commons.base_url, "CONTIGUITY_TOKEN": key}
    client = python_client("contiguity-3.0.0", "contiguity_driver.py", env=env)
    yield client
    client.close()


@pytest.fixture(scope="module")
def js(commons: Installation, key: str) -> Iterator[Client]:
    env = {"ORIGIN": commons.base_url, "CONTIGUITY_API_KEY": key}
    client = node_client("contiguity-0.1.2", "contiguity_driver.mjs", preload="redirect.mjs", env=env)
    yield client
    client.close()


@pytest.fixture(scope="module")
def there(commons: Installation) -> Iterator[tuple[Endpoint, str]]:
    """An endpoint of the organization, and its secret."""
    with endpoint() as healthy:
        made = commons.manage(
            "create_webhook", "--organization", "demo", "--dialect", "contiguity", "--url", healthy.url, "--json"
        )
        yield healthy, json.loads(made)["secret"]


@pytest.fixture
def human(commons: Installation) -> Human:
    guest = Human(commons)
    guest.line = NUMBER
    return guest


@pytest.fixture
def free_number(commons: Installation) -> str:
    """A number that nobody leases yet."""
    address = f"+12125550{next(_free)}"
    commons.sql(
        "INSERT INTO lines_line SELECT (jsonb_populate_record(line, jsonb_build_object("
        " 'id', gen_random_uuid(), 'address', %s::text, 'kind', 'dedicated'))).*"
        " FROM lines_line AS line WHERE kind = 'pool' LIMIT 1 RETURNING 1",
        address,
    )
    return address


def came(human: Human, words: str, *, line: str = NUMBER) -> dict[str, Any]:
    """The bubble on the human's phone."""
    return waited(
        lambda: next((bubble for bubble in human.inbox(line) if bubble["text"] == words), None), what=f"{words!r}"
    )


def told(there: Endpoint, type: str, human: Human) -> Request:
    """The delivery about this human."""
    return waited(
        lambda: next(
            (
                request
                for request in there.requests
                if request.payload["type"] == type
                and human.number in (request.payload["data"]["from"], request.payload["data"]["to"])
            ),
            None,
        ),
        what=type,
    )


def test_python_writes_first_and_reads_what_was_said(python: Client, human: Human) -> None:
    sent = python("imessage.send", to=human.number, message="hi", from_=NUMBER)
    assert sent["message_id"].startswith("imsg_")
    assert (sent["metadata"]["object"], sent["metadata"]["id"][:4]) == ("response", "req_")
    came(human, "hi")
    human.write("hello")

    def history() -> dict[str, Any] | None:
        found = dict(python("imessage.get_history", to=human.number, from_=NUMBER, limit=5))
        settled = all(row["delivery"]["status"] == "delivered" for row in found["conversation"])
        return found if len(found["conversation"]) == 2 and settled else None

    found = waited(history, what="both messages, delivered")
    digits = [int(number[1:]) for number in (human.number, NUMBER)]
    assert [(row["message"], row["from_"]) for row in found["conversation"]] == [
        ("hello", digits[0]),
        ("hi", digits[1]),
    ]
    chat = {"filtered": False, "chat_marked_as_spam": False, "limit": 5, "total": 2, "count": 2}
    assert found["chat"] == chat


def test_python_types_reads_and_reacts(python: Client, human: Human) -> None:
    python("imessage.send", to=human.number, message="hi", from_=NUMBER)
    human.write("nice")
    waited(lambda: _says(python, human, "nice"), what="the answer")
    assert python("imessage.start_typing", to=human.number, from_=NUMBER)["status"] == "started"
    human.wait_for_news(type="typing", on=True)
    assert python("imessage.stop_typing", to=human.number)["status"] == "stopped"
    assert python("imessage.mark_read", to=human.number, from_=NUMBER)["status"] == "sent"
    put = python("imessage.add_reaction", to=human.number, reaction="love", message="nice")
    assert put["status"] == "added"
    assert came(human, "nice")["tapbacks"]
    taken = python("imessage.remove_reaction", to=human.number, reaction="love", message="nice")
    assert taken["status"] == "removed"
    assert not came(human, "nice")["tapbacks"]
    log = python("imessage.get_history", to=human.number, from_=NUMBER)["reactions"]
    assert [(line["reaction"], line["action"], line["from_"]) for line in log] == [
        ("love", "removed", NUMBER),
        ("love", "added", NUMBER),
    ]


def _says(python: Client, human: Human, words: str) -> bool:
    found = python("imessage.get_history", to=human.number, from_=NUMBER)["conversation"]
    return any(row["message"] == words for row in found)


def test_python_sends_texts(python: Client, commons: Installation) -> None:
    guest = Human(commons)
    # The client refuses numbers of films, the 555s that all other humans here have.
    guest.number = "+14155550123"
    assert python("text.send", to=guest.number, message="green", from_=SMS_NUMBER)["message_id"].startswith("text_")
    assert came(guest, "green", line=SMS_NUMBER)["service"] == "sms"


def test_python_is_told_what_is_wrong(python: Client, human: Human) -> None:
    unknown = python.refusal("imessage.send", to=human.number, message="hi", from_="+15555559999")
    assert (unknown.type, unknown.words) == (
        "ContiguityApiError",
        "failed to send instant message. 404 No such number.",
    )
    fallback = {"fallback_when": ["imessage_fails"], "fallback_number": "+15555559999"}
    refused = python.refusal("imessage.send", to=human.number, message="hi", from_=NUMBER, **fallback)
    assert refused.words.startswith("failed to send instant message. 400 ")
    nobody = python.refusal("imessage.add_reaction", to=human.number, reaction="like", message="never said")
    assert nobody.words == "failed to add imessage reaction. 404 There is no chat between these numbers."


def test_python_leases_numbers(python: Client, free_number: str) -> None:
    assert python("leases.get_number_details", free_number)["status"] == "available"
    lease = python("leases.lease_number", free_number, billing_method="monthly")
    assert (lease["status"], lease["lease_status"], lease["lease_id"][:4]) == ("leased", "active", "lsd_")
    ended = python("leases.terminate_lease", free_number)
    assert (ended["number_id"], ended["status"]) == (free_number, "terminated")


@pytest.mark.parametrize("name", ["leases.get_available_numbers", "leases.get_leased_numbers"])
def test_python_cannot_list_numbers_whatever_it_is_answered(python: Client, name: str) -> None:
    """docs/reference/clients.md: its parser asks for a list and takes none."""
    assert python.refusal(name).type == "ValidationError"


def test_js_writes_first_and_reads_what_was_said(js: Client, human: Human) -> None:
    fallback = {"when": ["imessage_unsupported"], "from": SMS_NUMBER}
    sent = js("imessage.send", {"to": human.number, "message": "hi", "from": NUMBER, "fallback": fallback})
    came(human, "hi")
    one = waited(lambda: _settled(js, sent["message_id"]), what="its delivery")
    assert (one["id"], one["message"], one["to"], one["from"]) == (sent["message_id"], "hi", human.number, NUMBER)
    quick = {"to": human.number, "message": "quick", "from": NUMBER, "fast_track": True, "attachments": []}
    js("imessage.send", quick)
    came(human, "quick")
    found = js("imessage.history", {"to": human.number, "from": NUMBER, "limit": 1})
    assert [row["message"] for row in found["conversation"]] == ["quick"]
    assert (found["chat"]["total"], found["metadata"]["object"]) == (2, "response")


def _settled(js: Client, message_id: str) -> dict[str, Any] | None:
    one = dict(js("imessage.get", message_id))
    return one if one["status"] == "delivered" else None


def test_js_answers_a_webhook_and_reads_and_reacts(js: Client, human: Human, there: tuple[Endpoint, str]) -> None:
    receiver, secret = there
    human.write("nice")
    request = told(receiver, "imessage.incoming", human)
    body, signature = request.body.decode(), request.headers["contiguity-signature"]
    event = js("webhook.parse", body)
    assert event["data"] == {
        "from": human.number,
        "to": NUMBER,
        "body": "nice",
        "timestamp": event["data"]["timestamp"],
        "attachments": [],
    }
    assert js("webhook.verify", body, signature, secret, 300) is True
    assert js("webhook.verify", {"headers": request.headers, "body": body}, secret) is True
    assert js("verifyWebhookSignature", body, signature, secret) is True
    assert js("verifyWebhookSignature", body.replace("nice", "mice"), signature, secret) is False
    assert js("verifyWebhookSignature", body, signature, secret + "x") is False
    js("imessage.reply", event, {"message": "thanks"})
    came(human, "thanks")
    pair = {"to": human.number, "from": NUMBER}
    assert js("imessage.typing", {**pair, "action": "start"})["status"] == "started"
    assert js("imessage.typing", {**pair, "action": "stop"})["status"] == "stopped"
    assert js("imessage.read", pair)["status"] == "sent"
    tapback = {**pair, "tapback": "laugh", "message": "nice"}
    assert js("imessage.react", "add", tapback)["status"] == "added"
    assert js("imessage.react", "remove", tapback)["status"] == "removed"


def test_js_talks_by_sms(js: Client, human: Human, there: tuple[Endpoint, str]) -> None:
    receiver, _ = there
    human.line = SMS_NUMBER
    sent = js("text.send", {"to": human.number, "message": "green", "from": SMS_NUMBER})
    assert came(human, "green", line=SMS_NUMBER)["service"] == "sms"
    human.write("back")
    event = js("webhook.parse", told(receiver, "text.incoming.sms", human).body.decode())
    js("text.reply", event, {"message": "again"})
    came(human, "again", line=SMS_NUMBER)
    assert js("text.get", sent["message_id"])["message"] == "green"
    found = js("text.history", {"to": human.number, "from": SMS_NUMBER})
    assert [row["message"] for row in found["conversation"]] == ["again", "back", "green"]
    refused = js.refusal(
        "text.react", "add", {"to": human.number, "from": SMS_NUMBER, "message": "back", "reaction": "thumbsup"}
    )
    assert (refused.type, refused.facts["status"]) == ("ContiguityError", 400)


def test_js_is_told_of_a_text_that_failed(
    js: Client, commons: Installation, human: Human, there: tuple[Endpoint, str]
) -> None:
    refusal = {"next": 1, "status": 422, "code": "invalid", "message": "No such number."}
    commons.network("PUT", f"/control/lines/{SMS_NUMBER}/faults", {"refuse": refusal})
    sent = js("text.send", {"to": human.number, "message": "lost", "from": SMS_NUMBER})
    event = js("webhook.parse", told(there[0], "text.delivery.failed", human).body.decode())
    assert event["data"]["message_id"] == sent["message_id"]
    assert js("text.get", sent["message_id"])["status"] == "failed"


def test_js_leases_numbers(js: Client, free_number: str) -> None:
    assert free_number in [number["id"] for number in js("lease.available")["numbers"]]
    assert js("lease.get", free_number)["status"] == "available"
    lease = js("lease.create", free_number, {"billing_method": "monthly"})
    assert js("lease.details", free_number)["lease_id"] == lease["lease_id"]
    assert free_number in [number["id"] for number in js("lease.leased")["numbers"]]
    assert js("lease.terminate", free_number)["status"] == "terminated"
    gone = js.refusal("lease.details", free_number)
    words = "There is no such number of yours, and none to lease."
    assert (gone.type, gone.words, gone.facts["status"]) == ("ContiguityError", words, 404)


def test_no_call_of_theirs_was_left_out(python: Client, js: Client) -> None:
    assert python.methods("imessage", "text", "leases") - python.called == set()
    assert js.methods("imessage", "text", "lease", "webhook") - js.called == set()
