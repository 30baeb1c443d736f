"""Time travel: at the time of any event a thread is shown as its live page showed it then."""

from collections.abc import Callable
from datetime import datetime, timedelta
from difflib import unified_diff
from typing import Any

import pytest
from django.http import HttpResponse
from django.template.loader import render_to_string
from django.test import Client
from django.utils import timezone

from accounts.models import Identity
from console.thread.moment import in_address
from contactrules import shadow
from contactrules.models import ShadowVerdict
from contactrules.reach import Draft
from events.models import Event
from imessage.models import Conversation
from lines.models import Line
from tests import make
from tests.console.lives import Life
from tests.console.test_thread import happen
from tests.providers.scripted import text_in
from webhooks.models import Attempt, Delivery, Subscription


def shown(page: HttpResponse) -> dict[str, Any]:
    """All that a page tells of the thread's state; the messages as they are drawn."""
    told = page.context  # type: ignore[attr-defined]
    thread, reached = told["thread"], told["reached"][0]
    given = reached.verdict
    # Where the reader's own last visit was is no state of the thread.
    items = [item for item in told["window"].items if item.kind != "unseen"]
    drawn = render_to_string("console/threads/_items.html", {"items": items})
    return {
        "messages": drawn.split("\n"),
        "connection": (thread.connection.status, thread.connection.line.address, thread.connection.released_at),
        "counts": (thread.visible_total, thread.visible_unread, thread.blocked_total),
        "verdict": (given.allowed, given.mode, given.revision, given.rule_id),
        "rules": [(rule.id, rule.action, rule.status, rule.direction) for rule in reached.rules],
        "lines": [(use.line.address, use.since) for use in told["lines"]],
        "sent": told["budget"].used,
        "told": [(told.delivery.id, told.delivery.state) for told in told["deliveries"]],
    }


@pytest.mark.parametrize("seed", range(2))
def test_10_the_past_is_shown_as_the_live_page_showed_it(
    seed: int, as_operator: Client, life: Callable[[int], Life]
) -> None:
    lived = life(seed)
    address = f"/console/threads/{lived.conversation.id}/"
    album: dict[datetime, dict[str, Any]] = {}
    for _ in range(45):
        lived.step()
        newest = Event.objects.order_by("-number").first()
        if newest and newest.at not in album:
            album[newest.at] = shown(as_operator.get(address))
    assert len(album) > 8
    for at, live in album.items():
        then = shown(as_operator.get(address, {"at": in_address(at)}))
        difference = "\n".join(unified_diff(live.pop("messages"), then.pop("messages"), lineterm="", n=4))
        assert not difference, difference
        assert then == live


def test_the_page_says_when_it_is_and_where_the_events_around_lie(
    as_alice: Client, conversation: Conversation, line: Line
) -> None:
    for text in ("one", "two", "three"):
        text_in(line, text)
    first, second, third = Event.objects.order_by("number")
    address = f"/console/threads/{conversation.id}/"
    page = as_alice.get(address, {"at": in_address(second.at)})
    told = page.context["travel"]
    assert (told.before.at, told.here.type, told.after.at) == (first.at, "message.received", third.at)
    text = page.content.decode()
    assert "two" in text[text.index('id="thread-log"') :]
    assert "three" not in text[text.index('id="thread-log"') :]
    assert 'data-live="thread:' not in text
    assert "Back to live" in text


def test_the_past_cannot_be_changed(as_alice: Client, conversation: Conversation, line: Line) -> None:
    text_in(line)
    page = as_alice.get(f"/console/threads/{conversation.id}/", {"at": in_address(Event.objects.get().at)})
    assert b"block-form" not in page.content


@pytest.mark.parametrize("text", ["nonsense", "2026-13-45", "9999-12-31T23:59:59-23:00", "\x00"])
def test_what_is_no_moment_is_said_and_the_present_is_shown(
    text: str, as_alice: Client, conversation: Conversation
) -> None:
    page = as_alice.get(f"/console/threads/{conversation.id}/", {"at": text})
    assert page.status_code == 200
    assert page.context["travel"] is None
    assert b"This is the thread as it is now" in page.content


def test_before_anything_was_said_nothing_is_shown(as_alice: Client, conversation: Conversation, line: Line) -> None:
    text_in(line)
    page = as_alice.get(f"/console/threads/{conversation.id}/", {"at": "2020-01-01"})
    assert b"Nothing had been said yet" in page.content


def test_what_a_shadow_decided_otherwise_is_a_line_once_it_was_judged(
    as_alice: Client, conversation: Conversation, identity: Identity, line: Line
) -> None:
    running = shadow.start_shadow(
        make.operator(), identity, draft=Draft.of_mode("whitelist"), lasting=timedelta(days=7)
    )
    text_in(line, "one")
    address, line_of_it = f"/console/threads/{conversation.id}/", "The shadow would have held this text back"
    assert line_of_it not in as_alice.get(address).content.decode()
    shadow.judge_new(running)
    text_in(line, "two")
    page = as_alice.get(address).content.decode()
    places = [page.rindex(words) for words in ("one</p>", line_of_it, "two</p>")]
    assert places == sorted(places)
    assert f'href="/console/shadows/{running.id}/"' in page
    assert f"shadowed:{identity.id}" in page
    judged_at = ShadowVerdict.objects.get().judged_at
    for moment, is_known in ((judged_at, True), (judged_at - timedelta(microseconds=1), False)):
        page = as_alice.get(address, {"at": in_address(moment)}).content.decode()
        assert (line_of_it in page) == is_known


def test_the_deliveries_stand_in_the_panel_as_they_were(as_alice: Client, conversation: Conversation) -> None:
    event = happen(make.make_message(conversation), "message.received")
    begun = timezone.now()
    of_all = {"organization_id": conversation.organization_id, "identity_id": conversation.identity_id}
    subscription = Subscription.objects.create(**of_all, url="https://hooks.example.com/x", event_types=[event.type])
    delivery = Delivery.objects.create(
        **of_all,
        subscription=subscription,
        event_id=event.id,
        event_type=event.type,
        conversation_id=conversation.id,
        body="{}",
        state="delivered",
        created_at=begun,
        settled_at=begun + timedelta(seconds=30),
    )
    for second, number, status, is_replay in ((1, 1, 500, False), (10, 2, 410, False), (28, 3, 200, True)):
        Attempt.objects.create(
            **of_all,
            subscription=subscription,
            delivery=delivery,
            number=number,
            url=subscription.url,
            request_headers={},
            response_status=status,
            duration_ms=1000,
            is_replay=is_replay,
            at=begun + timedelta(seconds=second),
        )
    told = {0: "pending", 5: "pending", 10: "pending", 12: "failed", 28: "failed", 29: "delivered", 40: "delivered"}
    for second, state in told.items():
        page = as_alice.get(
            f"/console/threads/{conversation.id}/", {"at": in_address(begun + timedelta(seconds=second))}
        )
        assert [one.delivery.state for one in page.context["deliveries"]] == [state], second
    before = as_alice.get(f"/console/threads/{conversation.id}/", {"at": in_address(begun - timedelta(microseconds=1))})
    assert before.context["deliveries"] == []
