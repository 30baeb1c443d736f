"""The kept counters equal a recount of the rows after any history."""

import random

import pytest

from accounts.models import Identity
from contactrules import rules
from contactrules.models import ContactRule
from imessage import receipts
from imessage.models import Conversation, Message
from imessage.sending import send_message
from lines.models import Line
from tests import make
from tests.providers.scripted import ScriptedDriver, drain_now, text_in

pytestmark = pytest.mark.django_db


def kept(conversation: Conversation) -> dict[str, object]:
    conversation.refresh_from_db()
    return {
        f"{side}_{name}": getattr(conversation, f"{side}_{name}")
        for side in ("visible", "blocked")
        for name in ("total", "unread", "last_id", "last_at")
    } | {"next_position": conversation.next_position, "last_at": conversation.last_at}


def recounted(conversation: Conversation) -> dict[str, object]:
    rows = Message.objects.filter(conversation=conversation).order_by("position")
    newest = rows.last()
    counts: dict[str, object] = {
        "next_position": newest.position + 1 if newest else 1,
        "last_at": newest.created_at if newest else conversation.last_at,
    }
    for side, blocked in (("visible", False), ("blocked", True)):
        of_side = rows.filter(is_blocked=blocked)
        last = of_side.last()
        counts |= {
            f"{side}_total": of_side.count(),
            f"{side}_unread": of_side.filter(direction="inbound", is_read=False).count(),
            f"{side}_last_id": last.id if last else None,
            f"{side}_last_at": last.created_at if last else None,
        }
    return counts


@pytest.mark.parametrize("seed", range(3))
def test_counters_equal_a_recount(
    seed: int, conversation: Conversation, identity: Identity, line: Line, driver: ScriptedDriver
) -> None:
    chance = random.Random(seed)
    admin, agent = make.admin_of(identity.organization), make.agent_of(identity)

    def toggle_rule() -> None:
        rule = ContactRule.objects.first()
        if rule:
            rules.delete_rule(admin, rule)
        else:
            rules.create_rule(admin, identity, action="block", match_target=make.HUMAN)

    def send() -> None:
        if not ContactRule.objects.exists():
            send_message(agent, conversation=conversation, text="answer")

    def read() -> None:
        if not ContactRule.objects.exists():
            receipts.mark_read(agent, conversation)

    deeds = [lambda: text_in(line)] * 4 + [toggle_rule, send, read, lambda: drain_now(conversation)]
    for _ in range(30):
        chance.choice(deeds)()
        assert kept(conversation) == recounted(conversation)
