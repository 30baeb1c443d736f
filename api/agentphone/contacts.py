"""The contact book, and what a human's phone takes (contract/agentphone.md, sections 4 and 8)."""

from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router
from pydantic import BaseModel, Field

from accounts.contacts import change_contact, create_contact, delete_contact
from accounts.models import Contact
from api.agentphone.answers import Capabilities, Contacts, answers
from api.agentphone.answers import Contact as ContactAnswer
from api.agentphone.finding import contact_with
from api.agentphone.lists import answer_window
from api.agentphone.messages import Number
from api.agentphone.shapes import book_shape
from api.auth import actor_of, key_of
from api.parsing import TEXT, Body, respond
from dialects import agentphone
from imessage.availability import availability_of
from imessage.shapes import iso

router = Router(tags=["Contacts"])

Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"\S"), *TEXT]
Email = Annotated[str, Field(max_length=254), *TEXT]
Notes = Annotated[str, Field(max_length=10_000), *TEXT]


class ContactSearch(BaseModel):
    limit: Annotated[int, Field(ge=1, le=200)] = 50
    offset: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    search: Annotated[str, Field(max_length=200), *TEXT] | None = None


class Whom(BaseModel):
    phone_number: Number


class NewContact(Body):
    phoneNumber: Number  # noqa: N815 - the vendor's words
    name: Name
    email: Email | None = None
    notes: Notes | None = None


class ContactChanges(Body):
    """Fields that are left out, or null, stay as they are."""

    phoneNumber: Number | None = None  # noqa: N815
    name: Name | None = None
    email: Email | None = None
    notes: Notes | None = None


@router.get("/contacts/capabilities", response=answers(200, Capabilities, 403, 502))
def capabilities(request: HttpRequest, query: Query[Whom]) -> HttpResponse:
    """Whether a number has iMessage: looked up now unless it was lately."""
    human = query.phone_number
    found = availability_of(actor_of(request), organization_id=key_of(request).organization_id, human=human)
    return respond(
        agentphone.capabilities(human=human, imessage=found.imessage, sms=found.sms, checked_at=iso(found.at))
    )


@router.get("/contacts", response=answers(200, Contacts))
def list_contacts(request: HttpRequest, query: Query[ContactSearch]) -> HttpResponse:
    """The contact book by name."""
    rows = Contact.objects.visible_to(actor_of(request)).order_by("name", "id")
    return answer_window(rows.matching(query.search) if query.search else rows, query, _shown)


@router.post("/contacts", response=answers(201, ContactAnswer, 403, 409))
def create(request: HttpRequest, body: NewContact) -> HttpResponse:
    """A new entry; admin keys only."""
    contact = create_contact(
        actor_of(request),
        organization=key_of(request).organization,
        phone_number=body.phoneNumber,
        name=body.name,
        email=body.email or "",
        notes=body.notes or "",
    )
    return respond(_shown(contact), status=201)


@router.get("/contacts/{contact_id}", response=answers(200, ContactAnswer, 404))
def get(request: HttpRequest, contact_id: str) -> HttpResponse:
    """One entry."""
    return respond(_shown(contact_with(actor_of(request), contact_id)))


@router.patch("/contacts/{contact_id}", response=answers(200, ContactAnswer, 403, 404, 409))
def update(request: HttpRequest, contact_id: str, body: ContactChanges) -> HttpResponse:
    """Change what is given; admin keys only."""
    actor = actor_of(request)
    changes = body.model_dump(exclude_none=True)
    if "phoneNumber" in changes:
        changes["phone_number"] = changes.pop("phoneNumber")
    return respond(_shown(change_contact(actor, contact_with(actor, contact_id), changes=changes)))


@router.delete("/contacts/{contact_id}", response=answers(204, None, 403, 404))
def delete(request: HttpRequest, contact_id: str) -> HttpResponse:
    """Take an entry out of the book; admin keys only."""
    actor = actor_of(request)
    delete_contact(actor, contact_with(actor, contact_id))
    return HttpResponse(status=204)


def _shown(contact: Contact) -> dict[str, Any]:
    return agentphone.contact(book_shape(contact))
