"""Tapbacks, in Inkbox's word reactions (contract/inkbox.md, section 11)."""

from typing import Annotated, Literal
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from ninja import Router
from pydantic import Field, StrictInt

from api.auth import actor_of
from api.inkbox.finding import message_with
from api.parsing import Body, respond
from dialects import inkbox
from imessage.shapes import tapback_shape
from imessage.tapbacks import send_tapback

router = Router()


class NewReaction(Body):
    message_id: UUID
    reaction: Literal["love", "like", "dislike", "laugh", "emphasize", "question"]
    part_index: Annotated[StrictInt, Field(ge=0, le=32_767)] = 0


@router.post("/reactions")
def react(request: HttpRequest, body: NewReaction) -> HttpResponse:
    """Put a tapback on a message; it replaces the agent's earlier one on that part."""
    actor = actor_of(request)
    message = message_with(actor, body.message_id)
    tapback = send_tapback(actor, message, kind=body.reaction, part_index=body.part_index)
    return respond(inkbox.reaction(tapback_shape(tapback, message)), status=201)
