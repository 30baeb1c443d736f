"""Tapbacks, in Inkbox's word reactions (contract/inkbox.md, section 11)."""

from typing import Annotated
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from ninja import Router
from pydantic import Field, StrictInt

from api.auth import actor_of
from api.inkbox.answers import Reaction, answers
from api.inkbox.finding import id_in_path, message_with, tapback_with
from api.parsing import Body, respond
from dialects import inkbox
from imessage.shapes import tapback_shape
from imessage.tapbacks import send_tapback, take_back_tapback

router = Router(tags=["Tapbacks"])


class NewReaction(Body):
    message_id: UUID
    reaction: inkbox.SentReactionWord
    part_index: Annotated[StrictInt, Field(ge=0, le=32_767)] = 0


@router.post("/reactions", response=answers(201, Reaction, 403, 404, 409, 502))
def react(request: HttpRequest, body: NewReaction) -> HttpResponse:
    """Put a tapback on a message; it replaces the agent's earlier one on that part."""
    actor = actor_of(request)
    message = message_with(actor, body.message_id)
    kind, emoji = inkbox.tapback_of(body.reaction)
    tapback = send_tapback(actor, message, kind=kind, emoji=emoji, part_index=body.part_index)
    shape = tapback_shape(tapback, message)
    # In a group our own has no human: then it is whose message it is on.
    return respond(inkbox.sent_reaction({**shape, "human": tapback.human or message.human}), status=201)


@router.delete("/reactions/{reaction_id}", response=answers(204, None, 403, 404, 409, 502))
def take_back(request: HttpRequest, reaction_id: str) -> HttpResponse:
    """Take back the agent's own tapback; one that is gone already is no error."""
    actor = actor_of(request)
    take_back_tapback(actor, tapback_with(actor, id_in_path(reaction_id)))
    return HttpResponse(status=204)
