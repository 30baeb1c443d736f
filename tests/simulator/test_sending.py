"""The provider API towards handsets: what arrives, by which service, and what the line says of it."""

import pytest

from tests.simulator.running import HUMAN, LINE, OTHER_LINE, Network


def test_a_text_reaches_the_handset(network: Network) -> None:
    answer = network.send("hi", effect="confetti", media=["https://example.com/cat.png"])
    assert answer.status_code == 202
    assert answer.json()["status"] == "sent"
    [bubble] = network.inbox()
    assert bubble == {
        "id": answer.json()["id"],
        "from": LINE,
        "to": HUMAN,
        "direction": "received",
        "text": "hi",
        "media": [{"url": "https://example.com/cat.png", "content_type": "image/png", "size": None}],
        "effect": "confetti",
        "reply_to": None,
        "quoted": None,
        "group": None,
        "service": "imessage",
        "at": bubble["at"],
        "read_at": None,
        "tapbacks": [],
    }


def test_it_is_one_journal_line(network: Network) -> None:
    message_id = network.send("hi").json()["id"]
    [line] = network.journal("delivered_to_handset")
    assert line["message_id"] == message_id
    assert (line["line"], line["human"], line["text"], line["media"]) == (LINE, HUMAN, "hi", [])
    assert line["service"] == "imessage"


def test_imessage_is_sent_then_delivered(network: Network) -> None:
    message = network.send(status_reference="ref-1").json()
    first, second = network.events()
    assert first["data"] == {
        "line": LINE,
        "human": HUMAN,
        "message_id": message["id"],
        "group": None,
        "reference": "ref-1",
        "status": "sent",
        "service": "imessage",
        "downgraded": False,
        "error": None,
        "at": first["created_at"],
    }
    assert second["data"]["status"] == "delivered"
    assert network.v1("GET", f"/messages/{message['id']}").json()["status"] == "delivered"


def test_a_handset_on_sms_refuses_imessage(network: Network) -> None:
    network.set_service("sms")
    message = network.send().json()
    assert message["status"] == "queued"
    assert network.statuses() == ["failed"]
    assert network.events()[0]["data"]["error"]["code"] == "not_on_imessage"
    assert network.inbox() == []


@pytest.mark.parametrize("service", ["sms", "auto"])
def test_a_handset_on_sms_takes_sms(network: Network, service: str) -> None:
    network.set_service("sms")
    assert network.send(service=service).json()["service"] == "sms"
    assert network.statuses() == ["sent"]
    assert network.events()[0]["data"]["downgraded"] is True
    assert network.inbox()[0]["service"] == "sms"


def test_auto_stays_on_imessage_where_it_can(network: Network) -> None:
    assert network.send(service="auto").json()["service"] == "imessage"
    assert network.statuses() == ["sent", "delivered"]


def test_texts_wait_in_order_for_a_handset_that_is_off(network: Network) -> None:
    network.set_service("off")
    network.send("one")
    network.send("two")
    assert network.statuses() == ["sent", "sent"]
    assert network.inbox() == []
    assert network.journal("delivered_to_handset") == []
    network.set_service("imessage")
    assert network.texts_shown() == ["one", "two"]
    assert network.statuses() == ["sent", "sent", "delivered", "delivered"]
    assert [line["text"] for line in network.journal("delivered_to_handset")] == ["one", "two"]


def test_a_handset_switched_on_without_imessage_fails_what_waited(network: Network) -> None:
    network.set_service("off")
    network.send()
    network.set_service("sms")
    assert network.statuses() == ["sent", "failed"]


def test_the_same_key_sends_once(network: Network) -> None:
    first = network.send("hi", idempotency_key="k1")
    second = network.send("hi", idempotency_key="k1")
    assert (first.status_code, second.status_code) == (202, 200)
    assert first.json() == second.json()
    assert network.texts_shown() == ["hi"]


def test_keys_belong_to_their_line(network: Network) -> None:
    network.send(idempotency_key="k1")
    other = network.v1("POST", "/messages", {"from": OTHER_LINE, "to": HUMAN, "text": "hi", "idempotency_key": "k1"})
    assert other.status_code == 202


def test_without_a_send_key_it_sends_twice(network: Network) -> None:
    network.set_faults(send_key=False)
    for _ in range(2):
        assert network.send("hi", idempotency_key="k1", status_reference="ref-1").status_code == 202
    assert network.texts_shown() == ["hi", "hi"]
    assert {event["data"]["reference"] for event in network.events()} == {None}
    assert network.v1("GET", f"/lines/{LINE}").json()["send_key"] is False


def test_what_was_sent_can_be_found(network: Network) -> None:
    network.text_in("from the human")
    first, second = network.send("one").json(), network.send("two").json()
    sent = network.v1("GET", "/messages", line=LINE, human=HUMAN, direction="outbound").json()["messages"]
    assert [message["id"] for message in sent] == [second["id"], first["id"]]
    since = network.v1("GET", "/messages", line=LINE, since=second["created_at"]).json()["messages"]
    assert [message["text"] for message in since] == ["two"]
    newest = network.v1("GET", "/messages", human=HUMAN, limit=1).json()["messages"]
    assert [message["text"] for message in newest] == ["two"]


@pytest.mark.parametrize(
    ("state", "status", "code"), [("offline", 503, "line_offline"), ("signed_out", 409, "signed_out")]
)
def test_a_line_that_is_down_sends_nothing(network: Network, state: str, status: int, code: str) -> None:
    network.set_faults(state=state)
    refused = network.send()
    assert (refused.status_code, refused.json()["error"]["code"]) == (status, code)
    assert network.v1("GET", "/messages").json()["messages"] == []
    assert network.v1("GET", f"/lines/{LINE}").json()["state"] == state


def test_a_flagged_line_sends_what_never_arrives(network: Network) -> None:
    network.set_faults(state="flagged")
    assert network.send().status_code == 202
    assert network.statuses() == ["sent"]
    assert network.inbox() == []


def test_a_reply_names_a_text_of_its_thread(network: Network) -> None:
    bubble = network.text_in()
    network.send(reply_to={"id": bubble["id"], "part": 0})
    assert network.inbox()[-1]["reply_to"] == {"id": bubble["id"], "part": 0}
    assert network.send(reply_to={"id": "msg_nowhere"}).status_code == 422


def test_lines_and_numbers_can_be_looked_up(network: Network) -> None:
    assert [line["number"] for line in network.v1("GET", "/lines").json()["lines"]] == [LINE, OTHER_LINE]
    assert network.v1("GET", f"/lines/{LINE}").json()["clock"].endswith("Z")
    assert network.v1("GET", "/lookup", number=HUMAN).json()["service"] == "imessage"
    network.set_service("sms")
    assert network.v1("GET", "/lookup", number=HUMAN).json()["service"] == "sms"
