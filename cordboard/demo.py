"""The demo organization's agents, and some humans who have talked with one of them: told over the real path."""

import logging
from collections.abc import Callable
from time import monotonic, sleep
from typing import Any

from django.db.models import Model

from accounts.models import Identity
from contactrules.models import ContactRule
from contactrules.rules import create_rule
from core.actor import Actor
from imessage.models import Connection, Conversation, Direction, Message
from imessage.receipts import mark_read
from imessage.sending import send_message
from imessage.tapbacks import send_tapback
from lines import simulation
from lines.models import Line

logger = logging.getLogger(__name__)

IDENTITIES = [
    ("concierge", "Concierge", "Books tables, rides and the odd bouquet."),
    ("echo", "Echo", "Says what you say."),
]

_ACTOR = Actor.system("quickstart")

# A story is a list of deeds: the human's text, the agent's answer, a tapback of either.
HUMAN, AGENT, HUMAN_TAPBACK, AGENT_TAPBACK = "human", "agent", "human_tapback", "agent_tapback"
_STORIES: dict[str, list[tuple[str, str]]] = {
    "+15555550141": [
        (HUMAN, "Hi! Could you find a table for four tomorrow at 19:30?"),
        (AGENT, "Of course. Do you prefer Italian or Japanese?"),
        (HUMAN, "Italian, somewhere quiet please"),
        (AGENT_TAPBACK, "like"),
        (AGENT, "Booked: Trattoria Lina, tomorrow 19:30, a table for four by the window."),
        (HUMAN_TAPBACK, "love"),
        (HUMAN, "Wonderful, thank you!"),
    ],
    "+15555550142": [
        (HUMAN, "My train is at 08:12. When should the taxi come?"),
        (AGENT, "07:35 leaves you ten minutes at the station. Shall I order it?"),
        (HUMAN, "Yes please"),
        (AGENT, "Done. The driver will text you from the car."),
        (HUMAN, "Could it be 07:30 instead?"),
    ],
    "+15555550143": [
        (HUMAN, "CONGRATULATIONS you have been selected, reply YES"),
        (HUMAN, "Last chance to claim your reward"),
    ],
}
_UNWANTED = "+15555550143"

_PATIENCE = 10.0


class NobodyAnswers(Exception):
    """The web process or the worker is not running, so nothing gets through."""


def tell_history() -> bool:
    """Have each human of the stories talk with @concierge; False when nothing gets through. Told once."""
    concierge = Identity.objects.get(handle="concierge")
    try:
        for human, story in _STORIES.items():
            if not Connection.objects.filter(identity=concierge, human=human).exists():
                _tell(concierge, human, story)
    except NobodyAnswers:
        logger.warning("The demo's history was not told: web or worker do not answer")
        return False
    return True


def _tell(concierge: Identity, human: str, story: list[tuple[str, str]]) -> None:
    router = Line.objects.routers().order_by("created_at").values_list("address", flat=True)[0]
    simulation.text(human, to=router, text="connect @concierge")
    connection = _await(lambda: Connection.objects.filter(identity=concierge, human=human).select_related("line"))
    for number, (deed, words) in enumerate(story):
        if human == _UNWANTED and number == 1 and not ContactRule.objects.filter(match_target=human).exists():
            create_rule(_ACTOR, concierge, action="block", match_target=human, reason="Unwanted advertising")
        _do(concierge, connection, deed, words)


def _do(concierge: Identity, connection: Connection, deed: str, words: str) -> None:
    human = connection.human
    said = Message.objects.filter(identity=concierge, human=human).order_by("-position")
    match deed:
        case "human":
            simulation.text(human, to=connection.line.address, text=words)
            _await(lambda: said.filter(text=words))
        case "agent":
            conversation = Conversation.objects.get(identity=concierge, human=human)
            mark_read(_ACTOR, conversation)
            sent = send_message(_ACTOR, conversation=conversation, text=words)
            _await(lambda: said.filter(pk=sent.pk, status=Message.Status.DELIVERED))
        case "agent_tapback":
            send_tapback(_ACTOR, said.filter(direction=Direction.INBOUND)[0], kind=words)
        case "human_tapback":
            simulation.tapback(human, bubble="last", kind=words, with_=connection.line.address)


def _await(rows: Callable[[], Any]) -> Any:
    """The first of the rows, as soon as there is one; raises `NobodyAnswers` after ten seconds."""
    ends = monotonic() + _PATIENCE
    while monotonic() < ends:
        row: Model | None = rows().first()
        if row is not None:
            return row
        sleep(0.05)
    raise NobodyAnswers()
