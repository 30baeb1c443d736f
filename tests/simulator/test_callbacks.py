"""Callbacks: signed, repeated until taken, in order within a thread, and there to be polled."""

from collections import Counter
from itertools import islice

from standardwebhooks import Webhook

from simulator.callbacks import pauses
from tests.simulator.running import OTHER_HUMAN, OTHER_LINE, SECRET, Network, Receiver, eventually


def test_a_callback_verifies(network: Network, receiver: Receiver) -> None:
    network.text_in("grüße 🦊")
    eventually(lambda: receiver.taken)
    headers, body = receiver.posts[0]
    event = Webhook(SECRET).verify(body, headers)
    assert event["id"] == headers["webhook-id"]
    assert event["data"]["text"] == "grüße 🦊"
    assert set(event) == {"id", "type", "created_at", "data"}


def test_copies_carry_the_same_id(network: Network, receiver: Receiver) -> None:
    network.set_faults(callback_copies=3)
    network.text_in("one")
    network.text_in("two")
    eventually(lambda: len(receiver.posts) == 6)
    for headers, body in receiver.posts:
        Webhook(SECRET).verify(body, headers)
    assert Counter(headers["webhook-id"] for headers, _ in receiver.posts) == {
        event["id"]: 3 for event in network.events()
    }


def test_a_refused_callback_holds_its_thread(network: Network, receiver: Receiver) -> None:
    refusals = iter([500, 503, 301])
    receiver.status = lambda event: next(refusals, 204)
    for text in ("one", "two", "three"):
        network.text_in(text)
    eventually(lambda: len(receiver.taken) == 3)
    assert receiver.texts() == ["one", "two", "three"]
    ids = [headers["webhook-id"] for headers, _ in receiver.posts]
    assert ids[0] == ids[1] == ids[2] == ids[3]
    eventually(lambda: network.pending() == 0)


def test_pauses_grow_to_ten_seconds() -> None:
    assert list(islice(pauses(), 8)) == [0.2, 0.5, 1, 2, 5, 10, 10, 10]


def test_another_thread_does_not_wait(network: Network, receiver: Receiver) -> None:
    receiver.status = lambda event: 204 if event["data"]["human"] == OTHER_HUMAN else 500
    network.text_in("stuck")
    network.text_in("free", human=OTHER_HUMAN)
    network.text_in("stuck too", to=OTHER_LINE)
    eventually(lambda: receiver.texts() == ["free"])
    eventually(lambda: network.pending() == 2)


def test_reordering_lets_later_ones_pass(network: Network, receiver: Receiver) -> None:
    network.set_faults(reorder=True)
    receiver.status = lambda event: 500 if event["data"]["text"] == "one" else 204
    network.text_in("one")
    network.text_in("two")
    eventually(lambda: receiver.texts() == ["two"])


def test_a_delay_is_kept(network: Network, receiver: Receiver) -> None:
    network.set_faults(callback_delay=[0.5, 0.6])
    network.text_in()
    assert receiver.posts == []
    assert network.pending() == 1
    eventually(lambda: receiver.taken)


def test_events_wait_for_a_receiver(network: Network) -> None:
    network.text_in("early")
    receiver = Receiver()
    network.v1("PUT", "/callback", {"url": receiver.url, "secret": SECRET})
    eventually(lambda: receiver.texts() == ["early"])
    receiver.close()


def test_registering_again_ends_the_pause(network: Network, receiver: Receiver) -> None:
    receiver.status = lambda event: 500
    network.text_in("hello")
    eventually(lambda: len(receiver.posts) >= 3)
    receiver.status = lambda event: 204
    network.v1("PUT", "/callback", {"url": receiver.url, "secret": SECRET})
    eventually(lambda: receiver.texts() == ["hello"], seconds=0.5)
    assert len(network.journal("callback")) == 1


def test_the_secret_is_never_shown(network: Network, receiver: Receiver) -> None:
    assert network.v1("GET", "/callback").json()["url"] == receiver.url
    assert SECRET not in network.v1("GET", "/callback").text
    assert SECRET not in network.control("GET", "/journal").text


def test_events_can_be_polled(network: Network) -> None:
    for text in ("one", "two", "three"):
        network.text_in(text)
    page = network.v1("GET", "/events", limit=2).json()
    assert [event["cursor"] for event in page["events"]] == [1, 2]
    rest = network.v1("GET", "/events", after=page["next"]).json()
    assert [event["data"]["text"] for event in rest["events"]] == ["three"]
    assert network.v1("GET", "/events", after=rest["next"]).json() == {"events": [], "next": 3}
