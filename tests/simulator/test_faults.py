"""Faults on a line: lost answers, held calls, and how settings are merged and refused."""

import time
from datetime import UTC, datetime

import httpx
import pytest

from simulator.faults import Occurrence
from tests.simulator.running import HUMAN, LINE, Network, Receiver, eventually

DEFAULTS = {
    "state": "online",
    "send_key": True,
    "lost_answer": None,
    "error_after": None,
    "refuse": None,
    "hold_before": None,
    "hold_after": None,
    "callback_copies": 1,
    "callback_delay": None,
    "reorder": False,
    "dropped_callback": None,
    "deaf": False,
    "helper": True,
    "sends_from": None,
    "clock_offset": 0.0,
    "allowance": None,
    "media_error": None,
}


def test_a_lost_answer_sends_once(network: Network) -> None:
    network.set_faults(lost_answer={"next": 1})
    with pytest.raises(httpx.RemoteProtocolError):
        network.send("hi", idempotency_key="k1")
    assert network.texts_shown() == ["hi"]
    assert network.send("hi", idempotency_key="k1").status_code == 200
    assert network.texts_shown() == ["hi"]
    assert network.send("next").status_code == 202


def test_every_second_answer_is_lost(network: Network) -> None:
    network.set_faults(lost_answer={"every": 2})
    lost = []
    for number in range(4):
        try:
            network.send(str(number))
        except httpx.RemoteProtocolError:
            lost.append(number)
    assert lost == [1, 3]
    assert network.texts_shown() == ["0", "1", "2", "3"]


def test_chance_is_repeatable() -> None:
    def run() -> list[bool]:
        occurrence = Occurrence({"probability": 0.3, "seed": 7})
        return [occurrence.draw() for _ in range(200)]

    assert run() == run()
    assert 30 < sum(run()) < 90


@pytest.mark.parametrize(("abandon", "arrives"), [(True, False), (False, True)])
def test_a_caller_that_left_while_held(network: Network, abandon: bool, arrives: bool) -> None:
    network.set_faults(hold_before={"next": 1, "seconds": 0.6, "abandon": abandon})
    with pytest.raises(httpx.ReadTimeout):
        impatient_send(network)
    assert network.texts_shown() == []
    if arrives:
        eventually(lambda: network.texts_shown() == ["hi"])
    else:
        time.sleep(0.8)
        assert network.texts_shown() == []


def test_a_patient_caller_is_answered_after_the_hold(network: Network) -> None:
    network.set_faults(hold_before={"next": 1, "seconds": 0.3, "abandon": True})
    began = time.monotonic()
    assert network.send().status_code == 202
    assert time.monotonic() - began >= 0.3


def test_a_held_answer_has_already_sent(network: Network) -> None:
    network.set_faults(hold_after={"next": 1, "seconds": 5})
    with pytest.raises(httpx.ReadTimeout):
        impatient_send(network)
    assert network.texts_shown() == ["hi"]
    assert len(network.journal("delivered_to_handset")) == 1


def test_settings_merge_and_null_resets(network: Network) -> None:
    network.set_faults(lost_answer={"next": 2}, send_key=False)
    shown = network.set_faults(callback_copies=2, send_key=None).json()
    assert shown == {**DEFAULTS, "lost_answer": {"next": 2}, "callback_copies": 2}
    assert network.control("GET", f"/lines/{LINE}/faults").json() == shown


@pytest.mark.parametrize(
    "faults",
    [
        {"gremlins": 1},
        {"state": "sleepy"},
        {"send_key": "yes"},
        {"callback_copies": 6},
        {"callback_delay": [2, 1]},
        {"callback_delay": 1},
        {"lost_answer": {}},
        {"lost_answer": {"every": 0}},
        {"lost_answer": {"next": 1, "every": 2}},
        {"lost_answer": {"probability": 1.5}},
        {"hold_before": {"next": 1}},
        {"hold_after": {"next": 1, "seconds": 1e9}},
        {"hold_after": {"next": 1, "seconds": 1, "abandon": True}},
    ],
)
def test_wrong_settings_are_refused(network_once: Network, faults: dict[str, object]) -> None:
    answer = network_once.set_faults(**faults)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid")
    assert network_once.control("GET", f"/lines/{LINE}/faults").json() == DEFAULTS


def impatient_send(network: Network) -> None:
    httpx.post(
        f"{network.url}/v1/messages",
        json={"from": LINE, "to": "+15555550142", "text": "hi"},
        headers={"Authorization": "Bearer provider-token"},
        timeout=0.25,
        trust_env=False,
    )


def test_a_refused_send_leaves_nothing_and_says_when_to_come_back(network: Network) -> None:
    network.set_faults(refuse={"next": 1, "status": 429, "code": "new_contact_limit", "retry_after": 30})
    answer = network.send("held")
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "new_contact_limit")
    assert answer.json()["error"]["retry_after"] == 30
    assert network.send("next").status_code == 202
    assert network.texts_shown() == ["next"]


def test_an_error_after_the_text_has_left(network: Network) -> None:
    network.set_faults(error_after={"next": 1})
    assert network.send("out").status_code == 500
    assert network.texts_shown() == ["out"]


def test_a_dropped_callback_is_only_found_by_a_poll(network: Network, receiver: Receiver) -> None:
    network.set_faults(dropped_callback={"next": 1})
    network.text_in("lost")
    network.text_in("heard")
    eventually(lambda: receiver.texts() == ["heard"])
    assert [event["data"]["text"] for event in network.events()] == ["lost", "heard"]
    assert network.pending() == 0


def test_a_deaf_line_tells_nobody(network: Network) -> None:
    network.set_faults(deaf=True)
    network.text_in("hello?")
    assert network.events() == []


def test_what_the_line_says_of_itself(network: Network) -> None:
    network.set_faults(helper=False, sends_from="me@example.com", allowance={"hour": 3, "day": 9}, clock_offset=90)
    line = network.v1("GET", f"/lines/{LINE}").json()
    shown = {name: line[name] for name in ("helper", "sends_from", "allowance")}
    assert shown == {"helper": False, "sends_from": "me@example.com", "allowance": {"hour": 3, "day": 9}}
    assert 80 < (datetime.fromisoformat(line["clock"]) - datetime.now(UTC)).total_seconds() < 100
    assert network.send("from another").json()["from"] == "me@example.com"
    typing = network.v1("POST", "/threads/typing", {"line": LINE, "human": HUMAN, "on": True})
    assert (typing.status_code, typing.json()["error"]["code"]) == (409, "helper_lost")


def test_a_file_that_cannot_be_had_just_now(network: Network) -> None:
    network.set_faults(media_error={"next": 1})
    file = network.http.post("/control/media", content=b"x", headers={"Authorization": "Bearer control-token"}).json()
    fetched = [network.v1("GET", f"/media/{file['id']}").status_code for _ in range(2)]
    assert fetched == [503, 200]


@pytest.mark.parametrize(
    "faults",
    [
        {"refuse": {"next": 1, "status": 200}},
        {"refuse": {"next": 1, "code": ""}},
        {"clock_offset": "soon"},
        {"allowance": {"week": 1}},
        {"sends_from": 5},
    ],
)
def test_an_impossible_setting_of_the_newer_faults(network: Network, faults: dict[str, object]) -> None:
    assert network.set_faults(**faults).status_code == 422
