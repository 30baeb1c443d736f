"""What every driver must do, as one table of cases, run against a stand-in of its provider.

A driver joins with a module `test_<name>.py` beside this one: a subclass of `StandIn`, a fixture `stand_in` that
yields it, and `class TestName(DriverCases)` with its tables `failures` and `recorded`. The stand-in answers over
HTTP from a process of its own, as the provider documents. What the card says cannot be done must be refused.
"""

import abc
import dataclasses
import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lines.effects import EFFECTS
from lines.providers.base import (
    NOT_SUPPORTED,
    Account,
    CallbackRefused,
    Driver,
    ErrorClass,
    Group,
    GroupChanged,
    Outcome,
    ProviderCallFailed,
    ProviderError,
    ReplyTarget,
    Report,
    Scope,
    SendOrder,
    SendReceipt,
    TextArrived,
    Thread,
    Unrecognised,
    Upload,
)

LINE = "+15555550100"
HUMAN = "+15555550142"
STRANGER = "+15555550188"
NEWCOMER = "+15555550177"
FILE = "https://files.example.com/1.png"
NOBODY_ANSWERS = "http://127.0.0.1:9"

_keys = itertools.count(1)


@dataclass(frozen=True)
class Posted:
    """A callback as the provider posts it."""

    headers: Mapping[str, str]
    body: bytes
    url: str


@dataclass(frozen=True)
class Failure:
    """A refusal that the provider documents: `arrange` makes the stand-in answer the next send with it.

    `order` changes the order that meets it. `error_class` None stands for outcome unknown.
    """

    name: str
    arrange: Mapping[str, Any]
    error_class: ErrorClass | None
    scope: Scope | None = None
    counts: bool | None = None
    retry_after: float | None = None
    until_inbound: bool = False
    order: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class Recorded:
    """A callback body shaped as documented, and what it says."""

    name: str
    body: bytes
    says: Sequence[Report]


class StandIn(abc.ABC):
    """One provider stood in for, with one line on it; what the cases need of it."""

    driver: Driver
    account: Account
    line: str = LINE
    human: str = HUMAN
    callback_url: str = "https://switchboard.example.com/callbacks/00000000-0000-0000-0000-000000000001"

    @abc.abstractmethod
    def on_phone(self, human: str) -> list[str]:
        """The texts that reached this human's phone from the line, oldest first."""

    @abc.abstractmethod
    def send_calls(self) -> int:
        """How many send calls the provider was ever asked."""

    @abc.abstractmethod
    def misbehave(self, how: str, **arrange: Any) -> None:
        """At the next send: `lose_answer` and `fail_after` (a 500) once the text has left, `too_slow` for the
        account's deadline once it has left, or `refuse` as `arrange` says, without any text leaving."""

    @abc.abstractmethod
    def behave(self) -> None:
        """Forget what it was told to do wrong."""

    @abc.abstractmethod
    def human_texts(self, text: str) -> Posted:
        """A human writes to the line: the callback that the provider makes of it."""

    def human_replies(self, text: str, handle: str) -> Posted:
        """The human answers that very text of the thread, where that can be: the callback."""
        raise NotImplementedError

    def human_sends_file(self) -> Posted:
        """A picture by SMS, where there is such a thing: the callback."""
        raise NotImplementedError

    def group(self) -> Group:
        """A group of the human and the stranger, that one of them made, as the provider calls it."""
        raise NotImplementedError

    def member_texts(self, group: Group, text: str) -> Posted:
        """The human writes into the group: the callback."""
        raise NotImplementedError

    def grows(self, group: Group) -> None:
        """The newcomer joins the group."""
        raise NotImplementedError

    @abc.abstractmethod
    def strange(self) -> Posted:
        """A genuine callback of a kind that the driver does not know."""

    def wrong_credentials(self) -> Account:
        return dataclasses.replace(self.account, token="wrong:wrong")

    def away(self) -> Account:
        return dataclasses.replace(self.account, base_url=NOBODY_ANSWERS)

    def order(self, text: str = "hi", **fields: Any) -> SendOrder:
        """An order with a key of its own."""
        key = f"00000000-0000-4000-8000-{next(_keys):012}"
        return SendOrder(**{"key": key, "line": self.line, "human": self.human, "text": text, **fields})


class DriverCases:
    """One test per row; `failures` and `recorded` are the driver's own rows of two of them."""

    failures: Sequence[Failure] = ()
    recorded: Sequence[Recorded] = ()

    @pytest.fixture(autouse=True)
    def behaved(self, stand_in: StandIn) -> None:
        stand_in.behave()

    # Sending.

    def test_a_text_is_accepted_and_reaches_the_phone_once(self, stand_in: StandIn) -> None:
        receipt = send(stand_in, stand_in.order("plain"))
        assert (receipt.outcome, bool(receipt.handle)) == (Outcome.ACCEPTED, True)
        assert receipt.line in {"", stand_in.line}
        assert stand_in.on_phone(stand_in.human).count("plain") == 1

    def test_a_first_contact_is_written_to(self, stand_in: StandIn) -> None:
        receipt = send(stand_in, stand_in.order("first", human=STRANGER, first_contact=True))
        assert receipt.outcome is Outcome.ACCEPTED
        assert stand_in.on_phone(STRANGER) == ["first"]

    @pytest.mark.parametrize("how", ["lose_answer", "fail_after", "too_slow"])
    def test_a_lost_answer_is_unknown_and_the_text_is_found(self, stand_in: StandIn, how: str) -> None:
        order = stand_in.order(f"text {how}")
        calls, since = stand_in.send_calls(), now()
        stand_in.misbehave(how)
        assert send(stand_in, order).outcome is Outcome.UNKNOWN
        assert stand_in.send_calls() == calls + 1  # no library tried again
        found = find(stand_in, order, since)
        assert found is not None
        assert (found.outcome, bool(found.handle)) == (Outcome.ACCEPTED, True)
        assert stand_in.on_phone(stand_in.human).count(order.text) == 1

    def test_a_text_that_never_left_is_honestly_not_found(self, stand_in: StandIn) -> None:
        since = now()
        assert find_sent(stand_in, stand_in.order("never sent"), since) is None

    def test_another_text_with_the_same_words_is_not_taken_for_it(self, stand_in: StandIn) -> None:
        since = now()
        first = send(stand_in, stand_in.order("same words"))
        assert find_sent(stand_in, stand_in.order("same words"), since, known={first.handle}) is None

    def test_a_true_send_key_sends_once(self, stand_in: StandIn) -> None:
        if not stand_in.driver.card.send_key:
            assert not stand_in.driver.can_repeat(stand_in.account, line=stand_in.line)
            return
        order = stand_in.order("keyed")
        first, again = send(stand_in, order), send(stand_in, order)
        assert (first.handle, again.outcome) == (again.handle, Outcome.ACCEPTED)
        assert stand_in.on_phone(stand_in.human).count("keyed") == 1

    def test_nobody_there_is_the_line_s_trouble(self, stand_in: StandIn) -> None:
        receipt = stand_in.driver.send(stand_in.away(), stand_in.order())
        assert refusal(receipt).error_class is ErrorClass.LINE_DOWN
        with pytest.raises(ProviderCallFailed):
            stand_in.driver.find_sent(stand_in.away(), stand_in.order(), since=now(), known=set())

    def test_wrong_credentials_are_the_account_s_trouble(self, stand_in: StandIn) -> None:
        error = refusal(stand_in.driver.send(stand_in.wrong_credentials(), stand_in.order()))
        assert (error.error_class, error.scope) == (ErrorClass.LINE_DOWN, Scope.ACCOUNT)

    def test_each_documented_failure_has_its_class(self, stand_in: StandIn, failure: Failure) -> None:
        stand_in.misbehave("refuse", **failure.arrange)
        receipt = send(stand_in, stand_in.order(**failure.order))
        if failure.error_class is None:
            assert receipt.outcome is Outcome.UNKNOWN
            return
        error = refusal(receipt)
        wanted = {
            "error_class": failure.error_class,
            "scope": failure.scope or error.scope,
            "counts_against_line": error.counts_against_line if failure.counts is None else failure.counts,
            "retry_after": failure.retry_after or error.retry_after,
            "until_inbound": failure.until_inbound,
        }
        assert {name: getattr(error, name) for name in wanted} == wanted

    def test_an_effect_the_card_lacks_is_dropped_with_a_note(self, stand_in: StandIn) -> None:
        for effect in sorted(EFFECTS):
            receipt = send(stand_in, stand_in.order(f"with {effect}", effect=effect))
            assert receipt.outcome is Outcome.ACCEPTED, effect
            assert ("effect_dropped" in receipt.notes) == (effect not in stand_in.driver.card.effects), effect

    # Replies and files.

    def test_a_reply_is_one_or_is_sent_without_and_noted(self, stand_in: StandIn) -> None:
        target = ReplyTarget(heard(stand_in, "which one?").handle)
        receipt = send(stand_in, stand_in.order("this one", reply_to=target))
        assert receipt.outcome is Outcome.ACCEPTED
        assert ("reply_dropped" in receipt.notes) == (not stand_in.driver.card.reply)

    def test_what_a_human_replies_to_is_read(self, stand_in: StandIn) -> None:
        if not stand_in.driver.card.reply:
            return
        handle = send(stand_in, stand_in.order("pick one")).handle
        reply = heard_in(stand_in, stand_in.human_replies("this one", handle))
        assert (reply.text, reply.reply_to) == ("this one", ReplyTarget(handle))

    def test_a_picture_goes_by_sms_and_comes_by_it(self, stand_in: StandIn) -> None:
        if "sms" not in stand_in.driver.card.services:
            return
        picture = heard_in(stand_in, stand_in.human_sends_file())
        assert (picture.service, len(picture.media)) == ("sms", 1)
        receipt = send(stand_in, stand_in.order("look", media=[FILE], service="sms"))
        assert receipt.outcome is Outcome.ACCEPTED
        assert "look" in stand_in.on_phone(stand_in.human)

    # Groups.

    def test_a_text_in_a_group_has_its_sender_and_is_of_no_thread_of_theirs(self, stand_in: StandIn) -> None:
        if not stand_in.driver.card.groups:
            return
        group = stand_in.group()
        posted = [stand_in.member_texts(group, "hello all"), stand_in.human_texts("hello you")]
        text = heard_in(stand_in, posted[0])
        assert text.group is not None
        assert (text.group.key, text.human, text.text) == (group.key, stand_in.human, "hello all")
        assert text.chat in {"", group.key}
        threads = {stand_in.driver.identify(stand_in.account, body=one.body).thread for one in posted}
        assert len(threads) == 2

    def test_a_text_goes_into_a_group_and_to_nobody_alone(self, stand_in: StandIn) -> None:
        if not stand_in.driver.card.groups:
            return
        key = stand_in.group().key
        receipt = send(stand_in, in_group(stand_in, Group(key), "all of you"))
        assert (receipt.outcome, bool(receipt.handle)) == (Outcome.ACCEPTED, True)
        assert stand_in.on_phone(key) == ["all of you"]
        assert "all of you" not in stand_in.on_phone(stand_in.human)

    def test_a_group_is_made_from_its_members_and_written_into_again(self, stand_in: StandIn) -> None:
        if not stand_in.driver.card.groups:
            return
        members = (stand_in.human, NEWCOMER)
        made = send(stand_in, in_group(stand_in, Group("", members), "made", first_contact=True))
        assert (made.outcome, bool(made.chat)) == (Outcome.ACCEPTED, True)
        again = send(stand_in, in_group(stand_in, Group(made.chat, members), "again"))
        assert again.outcome is Outcome.ACCEPTED
        assert stand_in.on_phone(made.chat)[-2:] == ["made", "again"]

    @pytest.mark.parametrize("is_made", [False, True])
    def test_a_lost_answer_in_a_group_is_found_there(self, stand_in: StandIn, is_made: bool) -> None:
        if not stand_in.driver.card.groups:
            return
        group = Group("", (stand_in.human, NEWCOMER)) if is_made else stand_in.group()
        order, since = in_group(stand_in, group, f"lost {is_made}"), now()
        stand_in.misbehave("lose_answer")
        assert send(stand_in, order).outcome is Outcome.UNKNOWN
        stand_in.behave()
        found = find_sent(stand_in, order, since)
        assert found is not None
        assert (found.outcome, bool(found.handle), bool(found.chat)) == (Outcome.ACCEPTED, True, True)

    def test_a_tapback_typing_and_a_read_go_into_a_group(self, stand_in: StandIn) -> None:
        driver, account = stand_in.driver, stand_in.account
        if not driver.card.groups:
            return
        group = stand_in.group()
        text = heard_in(stand_in, stand_in.member_texts(group, "react here"))
        where = {"line": stand_in.line, "human": "", "chat": group.key}
        driver.tapback(account, **where, handle=text.handle, part=0, kind="love", emoji="", remove=False)
        driver.typing(account, **where, on=True)
        driver.mark_read(account, **where)

    def test_a_group_is_renamed_or_that_is_refused_as_the_card_says(self, stand_in: StandIn) -> None:
        driver, card = stand_in.driver, stand_in.driver.card
        key = stand_in.group().key if card.groups else "a group"
        where = {"line": stand_in.line, "chat": key}
        answers_as(card.group_rename, lambda: driver.rename_group(stand_in.account, **where, name="Trip"))

    def test_who_is_in_a_group_is_told_by_its_news(self, stand_in: StandIn) -> None:
        if not stand_in.driver.card.groups:
            return
        group = stand_in.group()
        stand_in.grows(group)
        bodies = [stand_in.member_texts(group, "welcome").body, *poll(stand_in, "")[0]]
        reports = [report for body in bodies for report in stand_in.driver.parse(stand_in.account, body=body)]
        told = [report.group for report in reports if isinstance(report, TextArrived | GroupChanged) and report.group]
        members = [set(one.members) for one in told if one.key == group.key and one.members]
        assert members
        assert members[-1] == {stand_in.human, STRANGER, NEWCOMER}

    def test_a_picture_behind_a_thread_is_put_and_taken_away_or_refused(self, stand_in: StandIn) -> None:
        driver = stand_in.driver
        heard(stand_in, "how bare it is")
        where = {"line": stand_in.line, "human": stand_in.human}
        put = functools.partial(driver.background, stand_in.account, **where)
        answers_as(driver.card.background, lambda: put(media=Upload("1.png", "image/png", b"a picture")))
        answers_as(driver.card.background, lambda: put(media=None))

    # What a request waits for.

    @pytest.mark.parametrize("remove", [False, True])
    @pytest.mark.parametrize(("kind", "emoji"), [("love", ""), ("custom", "🦊")])
    def test_tapbacks_are_put_or_refused_as_the_card_says(
        self, stand_in: StandIn, kind: str, emoji: str, remove: bool
    ) -> None:
        card = stand_in.driver.card
        able = card.tapback and (card.tapback_emoji or kind != "custom") and (card.tapback_remove or not remove)
        handle = heard(stand_in, f"react {kind} {remove}").handle
        given = {"line": stand_in.line, "human": stand_in.human, "handle": handle, "part": 0, "kind": kind}

        def tap(remove: bool) -> None:
            stand_in.driver.tapback(stand_in.account, **given, emoji=emoji, remove=remove)

        if remove and able:
            tap(False)
        answers_as(able, lambda: tap(remove))

    def test_typing_and_reads_are_sent_or_refused_as_the_card_says(self, stand_in: StandIn) -> None:
        heard(stand_in, "are you there?")
        driver, account, card = stand_in.driver, stand_in.account, stand_in.driver.card
        where = {"line": stand_in.line, "human": stand_in.human}
        answers_as(card.typing, lambda: driver.typing(account, **where, on=True))
        answers_as(card.read_receipt, lambda: driver.mark_read(account, **where))

    def test_a_lookup_answers_with_a_known_word(self, stand_in: StandIn) -> None:
        def look() -> None:
            answer = stand_in.driver.lookup_service(stand_in.account, line=stand_in.line, address=stand_in.human)
            assert answer.service in {"imessage", "rcs", "sms", "unknown"}

        answers_as(stand_in.driver.card.lookup, look)

    # The line.

    def test_a_probe_tells_working_from_away_and_from_wrong_credentials(self, stand_in: StandIn) -> None:
        driver, line = stand_in.driver, stand_in.line
        well = driver.probe(stand_in.account, line=line)
        assert (well.state, well.reachable, well.authenticated) == ("healthy", True, True)
        assert line in (well.addresses or [line])
        away = driver.probe(stand_in.away(), line=line)
        assert (away.state, away.reachable, bool(away.reasons)) == ("down", False, True)
        wrong = driver.probe(stand_in.wrong_credentials(), line=line)
        assert (wrong.state, wrong.reachable, wrong.authenticated) == ("down", True, False)

    def test_the_line_is_listed(self, stand_in: StandIn) -> None:
        assert stand_in.line in [line.address for line in stand_in.driver.list_lines(stand_in.account)]

    # Callbacks.

    def test_installing_callbacks_again_changes_nothing(self, stand_in: StandIn) -> None:
        first = stand_in.driver.install_callbacks(stand_in.account, url=stand_in.callback_url)
        again = stand_in.driver.install_callbacks(stand_in.account, url=stand_in.callback_url)
        assert sorted(first.urls) == sorted(again.urls)

    def test_a_callback_is_proved_under_any_secret_of_now(self, stand_in: StandIn) -> None:
        posted = stand_in.human_texts("prove me")
        prove(stand_in, posted, stand_in.account)
        two = ("whsec_bmV3IHNlY3JldCBvZiB0aGlydHktdHdvIGJ5dGVzISE=", *stand_in.account.callback_secrets)
        prove(stand_in, posted, dataclasses.replace(stand_in.account, callback_secrets=two))

    def test_a_callback_under_a_strange_secret_is_refused(self, stand_in: StandIn) -> None:
        posted = stand_in.human_texts("forged")
        stranger = dataclasses.replace(
            stand_in.account,
            token="strange:strange",
            callback_secrets=("whsec_c3RyYW5nZXIncyBzZWNyZXQgb2YgMzIgYnl0ZXMhISE=",),
        )
        with pytest.raises(CallbackRefused):
            prove(stand_in, posted, stranger)

    def test_a_callback_without_any_proof_is_refused(self, stand_in: StandIn) -> None:
        posted = stand_in.human_texts("bare")
        with pytest.raises(CallbackRefused):
            prove(stand_in, Posted({}, posted.body, stand_in.callback_url), stand_in.account)

    def test_a_human_s_text_is_read(self, stand_in: StandIn) -> None:
        text = heard(stand_in, "hello there")
        assert (text.text, text.human, bool(text.handle)) == ("hello there", stand_in.human, True)
        assert text.line in {"", stand_in.line}

    def test_a_callback_has_one_key_and_each_text_its_own(self, stand_in: StandIn) -> None:
        first, other = stand_in.human_texts("one"), stand_in.human_texts("two")
        keys = [stand_in.driver.identify(stand_in.account, body=body).key for body in (first.body, first.body)]
        assert keys[0] == keys[1] != stand_in.driver.identify(stand_in.account, body=other.body).key

    def test_an_unknown_word_is_unrecognised(self, stand_in: StandIn) -> None:
        posted = stand_in.strange()
        prove(stand_in, posted, stand_in.account)
        (report,) = stand_in.driver.parse(stand_in.account, body=posted.body)
        assert isinstance(report, Unrecognised)

    @pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\xff\xfe", b'{"data": 1}', b"null"])
    def test_nonsense_is_a_value_error_or_unrecognised(self, stand_in: StandIn, body: bytes) -> None:
        try:
            reports = stand_in.driver.parse(stand_in.account, body=body)
        except (ValueError, KeyError, TypeError, AttributeError):
            return
        assert all(isinstance(report, Unrecognised) for report in reports)

    def test_each_recorded_callback_says_what_it_says(self, stand_in: StandIn, recorded: Recorded) -> None:
        assert list(stand_in.driver.parse(stand_in.account, body=recorded.body)) == list(recorded.says)
        assert stand_in.driver.identify(stand_in.account, body=recorded.body).key

    def test_a_poll_brings_what_a_callback_brought_under_the_same_key(self, stand_in: StandIn) -> None:
        if stand_in.driver.card.poll == "none":
            assert stand_in.driver.poll(stand_in.account, cursor="") == ([], "")
            return
        posted = stand_in.human_texts("poll me")
        polled, cursor = poll(stand_in, "")
        keys = [stand_in.driver.identify(stand_in.account, body=body).key for body in polled]
        assert stand_in.driver.identify(stand_in.account, body=posted.body).key in keys
        again, _ = poll(stand_in, cursor)
        new = {stand_in.driver.identify(stand_in.account, body=body).key for body in again} - set(keys)
        assert new == set()


def now() -> datetime:
    return datetime.now(UTC) - timedelta(seconds=1)


def send(stand_in: StandIn, order: SendOrder) -> SendReceipt:
    return stand_in.driver.send(stand_in.account, order)


def find(stand_in: StandIn, order: SendOrder, since: datetime) -> SendReceipt | None:
    """What became of a lost send, as the dispatcher finds out."""
    stand_in.behave()
    if stand_in.driver.can_repeat(stand_in.account, line=stand_in.line):
        return send(stand_in, order)
    return find_sent(stand_in, order, since)


def find_sent(
    stand_in: StandIn, order: SendOrder, since: datetime, *, known: set[str] | None = None
) -> SendReceipt | None:
    return stand_in.driver.find_sent(stand_in.account, order, since=since, known=known or set())


def refusal(receipt: SendReceipt) -> ProviderError:
    assert receipt.outcome is Outcome.REFUSED
    assert receipt.error is not None
    return receipt.error


def answers_as(able: bool, call: Callable[[], None]) -> None:
    """The call goes through, or is refused for good because the card says no."""
    if able:
        call()
        return
    with pytest.raises(ProviderCallFailed) as refused:
        call()
    assert refused.value.error is not None
    assert (refused.value.error.error_class, refused.value.error.code) == (ErrorClass.PERMANENT, NOT_SUPPORTED)


def prove(stand_in: StandIn, posted: Posted, account: Account) -> None:
    stand_in.driver.prove(account, headers=posted.headers, body=posted.body, url=posted.url)


def heard(stand_in: StandIn, text: str) -> TextArrived:
    return heard_in(stand_in, stand_in.human_texts(text))


def heard_in(stand_in: StandIn, posted: Posted) -> TextArrived:
    (report,) = stand_in.driver.parse(stand_in.account, body=posted.body)
    assert isinstance(report, TextArrived)
    return report


def in_group(stand_in: StandIn, group: Group, text: str, **fields: Any) -> SendOrder:
    return stand_in.order(text, human="", group=group, **fields)


def poll(stand_in: StandIn, cursor: str) -> tuple[list[bytes], str]:
    """Everything after the cursor, page by page."""
    threads = [Thread(stand_in.line, stand_in.human), Thread(stand_in.line, STRANGER)]
    found: list[bytes] = []
    for _ in range(20):
        bodies, moved = stand_in.driver.poll(stand_in.account, cursor=cursor, threads=threads)
        found += bodies
        if not bodies or moved == cursor:
            break
        cursor = moved
    return found, cursor
