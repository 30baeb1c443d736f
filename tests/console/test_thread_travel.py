"""Time travel: at the time of any event a thread is shown as its live page showed it then."""

from collections.abc import Callable
from datetime import datetime
from difflib import unified_diff
from typing import Any

import pytest
from django.http import HttpResponse
from django.template.loader import render_to_string
from django.test import Client

from console.thread.moment import in_address
from events.models import Event
from tests.console.lives import Life


def shown(page: HttpResponse) -> dict[str, Any]:
    """All that a page tells of the thread's state; the messages as they are drawn."""
    told = page.context  # type: ignore[attr-defined]
    thread, given = told["thread"], told["verdict"]
    # Where the reader's own last visit was is no state of the thread.
    items = [item for item in told["window"].items if item.kind != "unseen"]
    drawn = render_to_string("console/threads/_items.html", {"items": items})
    return {
        "messages": drawn.split("\n"),
        "connection": (thread.connection.status, thread.connection.line.address, thread.connection.released_at),
        "counts": (thread.visible_total, thread.visible_unread, thread.blocked_total),
        "verdict": (given.allowed, given.mode, given.revision, given.rule_id),
        "rules": [(rule.id, rule.action, rule.status, rule.direction) for rule in told["rules"]],
        "lines": [(use.line.address, use.since) for use in told["lines"]],
        "sent": told["budget"].used,
    }


@pytest.mark.parametrize("seed", range(4))
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
