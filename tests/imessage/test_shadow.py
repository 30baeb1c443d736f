"""A shadow beside real traffic: the same texts and sends with and without one."""

from datetime import timedelta

import pytest

from accounts.models import Identity
from contactrules import rules, shadow
from contactrules.models import Decision, ShadowVerdict
from contactrules.reach import Draft
from imessage.errors import RecipientBlocked
from imessage.models import Conversation, Message
from imessage.sending import send_message
from tests import make
from tests.providers.scripted import text_in

pytestmark = pytest.mark.django_db


def test_messages_are_the_same_with_and_without_a_shadow(identity: Identity) -> None:
    """Acceptance 8: no message, no refusal and no verdict differs; only the second verdicts are there."""
    watched = make.make_identity(identity.organization, "watched")
    lasting = timedelta(days=7)
    running = shadow.start_shadow(make.operator(), watched, draft=Draft.of_mode("whitelist"), lasting=lasting)
    assert _talk(identity) == _talk(watched)
    shadow.judge_running()
    judged = ShadowVerdict.objects.filter(shadow=running)
    assert judged.count() == Decision.objects.filter(identity_id=watched.id).count()
    assert not judged.filter(would_allow=True).exists()


def _talk(identity: Identity) -> list[tuple[object, ...]]:
    """Texts in and out, a rule in between; what became of them."""
    connection = make.make_connection(identity)
    text_in(connection.line, "Hello")
    conversation = Conversation.objects.get(identity=identity)
    send_message(make.agent_of(identity), conversation=conversation, text="Hi.")
    rules.create_rule(make.operator(), identity, action="block", match_target=make.HUMAN)
    text_in(connection.line, "Are you there?")
    with pytest.raises(RecipientBlocked):
        send_message(make.agent_of(identity), conversation=conversation, text="Yes.")
    messages = Message.objects.filter(identity=identity).order_by("position")
    decisions = Decision.objects.filter(identity_id=identity.id).order_by("id")
    return [
        *messages.values_list("text", "direction", "status", "is_blocked", "filter_mode"),
        *decisions.values_list("direction", "subject", "allowed", "mode", "revision"),
    ]
