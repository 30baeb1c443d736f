"""Numbers: found, leased, given back, and what stands in for them (contract/contiguity.md, section 7)."""

from typing import Annotated, Any, Literal

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Router
from pydantic import Field, StrictBool

from accounts.models import Identity
from api.auth import actor_of, key_of
from api.contiguity.answers import AvailableNumbers, Configured, LeasedNumbers, OneNumber, Terminated, answers
from api.contiguity.envelopes import told
from api.contiguity.shapes import number_shape
from api.parsing import Body, PhoneNumber
from core.actor import Actor
from core.errors import NotFound
from core.texts import storable
from dialects import contiguity
from dialects.contiguity import BillingWord
from imessage import owning
from lines.claiming import claim_line, free_lines
from lines.models import Line

router = Router(tags=["Numbers"])

# As many of the free numbers are listed.
_MOST = 200


class NoSuchNumber(NotFound):
    """There is no such number of yours, and none to lease."""


class Lease(Body):
    """Nobody pays here: what is said of billing is said back."""

    billing_method: BillingWord = "monthly"


class Failover(Body):
    enabled: StrictBool
    mode: Literal["all", "selective"] = "all"
    numbers: Annotated[list[PhoneNumber], Field(max_length=100)] = []


class Configuration(Body):
    failover: Failover


@router.get("/leases", include_in_schema=False)
@router.get("/numbers/leases", response=answers(AvailableNumbers))
def list_available(request: HttpRequest) -> HttpResponse:
    """The numbers that can be leased now, oldest first."""
    return told(contiguity.available([number_shape(line, is_ours=False) for line in free_lines()[:_MOST]]))


@router.get("/leased", include_in_schema=False)
@router.get("/numbers/leased", response=answers(LeasedNumbers))
def list_leased(request: HttpRequest) -> HttpResponse:
    """The organization's numbers, oldest first; those of a bound key's identity for that key."""
    rows = Line.objects.visible_to(actor_of(request)).select_related("account").order_by("created_at", "id")
    return told(contiguity.leased([number_shape(line, is_ours=True) for line in rows]))


@router.post("/lease/{number}", include_in_schema=False)
@router.post("/numbers/lease/{number}", response=answers(OneNumber, 403, 404))
def lease(request: HttpRequest, number: str, body: Lease | None = None) -> HttpResponse:
    """Lease a number; needs an admin key. An organization's only agent speaks over it at once.

    With several agents, attach it to one of them in the console before sending from it.
    """
    actor = actor_of(request)
    line = claim_line(actor, organization=key_of(request).organization, address=storable(number))
    agents = list(Identity.objects.visible_to(actor).live()[:2])
    if len(agents) == 1:
        owning.attach(actor, line, agents[0])
    method = body.billing_method if body else "monthly"
    return told(contiguity.lease(number_shape(line, is_ours=True), method=method))


@router.delete("/leased/{number}", include_in_schema=False)
@router.delete("/numbers/leased/{number}", response=answers(Terminated, 403, 404))
def terminate(request: HttpRequest, number: str) -> HttpResponse:
    """Give a number back, for good; what was said over it stays. Needs an admin key."""
    actor = actor_of(request)
    line = owning.release(actor, _owned(actor, number))
    return told(contiguity.terminated(number_shape(line, is_ours=True), at=timezone.now()))


@router.post("/numbers/{number}/configure", response=answers(Configured, 403, 404))
def configure(request: HttpRequest, number: str, body: Configuration) -> HttpResponse:
    """Say which other numbers stand in while this one cannot send. Needs an admin key."""
    actor = actor_of(request)
    line = owning.change(actor, _owned(actor, number), failover=body.failover.model_dump())
    return told(contiguity.configured(number_shape(line, is_ours=True)))


@router.get("/lease/{number}", include_in_schema=False)
@router.get("/numbers/leased/{number}", response=answers(OneNumber, 404), operation_id="numbers_leased_details")
@router.get("/numbers/{number}", response=answers(OneNumber, 404))
def details(request: HttpRequest, number: str) -> HttpResponse:
    """A number of the caller's, or one that can be leased."""
    return told(contiguity.number(_known(actor_of(request), number)))


def _known(actor: Actor, number: str) -> dict[str, Any]:
    owned = Line.objects.visible_to(actor).filter(address=storable(number)).select_related("account").first()
    line = owned or free_lines(address=storable(number)).first()
    if line is None:
        raise NoSuchNumber()
    return number_shape(line, is_ours=owned is not None)


def _owned(actor: Actor, number: str) -> Line:
    line = Line.objects.visible_to(actor).filter(address=storable(number)).first()
    if line is None:
        raise NoSuchNumber()
    return line
