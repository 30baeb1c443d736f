"""Numbers that have SMS alone, and what stands behind a thread of two on iMessage."""

import httpx
import pytest

from tests.simulator.running import HUMAN, LINE, Network

SMS_LINE = "+15555550109"
PICTURE = b"\x89PNG not really"


@pytest.fixture
def sms(network_once: Network) -> Network:
    network = network_once
    network.control("PUT", f"/lines/{SMS_LINE}", {"kind": "dedicated", "service": "sms"})
    return network


def test_an_sms_number_writes_and_hears_sms(sms: Network) -> None:
    answer = sms.v1("POST", "/messages", {"from": SMS_LINE, "to": HUMAN, "text": "code 1234", "effect": "slam"}).json()
    sms.text_in("thanks", to=SMS_LINE, media=["https://example.com/a.jpg"])
    assert answer["service"] == "sms"
    bubbles = sms.inbox(**{"with": SMS_LINE})
    assert [(bubble["service"], bubble["effect"]) for bubble in bubbles] == [("sms", None), ("sms", None)]
    statuses = [(event["data"]["status"], event["data"]["downgraded"]) for event in sms.events()[:1]]
    assert statuses == [("sent", False)]
    assert sms.events()[-1]["data"]["service"] == "sms"


def test_an_sms_number_knows_nothing_of_imessage(sms: Network) -> None:
    bubble = sms.text_in("hi", to=SMS_LINE)
    thread = {"line": SMS_LINE, "human": HUMAN}
    sms.v1("POST", "/messages", {"from": SMS_LINE, "to": HUMAN, "text": "hello"})
    refused = [
        sms.v1("POST", f"/messages/{bubble['id']}/tapbacks", {"action": "add", "kind": "like"}),
        sms.v1("POST", "/threads/typing", {**thread, "on": True}),
        sms.v1("POST", "/threads/read", thread),
        sms.v1("PUT", "/threads/background", thread),
        sms.control("POST", f"/handsets/{HUMAN}/tapbacks", {"bubble": "last", "kind": "love", "with": SMS_LINE}),
        sms.control("POST", f"/handsets/{HUMAN}/texts", {"to": SMS_LINE, "text": "x", "effect": "slam"}),
    ]
    assert {(answer.status_code, answer.json()["error"]["code"]) for answer in refused} == {(409, "needs_imessage")}


def put_file(network: Network, content_type: str = "image/png") -> str:
    headers = {"Authorization": "Bearer provider-token", "Content-Type": content_type}
    return str(network.http.post("/v1/media", content=PICTURE, headers=headers).json()["id"])


def set_background(network: Network, media: str | None) -> httpx.Response:
    return network.v1("PUT", "/threads/background", {"line": LINE, "human": HUMAN, "media": media})


def background(network: Network) -> object:
    return network.control("GET", f"/handsets/{HUMAN}/inbox", **{"with": LINE}).json()["background"]


def test_a_background_is_set_and_taken_away(network: Network) -> None:
    file = put_file(network)
    for _ in range(2):
        assert set_background(network, file).json()["background"]["id"] == file
    assert background(network)["id"] == file  # type: ignore[index]
    shown = network.http.get(f"/control/media/{file}", headers={"Authorization": "Bearer control-token"})
    assert (shown.content, shown.headers["content-type"]) == (PICTURE, "image/png")
    network.kill()
    network.start()
    assert background(network)
    set_background(network, None)
    assert background(network) is None
    assert len(network.journal("line_background")) == 2


def test_what_cannot_be_a_background_is_refused(network: Network) -> None:
    assert set_background(network, put_file(network, "text/plain")).status_code == 422
    assert set_background(network, "med_unknown").status_code == 404
    network.set_service("sms")
    assert set_background(network, put_file(network)).status_code == 409
