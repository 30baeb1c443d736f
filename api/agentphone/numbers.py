"""Numbers of the organization's own: looked for, bought, changed, released, and what was said on them
(contract/agentphone.md, section 8)."""

from typing import Annotated, Any, Literal

import phonenumbers
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from ninja import Query, Router
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from api.agentphone.answers import (
    AvailableNumbers,
    LookedUpNumbers,
    NumberMessages,
    Numbers,
    ReleasedNumber,
    answers,
)
from api.agentphone.answers import Number as NumberAnswer
from api.agentphone.finding import agent_with, messages, number_with
from api.agentphone.lists import History, Window, answer_history
from api.agentphone.messages import NamedId
from api.agentphone.shapes import free_number_shape, number_shape, number_shapes
from api.auth import actor_of, key_of
from api.parsing import TEXT, Body, Documented, respond
from core.errors import DomainError
from core.phones import any_notation
from dialects import agentphone
from imessage.owning import attach, change, release
from imessage.senders import owned_lines
from lines.claiming import Wish, claim_line, free_lines
from lines.models import Line
from lines.pool import region_of

router = Router(tags=["Numbers"], by_alias=True)

MOST_LOOKUPS = 25

Country = Annotated[str, Field(pattern=r"^[A-Za-z]{2}$", description="ISO 3166")]
AreaCode = Annotated[str, Field(pattern=r"^[0-9]{3}$")]
ExternalId = Annotated[str, Field(max_length=255), *TEXT]
Place = Annotated[str, Field(max_length=100), *TEXT]


def _several(text: str) -> str:
    numbers = [part.strip() for part in text.split(",") if part.strip()]
    if not 0 < len(numbers) <= MOST_LOOKUPS:
        raise PydanticCustomError("numbers", "Must be 1 to {most} numbers, divided by commas.", {"most": MOST_LOOKUPS})
    try:
        return ",".join(any_notation(number) for number in numbers)
    except DomainError as refused:
        raise PydanticCustomError(refused.code, "{sentence}", {"sentence": refused.message}) from refused


def _written(time: Any) -> Any:
    """Not the seconds since 1970, which a time of a request is by mistake alone."""
    if time is not None and not (isinstance(time, str) and time[4:5] == "-"):
        raise PydanticCustomError("time", "Must be an ISO 8601 time with its zone, like 2026-06-09T12:30:00Z.")
    return time


Expiry = Annotated[AwareDatetime, BeforeValidator(_written)]


class NewNumber(Body):
    country: Country = "US"
    areaCode: AreaCode | None = None  # noqa: N815 - the vendor's words
    agentId: NamedId | None = None  # noqa: N815
    type: Literal["sms", "imessage"] | None = None
    externalId: ExternalId | None = None  # noqa: N815
    expiresAt: Expiry | None = None  # noqa: N815


class NumberChanges(Body):
    """Fields that are left out stay as they are; null clears."""

    externalId: ExternalId | None = None  # noqa: N815
    expiresAt: Expiry | None = None  # noqa: N815


class NumberSearch(BaseModel):
    """Where a number is meant to be from. We know of no places, so that a search for one finds none."""

    areaCode: AreaCode | None = None  # noqa: N815
    city: Place | None = None
    state: Place | None = None
    zip: Place | None = None
    country: Country | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 20


class Whose(BaseModel):
    phoneNumbers: Annotated[  # noqa: N815
        str,
        Field(max_length=2000, description="Divided by commas."),
        AfterValidator(_several),
        Documented(format="e164-list"),
    ]


@router.get("/numbers", response=answers(200, Numbers))
def list_numbers(request: HttpRequest, query: Query[Window]) -> HttpResponse:
    """The organization's numbers, the one that was bought last first; released ones are left out."""
    rows = owned_lines(actor_of(request)).select_related("account").order_by("-claimed_at", "-id")
    total = rows.count()
    page = number_shapes(rows[query.offset : query.offset + query.limit])
    more = query.offset + len(page) < total
    return respond(agentphone.page([agentphone.number(shape) for shape in page], has_more=more, total=total))


@router.post("/numbers", response=answers(200, NumberAnswer, 403, 404, 409))
def buy(request: HttpRequest, body: NewNumber) -> HttpResponse:
    """Claim a number that the operator has put in service, and attach it to an agent if one is named.

    Admin keys only.
    """
    actor = actor_of(request)
    wish: Wish = {"country": body.country}
    if body.areaCode:
        wish["area_code"] = body.areaCode
    if body.type:
        wish["service"] = body.type
    with transaction.atomic():
        identity = agent_with(actor, body.agentId) if body.agentId else None
        line = claim_line(
            actor,
            organization=key_of(request).organization,
            external_id=body.externalId or "",
            expires_at=body.expiresAt,
            **wish,
        )
        if identity:
            line = attach(actor, line, identity)
    return respond(_shown(line))


@router.get("/numbers/available", response=answers(200, AvailableNumbers))
def available(request: HttpRequest, query: Query[NumberSearch]) -> HttpResponse:
    """Numbers that can be bought now."""
    if query.city or query.state or query.zip:
        return respond({"data": []})
    wish: Wish = {}
    if query.areaCode:
        wish["area_code"] = query.areaCode
    if query.country:
        wish["country"] = query.country
    rows = free_lines(**wish)[: query.limit]
    return respond({"data": [agentphone.available_number(free_number_shape(line)) for line in rows]})


@router.get("/numbers/lookup", response=answers(200, LookedUpNumbers))
def look_up(request: HttpRequest, query: Query[Whose]) -> HttpResponse:
    """What up to 25 numbers say of themselves: country and kind. Nobody is asked."""
    return respond({"data": [_looked_up(number) for number in query.phoneNumbers.split(",")]})


@router.get("/numbers/{number_id}", response=answers(200, NumberAnswer, 404))
def get(request: HttpRequest, number_id: str) -> HttpResponse:
    """One number, released ones too."""
    return respond(_shown(number_with(actor_of(request), number_id)))


@router.patch("/numbers/{number_id}", response=answers(200, NumberAnswer, 403, 404))
def update(request: HttpRequest, number_id: str, body: NumberChanges) -> HttpResponse:
    """Change the organization's own name of a number, or when it is released by itself. Admin keys only."""
    actor = actor_of(request)
    changes = {_OURS[name]: getattr(body, name) for name in body.model_fields_set & _OURS.keys()}
    return respond(_shown(change(actor, number_with(actor, number_id), **changes)))


@router.delete("/numbers/{number_id}", response=answers(200, ReleasedNumber, 403, 404))
def release_number(request: HttpRequest, number_id: str) -> HttpResponse:
    """Give a number back, for good; what was said on it stays. Admin keys only."""
    actor = actor_of(request)
    return respond(agentphone.released_number(number_shape(release(actor, number_with(actor, number_id)))))


@router.get("/numbers/{number_id}/messages", response=answers(200, NumberMessages, 404))
def list_messages(request: HttpRequest, number_id: str, query: Query[History]) -> HttpResponse:
    """What was said on a number, newest first."""
    actor = actor_of(request)
    rows = messages(actor).filter(line=number_with(actor, number_id))
    return answer_history(actor, rows, query, agentphone.number_messages)


_OURS = {"externalId": "external_id", "expiresAt": "expires_at"}


def _shown(line: Line) -> dict[str, Any]:
    return agentphone.number(number_shape(line))


def _looked_up(number: str) -> dict[str, Any]:
    kind = phonenumbers.number_type(phonenumbers.parse(number))
    return agentphone.looked_up(human=number, country=region_of(number) or None, line_type=_KINDS.get(kind))


# Where the digits alone tell; in North America they do not.
_KINDS = {
    phonenumbers.PhoneNumberType.MOBILE: "mobile",
    phonenumbers.PhoneNumberType.FIXED_LINE: "landline",
    phonenumbers.PhoneNumberType.VOIP: "voip",
    phonenumbers.PhoneNumberType.TOLL_FREE: "toll_free",
}
