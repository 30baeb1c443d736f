"""One live tapback per sender and part; all that was told is kept."""

import itertools
from dataclasses import replace

import pytest
from django.db import transaction

from accounts.models import Identity
from core.errors import Invalid, Upstream
from events.models import Event
from imessage import errors
from imessage.models import Connection, Conversation, Message, Tapback, TapbackChange
from imessage.tapbacks import newest_with_text, receive_tapback, send_tapback, take_back_own
from lines.models import Line, ProviderAccount
from tests import make
from tests.providers.scripted import ScriptedDriver, tapback_event, tell

pytestmark = pytest.mark.django_db


@pytest.fixture
def message(written: Conversation) -> Message:
    return Message.objects.get()


def live(message: Message, direction: str = "inbound") -> list[str]:
    rows = Tapback.objects.live().filter(message=message, direction=direction)
    return [tapback.emoji or tapback.kind for tapback in rows]


def history(message: Message) -> list[tuple[str, str]]:
    return list(TapbackChange.objects.filter(message=message).order_by("id").values_list("action", "kind"))


def told(message: Message) -> list[str]:
    events = Event.objects.filter(type__startswith="tapback").order_by("number")
    return list(events.values_list("type", flat=True))


def test_a_tapback_is_added_replaced_and_removed(message: Message, line: Line) -> None:
    for second, (kind, remove) in enumerate([("like", False), ("love", False), ("love", True)]):
        tell(line.account, tapback_event(message, kind, remove=remove, second=second))
    assert live(message) == []
    assert history(message) == [("add", "like"), ("replace", "love"), ("remove", "love")]
    assert told(message) == ["tapback.added", "tapback.replaced", "tapback.removed"]
    assert Tapback.objects.count() == 2


def test_the_same_one_again_changes_nothing(message: Message, line: Line) -> None:
    for second in range(2):
        tell(line.account, tapback_event(message, "like", second=second))
    assert (live(message), told(message)) == (["like"], ["tapback.added"])


def test_the_removal_of_a_replaced_one_is_ignored(message: Message, line: Line) -> None:
    for second, (kind, remove) in enumerate([("like", False), ("love", False), ("like", True)]):
        tell(line.account, tapback_event(message, kind, remove=remove, second=second))
    assert live(message) == ["love"]
    assert told(message) == ["tapback.added", "tapback.replaced"]


def test_custom_emojis_replace_each_other(message: Message, line: Line) -> None:
    for second, emoji in enumerate(["🦊", "🦊", "🐙"]):
        tell(line.account, tapback_event(message, "emoji", emoji=emoji, second=second))
    assert live(message) == ["🐙"]
    assert Tapback.objects.count() == 2


HISTORIES = [
    [("like", False), ("like", True)],
    [("like", False), ("love", False), ("love", True)],
    [("like", False), ("love", False), ("like", True)],
    [("like", False), ("like", True), ("like", False)],
    [("like", False), ("like", True), ("love", False), ("like", True)],
]


@pytest.mark.parametrize("reports", HISTORIES)
def test_reports_in_every_order_end_as_in_theirs(
    reports: list[tuple[str, bool]], written: Conversation, line: Line
) -> None:
    endings = set()
    for order in itertools.permutations(enumerate(reports)):
        message = make.make_message(written, provider_handle=f"m{written.next_position}")
        for second, (kind, remove) in order:
            tell(line.account, tapback_event(message, kind, remove=remove, second=second))
        endings.add(tuple(live(message)))
    assert len(endings) == 1


def test_parts_have_tapbacks_of_their_own(message: Message, line: Line) -> None:
    make.make_media(message)
    for part, kind in enumerate(["like", "love"]):
        tell(line.account, tapback_event(message, kind, part=part))
    assert sorted(live(message)) == ["like", "love"]


def test_a_blocked_human_s_is_kept_as_a_change_and_nothing_else(
    message: Message, identity: Identity, line: Line
) -> None:
    tell(line.account, tapback_event(message, "like"))
    make.make_rule(identity)
    tell(line.account, tapback_event(message, "love", second=1))
    tell(line.account, tapback_event(message, "like", remove=True, second=2))
    assert live(message) == ["like"]
    assert list(TapbackChange.objects.order_by("id").values_list("is_blocked", flat=True)) == [False, True, True]
    assert told(message) == ["tapback.added", "tapback.blocked", "tapback.blocked"]
    seen = Event.objects.visible_to(make.agent_of(identity)).values_list("type", flat=True)
    assert "tapback.blocked" not in seen


def test_a_tapback_on_a_blocked_message_stays_blocked(written: Conversation, identity: Identity, line: Line) -> None:
    """The rule has gone since: the message has not become visible, and its tapback must not tell of it."""
    hidden = make.make_message(written, "secret", is_blocked=True, provider_handle="hidden")
    tell(line.account, tapback_event(hidden, "like"))
    assert not Tapback.objects.exists()
    assert not Event.objects.visible_to(make.agent_of(identity)).filter(type__startswith="tapback").exists()


def test_after_the_disconnect_no_tapback_reaches_the_agent(message: Message, line: Line) -> None:
    Connection.objects.update(status="released")
    assert tell(line.account, tapback_event(message, "like")).state == "unrouted"
    assert not Tapback.objects.exists()


def test_an_agent_s_tapback_replaces_its_own_only(
    message: Message, identity: Identity, line: Line, driver: ScriptedDriver
) -> None:
    tell(line.account, tapback_event(message, "laugh"))
    agent = make.agent_of(identity)
    first = send_tapback(agent, message, kind="like")
    assert send_tapback(agent, message, kind="like") == first
    second = send_tapback(agent, message, kind="love")
    assert (live(message), live(message, "outbound")) == (["laugh"], ["love"])
    assert second.id != first.id
    assert [call["kind"] for call in driver.direct] == ["like", "love"]


def test_a_failed_call_records_nothing(message: Message, identity: Identity, driver: ScriptedDriver) -> None:
    driver.direct_fails = True
    with pytest.raises(Upstream):
        send_tapback(make.agent_of(identity), message, kind="like")
    assert not TapbackChange.objects.exists()


@pytest.mark.parametrize("kind", ["custom", "eyes", "", "LIKE"])
def test_only_the_six_may_be_sent(kind: str, message: Message, identity: Identity) -> None:
    with pytest.raises(Invalid):
        send_tapback(make.agent_of(identity), message, kind=kind)


@pytest.mark.parametrize("part", [-1, 1, 99])
def test_a_part_that_is_not_there_is_refused(part: int, message: Message, identity: Identity) -> None:
    with pytest.raises(errors.NoSuchPart):
        send_tapback(make.agent_of(identity), message, kind="like", part_index=part)


def test_a_message_that_has_not_left_takes_none(written: Conversation, identity: Identity) -> None:
    queued = make.make_message(written, direction="outbound", status="queued")
    with pytest.raises(errors.NotReactable):
        send_tapback(make.agent_of(identity), queued, kind="like")


def test_a_blocked_human_gets_none(message: Message, identity: Identity, driver: ScriptedDriver) -> None:
    make.make_rule(identity)
    with pytest.raises(errors.RecipientBlocked):
        send_tapback(make.agent_of(identity), message, kind="like")
    assert driver.direct == []


def test_an_emoji_goes_where_the_line_takes_it(message: Message, identity: Identity, driver: ScriptedDriver) -> None:
    agent = make.agent_of(identity)
    assert send_tapback(agent, message, kind="custom", emoji="🦊").emoji == "🦊"
    driver.card = replace(driver.card, tapback_emoji=False)
    with pytest.raises(errors.TapbackUnsupported):
        send_tapback(agent, message, kind="custom", emoji="🐙")


def test_sms_takes_no_tapback(written: Conversation, identity: Identity, driver: ScriptedDriver) -> None:
    sms = make.make_message(written, service="sms", provider_handle="m2")
    with pytest.raises(errors.TapbackUnsupported) as refused:
        send_tapback(make.agent_of(identity), sms, kind="like")
    assert (refused.value.status, driver.direct) == (400, [])


def test_an_agent_takes_its_own_back_by_its_name(message: Message, identity: Identity, driver: ScriptedDriver) -> None:
    agent = make.agent_of(identity)
    send_tapback(agent, message, kind="like")
    assert take_back_own(agent, message, kind="love") is None
    taken = take_back_own(agent, message, kind="like")
    assert taken
    assert (taken.ended_at is None, live(message, "outbound")) == (False, [])
    assert take_back_own(agent, message) is None
    assert [call["remove"] for call in driver.direct] == [False, True]


def test_the_newest_visible_message_is_found_by_its_text(written: Conversation) -> None:
    second = make.make_message(written, "hello", direction="outbound", provider_handle="m2")
    make.make_message(written, "hello", is_blocked=True, provider_handle="m3")
    make.make_message(written, "hello", direction="outbound", status="queued")
    assert newest_with_text(written, "hello") == second
    assert newest_with_text(written, "hell") is None


@pytest.fixture
def in_group(identity: Identity, account: ProviderAccount) -> Message:
    group = make.make_group(make.make_owned_line(identity, account=account), key="chat-7")
    return make.make_message(group, direction="outbound", human="", provider_handle="g1")


def test_in_a_group_everybody_has_a_tapback_of_their_own(
    in_group: Message, identity: Identity, driver: ScriptedDriver
) -> None:
    for human in (make.HUMAN, make.OTHER_HUMAN):
        for kind in ("like", "love"):
            receive(in_group, human, kind)
    send_tapback(make.agent_of(identity), in_group, kind="laugh")
    rows = Tapback.objects.live().filter(message=in_group).order_by("created_at")
    assert [(row.direction, row.human, row.kind) for row in rows] == [
        ("inbound", make.HUMAN, "love"),
        ("inbound", make.OTHER_HUMAN, "love"),
        ("outbound", "", "laugh"),
    ]
    assert [(call["human"], call["chat"]) for call in driver.direct] == [("", "chat-7")]


def test_in_a_group_a_removal_is_its_sender_s(in_group: Message) -> None:
    receive(in_group, make.HUMAN, "like")
    receive(in_group, make.OTHER_HUMAN, "like", removed=True)
    assert live(in_group) == ["like"]


def test_a_blocked_member_s_tapback_is_kept_and_silent(in_group: Message, identity: Identity) -> None:
    make.make_rule(identity, make.OTHER_HUMAN)
    receive(in_group, make.HUMAN, "like")
    receive(in_group, make.OTHER_HUMAN, "like")
    assert live(in_group) == ["like"]
    assert TapbackChange.objects.get(is_blocked=True).human == make.OTHER_HUMAN


def receive(message: Message, human: str, kind: str, *, removed: bool = False) -> None:
    with transaction.atomic():
        receive_tapback(make.operator(), message, kind=kind, emoji="", part_index=0, removed=removed, human=human)
