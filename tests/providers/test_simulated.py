"""The driver against the real simulated network, and what each callback says."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lines.providers.base import (
    Account,
    ErrorClass,
    Group,
    GroupChanged,
    Outcome,
    ProviderCallFailed,
    ReplyTarget,
    SendOrder,
    StatusChanged,
    TapbackArrived,
    TextArrived,
    TypingChanged,
    Upload,
)
from lines.providers.simulated import SimulatedDriver
from tests.simulator.running import HUMAN, LINE, OTHER_HUMAN, SECRET, Network, Receiver, eventually

DRIVER = SimulatedDriver()
NOBODY = Account(base_url="", token="")
AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
THREAD: dict[str, Any] = {"line": LINE, "human": HUMAN, "at": AT}
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    network = Network(Path(tmp_path_factory.mktemp("network")))
    network.control("PUT", f"/lines/{LINE}", {"kind": "pool"})
    yield network
    network.kill()


@pytest.fixture
def account(network: Network) -> Iterator[Account]:
    yield Account(base_url=network.url, token="provider-token", callback_secrets=(SECRET,))
    network.set_faults(**dict.fromkeys(["state", "send_key", "lost_answer", "hold_before", "hold_after"]))


def order(key: str, text: str = "hi", human: str = HUMAN, **fields: Any) -> SendOrder:
    return SendOrder(key=key, line=LINE, human=human, text=text, **fields)


def test_a_text_is_accepted_and_a_repeat_is_the_same_text(account: Account, network: Network) -> None:
    first, again = DRIVER.send(account, order("k1", "once")), DRIVER.send(account, order("k1", "once"))
    assert (first.outcome, first.handle) == (Outcome.ACCEPTED, again.handle)
    assert network.texts_shown().count("once") == 1
    assert DRIVER.can_repeat(account, line=LINE)


def test_a_lost_answer_is_unknown_and_can_be_found(account: Account, network: Network) -> None:
    network.set_faults(send_key=False, lost_answer={"next": 1})
    assert DRIVER.send(account, order("k2", "lost")).outcome is Outcome.UNKNOWN
    assert not DRIVER.can_repeat(account, line=LINE)
    found = DRIVER.find_sent(account, order("k2", "lost"), since=LONG_AGO, known=set())
    assert found
    assert found.outcome is Outcome.ACCEPTED
    assert DRIVER.find_sent(account, order("k2", "lost"), since=LONG_AGO, known={found.handle}) is None
    assert DRIVER.find_sent(account, order("k2", "never"), since=LONG_AGO, known=set()) is None
    assert DRIVER.find_sent(account, order("k2", "lost", OTHER_HUMAN), since=LONG_AGO, known=set()) is None


@pytest.mark.parametrize("state", ["offline", "signed_out"])
def test_a_line_that_is_down_refuses_as_line_down(state: str, account: Account, network: Network) -> None:
    network.set_faults(state=state)
    receipt = DRIVER.send(account, order(f"k-{state}"))
    assert receipt.error
    assert (receipt.outcome, receipt.error.error_class) == (Outcome.REFUSED, ErrorClass.LINE_DOWN)
    assert DRIVER.probe(account, line=LINE).state == "down"
    with pytest.raises(ProviderCallFailed):
        DRIVER.typing(account, line=LINE, human=HUMAN, on=True)


def test_a_flagged_line_is_seen(account: Account, network: Network) -> None:
    network.set_faults(state="flagged")
    assert DRIVER.probe(account, line=LINE).state == "flagged"


def test_a_wrong_token_and_no_answer_are_the_line_s_trouble(account: Account) -> None:
    wrong = Account(base_url=account.base_url, token="wrong", callback_secrets=(SECRET,))
    away = Account(base_url="http://127.0.0.1:9", token="x", callback_secrets=(SECRET,))
    for broken in (wrong, away):
        receipt = DRIVER.send(broken, order("k3"))
        assert receipt.error
        assert (receipt.outcome, receipt.error.error_class) == (Outcome.REFUSED, ErrorClass.LINE_DOWN)
        assert DRIVER.probe(broken, line=LINE).state == "down"
        with pytest.raises(ProviderCallFailed):
            DRIVER.find_sent(broken, order("k3"), since=LONG_AGO, known=set())
        with pytest.raises(ProviderCallFailed):
            DRIVER.poll(broken, cursor="")


def test_a_malformed_order_is_refused_for_good(account: Account) -> None:
    receipt = DRIVER.send(account, order("k4", "", human="nobody"))
    assert receipt.error
    assert (receipt.outcome, receipt.error.error_class) == (Outcome.REFUSED, ErrorClass.PERMANENT)


def test_a_healthy_line_is_healthy(account: Account) -> None:
    assert DRIVER.probe(account, line=LINE).state == "healthy"
    assert DRIVER.probe(account, line="+15555550999").state == "down"


def test_callbacks_prove_themselves_and_polls_tell_the_same(account: Account, network: Network) -> None:
    receiver = Receiver()
    DRIVER.install_callbacks(account, url=receiver.url)
    DRIVER.install_callbacks(account, url=receiver.url)
    network.text_in("posted")
    eventually(lambda: "posted" in receiver.texts())
    for headers, body in receiver.posts:
        DRIVER.prove(account, headers=headers, body=body, url=receiver.url)
    polled, cursor = DRIVER.poll(account, cursor="")
    keys = {DRIVER.identify(NOBODY, body=body).key for body in polled}
    assert {DRIVER.identify(NOBODY, body=body).key for _, body in receiver.posts} <= keys
    assert DRIVER.poll(account, cursor=cursor)[0] == []
    receiver.close()


def test_tapbacks_reads_and_typing_reach_the_handset(account: Account, network: Network) -> None:
    bubble = network.text_in("react to me")
    DRIVER.tapback(account, line=LINE, human=HUMAN, handle=bubble["id"], part=0, kind="love", emoji="", remove=False)
    DRIVER.typing(account, line=LINE, human=HUMAN, on=True)
    DRIVER.mark_read(account, line=LINE, human=HUMAN)
    shown = next(one for one in network.inbox() if one["id"] == bubble["id"])
    assert shown["tapbacks"][0]["kind"] == "love"
    assert shown["read_at"]
    with pytest.raises(ProviderCallFailed) as refused:
        DRIVER.tapback(account, line=LINE, human=HUMAN, handle="no/such", part=0, kind="love", emoji="", remove=False)
    assert refused.value.error
    assert refused.value.error.error_class is ErrorClass.PERMANENT


def into(group: Group, key: str, text: str, **fields: Any) -> SendOrder:
    return SendOrder(key=key, line=LINE, human="", text=text, group=group, **fields)


def test_a_group_is_made_written_in_and_named(account: Account, network: Network) -> None:
    made = DRIVER.send(account, into(Group("", (HUMAN, OTHER_HUMAN), "Trip"), "g1", "hi all"))
    group = Group(made.chat)
    bubble = network.text_in("The sea!", human=OTHER_HUMAN, to=made.chat)
    DRIVER.send(account, into(group, "g2", "Booked.", reply_to=ReplyTarget(bubble["id"])))
    DRIVER.tapback(
        account, line=LINE, human="", handle=bubble["id"], part=0, kind="love", emoji="", remove=False, chat=made.chat
    )
    DRIVER.typing(account, line=LINE, human="", on=True, chat=made.chat)
    DRIVER.mark_read(account, line=LINE, human="", chat=made.chat)
    DRIVER.rename_group(account, line=LINE, chat=made.chat, name="Voyage")
    first, second, third = network.inbox(HUMAN, **{"with": made.chat})
    assert [first["text"], second["from"], third["quoted"]["text"]] == ["hi all", OTHER_HUMAN, "The sea!"]
    assert second["tapbacks"][0]["from"] == LINE
    assert first["group"]["name"] == "Voyage"


def test_a_lost_new_group_is_found_by_its_members(account: Account, network: Network) -> None:
    network.set_faults(send_key=False, lost_answer={"next": 1})
    lost = into(Group("", (HUMAN, OTHER_HUMAN)), "g3", "lost in a group")
    assert DRIVER.send(account, lost).outcome is Outcome.UNKNOWN
    found = DRIVER.find_sent(account, lost, since=LONG_AGO, known=set())
    assert found
    assert found.chat.startswith("grp_")
    other = into(Group("", (HUMAN, "+15555550149")), "g3", "lost in a group")
    assert DRIVER.find_sent(account, other, since=LONG_AGO, known=set()) is None
    there = into(Group(found.chat), "g3", "lost in a group")
    assert DRIVER.find_sent(account, there, since=LONG_AGO, known=set())


def test_what_happens_in_a_group_is_told_with_it(account: Account, network: Network) -> None:
    network.set_faults(callback_copies=None)
    _, before = DRIVER.poll(account, cursor="")
    key = DRIVER.send(account, into(Group("", (HUMAN, OTHER_HUMAN), "Trip"), "g4", "hi")).chat
    network.text_in("hello", human=OTHER_HUMAN, to=key, effect="slam")
    network.control("POST", f"/handsets/{HUMAN}/tapbacks", {"bubble": "last", "kind": "love", "with": key})
    network.control("POST", f"/handsets/{HUMAN}/typing", {"with": key, "on": True})
    network.control("PATCH", f"/handsets/{HUMAN}/groups/{key}", {"remove": [OTHER_HUMAN], "name": "Solo"})
    bodies, _ = DRIVER.poll(account, cursor=before)
    assert {DRIVER.identify(account, body=body).thread for body in bodies} == {f"{LINE}/{key}"}
    reports = [report for body in bodies for report in DRIVER.parse(account, body=body)]
    assert [type(report) for report in reports] == [
        *[StatusChanged, StatusChanged, TextArrived, TapbackArrived, TypingChanged, GroupChanged]
    ]
    assert {report.chat for report in reports} == {key}
    assert [report.human for report in reports] == ["", "", OTHER_HUMAN, HUMAN, HUMAN, HUMAN]
    text, changed = reports[2], reports[-1]
    assert isinstance(text, TextArrived)
    assert isinstance(changed, GroupChanged)
    assert (text.group, text.effect) == (Group(key, (HUMAN, OTHER_HUMAN), "Trip"), "slam")
    assert changed.group == Group(key, (HUMAN,), "Solo")


def test_a_background_is_put_behind_a_thread(account: Account, network: Network) -> None:
    network.text_in("hi")
    picture = Upload("sea.png", "image/png", b"not really a picture")

    def shown() -> Any:
        return network.control("GET", f"/handsets/{HUMAN}/inbox", **{"with": LINE}).json()["background"]

    for _ in range(2):
        DRIVER.background(account, line=LINE, human=HUMAN, media=picture)
    assert shown()["size"] == len(picture.content)
    DRIVER.background(account, line=LINE, human=HUMAN, media=None)
    assert shown() is None


def test_what_a_number_with_sms_alone_leaves_out_is_noted(account: Account, network: Network) -> None:
    number = "+15555550109"
    network.control("PUT", f"/lines/{number}", {"kind": "dedicated", "service": "sms"})
    receipt = DRIVER.send(account, SendOrder(key="s1", line=number, human=HUMAN, text="hi", effect="slam"))
    assert (receipt.service, list(receipt.notes)) == ("sms", ["effect_dropped"])
    with pytest.raises(ProviderCallFailed) as refused:
        DRIVER.typing(account, line=number, human=HUMAN, on=True)
    assert refused.value.error
    assert refused.value.error.error_class is ErrorClass.PERMANENT


def test_a_callback_is_told_apart_by_its_id_and_thread() -> None:
    body = {"id": "e", "type": "x", "created_at": "2026-01-01T12:00:00", "data": {"line": LINE, "human": HUMAN}}
    told = DRIVER.identify(NOBODY, body=json.dumps(body).encode())
    assert (told.key, told.thread, told.at) == ("e", f"{LINE}/{HUMAN}", AT)
    assert told.at
    assert told.at - AT == timedelta(0)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"data": {}}', b'{"id": "e"}', b'{"id": "e", "data": []}'])
def test_a_body_without_an_id_has_none(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the driver's contract names no subclass
        DRIVER.identify(NOBODY, body=body)
