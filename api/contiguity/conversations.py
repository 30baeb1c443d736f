"""History of a chat, and one message (contract/contiguity.md, section 6)."""

import re
from typing import Annotated

from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse
from django.urls import register_converter
from ninja import Query, Router
from pydantic import BaseModel, Field

from api.auth import actor_of
from api.contiguity.answers import History, SingleMessage, TextHistory, answers
from api.contiguity.envelopes import told
from api.contiguity.finding import chat_between, message_called, messages_of
from api.contiguity.shapes import reaction_shape, shown_message, steps_of
from api.parsing import QueryBool
from core.actor import Actor
from core.errors import Invalid
from core.phones import e164
from dialects import contiguity
from imessage.models import Message, MessageQuerySet, Service, Tapback, TapbackChange

router = Router(tags=["Conversations"], by_alias=True)

# More is not given at once.
MOST = 200


class Slashed:
    """`imessage` behind one slash or two: the Python client asks for `/history//imessage/...`."""

    regex = "/?imessage"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


register_converter(Slashed, "slashed")


class Asked(BaseModel):
    tracking: Annotated[QueryBool, Field(description="Also tell the timeline of each message.")] = False


@router.get("/conversations/history/imessage/{to}/{sender}/{limit}", response=answers(History, 404))
def imessage_history(request: HttpRequest, to: str, sender: str, limit: str, query: Query[Asked]) -> HttpResponse:
    """The last messages of a chat, newest first, at most 200; `sender` is the caller's number."""
    return _history(actor_of(request), to=to, sender=sender, limit=limit, tracking=query.tracking)


@router.post("/history/{slashed:channel}/{to}/{sender}/{limit}", include_in_schema=False)
def python_history(request: HttpRequest, channel: str, to: str, sender: str, limit: str) -> HttpResponse:
    """The same as the Python client asks for it."""
    return _history(actor_of(request), to=to, sender=sender, limit=limit, tracking=False)


@router.get("/conversations/history/text/{to}/{sender}/{limit}", response=answers(TextHistory, 404))
def text_history(request: HttpRequest, to: str, sender: str, limit: str, query: Query[Asked]) -> HttpResponse:
    """The same of what was carried as SMS, MMS or RCS."""
    actor = actor_of(request)
    chat, most = chat_between(actor, human=e164(to), line=e164(sender)), _limit(limit)
    rows = _last(actor, messages_of(actor).filter(conversation=chat, service__in=[Service.SMS, Service.RCS]), most)
    steps = steps_of(rows) if query.tracking else {}
    reactions = [reaction_shape(change, chat) for change in _log(actor, rows)]
    return told(
        contiguity.text_history([shown_message(message, chat) for message in rows], reactions, limit=most, steps=steps)
    )


@router.get("/conversations/history/message/{message_id}", response=answers(SingleMessage, 404))
def get_message(request: HttpRequest, message_id: str, query: Query[Asked]) -> HttpResponse:
    """One message, whatever carried it."""
    message = message_called(actor_of(request), message_id)
    steps = steps_of([message])[str(message.id)] if query.tracking else None
    return told(contiguity.message(shown_message(message, message.conversation), steps=steps))


def _history(actor: Actor, *, to: str, sender: str, limit: str, tracking: bool) -> HttpResponse:
    chat, most = chat_between(actor, human=e164(to), line=e164(sender)), _limit(limit)
    rows = _last(actor, messages_of(actor).filter(conversation=chat), most)
    # Counted after they are read: one that came meanwhile is never more than all.
    chat.refresh_from_db(fields=["visible_total"])
    data = contiguity.history(
        [shown_message(message, chat) for message in rows],
        [reaction_shape(change, chat) for change in _log(actor, rows)],
        limit=most,
        total=chat.visible_total,
        steps=steps_of(rows) if tracking else {},
    )
    return told(data)


def _last(actor: Actor, rows: MessageQuerySet, most: int) -> list[Message]:
    """The newest first."""
    live = Prefetch("tapbacks", Tapback.objects.visible_to(actor).live())
    return list(rows.prefetch_related("parts", live).order_by("-position")[:most])


def _log(actor: Actor, rows: list[Message]) -> list[TapbackChange]:
    """What was put on these messages and taken off, newest first."""
    changes = TapbackChange.objects.visible_to(actor).filter(message__in=rows, is_blocked=False)
    return list(changes.select_related("message").order_by("-at", "-id"))


def _limit(text: str) -> int:
    """How many messages are asked for; raises `Invalid` for anything but a number from 1."""
    if not re.fullmatch("[0-9]{1,9}", text) or int(text) == 0:
        raise Invalid("The limit must be a number from 1.")
    return min(int(text), MOST)
