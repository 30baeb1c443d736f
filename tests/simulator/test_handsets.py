"""What the human does on the phone, and what the phone shows of the agent."""

import threading
import time

import httpx
import pytest

from tests.simulator.running import HUMAN, LINE, OTHER_LINE, Network, Receiver, eventually


def test_a_text_to_a_line_is_told(network: Network, receiver: Receiver) -> None:
    bubble = network.text_in("hello", media=["https://example.com/a.jpg"])
    assert (bubble["from"], bubble["to"], bubble["direction"]) == (HUMAN, LINE, "sent")
    eventually(lambda: receiver.taken)
    assert receiver.taken[0]["type"] == "message.received"
    assert receiver.taken[0]["data"] == {
        "line": LINE,
        "human": HUMAN,
        "message_id": bubble["id"],
        "text": "hello",
        "media": [{"url": "https://example.com/a.jpg", "content_type": "image/jpeg", "size": None}],
        "service": "imessage",
        "reply_to": None,
        "effect": None,
        "group": None,
        "sent_at": bubble["at"],
    }


def test_a_thread_is_keyed_by_the_line(network: Network) -> None:
    network.text_in("one")
    network.text_in("two", to=OTHER_LINE)
    assert [bubble["text"] for bubble in network.inbox(**{"with": OTHER_LINE})] == ["two"]
    assert network.texts_shown() == ["one", "two"]
    [handset] = network.control("GET", "/handsets").json()["handsets"]
    assert (handset["number"], handset["threads"], handset["bubbles"]) == (HUMAN, [LINE, OTHER_LINE], 2)


def test_the_inbox_is_cut_to_its_newest(network: Network) -> None:
    for text in ("one", "two", "three"):
        network.text_in(text)
    assert [bubble["text"] for bubble in network.inbox(limit=2)] == ["two", "three"]


def tap(network: Network, **body: object) -> httpx.Response:
    return network.control("POST", f"/handsets/{HUMAN}/tapbacks", {"bubble": "last", "kind": "love", **body})


def test_a_new_tapback_replaces_the_old_one(network: Network, receiver: Receiver) -> None:
    message = network.send().json()
    tap(network)
    tap(network, kind="emoji", emoji="🦊")
    [tapback] = network.inbox()[0]["tapbacks"]
    assert (tapback["from"], tapback["kind"], tapback["emoji"], tapback["part"]) == (HUMAN, "emoji", "🦊", 0)
    eventually(lambda: receiver.types().count("tapback.added") == 2)
    assert receiver.taken[-1]["data"]["message_id"] == message["id"]
    assert receiver.taken[-1]["data"]["emoji"] == "🦊"


def test_a_tapback_is_removed(network: Network, receiver: Receiver) -> None:
    network.send()
    tap(network)
    assert tap(network, kind="like", remove=True).status_code == 404
    assert tap(network, remove=True).json()["tapbacks"] == []
    eventually(lambda: "tapback.removed" in receiver.types())


def test_last_is_the_newest_received(network: Network) -> None:
    network.send("from the first line")
    network.v1("POST", "/messages", {"from": OTHER_LINE, "to": HUMAN, "text": "from the other"})
    network.text_in("from the human")
    assert tap(network).json()["text"] == "from the other"
    assert tap(network, **{"with": LINE}).json()["text"] == "from the first line"


def test_there_is_no_last_in_an_empty_thread(network: Network) -> None:
    refused = tap(network)
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "no_bubble")


def test_parts_that_are_not_there_are_refused(network: Network) -> None:
    network.send("hi", media=["https://example.com/a.jpg"])
    assert tap(network, part=1).status_code == 200
    assert tap(network, part=2).status_code == 422


def test_the_agents_tapback_shows_on_the_handset(network: Network) -> None:
    bubble = network.text_in()
    path = f"/messages/{bubble['id']}/tapbacks"
    network.v1("POST", path, {"action": "add", "kind": "like"})
    network.v1("POST", path, {"action": "add", "kind": "laugh"})
    [tapback] = network.inbox()[0]["tapbacks"]
    assert (tapback["from"], tapback["kind"]) == (LINE, "laugh")
    network.v1("POST", path, {"action": "remove", "kind": "like"})
    assert len(network.inbox()[0]["tapbacks"]) == 1
    network.v1("POST", path, {"action": "remove", "kind": "laugh"})
    assert network.inbox()[0]["tapbacks"] == []


def test_reading_is_told_once(network: Network, receiver: Receiver) -> None:
    network.send("one")
    newest = network.send("two").json()
    for _ in range(2):
        network.control("POST", f"/handsets/{HUMAN}/reads", {"with": LINE})
    network.text_in("done")
    eventually(lambda: "message.received" in receiver.types())
    [read] = [event for event in receiver.taken if event["type"] == "message.read"]
    assert read["data"]["up_to_message_id"] == newest["id"]
    assert all(bubble["read_at"] for bubble in network.inbox()[:2])


def test_the_agents_read_receipt_shows(network: Network) -> None:
    bubble = network.text_in()
    answer = network.v1("POST", "/threads/read", {"line": LINE, "human": HUMAN})
    assert answer.json()["up_to_message_id"] == bubble["id"]
    assert network.inbox()[0]["read_at"]
    assert network.v1("POST", "/threads/read", {"line": OTHER_LINE, "human": HUMAN}).status_code == 404


def test_typing_is_told(network: Network, receiver: Receiver) -> None:
    network.control("POST", f"/handsets/{HUMAN}/typing", {"with": LINE, "on": True})
    eventually(lambda: receiver.taken)
    assert receiver.taken[0]["data"] == {"line": LINE, "human": HUMAN, "on": True, "group": None}


def test_a_handset_that_is_off_does_nothing(network: Network) -> None:
    network.set_service("off")
    refused = network.control("POST", f"/handsets/{HUMAN}/texts", {"to": LINE, "text": "hi"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "handset_off")


def wait(network: Network, after: int, seconds: float) -> dict[str, object]:
    return network.control("GET", f"/handsets/{HUMAN}/wait", after=after, seconds=seconds).json()


def test_waiting_ends_as_soon_as_something_arrives(network: Network) -> None:
    cursor = network.control("GET", f"/handsets/{HUMAN}/wait", seconds=0).json()["next"]
    threading.Timer(0.3, network.send, ["hi"]).start()
    began = time.monotonic()
    answer = wait(network, cursor, 10)
    assert time.monotonic() - began < 5
    assert [event["bubble"]["text"] for event in answer["events"]] == ["hi"]
    assert wait(network, answer["next"], 0.1)["events"] == []


@pytest.mark.parametrize("seconds", [0, 5])
def test_waiting_shows_all_the_agent_does(network: Network, seconds: float) -> None:
    thread = {"line": LINE, "human": HUMAN}
    bubble = network.text_in()
    network.v1("POST", "/threads/read", thread)
    network.v1("POST", "/threads/typing", {**thread, "on": True})
    network.v1("POST", f"/messages/{bubble['id']}/tapbacks", {"action": "add", "kind": "like"})
    network.send()
    events = wait(network, 0, seconds)["events"]
    assert [event["type"] for event in events] == ["read", "typing", "tapback", "bubble"]
    assert {event["with"] for event in events} == {LINE}
