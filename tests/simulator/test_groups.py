"""Groups: every member's handset and the line see one thread, whoever writes, reacts, leaves or names it."""

from typing import Any

import pytest

from tests.simulator.running import HUMAN, LINE, OTHER_HUMAN, OTHER_LINE, Network

THIRD = "+15555550144"
ON_SMS = "+15555550145"
SMS_LINE = "+15555550109"


def opened(network: Network, *members: str, name: str = "Trip", line: str = LINE) -> str:
    body = {"line": line, "members": list(members or (OTHER_HUMAN,)), "name": name}
    answer = network.control("POST", f"/handsets/{HUMAN}/groups", body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["key"])


def change(network: Network, key: str, human: str = HUMAN, **change: Any) -> Any:
    return network.control("PATCH", f"/handsets/{human}/groups/{key}", change)


def shown(network: Network, human: str, key: str) -> list[tuple[str, str, str]]:
    """Who wrote what in the group, and which side of the handset it is on."""
    bubbles = network.inbox(human, **{"with": key})
    return [(bubble["from"], bubble["text"], bubble["direction"]) for bubble in bubbles]


def told(network: Network, kind: str, key: str) -> list[dict[str, Any]]:
    """What the line was told about the group."""
    told = [
        event["data"] for event in network.v1("GET", "/events", limit=1_000).json()["events"] if event["type"] == kind
    ]
    return [data for data in told if data["group"] and data["group"]["key"] == key]


def statuses(network: Network, key: str) -> list[str]:
    return [data["status"] for data in told(network, "message.status", key)]


def test_every_handset_shows_the_same_thread(network_once: Network) -> None:
    network = network_once
    key = opened(network)
    network.text_in("Where to?", to=key)
    network.text_in("The sea!", human=OTHER_HUMAN, to=key)
    answer = network.v1("POST", "/messages", {"from": LINE, "group": {"key": key}, "text": "Booked."})
    assert (answer.status_code, answer.json()["to"], answer.json()["group"]["key"]) == (202, key, key)
    everything = [(HUMAN, "Where to?"), (OTHER_HUMAN, "The sea!"), (LINE, "Booked.")]
    for human in (HUMAN, OTHER_HUMAN):
        sides = ["sent" if sender == human else "received" for sender, _ in everything]
        expected = [(*words, side) for words, side in zip(everything, sides, strict=True)]
        assert shown(network, human, key) == expected
    assert statuses(network, key) == ["sent", "delivered"]


def test_the_line_hears_who_wrote_in_which_group(network_once: Network) -> None:
    network = network_once
    key = opened(network)
    assert told(network, "group.changed", key) == []
    network.text_in("hello", human=OTHER_HUMAN, to=key)
    [received] = told(network, "message.received", key)
    assert received["human"] == OTHER_HUMAN
    assert received["group"] == {"key": key, "line": LINE, "members": [HUMAN, OTHER_HUMAN], "name": "Trip"}
    [message] = network.v1("GET", "/messages", line=LINE, human=key).json()["messages"]
    assert (message["human"], message["group"]["key"]) == (OTHER_HUMAN, key)
    assert network.v1("GET", "/messages", line=LINE, human=OTHER_HUMAN).json()["messages"] == []


def test_a_line_opens_a_group_with_its_first_text(network_once: Network) -> None:
    network = network_once
    body = {"from": LINE, "group": {"members": [HUMAN, OTHER_HUMAN], "name": "Team"}, "text": "hi all"}
    first, again = [network.v1("POST", "/messages", {**body, "idempotency_key": "k"}).json() for _ in range(2)]
    assert first == again
    key = first["group"]["key"]
    assert shown(network, OTHER_HUMAN, key) == [(LINE, "hi all", "received")]
    phone, *_ = network.control("GET", "/handsets").json()["handsets"]
    assert "Team" in [group["name"] for group in phone["groups"]]
    assert network.v1("GET", f"/groups/{key}").json()["members"] == [HUMAN, OTHER_HUMAN]


def test_replies_and_tapbacks_are_everybodys(network_once: Network) -> None:
    network = network_once
    key = opened(network)
    asked = network.text_in("Where to?", to=key)
    network.text_in("The sea!", human=OTHER_HUMAN, to=key, reply_to={"id": "last"})
    network.v1("POST", f"/messages/{asked['id']}/tapbacks", {"action": "add", "kind": "like"})
    network.control("POST", f"/handsets/{OTHER_HUMAN}/tapbacks", {"bubble": asked["id"], "kind": "love"})
    first, second = network.inbox(HUMAN, **{"with": key})
    assert second["quoted"] == {"from": HUMAN, "text": "Where to?", "media": 0}
    assert {(tap["from"], tap["kind"]) for tap in first["tapbacks"]} == {(LINE, "like"), (OTHER_HUMAN, "love")}
    [tapback] = told(network, "tapback.added", key)
    assert (tapback["human"], tapback["group"]["key"]) == (OTHER_HUMAN, key)


def test_members_see_all_that_others_do(network_once: Network) -> None:
    network = network_once
    cursor = network.control("GET", f"/handsets/{OTHER_HUMAN}/wait", seconds=0).json()["next"]
    key = opened(network)
    network.text_in("hello", to=key)
    network.v1("POST", "/threads/read", {"line": LINE, "group": key})
    network.v1("POST", "/threads/typing", {"line": LINE, "group": key, "on": True})
    network.control("POST", f"/handsets/{HUMAN}/typing", {"with": key, "on": True})
    events = network.control("GET", f"/handsets/{OTHER_HUMAN}/wait", after=cursor, seconds=0).json()["events"]
    assert [event["type"] for event in events] == ["group", "bubble", "read", "typing", "typing"]
    assert {event["with"] for event in events} == {key}
    assert [event["from"] for event in events[-2:]] == [LINE, HUMAN]


def test_members_come_and_go_and_name_the_group(network_once: Network) -> None:
    network = network_once
    key = opened(network)
    assert change(network, key, add=[THIRD], name="Voyage").json()["members"] == [HUMAN, OTHER_HUMAN, THIRD]
    change(network, key, THIRD, remove=[THIRD])
    change(network, key, name="Voyage")
    renamed = network.v1("PUT", f"/groups/{key}", {"line": LINE, "name": "Odyssey"})
    assert renamed.json()["name"] == "Odyssey"
    changes = [
        (data["human"], data["group"]["members"], data["group"]["name"]) for data in told(network, "group.changed", key)
    ]
    assert changes == [
        (HUMAN, [HUMAN, OTHER_HUMAN, THIRD], "Voyage"),
        (THIRD, [HUMAN, OTHER_HUMAN], "Voyage"),
        ("", [HUMAN, OTHER_HUMAN], "Odyssey"),
    ]


def test_who_left_hears_and_says_nothing_more(network_once: Network) -> None:
    network = network_once
    key = opened(network, OTHER_HUMAN, THIRD)
    change(network, key, remove=[OTHER_HUMAN])
    network.text_in("without you", to=key)
    assert shown(network, OTHER_HUMAN, key) == []
    refused = network.control("POST", f"/handsets/{OTHER_HUMAN}/texts", {"to": key, "text": "hey"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "not_in_group")


def test_a_handset_that_was_off_catches_up(network: Network) -> None:
    key = opened(network)
    for human in (HUMAN, OTHER_HUMAN):
        network.control("PUT", f"/handsets/{human}/service", {"service": "off"})
    network.v1("POST", "/messages", {"from": LINE, "group": {"key": key}, "text": "anyone?"})
    assert statuses(network, key) == ["sent"]
    network.kill()
    network.start()
    network.set_service("imessage")
    assert shown(network, HUMAN, key) == [(LINE, "anyone?", "received")]
    assert statuses(network, key) == ["sent", "delivered"]
    assert shown(network, OTHER_HUMAN, key) == []


def test_reading_clears_the_members_own_count(network_once: Network) -> None:
    network = network_once
    key = opened(network)
    network.text_in("hello", to=key)
    network.control("POST", f"/handsets/{OTHER_HUMAN}/reads", {"with": key})
    assert [bubble["read_at"] is None for bubble in network.inbox(OTHER_HUMAN, **{"with": key})] == [False]
    assert "message.read" not in {event["type"] for event in network.v1("GET", "/events", limit=1_000).json()["events"]}


def test_a_group_survives_a_kill(network: Network) -> None:
    key = opened(network)
    network.text_in("hello", to=key, media=["https://example.com/a.jpg", "https://example.com/b.jpg"])
    change(network, key, add=[THIRD])
    seen = [network.inbox(OTHER_HUMAN), network.events(), network.control("GET", "/handsets").json()]
    network.kill()
    network.start()
    assert [network.inbox(OTHER_HUMAN), network.events(), network.control("GET", "/handsets").json()] == seen


def test_a_flagged_lines_text_reaches_no_member(network: Network) -> None:
    key = opened(network)
    network.set_faults(state="flagged")
    network.v1("POST", "/messages", {"from": LINE, "group": {"key": key}, "text": "lost"})
    assert (statuses(network, key), shown(network, HUMAN, key)) == (["sent"], [])


def test_what_cannot_be_a_group_is_refused(network_once: Network) -> None:
    network = network_once
    network.control("PUT", f"/lines/{SMS_LINE}", {"kind": "dedicated", "service": "sms"})
    network.control("PUT", f"/handsets/{ON_SMS}/service", {"service": "sms"})
    key = opened(network)

    def code(line: str, members: list[str]) -> tuple[int, str]:
        answer = network.control("POST", f"/handsets/{HUMAN}/groups", {"line": line, "members": members})
        return answer.status_code, answer.json()["error"]["code"]

    assert code(SMS_LINE, [OTHER_HUMAN]) == (409, "needs_imessage")
    assert code(LINE, [ON_SMS]) == (409, "needs_imessage")
    assert code(LINE, []) == (422, "invalid")
    assert code(LINE, [OTHER_LINE]) == (422, "invalid")
    assert change(network, key, add=[ON_SMS]).status_code == 409
    assert network.v1("POST", "/messages", {"from": OTHER_LINE, "group": {"key": key}, "text": "x"}).status_code == 404
    assert change(network, key, THIRD, name="x").status_code == 404
    assert change(network, "grp_" + "0" * 32).status_code == 404


@pytest.mark.parametrize(
    "group", ["x", {"members": "x"}, {"key": ""}, {"members": [HUMAN]}, {"members": [HUMAN, "+1"]}, {"name": "a" * 101}]
)
def test_broken_groups_are_refused(network_once: Network, group: object) -> None:
    answer = network_once.v1("POST", "/messages", {"from": LINE, "group": group, "text": "hi"})
    assert answer.status_code == 422
