"""Agent identities (contract/inkbox.md, section 6)."""

from typing import Annotated, Any, Literal

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from ninja import Router
from pydantic import AfterValidator, Field, StrictBool
from pydantic_core import PydanticCustomError

from accounts.identities import create_identity, normal_handle, update_identity
from accounts.models import Identity
from api.auth import actor_of, key_of
from api.inkbox.finding import identity_named
from api.parsing import Body, respond, said_by
from api.shapes import identity_shape
from contactrules.rules import set_filter_mode
from core.actor import Actor, Role
from core.errors import Invalid
from core.texts import storable
from dialects import inkbox

router = Router()


def _refuse_claim(asked: bool | None) -> None:
    if asked:
        raise PydanticCustomError(
            "not_supported", "This server has no dedicated lines to claim; leave claim_imessage_number out."
        )


def _refuse_line(line_id: object) -> None:
    if line_id is not None:
        raise PydanticCustomError(
            "not_supported", "This server has no dedicated lines; pass null as imessage_number_id."
        )


Handle = Annotated[str, said_by(normal_handle)]
DisplayName = Annotated[str, Field(max_length=255), said_by(storable)]
Description = Annotated[str, Field(max_length=10_000), said_by(storable)]


class NewIdentity(Body):
    agent_handle: Handle
    display_name: DisplayName | None = None
    description: Description | None = None
    imessage_enabled: StrictBool = False
    claim_imessage_number: Annotated[bool | None, AfterValidator(_refuse_claim)] = None


class IdentityChanges(Body):
    agent_handle: Handle | None = None
    display_name: DisplayName | None = None
    description: Description | None = None
    imessage_enabled: StrictBool = False
    imessage_filter_mode: Identity.FilterMode = Identity.FilterMode.BLACKLIST
    status: Literal["active", "paused"] = "active"
    claim_imessage_number: Annotated[bool | None, AfterValidator(_refuse_claim)] = None
    imessage_number_id: Annotated[Any, AfterValidator(_refuse_line)] = None

    def words(self, identity: Identity) -> dict[str, Any]:
        """The changes that `update_identity` makes; a cleared name falls back to the handle."""
        changes = self.model_dump(
            include={"display_name", "description", "imessage_enabled", "status"}, exclude_unset=True
        )
        if "display_name" in changes:
            changes["display_name"] = changes["display_name"] or identity.handle
        return changes


@router.get("/identities")
@router.get("/identities/")
def list_identities(request: HttpRequest) -> list[dict[str, Any]]:
    """The caller's identities, newest first; deleted ones are left out."""
    rows = Identity.objects.visible_to(actor_of(request)).live().order_by("-created_at", "-id")
    return [_shown(identity) for identity in rows]


@router.post("/identities")
@router.post("/identities/")
def create(request: HttpRequest, body: NewIdentity) -> HttpResponse:
    """A new identity; admin keys only."""
    identity = create_identity(
        actor_of(request),
        organization=key_of(request).organization,
        handle=body.agent_handle,
        display_name=body.display_name,
        description=body.description,
        imessage_enabled=body.imessage_enabled,
    )
    return respond(_shown(identity), status=201)


@router.get("/identities/{handle}")
def get(request: HttpRequest, handle: str) -> dict[str, Any]:
    """One identity."""
    return _shown(identity_named(actor_of(request), handle))


@router.patch("/identities/{handle}")
def update(request: HttpRequest, handle: str, body: IdentityChanges) -> dict[str, Any]:
    """Change what is given; the filter mode only with an admin key."""
    actor = actor_of(request)
    return _shown(_changed(actor, identity_named(actor, handle), body))


def _changed(actor: Actor, identity: Identity, body: IdentityChanges) -> Identity:
    if body.agent_handle not in {None, identity.handle}:
        raise Invalid("A handle cannot be changed; create a new identity.", loc=["body", "agent_handle"])
    with transaction.atomic():
        if "imessage_filter_mode" in body.model_fields_set:
            actor.require(Role.ADMIN)
            identity = set_filter_mode(actor, identity, mode=body.imessage_filter_mode)
        return update_identity(actor, identity, changes=body.words(identity))


def _shown(identity: Identity) -> dict[str, Any]:
    return inkbox.identity(identity_shape(identity))
