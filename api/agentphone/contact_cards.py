"""Who humans see a number as (contract/agentphone.md, section 8)."""

from typing import Annotated, Any, Self

from django.http import HttpRequest, HttpResponse
from ninja import Router
from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from api.agentphone.answers import ContactCard, answers
from api.agentphone.finding import number_with
from api.agentphone.shapes import card_shape
from api.auth import actor_of
from api.parsing import TEXT, Body, WebUrl, respond
from core.errors import NotFound
from dialects import agentphone
from imessage.owning import change

router = Router(tags=["Contact cards"])

CardName = Annotated[str, Field(max_length=200), *TEXT]


_NAMED: dict[str, Any] = {
    "anyOf": [
        {"required": [name], "properties": {name: {"type": "string", "minLength": 1}}}
        for name in ("firstName", "lastName", "displayName")
    ]
}


class NewCard(Body):
    model_config = ConfigDict(json_schema_extra=_NAMED)

    firstName: CardName | None = None  # noqa: N815 - the vendor's words
    lastName: CardName | None = None  # noqa: N815
    displayName: CardName | None = None  # noqa: N815
    avatarUrl: Annotated[WebUrl, Field(max_length=500)] | None = None  # noqa: N815

    @model_validator(mode="after")
    def _named(self) -> Self:
        if not (self.firstName or self.lastName or self.displayName):
            raise PydanticCustomError("nameless", "A contact card needs a name.")
        return self


@router.get("/numbers/{number_id}/contact-card", response=answers(200, ContactCard, 404))
def get(request: HttpRequest, number_id: str) -> HttpResponse:
    """The card of a number; 404 while it has none."""
    line = number_with(actor_of(request), number_id)
    if not line.contact_card:
        raise NotFound("This number has no contact card.")
    return respond(agentphone.contact_card(card_shape(line)))


@router.put("/numbers/{number_id}/contact-card", response=answers(200, ContactCard, 403, 404))
def put(request: HttpRequest, number_id: str, body: NewCard) -> HttpResponse:
    """Give a number a card; admin keys only."""
    actor = actor_of(request)
    card = {
        "first_name": body.firstName or "",
        "last_name": body.lastName or "",
        "display_name": body.displayName or "",
        "avatar_url": body.avatarUrl or "",
    }
    line = change(actor, number_with(actor, number_id), contact_card=card)
    return respond(agentphone.contact_card(card_shape(line)))


@router.delete("/numbers/{number_id}/contact-card", response=answers(204, None, 403, 404))
def delete(request: HttpRequest, number_id: str) -> HttpResponse:
    """Take a number's card away; admin keys only."""
    actor = actor_of(request)
    change(actor, number_with(actor, number_id), contact_card={})
    return HttpResponse(status=204)
